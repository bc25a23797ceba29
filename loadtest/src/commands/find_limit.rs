//! `find-limit`: runs a scenario with more and more load until a threshold does not hold.

use std::path::Path;

use anyhow::{Result, ensure};
use dunlin_loadtest::limit::Search;
use dunlin_loadtest::measure::Measure;
use dunlin_loadtest::overrides::Override;
use dunlin_loadtest::report;
use dunlin_loadtest::results::Results;

use super::run::{Place, conduct, folder};
use crate::chosen::scenario;
use crate::cli::{self, Load};
use crate::failure::{Failure, INTERRUPTED};

/// What is shown of each try.
const SHOWN: [&str; 4] = [
    "rate(message)",
    "p99(message)",
    "cpu(server, message)",
    "memory-per-session(server)",
];

/// Searches for the limit.
///
/// # Errors
/// With the exit code.
pub(crate) async fn run(arguments: cli::FindLimit) -> Result<(), Failure> {
    let first = first(&arguments)?;
    let mut search = Search::new(first, arguments.factor, arguments.precision);
    let out = arguments.run.out.clone();
    let out = out.unwrap_or_else(|| {
        folder(&format!(
            "limit-{}",
            Path::new(&arguments.run.scenario.scenario)
                .file_stem()
                .map_or_else(Default::default, |stem| stem.to_string_lossy())
        ))
    });
    let mut tries = 0;
    while let Some(load) = search.next() {
        tries += 1;
        let mut try_run = arguments.run.clone();
        try_run.scenario.set.push(raised(arguments.of, load));
        let scenario = scenario(&try_run.scenario)?;
        let outcome = conduct(&try_run, &scenario, &Place::Here).await?;
        report::write(&outcome.results, &out.join(format!("try-{tries}"))).map_err(anyhow::Error::from)?;
        if outcome.interrupted {
            return Err(Failure::silent(INTERRUPTED));
        }
        let held = outcome.results.passed();
        println!("{}", line(arguments.of, load, held, &outcome.results));
        search.tell(held);
    }
    let unit = unit(arguments.of);
    match search.limit() {
        Some(limit) => println!("limit: {limit:.0} {unit}; reports in {}", out.display()),
        None => println!("nothing held, however little; reports in {}", out.display()),
    }
    Ok(())
}

/// Where to begin.
fn first(arguments: &cli::FindLimit) -> Result<f64> {
    ensure!(arguments.factor > 1.0, "--factor: above 1");
    ensure!(arguments.precision > 0.0, "--precision: above 0");
    let scenario = scenario(&arguments.run.scenario)?;
    ensure!(
        !scenario.thresholds.is_empty(),
        "the scenario has no thresholds, so that it always holds"
    );
    let own = match arguments.of {
        Load::Rate => scenario
            .rate
            .map_or(scenario.messages_per_second(), |rate| rate.per_second),
        Load::Users => f64::from(scenario.users),
    };
    let first = arguments.from.unwrap_or(own);
    ensure!(first > 0.0, "--from: above 0");
    Ok(first)
}

/// The change that makes a scenario have that load. Users are even, for those who come in pairs.
fn raised(of: Load, load: f64) -> Override {
    match of {
        Load::Rate => Override::new("rate", format!("{load}/s")),
        Load::Users => Override::new("users", (load / 2.0).ceil() as i64 * 2),
    }
}

fn unit(of: Load) -> &'static str {
    match of {
        Load::Rate => "messages/s",
        Load::Users => "users",
    }
}

/// A try in a line for people.
fn line(of: Load, load: f64, held: bool, results: &Results) -> String {
    let measured = SHOWN.iter().filter_map(|name| {
        let measure: Measure = name.parse().ok()?;
        Some(format!("{name} {}", measure.of(results).ok()?))
    });
    let broken = results.verdicts.iter().filter(|verdict| !verdict.held);
    let broken = broken.map(|verdict| format!("broken: {} ({})", verdict.threshold, verdict.measured));
    let told: Vec<String> = measured.chain(broken).collect();
    let mark = if held { "held  " } else { "broke " };
    format!("{mark} {load:>9.0} {}  {}", unit(of), told.join(", "))
}
