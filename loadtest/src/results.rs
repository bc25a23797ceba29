//! What a run came to: plain values that workers send to their coordinator, that merge without loss, and that are written to `results.json`.
//!
//! Times are seconds since the run began, unless a name says otherwise. What a file does not say has its default: results of other versions stay readable.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use crate::latency::Latency;

/// Everything known of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Results {
    /// What was run, when and where.
    pub about: About,
    /// The phases as they came, in order.
    pub phases: Vec<Span>,
    /// What happened at one moment: faults, aborted thresholds.
    pub marks: Vec<Mark>,
    /// Operations by phase name, then by operation (`login`, `message`, `presence`, `roster`, `archive-page`, `resume`, …).
    pub operations: BTreeMap<String, BTreeMap<String, Operation>>,
    /// What became of the messages.
    pub ledger: Ledger,
    /// What was read once a second, by name.
    pub series: BTreeMap<String, Series>,
    /// What processes used: those watched, and the generator's own.
    pub processes: Vec<Process>,
    /// What became of the thresholds.
    pub verdicts: Vec<Verdict>,
    /// What the reader must know before believing a figure: a generator that was the bottleneck, a worker that was lost.
    pub warnings: Vec<String>,
}

/// What was run, when and where.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// The scenario's name.
    pub scenario: String,
    /// Its purpose, one sentence.
    pub purpose: String,
    /// The scenario as it was run, as TOML.
    pub definition: String,
    /// The targets, as given.
    pub targets: Vec<String>,
    /// When the run began, in milliseconds since the Unix epoch.
    pub began_unix_ms: u64,
    /// Length of the run in seconds.
    pub seconds: f64,
    /// Version of the load tester.
    pub version: String,
    /// Facts of the machine: processor, cores, kernel, limits; name to value.
    pub machine: BTreeMap<String, String>,
}

/// A phase as it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Span {
    /// As the scenario calls it.
    pub name: String,
    /// Its begin, in seconds since the run began.
    pub began: f64,
    /// Its end, likewise.
    pub ended: f64,
}

/// Something that happened at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// When, in seconds since the run began.
    pub at: f64,
    /// What, for people: `kill edge-1`.
    pub text: String,
}

/// One kind of thing that clients did in one phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Operation {
    /// How many the schedule wanted.
    pub intended: u64,
    /// How many came to a good end.
    pub done: u64,
    /// How many failed, by reason (a stanza condition, `time-out`, `disconnected`).
    pub failed: BTreeMap<String, u64>,
    /// From the intended time until the end, of those that came to a good end.
    pub latency: Latency,
}

/// What became of the messages: exact counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// Given to a connection at least once.
    pub sent: u64,
    /// Acknowledged by the server (XEP-0198).
    pub acknowledged: u64,
    /// Received at least once.
    pub received: u64,
    /// Answered with an error.
    pub refused: u64,
    /// Neither received nor refused when the run was over.
    pub lost: u64,
    /// Of the lost, how many had been acknowledged.
    pub lost_acknowledged: u64,
    /// Receipts beyond the first.
    pub duplicated: u64,
    /// Receipts overtaken by a later message of the same pair.
    pub reordered: u64,
}

/// One figure over time.
///
/// A name is `CHART/LINE`: the report draws one chart for all series that differ after their last `/` only. Names that it knows how to place:
/// `sessions/up`, `rate/OPERATION`, `failed/OPERATION`, `latency/OPERATION/QUANTILE`, `cpu/PROCESS`, `memory/PROCESS`; others follow in alphabetical order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Series {
    /// Unit, as a reader wants it: `/s`, `ms`, `%`, `MB`, `sessions`.
    pub unit: String,
    /// What the figure of several workers is.
    pub combine: Combine,
    /// Time in seconds since the run began, and value; times ascend.
    pub points: Vec<(f64, f64)>,
}

/// How the same figure of two workers becomes one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// The greater of both: latencies, whose histograms are merged elsewhere; use of one machine that both watch.
    Max,
    /// Their sum: counts and rates.
    #[default]
    Sum,
}

/// What a process used, in total over the run and by phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Name for people: `server`, `postgres`; the load tester itself is [`GENERATOR`], all its workers included.
    pub name: String,
    /// Which worker of the load tester it is, if it is one of another process than the coordinator's.
    pub worker: String,
    /// How many of its threads users have; none in what is not the load tester.
    pub threads: u32,
    /// Its id, the last one if it was started again.
    pub pid: u32,
    /// Use over the whole run.
    pub total: Usage,
    /// Use by phase name.
    pub by_phase: BTreeMap<String, Usage>,
}

/// Name of the load tester's own processes.
pub const GENERATOR: &str = "generator";

