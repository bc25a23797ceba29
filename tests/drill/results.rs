//! What came out of runs: a JSON file each in `target/drill`, and the table of docs/reliability.md made from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::scenarios::SCENARIOS;
use crate::stage::Outcome;

/// Where the table stands in the document.
const BEGIN: &str = "<!-- drill: begin -->\n";
const END: &str = "<!-- drill: end -->\n";

/// Where results are kept.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/drill")
}

/// Keeps the result of a run.
pub(crate) fn keep(scenario: &str, seed: u64, outcome: &Outcome) -> Result<()> {
    let report = &outcome.report;
    let value = json!({
        "scenario": scenario,
        "seed": seed,
        "messages": report.intended,
        "acknowledged": report.acknowledged,
        "received": report.received,
        "refused": report.refused,
        "refused_yet_received": report.refused_yet_received,
        "lost": report.lost,
        "left_lying": report.left_lying,
        "unanswered": report.unanswered,
        "duplicated": report.duplicated,
        "duplicated_between_sessions": report.duplicated_between_sessions,
        "repeated_at_login": report.repeated_at_login,
        "reordered": report.reordered,
        "bound": report.bound,
        "resumed": report.resumed,
        "not_resumed": report.not_resumed,
        "wait_half": report.wait_half.as_secs_f64(),
        "wait_most": report.wait_most.as_secs_f64(),
        "endings": report.endings,
        "complaints": report.complaints,
        "stories": report.stories,
        "schedule": outcome.schedule,
        "load": load(),
    });
    std::fs::create_dir_all(folder())?;
    let path = folder().join(format!("{scenario}-{seed}.json"));
    std::fs::write(&path, serde_json::to_string_pretty(&value)?).with_context(|| path.display().to_string())
}

/// How many tasks of the machine want a processor, averaged over a minute (proc(5)): what is slow under a load far above the number of
/// processors says little.
fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// Writes the table of docs/reliability.md from all results that are kept.
pub(crate) fn render() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reliability.md");
    let text = std::fs::read_to_string(&path).context("docs/reliability.md")?;
    let (before, rest) = text.split_once(BEGIN).context("no place for the table begins")?;
    let (_, after) = rest.split_once(END).context("no place for the table ends")?;
    std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table(&read()?)))?;
    Ok(())
}

/// All results, by scenario.
fn read() -> Result<BTreeMap<String, Vec<Value>>> {
    let mut results: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder())?.flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "json") {
            let value: Value = serde_json::from_slice(&std::fs::read(entry.path())?)?;
            let name = value["scenario"].as_str().context("no scenario")?.to_owned();
            results.entry(name).or_default().push(value);
        }
    }
    Ok(results)
}

fn table(results: &BTreeMap<String, Vec<Value>>) -> String {
    let mut table = "| Scenario | Runs | Messages | Lost | Left lying | Unanswered | Refused | Duplicates | At login | Reordered | Not resumed | Longest wait: half, all | Load |\n\
                     |---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for scenario in SCENARIOS {
        let name = format!("`{}`: {}.", scenario.name, scenario.about);
        table += &match results.get(scenario.name) {
            Some(runs) => row(&name, runs),
            None => format!("| {name} | 0 | | | | | | | | | | | |\n"),
        };
    }
    table
}

fn row(name: &str, runs: &[Value]) -> String {
    let sum = |field: &str| runs.iter().filter_map(|run| run[field].as_u64()).sum::<u64>();
    let times = |field: &str| {
        let mut times: Vec<f64> = runs.iter().filter_map(|run| run[field].as_f64()).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let (half, most, loads) = (times("wait_half"), times("wait_most"), times("load"));
    let at = |times: &[f64], at: usize| times.get(at).copied().unwrap_or_default();
    let strange = runs
        .iter()
        .filter(|run| run["complaints"].as_array().is_some_and(|all| !all.is_empty()));
    let more = match strange.count() + sum("refused_yet_received") as usize {
        0 => String::new(),
        _ => format!(" (**{} refused yet received**)", sum("refused_yet_received")),
    };
    format!(
        "| {name} | {} | {} | {} | {} | {} | {}{more} | {} (+{}) | {} | {} | {} | {:.1} s, {:.1} s | {:.0} |\n",
        runs.len(),
        sum("messages"),
        sum("lost"),
        sum("left_lying"),
        sum("unanswered"),
        sum("refused"),
        sum("duplicated"),
        sum("duplicated_between_sessions"),
        sum("repeated_at_login"),
        sum("reordered"),
        sum("not_resumed"),
        at(&half, half.len() / 2),
        at(&most, most.len().saturating_sub(1)),
        at(&loads, loads.len() / 2),
    )
}
