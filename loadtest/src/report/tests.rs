//! A run with everything in it, hostile names included, through all reports.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::results::{About, Combine, Ledger, Mark, Operation, Process, Series, Span, Usage, Verdict};

const HOSTILE: &str = "<script>alert('1')</script>&\"|`\u{7}";

pub(crate) fn sample() -> Results {
    let span = |name: &str, began: f64, ended: f64| Span {
        name: name.into(),
        began,
        ended,
    };
    let verdict = |threshold: &str, held: bool, measured: &str| Verdict {
        threshold: threshold.into(),
        held,
        measured: measured.into(),
    };
    Results {
        about: about(),
        phases: vec![
            span("ramp", 0.0, 20.0),
            span("hold", 20.0, 80.0),
            span(HOSTILE, 80.0, 90.0),
        ],
        marks: vec![
            Mark {
                at: 42.0,
                text: format!("kill edge-1 {HOSTILE}"),
            },
            Mark {
                at: 55.5,
                text: "start edge-1".into(),
            },
        ],
        operations: BTreeMap::from([
            ("ramp".into(), BTreeMap::from([("login".into(), operation(500, 4000))])),
            (
                "hold".into(),
                BTreeMap::from([
                    ("message".into(), operation(60_000, 300)),
                    ("presence".into(), operation(4000, 200)),
                ]),
            ),
        ]),
        ledger: Ledger {
            sent: 60_000,
            acknowledged: 59_000,
            received: 59_990,
            refused: 8,
            lost: 2,
            duplicated: 1,
            ..Ledger::default()
        },
        series: series(),
        processes: vec![process("server", 7), process("generator", 8), worker("a<b", 9)],
        verdicts: vec![
            verdict("p99(message) < 250ms", true, "12.1 ms"),
            verdict("loss == 0", false, "2"),
        ],
        warnings: vec![format!("the generator was busy: {HOSTILE}")],
    }
}

fn about() -> About {
    About {
        scenario: format!("chat {HOSTILE}"),
        purpose: "Pairs of users talk at a steady rate.".into(),
        definition: format!("[scenario]\nname = \"chat\"\n# ]]> {HOSTILE}\n"),
        targets: vec!["127.0.0.1:5222".into()],
        began_unix_ms: 1_790_000_000_000,
        seconds: 90.0,
        version: "0.1.0".into(),
        machine: BTreeMap::from([("cores".into(), "2".into()), ("kernel".into(), "Linux 6.18".into())]),
    }
}

fn operation(count: u64, base: u64) -> Operation {
    let failed = BTreeMap::from([(HOSTILE.into(), 2), ("time-out".into(), 1)]);
    let mut operation = Operation {
        intended: count,
        done: count - 3,
        failed,
        ..Operation::default()
    };
    let times = (0..count - 3).map(|number| Duration::from_micros(base + number * number % (base * 40)));
    times.for_each(|time| operation.latency.record(time));
    operation
}

fn series() -> BTreeMap<String, Series> {
    let hostile = format!("{HOSTILE}/{HOSTILE}");
    let table = [
        ("sessions/up", "sessions", Combine::Sum, 480.0),
        ("rate/message", "/s", Combine::Sum, 1000.0),
        ("rate/login", "/s", Combine::Sum, 25.0),
        ("latency/message/p50", "ms", Combine::Max, 0.4),
        ("latency/message/p99", "ms", Combine::Max, 12.0),
        ("cpu/server", "%", Combine::Max, 61.0),
        ("cpu/generator", "%", Combine::Max, 33.0),
        ("memory/server", "MB", Combine::Max, 40.0),
        (&hostile, "\"", Combine::Max, 7.0),
    ];
    let curve = |height: f64| {
        move |tenth: u32| {
            (
                f64::from(tenth) / 10.0,
                height * (1.0 + (f64::from(tenth) / 40.0).sin() / 3.0),
            )
        }
    };
    let series = |(name, unit, combine, height): (&str, &str, Combine, f64)| {
        let points = (0..=900).map(curve(height)).collect();
        (
            name.to_owned(),
            Series {
                unit: unit.into(),
                combine,
                points,
            },
        )
    };
    table.map(series).into()
}

