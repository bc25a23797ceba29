//! What a run looks like at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::accounting::Glance;
use crate::results::{Ledger, Span, Verdict};

/// A run at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Name of the scenario.
    pub scenario: String,
    /// Seconds since the run began.
    pub at: f64,
    /// Phases as they are planned or have been, in order; the end of the last is the end of the run.
    pub phases: Vec<Span>,
    /// Sessions that should be up by now.
    pub wanted: u64,
    /// Sessions that are up.
    pub up: u64,
    /// What users do, the most important first.
    pub activities: Vec<Activity>,
    /// Failures by reason since the run began.
    pub failures: BTreeMap<String, u64>,
    /// The messages so far; those under way count as neither received nor lost.
    pub ledger: Ledger,
    /// Watched processes and the generator.
    pub processes: Vec<Glance>,
    /// The thresholds as they stand now.
    pub verdicts: Vec<Verdict>,
    /// As in the results.
    pub warnings: Vec<String>,
}

/// One kind of operation lately.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    /// `message`, `login`, ….
    pub name: String,
    /// Came to a good end in the last second.
    pub rate: f64,
    /// Came to a good end since the run began.
    pub done: u64,
    /// Failed since the run began.
    pub failed: u64,
    /// Quantiles of the last seconds, if there were any.
    pub p50: Option<Duration>,
    /// Likewise.
    pub p99: Option<Duration>,
}

impl Snapshot {
    /// Name of the phase that goes on; empty when none does.
    pub fn phase(&self) -> &str {
        let phase = self
            .phases
            .iter()
            .find(|span| span.began <= self.at && self.at < span.ended);
        phase.map_or("", |span| &span.name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::live) fn sample() -> Snapshot {
        let span = |name: &str, began: f64, ended: f64| Span {
            name: name.into(),
            began,
            ended,
        };
        let verdict = |threshold: &str, held: bool| Verdict {
            threshold: threshold.into(),
            held,
            measured: "3 ms".into(),
        };
        Snapshot {
            scenario: "chat".into(),
            at: 30.4,
            phases: vec![span("ramp", 0.0, 20.0), span("hold", 20.0, 80.0)],
            wanted: 500,
            up: 480,
            activities: vec![
                Activity {
                    name: "message".into(),
                    rate: 1000.0,
                    done: 10_000,
                    failed: 3,
                    p50: Some(Duration::from_micros(400)),
                    p99: Some(Duration::from_millis(3)),
                },
                Activity {
                    name: "login".into(),
                    done: 480,
                    ..Activity::default()
                },
            ],
            failures: BTreeMap::from([("time-out\u{1b}[2J".into(), 3)]),
            ledger: Ledger {
                sent: 10_010,
                received: 10_000,
                duplicated: 1,
                ..Ledger::default()
            },
            processes: vec![Glance {
                name: "server".into(),
                load: 0.61,
                memory: 48_000_000,
            }],
            verdicts: vec![verdict("p99(message) < 250ms", true), verdict("duplicates == 0", false)],
            warnings: vec!["the generator is busy".into()],
        }
    }
}
