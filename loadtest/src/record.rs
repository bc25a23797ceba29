//! What a run has come to so far: pulses of the workers, added up. A plain value; time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::accounting::Glance;
use crate::latency::Latency;
use crate::live::{Activity, Snapshot};
use crate::results::{Combine, Ledger, Mark, Operation, Results, Series, Span};
use crate::scenario::Scenario;
use crate::tally::{Messages, Pulse};

/// What a run has come to so far.
#[derive(Debug, Default)]
pub struct Record {
    /// All but what is known at the end only: the ledger, and what processes used.
    pub results: Results,
    /// Messages in numbers.
    pub messages: Messages,
    /// How many users have a session.
    pub online: u32,
    /// How late the generator was for what was due.
    pub lag: Latency,
    /// Operations between the last two points of the series, and how long that was.
    lately: BTreeMap<String, Operation>,
    seconds: f64,
    /// When those two were.
    since: f64,
    last: f64,
}

/// A pulse that comes so soon after the one before, in seconds, says nothing of rates by itself: it becomes part of the point before.
const SOON: f64 = 0.1;

/// Operations in the order in which people want to see them; others follow.
const ORDER: [&str; 3] = ["message", "login", "resume"];
/// Quantiles over time.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

impl Record {
    /// Phase number `at` of the scenario begins.
    pub fn begin(&mut self, name: &str, now: f64) {
        self.close(now);
        self.results.phases.push(Span {
            name: name.to_owned(),
            began: now,
            ended: now,
        });
    }

    /// The phase that goes on ends.
    pub fn close(&mut self, now: f64) {
        if let Some(last) = self.results.phases.last_mut() {
            last.ended = now;
        }
    }

    /// Something happened at a moment.
    pub fn mark(&mut self, at: f64, text: String) {
        self.results.marks.push(Mark { at, text });
    }

    /// The reader must know.
    pub fn warn(&mut self, text: String) {
        if !self.results.warnings.contains(&text) {
            self.results.warnings.push(text);
        }
    }

    /// What happened since the last pulse, until `now`. `scenario` says what the phases are called.
    pub fn pulse(&mut self, scenario: &Scenario, pulse: Pulse, now: f64) {
        self.online = pulse.online;
        self.messages.add(pulse.messages);
        self.lag.merge(&pulse.lag);
        self.close(now);
        if self.last > 0.0 && now - self.last < SOON {
            for (name, operation) in pulse.by_operation() {
                self.lately.entry(name).or_default().merge(operation);
            }
            self.rub_out(self.last);
        } else {
            self.since = self.last;
            self.lately = pulse.by_operation();
        }
        self.seconds = (now - self.since).max(1e-6);
        self.last = now;
        self.draw(now);
        for (phase, operations) in pulse.operations {
            let name = scenario.phases.get(phase).map_or("", |phase| &phase.name);
            let own = self.results.operations.entry(name.to_owned()).or_default();
            for (name, operation) in operations {
                own.entry(name).or_default().merge(operation);
            }
        }
        self.results.ledger = self.ledger();
    }

    /// Takes the points of that moment away.
    fn rub_out(&mut self, moment: f64) {
        for series in self.results.series.values_mut() {
            series.points.pop_if(|(at, _)| *at == moment);
        }
    }

    /// Adds a point to each series.
    fn draw(&mut self, now: f64) {
        let seconds = self.seconds;
        let mut points = vec![(
            "sessions/up".to_owned(),
            "sessions",
            Combine::Sum,
            f64::from(self.online),
        )];
        let per_second = |count: u64| count as f64 / seconds;
        for (name, operation) in &self.lately {
            points.push((format!("rate/{name}"), "/s", Combine::Sum, per_second(operation.done)));
            points.push((
                format!("failed/{name}"),
                "/s",
                Combine::Sum,
                per_second(operation.failures()),
            ));
            for (quantile, share) in QUANTILES {
                if let Some(time) = operation.latency.quantile(share) {
                    let name = format!("latency/{name}/{quantile}");
                    points.push((name, "ms", Combine::Max, time.as_secs_f64() * 1e3));
                }
            }
        }
        for (name, unit, combine, value) in points {
            let series = self
                .results
                .series
                .entry(name)
                .or_insert_with(|| Series::new(unit, combine));
            series.points.push((now, value));
        }
    }

    /// The messages so far: those under way are neither received nor lost.
    fn ledger(&self) -> Ledger {
        Ledger {
            sent: self.messages.sent,
            acknowledged: self.messages.acknowledged,
            received: self.messages.received,
            refused: self.messages.refused,
            lost: 0,
            lost_acknowledged: 0,
            duplicated: self.messages.duplicated,
            reordered: self.messages.reordered,
        }
    }