fn process(name: &str, pid: u32) -> Process {
    let usage = |user: f64| Usage {
        user,
        kernel: user / 3.0,
        memory_before: 20_000_000,
        memory_after: 45_000_000,
        memory_peak: 48_000_000,
    };
    let by_phase = [("ramp", 2.0), ("hold", 6.0), (HOSTILE, 1.0)].map(|(phase, user)| (phase.to_owned(), usage(user)));
    Process {
        name: name.into(),
        pid,
        total: usage(9.0),
        by_phase: by_phase.into(),
        ..Process::default()
    }
}

fn worker(name: &str, pid: u32) -> Process {
    Process {
        worker: name.into(),
        threads: 2,
        ..process("generator", pid)
    }
}

fn parsed(text: &str) -> Result<(), String> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    let document = roxmltree::Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let scripts = document
        .descendants()
        .filter(|node| node.has_tag_name("script"))
        .count();
    if scripts > 0 {
        Err(format!("{scripts} scripts"))
    } else {
        Ok(())
    }
}

#[test]
fn the_page_is_well_formed_whole_and_from_nowhere_else() {
    let page = html::Page(&sample()).to_string();
    assert_eq!(parsed(&page), Ok(()));
    for part in [
        "Thresholds",
        "Over time",
        "Latency distribution",
        "each accounted for",
        "Failures by reason",
        "CPU time for each operation",
        "Processes",
        "generator, worker a&lt;b (9)",
        "Machine",
        "Scenario",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<svg").count(), 7);
    for foreign in ["http://", "https://", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf "));
    assert!(page.len() < 400_000, "{} bytes", page.len());
}

#[test]
fn a_run_that_came_to_nothing_has_a_page_too() {
    assert_eq!(parsed(&html::Page(&Results::default()).to_string()), Ok(()));
    assert_eq!(parsed(&summary::junit(&Results::default())), Ok(()));
    assert!(summary::markdown(&Results::default()).contains("no thresholds"));
}

#[test]
fn junit_has_a_case_for_each_threshold() {
    let text = summary::junit(&sample());
    let document = roxmltree::Document::parse(&text).expect("XML");
    let cases: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
        .collect();
    let broken = |node: &roxmltree::Node<'_, '_>| node.children().any(|child| child.has_tag_name("failure"));
    assert_eq!(
        cases
            .iter()
            .map(|case| (case.attribute("name"), broken(case)))
            .collect::<Vec<_>>(),
        [(Some("p99(message) < 250ms"), false), (Some("loss == 0"), true)]
    );
    let suite = document
        .descendants()
        .find(|node| node.has_tag_name("testsuite"))
        .expect("a suite");
    assert_eq!(
        (suite.attribute("tests"), suite.attribute("failures")),
        (Some("2"), Some("1"))
    );
}

#[test]
fn summaries_hold_what_was_measured() {
    let text = summary::markdown(&sample());
    assert!(
        text.contains("received 59,990, refused 8, loss 2")
            && text.contains("| loss == 0 | 2 | **broken** |")
            && text.contains("| cpu(server, login) | 5.37 ms |"),
        "{text}"
    );
    assert!(
        !text.contains("<script")
            && text
                .lines()
                .filter(|line| line.starts_with('|'))
                .all(|line| line.ends_with('|'))
    );
    let value: serde_json::Value = serde_json::from_str(&summary::json(&sample())).expect("JSON");
    assert_eq!(value["figures"]["loss"], 2.0);
    assert_eq!(value["figures"]["done(message, hold)"], 59_997.0);
    assert_eq!(value["passed"], false);
    let csv = summary::csv(&sample());
    assert!(csv.contains("sessions/up,sessions,0.000,480\r\n"));
    assert_eq!(csv.matches("\r\n").count(), 1 + 9 * 901);
}

#[test]
fn a_folder_is_written_and_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    for run in ["run-1", "run-2"] {
        write(&sample(), &folder.path().join(run)).expect("written");
    }
    let again = read(&folder.path().join("run-1")).expect("read");
    assert_eq!(html::Page(&again).to_string(), html::Page(&sample()).to_string());
    assert_eq!(read_all(folder.path()).expect("read").len(), 2);
    assert_eq!(
        read_all(&folder.path().join("run-1/results.json")).expect("read").len(),
        1
    );
    let missing = read_all(&folder.path().join("run-3")).expect_err("missing").to_string();
    assert!(missing.contains("run-3"), "{missing}");
}
