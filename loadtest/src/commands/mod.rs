//! What each command does.

mod provision;
mod run;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use dunlin_loadtest::compare::{Comparison, Side};
use dunlin_loadtest::overrides::Override;
use dunlin_loadtest::scenario::Scenario;
use dunlin_loadtest::thresholds::Threshold;
use dunlin_loadtest::{library, preflight, report};
use toml::{Table, Value};

use crate::cli::{self, Command};

/// A command that did not come to a good end.
pub(crate) struct Failure {
    /// The process's exit code.
    pub(crate) code: u8,
    /// What to tell people; nothing when all is said.
    why: Option<anyhow::Error>,
}

/// Exit codes.
const USAGE: u8 = 1;
const UNREACHABLE: u8 = 2;
const THRESHOLD: u8 = 99;
const INTERRUPTED: u8 = 130;

impl Failure {
    /// Tells people on standard error.
    pub(crate) fn print(&self) {
        if let Some(why) = &self.why {
            eprintln!("dunlin-loadtest: {why:#}");
        }
    }

    /// One of which everything is said.
    fn silent(code: u8) -> Self {
        Self { code, why: None }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(why: anyhow::Error) -> Self {
        let code = match why.downcast_ref() {
            Some(preflight::Error::Unreachable(_)) => UNREACHABLE,
            _ => USAGE,
        };
        Self { code, why: Some(why) }
    }
}

/// Does what the command line says.
///
/// # Errors
/// With the exit code.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => run::run(*arguments).await,
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

/// The scenario as it is to be run.
fn scenario(arguments: &cli::Scenario) -> Result<Scenario> {
    let text = library::find(&arguments.scenario)?;
    let mut table: Table = text.parse().with_context(|| arguments.scenario.clone())?;
    for change in changes(arguments, &table) {
        change.apply(&mut table)?;
    }
    let text = toml::to_string(&table)?;
    let scenario = Scenario::read(&text).with_context(|| format!("scenario {}", arguments.scenario))?;
    for threshold in &scenario.thresholds {
        threshold.parse::<Threshold>()?;
    }
    Ok(scenario)
}

/// What the command line changes.
fn changes(arguments: &cli::Scenario, table: &Table) -> Vec<Override> {
    let cli::Scenario {
        targets,
        domain,
        users,
        rate,
        length,
        seed,
        set,
        ..
    } = arguments;
    let mut changes = Vec::new();
    if !targets.is_empty() {
        let targets = targets.iter().cloned().map(Value::String).collect::<Vec<_>>();
        changes.push(Override::new("server.targets", targets));
    }
    changes.extend(domain.as_deref().map(|domain| Override::new("server.domain", domain)));
    changes.extend(users.map(|users| Override::new("users", i64::from(users))));
    changes.extend(rate.map(|rate| Override::new("rate", rate.to_string())));
    changes.extend(seed.map(|seed| Override::new("seed", i64::from(seed))));
    if let (Some(length), Some(longest)) = (length, longest_phase(table)) {
        changes.push(Override::new(&format!("phase.{longest}.for"), length.to_string()));
    }
    changes.extend(set.iter().cloned());
    changes
}

/// The place of the phase that lasts longest.
fn longest_phase(table: &Table) -> Option<usize> {
    let phases = table.get("phase")?.as_array()?;
    let length = |phase: &Value| phase.get("for")?.as_str()?.parse::<dunlin_loadtest::units::Span>().ok();
    let with_length = phases
        .iter()
        .enumerate()
        .filter_map(|(at, phase)| Some((length(phase)?.0, at)));
    with_length
        .max_by_key(|(length, at)| (*length, usize::MAX - at))
        .map(|(_, at)| at)
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

/// What a scenario would do, in lines for people.
fn plan(scenario: &Scenario) -> String {
    let mut lines = vec![
        format!("{}: {}", scenario.name, scenario.purpose),
        format!(
            "{} users of {} at {}",
            scenario.users,
            scenario.server.domain,
            scenario.server.targets.join(", ")
        ),
    ];
    let messages = scenario
        .rate
        .map_or(scenario.messages_per_second(), |rate| rate.per_second);
    for (at, phase) in scenario.phases.iter().enumerate() {
        let (before, after) = scenario.online(at);
        let length = phase.length.map_or(scenario.expected(at), |span| span.0);
        let faults = phase
            .faults
            .iter()
            .map(|fault| format!(", {} after {}", fault.name, fault.at));
        let saturated = if phase.saturate > 0 {
            format!(", {} messages in flight per pair", phase.saturate)
        } else {
            String::new()
        };
        lines.push(format!(
            "  {:<12} {:>6.0} s  online {before} -> {after}, {:.0} messages/s{saturated}{}",
            phase.name,
            length.as_secs_f64(),
            messages * phase.pace,
            faults.collect::<String>()
        ));
    }
    lines.extend(
        scenario
            .thresholds
            .iter()
            .map(|threshold| format!("  must hold: {threshold}")),
    );
    lines.join("\n") + "\n"
}

fn compare(arguments: &cli::Compare) -> Result<()> {
    let side = |path: &PathBuf| {
        Ok(Side {
            name: path.display().to_string(),
            runs: report::read_all(path)?,
        })
    };
    let sides = arguments.runs.iter().map(side).collect::<Result<Vec<_>>>()?;
    print!("{}", Comparison::new(&sides).markdown());
    Ok(())
}