/// Use of a machine over a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// CPU time in user mode, in seconds.
    pub user: f64,
    /// CPU time in the kernel, in seconds.
    pub kernel: f64,
    /// Resident memory when the span began, in bytes.
    pub memory_before: u64,
    /// Resident memory when it ended, in bytes.
    pub memory_after: u64,
    /// Most resident memory in between, in bytes.
    pub memory_peak: u64,
}

/// What became of a threshold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// The threshold as it was written: `p99(message) < 250ms`.
    pub threshold: String,
    /// Whether it held.
    pub held: bool,
    /// What was measured, for people: `312 ms`, or why nothing was.
    pub measured: String,
}

impl Results {
    /// Adds what another worker of the same run has to say. Its clock must have been aligned with ours: times are compared.
    ///
    /// Histograms, counts and rates merge without loss. Latency *series* become the worse of both; verdicts are those of the coordinator, judged after merging.
    pub fn merge(&mut self, other: Self) {
        self.about.merge(other.about);
        for span in other.phases {
            merge_span(&mut self.phases, span);
        }
        self.marks.extend(other.marks);
        self.marks.sort_by(|one, two| one.at.total_cmp(&two.at));
        self.marks.dedup();
        for (phase, operations) in other.operations {
            let own = self.operations.entry(phase).or_default();
            for (name, operation) in operations {
                own.entry(name).or_default().merge(operation);
            }
        }
        self.ledger.merge(other.ledger);
        for (name, series) in other.series {
            match self.series.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert(series)),
                Entry::Occupied(mut entry) => entry.get_mut().merge(&series),
            }
        }
        self.processes.extend(other.processes);
        self.warnings.extend(other.warnings);
    }

    /// One kind of operation over the whole run, or over one phase.
    pub fn operation(&self, name: &str, phase: Option<&str>) -> Operation {
        let mut sum = Operation::default();
        let phases = self
            .operations
            .iter()
            .filter(|(key, _)| phase.is_none_or(|phase| phase == key.as_str()));
        for operation in phases.filter_map(|(_, operations)| operations.get(name)) {
            sum.merge(operation.clone());
        }
        sum
    }

    /// The phase of that name; the last one, if there are several.
    pub fn phase(&self, name: &str) -> Option<&Span> {
        self.phases.iter().rfind(|span| span.name == name)
    }

    /// The names of all operations that were wanted or done, in alphabetical order.
    pub fn operation_names(&self) -> BTreeSet<&str> {
        self.operations
            .values()
            .flat_map(|operations| operations.keys().map(String::as_str))
            .collect()
    }

    /// Whether all thresholds held.
    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.held)
    }
}

impl About {
    fn merge(&mut self, other: Self) {
        if self.scenario.is_empty() {
            *self = other;
            return;
        }
        self.targets.extend(other.targets);
        self.targets.sort();
        self.targets.dedup();
        self.began_unix_ms = self.began_unix_ms.min(other.began_unix_ms);
        self.seconds = self.seconds.max(other.seconds);
        for (fact, value) in other.machine {
            let own = self.machine.entry(fact).or_default();
            if *own != value {
                *own = if own.is_empty() {
                    value
                } else {
                    format!("{own}; {value}")
                };
            }
        }
    }
}

impl Span {
    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        (self.ended - self.began).max(0.0)
    }
}

impl Operation {
    /// Adds what another has counted.
    pub fn merge(&mut self, other: Self) {
        add(&mut self.intended, other.intended);
        add(&mut self.done, other.done);
        for (reason, count) in other.failed {
            add(self.failed.entry(reason).or_default(), count);
        }
        self.latency.merge(&other.latency);
    }

