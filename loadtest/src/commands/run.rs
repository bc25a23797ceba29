//! `run`: from a scenario to a report.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};
use dunlin_loadtest::accounting::Watch;
use dunlin_loadtest::admission::{Gate, Token};
use dunlin_loadtest::conduct::{Conductor, Outcome, Watching};
use dunlin_loadtest::live::{Style, View};
use dunlin_loadtest::metrics::Metrics;
use dunlin_loadtest::remote::{Job, Reception, Remote};
use dunlin_loadtest::results::{About, Results};
use dunlin_loadtest::scenario::Scenario;
use dunlin_loadtest::worker::{Share, Worker};
use dunlin_loadtest::workers::Workers;
use dunlin_loadtest::world::World;
use dunlin_loadtest::{machine, preflight, report};

use crate::chosen::{plan, scenario};
use crate::cli;
use crate::failure::{Failure, INTERRUPTED, THRESHOLD};

/// Runs a scenario with all users in this process.
///
/// # Errors
/// With the exit code.
pub(crate) async fn run(arguments: cli::Run) -> Result<(), Failure> {
    let scenario = scenario(&arguments.scenario)?;
    report(&arguments, &scenario, &Place::Here).await
}

/// Runs a scenario with users in other processes.
///
/// # Errors
/// With the exit code.
pub(crate) async fn coordinate(arguments: cli::Coordinator) -> Result<(), Failure> {
    let place = Place::There {
        workers: arguments.workers,
        listen: arguments.listen,
        gate: gate(&arguments)?,
    };
    let run = arguments.run;
    let scenario = scenario(&run.scenario)?;
    report(&run, &scenario, &place).await
}

/// Who is let in.
fn gate(arguments: &cli::Coordinator) -> Result<Gate> {
    let files = arguments.tls_certificate.as_deref().zip(arguments.tls_key.as_deref());
    let identity = files.map(|(certificate, key)| Gate::identity(certificate, key));
    Ok(Gate {
        token: Token::find(arguments.token_file.as_deref())?,
        identity: identity.transpose()?,
    })
}

/// Where the users are.
pub(crate) enum Place {
    /// In this process.
    Here,
    /// With so many workers, who join there.
    There {
        workers: u32,
        listen: SocketAddr,
        gate: Gate,
    },
}

/// Runs a scenario, or says what it would do; writes the report.
async fn report(arguments: &cli::Run, scenario: &Scenario, place: &Place) -> Result<(), Failure> {
    if arguments.dry_run {
        print!("{}", plan(scenario));
        return Ok(());
    }
    let outcome = conduct(arguments, scenario, place).await?;
    let folder = arguments.out.clone().unwrap_or_else(|| folder(&scenario.name));
    report::write(&outcome.results, &folder).map_err(anyhow::Error::from)?;
    tell(&outcome, &folder);
    if outcome.interrupted {
        Err(Failure::silent(INTERRUPTED))
    } else if outcome.results.passed() {
        Ok(())
    } else {
        Err(Failure::silent(THRESHOLD))
    }
}

/// Checks what can be checked, and runs.
///
/// # Errors
/// When something does not hold, or a worker fails.
pub(crate) async fn conduct(arguments: &cli::Run, scenario: &Scenario, place: &Place) -> Result<Outcome> {
    let began = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let world = World::new(scenario.clone(), run_number(began.as_nanos()))?;
    preflight::check_targets(&world.addresses, arguments.i_own_this_target)?;
    if !arguments.no_preflight {
        preflight::check_server(&world).await?;
    }
    let watch = Watch::new(arguments.watch_pid.clone())?;
    let workers = workers(arguments, world, place).await?;
    let style = if arguments.quiet {
        Style::Quiet
    } else {
        Style::suitable()
    };
    let watching = Watching {
        watch,
        metrics: Metrics::new(arguments.watch_metrics.clone()),
        view: View::open(style)?,
    };
    let mut outcome = Conductor::new(scenario, workers, watching)
        .run()
        .await
        .context("the run")?;
    about(
        &mut outcome.results,
        scenario,
        u64::try_from(began.as_millis()).unwrap_or(0),
    );
    Ok(outcome)
}

/// Users who wait for orders.
async fn workers(arguments: &cli::Run, world: World, place: &Place) -> Result<Workers> {
    match place {
        Place::Here => {
            preflight::check_machine(&world.scenario, world.scenario.users)?;
            let threads = arguments.threads.unwrap_or_else(machine::cores).max(1);
            let epoch = Instant::now();
            let worker = Some(Worker::start(Arc::new(world), Share::ALL, threads, epoch)?);
            Ok(Workers::Here { worker, threads, epoch })
        }
        Place::There { workers, listen, gate } => {
            let reception = Reception::open(*listen, gate.clone())
                .await
                .with_context(|| format!("listening at {listen}"))?;
            println!(
                "waiting for {workers} workers: dunlin-loadtest worker --join {}",
                reception.address()?
            );
            let job = Job {
                scenario: toml::to_string(&world.scenario)?,
                run: world.run,
                workers: *workers,
            };
            Ok(Workers::There(Remote::gather(reception, &job).await?))
        }
    }
}

/// Not the same for two runs that one server may know of.
fn run_number(nanoseconds: u128) -> u32 {
    (nanoseconds ^ (nanoseconds >> 32)) as u32 ^ std::process::id().rotate_left(16)
}

fn about(results: &mut Results, scenario: &Scenario, began_unix_ms: u64) {
    results.about = About {
        scenario: scenario.name.clone(),
        purpose: scenario.purpose.clone(),
        definition: toml::to_string(scenario).unwrap_or_default(),
        targets: scenario.server.targets.clone(),
        began_unix_ms,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine::facts(),
        seconds: results.about.seconds,
    };
}

/// `runs/NAME-TIME`
pub(crate) fn folder(name: &str) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    Path::new("runs").join(format!("{name}-{now}"))
}

/// The run in lines for people.
fn tell(outcome: &Outcome, folder: &Path) {
    let results = &outcome.results;
    let ledger = &results.ledger;
    println!(
        "messages: {} sent, {} received, {} refused, {} lost ({} of them acknowledged), {} duplicated, {} reordered",
        ledger.sent,
        ledger.received,
        ledger.refused,
        ledger.lost,
        ledger.lost_acknowledged,
        ledger.duplicated,
        ledger.reordered
    );
    for verdict in &results.verdicts {
        let mark = if verdict.held { "ok  " } else { "FAIL" };
        println!("{mark} {} ({})", verdict.threshold, verdict.measured);
    }
    for warning in &results.warnings {
        println!("warning: {warning}");
    }
    println!("{}", folder.join("report.html").display());
}
