//! What a run came to: plain values that workers send to their coordinator, that merge without loss, and that are written to `results.json`.
//!
//! Times are seconds since the run began, unless a name says otherwise.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Everything known of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    /// What the reader must know before believing a figure: a generator that was the bottleneck, a worker that was lost.
    pub warnings: Vec<String>,
}

/// What was run, when and where.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct About {
    /// The scenario's name and its one-sentence purpose.
    pub scenario: String,
    pub purpose: String,
    /// The scenario as it was run, as TOML.
    pub definition: String,
    /// The targets, as given.
    pub targets: Vec<String>,
    /// Milliseconds since the Unix epoch.
    pub began_unix_ms: u64,
    /// Length of the run.
    pub seconds: f64,
    /// Version of the load tester.
    pub version: String,
    /// Facts of the machine: processor, cores, kernel, limits; name to value.
    pub machine: BTreeMap<String, String>,
}

/// A phase as it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Span {
    pub name: String,
    pub began: f64,
    pub ended: f64,
}

/// Something that happened at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    pub at: f64,
    pub text: String,
}

/// One kind of thing that clients did in one phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Operation {
    /// How many were wanted by the schedule, came to a good end, and failed by reason (a stanza condition, `time-out`, `disconnected`).
    pub intended: u64,
    pub done: u64,
    pub failed: BTreeMap<String, u64>,
    /// From the intended time until the end, of those that came to a good end.
    pub latency: Latency,
}

/// What became of the messages: exact counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Given to a connection at least once.
    pub sent: u64,
    /// Acknowledged by the server (XEP-0198).
    pub acknowledged: u64,
    /// Received at least once.
    pub received: u64,
    /// Answered with an error.
    pub refused: u64,
    /// Neither received nor refused when the run was over; of these, how many had been acknowledged.
    pub lost: u64,
    pub lost_acknowledged: u64,
    /// Receipts beyond the first.
    pub duplicated: u64,
    /// Receipts overtaken by a later message of the same pair.
    pub reordered: u64,
}

/// One figure over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Unit, as a reader wants it: `/s`, `ms`, `%`, `MB`, `sessions`.
    pub unit: String,
    /// Time and value.
    pub points: Vec<(f64, f64)>,
}

/// What a process used, in total over the run and by phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Name for people (`server`, `generator`, `postgres`), and its id.
    pub name: String,
    pub pid: u32,
    pub total: Usage,
    pub by_phase: BTreeMap<String, Usage>,
}

/// Use of a machine over a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in seconds.
    pub user: f64,
    pub kernel: f64,
    /// Resident memory at the span's begin, at its end, and its peak, in bytes.
    pub memory_before: u64,
    pub memory_after: u64,
    pub memory_peak: u64,
}

/// Latencies, mergeable without loss: a histogram of microseconds with three significant digits.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);