    /// How many failed, for whatever reason.
    pub fn failures(&self) -> u64 {
        self.failed.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

impl Ledger {
    /// Adds the counts of other messages; what two workers know of the *same* message must have been brought together before.
    pub fn merge(&mut self, other: Self) {
        add(&mut self.sent, other.sent);
        add(&mut self.acknowledged, other.acknowledged);
        add(&mut self.received, other.received);
        add(&mut self.refused, other.refused);
        add(&mut self.lost, other.lost);
        add(&mut self.lost_acknowledged, other.lost_acknowledged);
        add(&mut self.duplicated, other.duplicated);
        add(&mut self.reordered, other.reordered);
    }
}

impl Series {
    /// A series of this unit without points.
    pub fn new(unit: &str, combine: Combine) -> Self {
        Self {
            unit: unit.into(),
            combine,
            points: Vec::new(),
        }
    }

    /// The value at a time: the last one at or before it.
    pub fn at(&self, time: f64) -> Option<f64> {
        let after = self.points.partition_point(|(at, _)| *at <= time);
        after.checked_sub(1).map(|index| self.points[index].1)
    }

    /// Brings the points of one second together; workers sample once a second, at about the same moments.
    fn merge(&mut self, other: &Self) {
        let mut together = self.by_second();
        for (second, point) in other.by_second() {
            let combine = |own: &mut (f64, f64)| match self.combine {
                Combine::Max => own.1 = own.1.max(point.1),
                Combine::Sum => own.1 += point.1,
            };
            together.entry(second).and_modify(combine).or_insert(point);
        }
        self.points = together.into_values().collect();
    }

    fn by_second(&self) -> BTreeMap<i64, (f64, f64)> {
        self.points
            .iter()
            .map(|point| (point.0.round() as i64, *point))
            .collect()
    }
}

impl Usage {
    /// CPU time of both kinds, in seconds.
    pub fn cpu(&self) -> f64 {
        self.user + self.kernel
    }
}

/// Counts come from files and from workers: no sum of them may panic.
fn add(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

fn merge_span(spans: &mut Vec<Span>, other: Span) {
    match spans.iter_mut().find(|span| span.name == other.name) {
        Some(span) => {
            span.began = span.began.min(other.began);
            span.ended = span.ended.max(other.ended);
        }
        None => spans.push(other),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn worker(name: &str, began: f64, micros: &[u64], failed: &[(&str, u64)]) -> Results {
        let mut operation = Operation {
            intended: 10,
            done: micros.len() as u64,
            ..Operation::default()
        };
        micros
            .iter()
            .for_each(|micros| operation.latency.record(Duration::from_micros(*micros)));
        operation.failed = failed
            .iter()
            .map(|(reason, count)| ((*reason).into(), *count))
            .collect();
        let rate = Series {
            unit: "/s".into(),
            combine: Combine::Sum,
            points: vec![(began + 1.0, 5.0), (began + 2.0, 6.0)],
        };
        let p99 = Series {
            combine: Combine::Max,
            ..rate.clone()
        };
        Results {
            about: About {
                scenario: "chat".into(),
                targets: vec![name.into()],
                ..About::default()
            },
            phases: vec![Span {
                name: "hold".into(),
                began,
                ended: began + 10.0,
            }],
            marks: vec![Mark {
                at: 5.0,
                text: "kill".into(),
            }],
            operations: BTreeMap::from([("hold".into(), BTreeMap::from([("message".into(), operation)]))]),
            ledger: Ledger {
                sent: 7,
                received: 5,
                lost: 2,
                ..Ledger::default()
            },
            series: BTreeMap::from([("rate/message".into(), rate), ("latency/message/p99".into(), p99)]),
            processes: vec![Process {
                name: name.into(),
                ..Process::default()
            }],
            verdicts: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn workers_merge_into_one_run() {
        let mut all = Results::default();
        all.merge(worker("one", 0.0, &[100, 200], &[("time-out", 1)]));
        all.merge(worker("two", 1.1, &[300], &[("time-out", 2), ("conflict", 1)]));
        assert_eq!(all.about.targets, ["one", "two"]);
        assert_eq!(
            all.phases,
            [Span {
                name: "hold".into(),
                began: 0.0,
                ended: 11.1
            }]
        );
        assert_eq!(all.marks.len(), 1);
        let messages = all.operation("message", Some("hold"));
        assert_eq!((messages.intended, messages.done, messages.failures()), (20, 3, 4));
        assert_eq!(messages.failed["time-out"], 3);
        assert_eq!(messages.latency.count(), 3);
        assert_eq!(all.operation("message", Some("ramp")).done, 0);
        assert_eq!((all.ledger.sent, all.ledger.lost), (14, 4));
        assert_eq!(all.series["rate/message"].points, [(1.0, 5.0), (2.0, 11.0), (3.1, 6.0)]);
        assert_eq!(
            all.series["latency/message/p99"].points,
            [(1.0, 5.0), (2.0, 6.0), (3.1, 6.0)]
        );
        assert_eq!(all.processes.len(), 2);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let results = worker("one", 0.0, &[100, 200], &[("time-out", 1)]);
        let text = serde_json::to_string(&results).expect("written");
        let again: Results = serde_json::from_str(&text).expect("read");
        assert_eq!(serde_json::to_string(&again).expect("written"), text);
        assert_eq!(
            again.operation("message", None).latency,
            results.operation("message", None).latency
        );
    }

    #[test]
    fn a_series_holds_its_last_value() {
        let series = Series {
            points: vec![(1.0, 10.0), (2.0, 20.0)],
            ..Series::default()
        };
        assert_eq!(
            [0.5, 1.0, 1.9, 7.0].map(|time| series.at(time)),
            [None, Some(10.0), Some(10.0), Some(20.0)]
        );
    }
}
