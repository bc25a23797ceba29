//! The files for machines and for comments: JSON, Markdown, JUnit and CSV.

use std::cmp::Reverse;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::measure::{Aspect, Count, Measure};
use crate::quantity::digits;
use crate::report::escape::{Csv, Markdown, Xml};
use crate::report::html::began;
use crate::results::{Results, Verdict};

/// The headlines as plain numbers by measure, over the whole run and by phase: seconds, bytes, shares of one; see [`crate::measure`].
pub(super) fn json(results: &Results) -> String {
    let measures = [Measure::headlines(results), Measure::by_phase(results)].concat();
    let figures = measures
        .iter()
        .filter_map(|measure| Some((measure.to_string(), json!(measure.of(results).ok()?.value))));
    let figures: Map<String, Value> = figures.collect();
    let value = json!({
        "scenario": results.about.scenario,
        "targets": results.about.targets,
        "began": began(results),
        "seconds": results.about.seconds,
        "passed": results.passed(),
        "thresholds": results.verdicts,
        "warnings": results.warnings,
        "machine": results.about.machine,
        "figures": figures,
    });
    format!("{value:#}\n")
}

/// A comment on a change: verdict, thresholds, headlines, failures.
pub(super) fn markdown(results: &Results) -> String {
    let about = &results.about;
    let verdict = match (results.verdicts.is_empty(), results.passed()) {
        (true, _) => "no thresholds",
        (_, true) => "passed",
        (_, false) => "**failed**",
    };
    let mut text = format!(
        "### Load test {}: {verdict}\n\n{}\n\n",
        Markdown(&about.scenario),
        Markdown(&about.purpose)
    );
    let targets = about.targets.join(", ");
    let _ = writeln!(
        text,
        "{}, {} s against {}\n",
        began(results),
        digits(about.seconds),
        Markdown(&targets)
    );
    for warning in &results.warnings {
        let _ = writeln!(text, "> {}\n", Markdown(warning));
    }
    let thresholds = results.verdicts.iter().map(|verdict| {
        let word = if verdict.held { "held" } else { "**broken**" };
        [
            Markdown(&verdict.threshold).to_string(),
            Markdown(&verdict.measured).to_string(),
            word.to_owned(),
        ]
    });
    table(&mut text, ["Threshold", "Measured", ""], thresholds);
    if results.ledger.sent > 0 {
        let counts = Count::ALL.map(|(count, name)| format!("{name} {}", shown(results, &Measure::Ledger(count))));
        let _ = writeln!(text, "Messages: {}\n", counts.join(", "));
    }
    let heads = [
        "Operation",
        "Done",
        "Rate",
        "Failed",
        "p50",
        "p95",
        "p99",
        "p99.9",
        "Longest",
    ];
    table(
        &mut text,
        heads,
        results
            .operation_names()
            .into_iter()
            .map(|name| operation(results, name)),
    );
    let costs = Measure::headlines(results)
        .into_iter()
        .filter(|measure| matches!(measure, Measure::Process { .. }));
    let costs = costs.map(|measure| [Markdown(&measure.to_string()).to_string(), shown(results, &measure)]);
    table(&mut text, ["Cost", ""], costs);
    table(&mut text, ["Failure", "Operation", "Count"], failures(results));
    text
}

/// Each threshold as a test case; a run without any is one case.
pub(super) fn junit(results: &Results) -> String {
    let ran = Verdict {
        threshold: "the run came to its end".into(),
        held: true,
        measured: String::new(),
    };
    let verdicts = if results.verdicts.is_empty() {
        vec![ran]
    } else {
        results.verdicts.clone()
    };
    let broken = verdicts.iter().filter(|verdict| !verdict.held).count();
    let (name, seconds) = (Xml(&results.about.scenario), results.about.seconds);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"{name}\" tests=\"{}\" failures=\"{broken}\" errors=\"0\" skipped=\"0\" time=\"{seconds:.3}\">\n",
        verdicts.len()
    );
    for verdict in &verdicts {
        let threshold = Xml(&verdict.threshold);
        let failure = format!("<failure message=\"measured {}\"/>", Xml(&verdict.measured));
        let failure = if verdict.held { "" } else { &failure };
        let _ = writeln!(
            text,
            "<testcase classname=\"loadtest.{name}\" name=\"{threshold}\" time=\"{seconds:.3}\">{failure}</testcase>"
        );
    }
    if !results.warnings.is_empty() {
        let _ = writeln!(text, "<system-out>{}</system-out>", Xml(&results.warnings.join("\n")));
    }
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

/// One line for each point of each series.
pub(super) fn csv(results: &Results) -> String {
    let mut text = "series,unit,seconds,value\r\n".to_owned();
    for (name, series) in &results.series {
        for (at, value) in &series.points {
            let _ = write!(text, "{},{},{at:.3},{value}\r\n", Csv(name), Csv(&series.unit));
        }
    }
    text
}

fn operation(results: &Results, name: &str) -> [String; 9] {
    let aspect = |what| {
        let operation = name.to_owned();
        shown(
            results,
            &Measure::Operation {
                what,
                operation,
                phase: None,
            },
        )
    };
    let [p50, p95, p99, p999] = [0.5, 0.95, 0.99, 0.999].map(|share| aspect(Aspect::Quantile(share)));
    let [done, rate, failed, longest] = [Aspect::Done, Aspect::Rate, Aspect::Failed, Aspect::Max].map(aspect);
    [
        Markdown(name).to_string(),
        done,
        rate,
        failed,
        p50,
        p95,
        p99,
        p999,
        longest,
    ]
}

fn shown(results: &Results, measure: &Measure) -> String {
    measure
        .of(results)
        .map_or("–".to_owned(), |quantity| quantity.to_string())
}

fn failures(results: &Results) -> Vec<[String; 3]> {
    let mut rows: Vec<(u64, [String; 3])> = Vec::new();
    for name in results.operation_names() {
        for (reason, count) in results.operation(name, None).failed {
            rows.push((
                count,
                [
                    Markdown(&reason).to_string(),
                    Markdown(name).to_string(),
                    digits(count as f64),
                ],
            ));
        }
    }
    rows.sort_by_key(|(count, _)| Reverse(*count));
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Nothing if there are no rows.
fn table<const N: usize>(text: &mut String, heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return;
    }
    let _ = writeln!(text, "| {} |\n|{}", heads.join(" | "), "---|".repeat(N));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
}
