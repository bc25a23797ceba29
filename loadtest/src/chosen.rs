//! The scenario that was chosen on the command line, with what is changed there.

use anyhow::{Context, Result};
use dunlin_loadtest::library;
use dunlin_loadtest::overrides::Override;
use dunlin_loadtest::scenario::Scenario;
use toml::{Table, Value};

use crate::cli;

/// The scenario as it is to be run.
pub(crate) fn scenario(arguments: &cli::Scenario) -> Result<Scenario> {
    let text = library::find(&arguments.scenario)?;
    let mut table: Table = text.parse().with_context(|| arguments.scenario.clone())?;
    for change in changes(arguments, &table) {
        change.apply(&mut table)?;
    }
    let text = toml::to_string(&table)?;
    Scenario::read(&text).with_context(|| format!("scenario {}", arguments.scenario))
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

/// What a scenario would do, in lines for people.
pub(crate) fn plan(scenario: &Scenario) -> String {
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
