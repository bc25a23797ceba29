//! The sections of the page, each a function of the results. One that has nothing to say is not there.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::latency::Latency;
use crate::measure::{Cost, Measure, process_names};
use crate::quantity::{Unit, digits};
use crate::report::chart::{COLOURS, Chart, Horizontal, Line, Vertical, letter};
use crate::report::escape::Xml;
use crate::results::{Operation, Results, Series};

/// Writes one section.
type Section = fn(&mut fmt::Formatter<'_>, &Results) -> fmt::Result;

/// All sections, in the order of the page.
pub(super) const ALL: [Section; 10] = [
    thresholds,
    operations,
    over_time,
    distributions,
    ledger,
    errors,
    costs,
    processes,
    machine,
    scenario,
];

fn thresholds(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    let rows = results.verdicts.iter().map(|verdict| {
        let (class, word) = if verdict.held {
            ("good", "held")
        } else {
            ("bad", "broken")
        };
        let badge = format!(r#"<span class="badge {class}">{word}</span>"#);
        vec![
            badge,
            format!("<code>{}</code>", Xml(&verdict.threshold)),
            Xml(&verdict.measured).to_string(),
        ]
    });
    table(f, "Thresholds", &["", "Threshold", "Measured"], rows)
}

fn operations(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    let mut rows = Vec::new();
    for span in &results.phases {
        for (name, operation) in results.operations.get(&span.name).into_iter().flatten() {
            rows.push(row_of_operation(&span.name, span.seconds(), name, operation));
        }
    }
    let heads = [
        "Phase",
        "Operation",
        "Wanted",
        "Done",
        "Rate",
        "Failed",
        "p50",
        "p95",
        "p99",
        "p99.9",
        "Longest",
    ];
    table(f, "Phases and operations", &heads, rows)
}

fn row_of_operation(phase: &str, seconds: f64, name: &str, operation: &Operation) -> Vec<String> {
    let count = |count: u64| digits(count as f64);
    let time =
        |time: Option<Duration>| time.map_or("–".to_owned(), |time| Unit::Time.of(time.as_secs_f64()).to_string());
    let rate = if seconds > 0.0 {
        Unit::Rate.of(operation.done as f64 / seconds).to_string()
    } else {
        "–".into()
    };
    let head = [
        Xml(phase).to_string(),
        Xml(name).to_string(),
        count(operation.intended),
        count(operation.done),
        rate,
        count(operation.failures()),
    ];
    let quantiles = [0.5, 0.95, 0.99, 0.999].map(|share| time(operation.latency.quantile(share)));
    head.into_iter()
        .chain(quantiles)
        .chain([time(operation.latency.max())])
        .collect()
}

fn over_time(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    let charts = charts(&results.series);
    if charts.is_empty() {
        return Ok(());
    }
    f.write_str("<section><h2>Over time</h2>\n")?;
    if !results.marks.is_empty() {
        f.write_str("<p class=\"quiet\">")?;
        for (index, mark) in results.marks.iter().enumerate() {
            write!(
                f,
                "<b>{}</b> {} at {} s&#160; ",
                letter(index),
                Xml(&mark.text),
                digits(mark.at)
            )?;
        }
        f.write_str("</p>\n")?;
    }
    f.write_str("<div class=\"charts\">\n")?;
    for (name, members) in charts {
        let unit = members.first().map_or("", |(_, series)| series.unit.as_str());
        let horizontal = Horizontal::Time {
            end: results.about.seconds,
            phases: &results.phases,
            marks: &results.marks,
        };
        let vertical = if name.starts_with("latency/") {
            Vertical::Log
        } else {
            Vertical::Linear
        };
        let lines = members
            .iter()
            .map(|(line, series)| Line {
                name: line,
                points: series.points.clone(),
            })
            .collect();
        figure(
            f,
            &title(name, unit),
            Chart {
                title: name.replace('/', " "),
                lines,
                horizontal,
                vertical,
            },
        )?;
    }
    f.write_str("</div></section>\n")
}

/// Series by chart (all before the last `/` of the name), in the order in which people ask.
fn charts(series: &BTreeMap<String, Series>) -> Vec<(&str, Vec<(&str, &Series)>)> {
    let mut charts: BTreeMap<(usize, &str), Vec<(&str, &Series)>> = BTreeMap::new();
    for (name, series) in series.iter().filter(|(_, series)| !series.points.is_empty()) {
        let (chart, line) = name.rsplit_once('/').unwrap_or((name, name));
        let place = FIRST
            .iter()
            .position(|first| chart.split('/').next() == Some(first))
            .unwrap_or(FIRST.len());
        charts.entry((place, chart)).or_default().push((line, series));
    }
    charts.retain(|(_, chart), members| has_something_to_say(chart, members));
    charts
        .into_iter()
        .map(|((_, chart), members)| (chart, members))
        .collect()
}

const FIRST: [&str; 6] = ["rate", "latency", "failed", "sessions", "cpu", "memory"];

/// That nothing failed is said elsewhere, and of a server's many metrics those that stood still say nothing; all are in `series.csv`.
fn has_something_to_say(chart: &str, members: &[(&str, &Series)]) -> bool {
    let any = |says: fn(&Series) -> bool| members.iter().any(|(_, series)| says(series));
    let kind = chart.split('/').next().unwrap_or_default();
    match kind {
        "failed" => any(|series| series.points.iter().any(|point| point.1 != 0.0)),
        kind if FIRST.contains(&kind) => true,
        _ => any(|series| series.points.windows(2).any(|pair| pair[0].1 != pair[1].1)),
    }
}

fn title(name: &str, unit: &str) -> String {
    let words = match name.split_once('/') {
        Some(("latency", operation)) => format!("Latency of {operation}"),
        _ => match name {
            "cpu" => "CPU, of one core".into(),
            "failed" => "Failures".into(),
            "memory" => "Memory".into(),
            "rate" => "Rate".into(),
            "sessions" => "Sessions".into(),
            other => other.replace('/', " "),
        },
    };
    if unit.is_empty() || unit == name {
        words
    } else {
        format!("{words} ({unit})")
    }
}

fn figure(f: &mut fmt::Formatter<'_>, title: &str, chart: Chart<'_>) -> fmt::Result {
    writeln!(f, "<figure><figcaption>{}</figcaption>", Xml(title))?;
    write!(f, "{chart}<p class=\"legend\">")?;
    for (index, line) in chart.lines.iter().enumerate() {
        let dashes = if index < COLOURS { "" } else { " dashed" };
        write!(
            f,
            r#"<span><i class="c{}{dashes}"></i>{}</span> "#,
            index % COLOURS,
            Xml(line.name)
        )?;
    }
    f.write_str("</p></figure>\n")
}

fn distributions(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    let latencies: Vec<(&str, Latency)> = results
        .operation_names()
        .into_iter()
        .map(|name| (name, results.operation(name, None).latency))
        .collect();
    let points: Vec<(&str, Vec<(f64, f64)>)> = latencies
        .iter()
        .map(|(name, latency)| (*name, by_nines(latency)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let Some(end) = points
        .iter()
        .filter_map(|(_, points)| points.last())
        .map(|point| point.0)
        .reduce(f64::max)
    else {
        return Ok(());
    };
    f.write_str("<section><h2>Latency distribution</h2>\n<p class=\"quiet\">From the intended time on: what a late start adds counts. Read: 99 % took at most so long.</p>\n<div class=\"charts\">\n")?;
    let lines = points.into_iter().map(|(name, points)| Line { name, points }).collect();
    let chart = Chart {
        title: "Latency by percentile".into(),
        lines,
        horizontal: Horizontal::Nines(end),
        vertical: Vertical::Log,
    };
    figure(f, "Latency by percentile (ms)", chart)?;
    for (name, latency) in latencies.iter().filter(|(_, latency)| latency.count() > 0) {
        histogram(f, name, latency)?;
    }
    f.write_str("</div></section>\n")
}

/// Milliseconds at each tenth of a nine, as far as there are observations behind it.
fn by_nines(latency: &Latency) -> Vec<(f64, f64)> {
    let most = (latency.count() as f64).max(1.0).log10();
    let nines = (0..)
        .map(|tenth| f64::from(tenth) / 10.0)
        .take_while(|nines| *nines <= most);
    let point = |nines: f64| Some((nines, latency.quantile(1.0 - 10f64.powf(-nines))?.as_secs_f64() * 1e3));
    nines.filter_map(point).collect()
}

/// How many took how long, in steps of which three make a power of ten.
fn histogram(f: &mut fmt::Formatter<'_>, name: &str, latency: &Latency) -> fmt::Result {
    let limits = limits();
    let counts = latency.counts(&limits);
    let most = counts.iter().max().copied().unwrap_or(0).max(1);
    let has_any = |(_, count): &(&Duration, &u64)| **count > 0;
    // Each count stands beside its upper limit; empty ones only between others.
    let bars: Vec<(&Duration, &u64)> = limits[1..].iter().zip(&counts).collect();
    let (first, last) = (bars.iter().position(has_any), bars.iter().rposition(has_any));
    let bars = first.zip(last).map_or(&[][..], |(first, last)| &bars[first..=last]);
    writeln!(
        f,
        "<figure><figcaption>{}: how many took how long</figcaption><table class=\"bars\">",
        Xml(name)
    )?;
    for (limit, count) in bars {
        let limit = Unit::Time.of(limit.as_secs_f64());
        let count = **count as f64;
        let width = 100.0 * count / most as f64;
        writeln!(
            f,
            r#"<tr><td>below {limit}</td><td><i style="width:{width:.1}%"></i></td><td>{}</td></tr>"#,
            digits(count)
        )?;
    }
    f.write_str("</table></figure>\n")
}

/// 0, 100 µs, 200 µs, 500 µs, 1 ms, … 2 h.
fn limits() -> Vec<Duration> {
    let steps = (2..10).flat_map(|power| [1, 2, 5].map(|step| Duration::from_micros(step * 10u64.pow(power))));
    [Duration::ZERO].into_iter().chain(steps).collect()
}

fn ledger(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    let ledger = results.ledger;
    let lines = [
        ("Sent", ledger.sent, "given to a connection at least once"),
        (
            "Acknowledged",
            ledger.acknowledged,
            "the server said that it has them (XEP-0198)",
        ),
        ("Received", ledger.received, "at least once"),
        ("Refused", ledger.refused, "answered with an error"),
        (
            "Lost",
            ledger.lost,
            "neither received nor refused when the run was over",
        ),
        (
            "Lost though acknowledged",
            ledger.lost_acknowledged,
            "of the lost: those the server had said to have",
        ),
        ("Twice", ledger.duplicated, "receipts beyond the first"),
        (
            "Overtaken",
            ledger.reordered,
            "came after a later message of the same pair",
        ),
    ];
    let rows = lines.into_iter().filter(|_| ledger.sent > 0);
    table(
        f,
        "Messages, each accounted for",
        &["", "Count", "Meaning"],
        rows.map(|(name, count, meaning)| vec![name.into(), digits(count as f64), meaning.into()]),
    )
}

fn errors(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    let mut rows = Vec::new();
    for (phase, operations) in &results.operations {
        for (name, operation) in operations {
            for (reason, count) in &operation.failed {
                rows.push((
                    *count,
                    vec![
                        Xml(reason).to_string(),
                        Xml(name).to_string(),
                        Xml(phase).to_string(),
                        digits(*count as f64),
                    ],
                ));
            }
        }
    }
    rows.sort_by_key(|(count, _)| Reverse(*count));
    table(
        f,
        "Failures by reason",
        &["Reason", "Operation", "Phase", "Count"],
        rows.into_iter().map(|(_, row)| row),
    )
}

/// CPU time for each operation, phase by phase. Where a phase has several operations, each is charged with all of the phase.
fn costs(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    let names = process_names(results);
    let mut rows = Vec::new();
    for span in &results.phases {
        let operations = results.operations.get(&span.name).into_iter().flatten();
        for (operation, _) in operations.filter(|(_, operation)| operation.done > 0) {
            let cost = |process: &&str| {
                let what = Cost::Cpu(operation.clone());
                let measure = Measure::Process {
                    what,
                    process: (*process).to_owned(),
                    phase: Some(span.name.clone()),
                };
                measure
                    .of(results)
                    .map_or("–".to_owned(), |quantity| quantity.to_string())
            };
            let head = [Xml(&span.name).to_string(), Xml(operation).to_string()];
            rows.push(head.into_iter().chain(names.iter().map(cost)).collect());
        }
    }
    let processes: Vec<String> = names.iter().map(|name| Xml(name).to_string()).collect();
    let heads: Vec<&str> = ["Phase", "Operation"]
        .into_iter()
        .chain(processes.iter().map(String::as_str))
        .collect();
    table(
        f,
        "CPU time for each operation",
        &heads,
        rows.into_iter().filter(|_| !names.is_empty()),
    )
}

fn processes(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    let memory = |bytes: u64| Unit::Bytes.of(bytes as f64).to_string();
    let mut rows = Vec::new();
    for process in &results.processes {
        let phases = results
            .phases
            .iter()
            .filter_map(|span| Some((span.name.as_str(), span.seconds(), process.by_phase.get(&span.name)?)));
        for (phase, seconds, usage) in phases.chain([("whole run", results.about.seconds, &process.total)]) {
            let load = if seconds > 0.0 {
                Unit::Share.of(usage.cpu() / seconds).to_string()
            } else {
                "–".into()
            };
            let worker = match process.worker.as_str() {
                "" => String::new(),
                worker => format!(", worker {}", Xml(worker)),
            };
            let name = format!("{}{worker} ({})", Xml(&process.name), process.pid);
            let times = [usage.user, usage.kernel].map(|time| Unit::Time.of(time).to_string());
            let sizes = [usage.memory_before, usage.memory_after, usage.memory_peak].map(memory);
            rows.push(
                [name, Xml(phase).to_string(), load]
                    .into_iter()
                    .chain(times)
                    .chain(sizes)
                    .collect(),
            );
        }
    }
    table(
        f,
        "Processes",
        &[
            "Process",
            "Phase",
            "Load",
            "User",
            "Kernel",
            "Memory before",
            "after",
            "at most",
        ],
        rows,
    )
}

fn machine(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    let facts = results.about.machine.iter();
    table(
        f,
        "Machine",
        &["", ""],
        facts.map(|(fact, value)| vec![Xml(fact).to_string(), Xml(value).to_string()]),
    )
}

fn scenario(f: &mut fmt::Formatter<'_>, results: &Results) -> fmt::Result {
    if results.about.definition.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "<section><h2>Scenario</h2>\n<pre>{}</pre></section>",
        Xml(&results.about.definition)
    )
}

/// A section that is one table; nothing if there are no rows. Cells are markup already. Those that begin with a digit stand to the right.
fn table(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    heads: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> fmt::Result {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    writeln!(f, "<section><h2>{title}</h2>\n<div class=\"wide\"><table>")?;
    if heads.iter().any(|head| !head.is_empty()) {
        f.write_str("<tr>")?;
        heads.iter().try_for_each(|head| write!(f, "<th>{head}</th>"))?;
        f.write_str("</tr>\n")?;
    }
    for row in rows {
        f.write_str("<tr>")?;
        for cell in row {
            let class = if cell.starts_with(|c: char| c.is_ascii_digit()) || cell == "–" {
                r#" class="number""#
            } else {
                ""
            };
            write!(f, "<td{class}>{cell}</td>")?;
        }
        f.write_str("</tr>\n")?;
    }
    f.write_str("</table></div></section>\n")
}
