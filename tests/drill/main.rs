//! The failure drill: a cluster of real processes, a swarm of clients in constant traffic, one fault at a time, and the clients'
//! ledger as judge. Without settings, what holds today runs within a fixed budget; `make drill` runs everything else too.
//!
//! `SCENARIO` (a name, or `all`), `SEED` and `RUNS` choose what is run; the seed of each run is printed and replays its schedule.
//! What came out is kept in `target/drill`; `TABLE=1` writes the table of docs/reliability.md from that, and runs nothing.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

mod double;
mod embedded;
mod results;
mod scenarios;
mod stage;

#[allow(dead_code, reason = "only the binary is wanted here")]
#[path = "../scripts.rs"]
mod scripts;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::scenarios::{Place, SCENARIOS, Scenario};
use crate::stage::Stage;

/// How long the essential drill may take.
const BUDGET: Duration = Duration::from_secs(8 * 60);

#[tokio::test(flavor = "multi_thread")]
async fn drill() {
    let began = Instant::now();
    if std::env::var("TABLE").is_ok() {
        return results::render().unwrap();
    }
    let chosen = std::env::var("SCENARIO").ok().filter(|name| !name.is_empty());
    let (seed, runs) = (number("SEED").unwrap(), number("RUNS").unwrap());
    let outcome = match &chosen {
        None => run(&essential(), seed.unwrap_or(1), 1).await,
        Some(name) => {
            let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
            run(&named(name).unwrap(), seed, runs.unwrap_or(1)).await
        }
    };
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(chosen.is_some() || began.elapsed() < BUDGET, "{:?}", began.elapsed());
}

/// Runs each scenario with each seed; goes on after a failure.
async fn run(scenarios: &[&Scenario], seed: u64, runs: u64) -> Result<()> {
    let mut failures = Vec::new();
    let mut stage = Stage::default();
    for seed in seed..seed + runs {
        for scenario in scenarios {
            let began = Instant::now();
            println!("--- SCENARIO={} SEED={seed}: {}", scenario.name, scenario.about);
            match stage.play(scenario, seed).await {
                Ok(outcome) => {
                    println!("{}took {:.0?}\n", outcome.report, began.elapsed());
                    results::keep(scenario.name, seed, &outcome)?;
                    if !outcome.is_as_promised() {
                        failures.push(format!("SCENARIO={} SEED={seed}", scenario.name));
                    }
                }
                Err(error) => {
                    println!("{error:#}\n");
                    failures.push(format!("SCENARIO={} SEED={seed}: {error:#}", scenario.name));
                    stage = Stage::default();
                }
            }
        }
    }
    ensure!(
        failures.is_empty(),
        "{} runs failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

/// What runs with every change.
fn essential() -> Vec<&'static Scenario> {
    let is_essential = |scenario: &&Scenario| scenario.place == Place::Always;
    SCENARIOS.iter().filter(is_essential).collect()
}

fn named(name: &str) -> Result<Vec<&'static Scenario>> {
    let found: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| name == "all" || name.split(',').any(|name| name == scenario.name))
        .collect();
    let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    ensure!(!found.is_empty(), "no scenario {name}; there are: {}", names.join(", "));
    Ok(found)
}

fn number(variable: &str) -> Result<Option<u64>> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty());
    text.map(|text| text.parse().with_context(|| format!("{variable}={text}")))
        .transpose()
}

#[test]
fn every_scenario_has_a_name_of_its_own_and_something_to_do() {
    for (at, scenario) in SCENARIOS.iter().enumerate() {
        assert!(!scenario.steps.is_empty(), "{}", scenario.name);
        let others = SCENARIOS.iter().skip(at + 1);
        assert!(
            others.clone().all(|other| other.name != scenario.name),
            "{}",
            scenario.name
        );
    }
}