    /// The run as it looks now. Phases that are yet to come stand behind those that were.
    pub fn snapshot(&self, scenario: &Scenario, now: f64, wanted: u32, processes: Vec<Glance>) -> Snapshot {
        let mut failures: BTreeMap<String, u64> = BTreeMap::new();
        for operation in self.results.operations.values().flat_map(BTreeMap::values) {
            for (reason, count) in &operation.failed {
                *failures.entry(reason.clone()).or_default() += count;
            }
        }
        Snapshot {
            scenario: scenario.name.clone(),
            at: now,
            phases: self.plan(scenario, now),
            wanted: u64::from(wanted),
            up: u64::from(self.online),
            activities: self.activities(),
            failures,
            ledger: self.results.ledger,
            processes,
            verdicts: Vec::new(),
            warnings: self.results.warnings.clone(),
        }
    }

    /// The phases that were, the one that goes on with its planned end, and those to come.
    fn plan(&self, scenario: &Scenario, now: f64) -> Vec<Span> {
        let mut phases = self.results.phases.clone();
        let length = |at: usize| -> f64 {
            let phase = scenario.phases.get(at);
            let length = phase.map_or(Duration::ZERO, |phase| {
                phase.length.map_or(scenario.expected(at), |span| span.0)
            });
            length.as_secs_f64()
        };
        if let Some(at) = phases.len().checked_sub(1) {
            phases[at].ended = (phases[at].began + length(at)).max(now + 1.0);
        }
        for (at, phase) in scenario.phases.iter().enumerate().skip(phases.len()) {
            let began = phases.last().map_or(now, |span| span.ended);
            phases.push(Span {
                name: phase.name.clone(),
                began,
                ended: began + length(at),
            });
        }
        phases
    }

    fn activities(&self) -> Vec<Activity> {
        let names = self.results.operation_names();
        let place = |name: &&str| ORDER.iter().position(|other| other == name).unwrap_or(ORDER.len());
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_by_key(place);
        let activity = |name: &str| {
            let all = self.results.operation(name, None);
            let lately = self.lately.get(name).cloned().unwrap_or_default();
            Activity {
                name: name.to_owned(),
                rate: lately.done as f64 / self.seconds.max(1e-6),
                done: all.done,
                failed: all.failures(),
                p50: lately.latency.quantile(0.5),
                p99: lately.latency.quantile(0.99),
            }
        };
        names.into_iter().map(activity).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> Scenario {
        let text = "name='a'\npurpose='b'\nusers=2\n[[phase]]\nname='x'\nfor='2s'\n[[phase]]\nname='y'\nfor='3s'";
        Scenario::read(text).unwrap()
    }

    /// So many messages in the first phase.
    fn pulse(done: u64, online: u32) -> Pulse {
        let mut operation = Operation {
            intended: done,
            done,
            ..Operation::default()
        };
        operation.latency.record(Duration::from_millis(5));
        Pulse {
            operations: BTreeMap::from([(0, BTreeMap::from([("message".to_owned(), operation)]))]),
            online,
            ..Pulse::default()
        }
    }

    #[test]
    fn pulses_add_up_and_draw_what_happened_in_between() {
        let scenario = scenario();
        let mut record = Record::default();
        record.begin("x", 0.0);
        for second in 1..=2 {
            record.pulse(&scenario, pulse(10, second), f64::from(second) * 2.0);
        }
        assert_eq!(record.results.operations["x"]["message"].done, 20);
        assert_eq!(record.results.series["rate/message"].points, [(2.0, 5.0), (4.0, 5.0)]);
        assert_eq!(record.results.series["sessions/up"].points, [(2.0, 1.0), (4.0, 2.0)]);
        let snapshot = record.snapshot(&scenario, 4.0, 2, Vec::new());
        assert_eq!(
            (snapshot.phase(), snapshot.phases.len(), snapshot.activities[0].rate),
            ("x", 2, 5.0)
        );
    }

    #[test]
    fn a_pulse_soon_after_another_is_no_point_of_its_own() {
        let scenario = scenario();
        let mut record = Record::default();
        record.begin("x", 0.0);
        for (now, done) in [(1.0, 10), (2.0, 20), (2.05, 3), (2.125, 2), (3.125, 10)] {
            record.pulse(&scenario, pulse(done, 1), now);
        }
        // 25 messages in 1.125 s, where the last two within 0.125 s would have been 60/s and 27/s.
        assert_eq!(
            record.results.series["rate/message"].points,
            [(1.0, 10.0), (2.125, 25.0 / 1.125), (3.125, 10.0)]
        );
        assert_eq!(record.results.series["sessions/up"].points.len(), 3);
        assert_eq!(record.results.operations["x"]["message"].done, 45);
    }
}
