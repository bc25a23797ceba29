//! What each command does.

mod find_limit;
mod provision;
mod run;
mod worker;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use dunlin_loadtest::compare::{Comparison, Side};
use dunlin_loadtest::scenario::Scenario;
use dunlin_loadtest::{library, report};

use crate::chosen::{plan, scenario};
use crate::cli::{self, Command};
use crate::failure::Failure;

/// Does what the command line says.
///
/// # Errors
/// With the exit code.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => run::run(*arguments).await,
        Command::Coordinator(arguments) => run::coordinate(*arguments).await,
        Command::Worker(arguments) => Ok(worker::run(arguments).await?),
        Command::FindLimit(arguments) => find_limit::run(*arguments).await,
        Command::Provision(arguments) => Ok(provision::run(arguments).await?),
        Command::Ls => {
            print!("{}", listing()?);
            Ok(())
        }
        Command::Init(arguments) => Ok(init(&arguments)?),
        Command::Validate(arguments) => {
            let scenario = scenario(&arguments)?;
            print!("{}", plan(&scenario));
            Ok(())
        }
        Command::Compare(arguments) => Ok(compare(&arguments)?),
        Command::Report(arguments) => {
            let results = report::read(&arguments.folder).map_err(anyhow::Error::from)?;
            report::write(&results, &arguments.folder).map_err(anyhow::Error::from)?;
            println!("{}", arguments.folder.join("report.html").display());
            Ok(())
        }
    }
}

/// The library: name and purpose, one a line.
fn listing() -> Result<String> {
    let mut text = String::new();
    for (name, definition) in library::ALL {
        let scenario = Scenario::read(definition)?;
        writeln!(text, "{name:<18} {}", scenario.purpose)?;
    }
    Ok(text)
}

fn init(arguments: &cli::Init) -> Result<()> {
    let text = library::find(&arguments.scenario)?;
    let file = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.toml", arguments.scenario)));
    anyhow::ensure!(!file.exists(), "{} is there already", file.display());
    std::fs::write(&file, text).with_context(|| file.display().to_string())?;
    println!("{}", file.display());
    Ok(())
}

fn compare(arguments: &cli::Compare) -> Result<()> {
    let side = |path: &PathBuf| {
        Ok(Side {
            name: path.display().to_string(),
            runs: report::read_all(path)?,
        })
    };
    let sides = arguments.runs.iter().map(side).collect::<Result<Vec<_>>>()?;
    let comparison = Comparison::new(&sides);
    if arguments.markdown {
        print!("{}", comparison.markdown());
    } else {
        print!("{comparison}");
    }
    Ok(())
}
