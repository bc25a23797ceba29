//! Conducts a run: gives the orders of each phase, does what is to be done to the server, and writes down what comes of it.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::accounting::Watch;
use crate::board::Order;
use crate::ledger::Ledger;
use crate::live::View;
use crate::metrics::Metrics;
use crate::record::Record;
use crate::results::{GENERATOR, Results, Verdict};
use crate::scenario::{Fault, Scenario};
use crate::tally::Pulse;
use crate::thresholds;
use crate::workers::Workers;

/// How often the workers are asked what happened.
const PULSE: Duration = Duration::from_secs(1);
/// The same while the last messages are waited for.
const SETTLING: Duration = Duration::from_millis(200);
/// A generator that is late by more than that in one of a hundred cases has no business measuring latencies.
const LATE: Duration = Duration::from_millis(10);
/// A generator that works for more than this share of its threads' time is near its limit.
const BUSY: f64 = 0.8;

/// What watches a run.
pub struct Watching {
    /// Processes.
    pub watch: Watch,
    /// The server's own figures.
    pub metrics: Metrics,
    /// Where it is shown.
    pub view: View,
}

/// What a run came to.
pub struct Outcome {
    /// Everything known of it.
    pub results: Results,
    /// Whether somebody stopped it.
    pub interrupted: bool,
}

/// Conducts one run.
pub struct Conductor<'a> {
    scenario: &'a Scenario,
    workers: Workers,
    watching: Watching,
    record: Record,
    faults: JoinSet<Done>,
    next_pulse: Duration,
    wanted: u32,
    interrupted: bool,
    /// The threshold that ended the run, and what was measured then.
    aborted: Option<Verdict>,
}

/// What came of a fault's command.
struct Done {
    at: f64,
    name: String,
    outcome: io::Result<std::process::ExitStatus>,
}

impl<'a> Conductor<'a> {
    /// With workers that wait for orders.
    pub fn new(scenario: &'a Scenario, workers: Workers, mut watching: Watching) -> Self {
        watching.watch.has_users(workers.threads());
        Self {
            scenario,
            workers,
            watching,
            record: Record::default(),
            faults: JoinSet::new(),
            next_pulse: PULSE,
            wanted: 0,
            interrupted: false,
            aborted: None,
        }
    }

    /// Runs all phases, waits for what is under way, and ends.
    ///
    /// # Errors
    /// When a worker fails, or the terminal.
    pub async fn run(mut self) -> io::Result<Outcome> {
        self.hear_of_workers(0.0);
        for at in 0..self.scenario.phases.len() {
            self.phase(at).await?;
            if self.is_cut_short() {
                break;
            }
        }
        self.say_why();
        if !self.interrupted {
            self.settle().await?;
        }
        self.finish().await
    }

    /// Whether no phase is to follow.
    fn is_cut_short(&self) -> bool {
        self.interrupted || self.aborted.is_some()
    }

    fn now(&self) -> Duration {
        self.workers.now()
    }

    fn seconds(&self) -> f64 {
        self.now().as_secs_f64()
    }

    async fn phase(&mut self, at: usize) -> io::Result<()> {
        let phase = &self.scenario.phases[at];
        let began = self.now();
        self.watching.watch.sample(began.as_secs_f64());
        self.record.begin(&phase.name, began.as_secs_f64());
        self.wanted = self.scenario.online(at).1;
        self.workers.order(Order::Phase(at, began)).await?;
        for fault in &phase.faults {
            self.plan(fault, began);
        }
        let expected = began + self.scenario.expected(at);
        let end = phase.length.map(|length| began + length.0);
        let latest = end.unwrap_or(expected + self.scenario.patience.ramp.0);
        while self.now() < latest && !self.is_cut_short() {
            self.step(latest).await?;
            self.aborted = thresholds::aborting(&self.scenario.thresholds, &self.record.results, self.seconds());
            if end.is_none() && self.now() >= expected && self.record.online == self.wanted {
                return Ok(());
            }
        }
        if end.is_none() && !self.is_cut_short() {
            let (online, wanted) = (self.record.online, self.wanted);
            self.record.warn(format!(
                "phase {}: {online} of {wanted} sessions when patience ended",
                phase.name
            ));
        }
        Ok(())
    }

    /// Tells the reader of the threshold that ended the run, if one did. What was still to be done to the server is not done.
    fn say_why(&mut self) {
        let now = self.seconds();
        let Some(verdict) = &mut self.aborted else { return };
        self.faults.abort_all();
        let began = self.record.results.phases.len();
        let (cut, rest) = self.scenario.phases.split_at(began.min(self.scenario.phases.len()));
        let cut = cut.last().map_or("", |phase| &phase.name);
        let mut text = format!(
            "the run was ended {now:.0} s after it began, in phase {cut}: {} was missed ({})",
            verdict.threshold, verdict.measured
        );
        if !rest.is_empty() {
            let names: Vec<&str> = rest.iter().map(|phase| phase.name.as_str()).collect();
            text.push_str(&format!("; these phases did not happen: {}", names.join(", ")));
        }
        self.record.warn(text);
        self.record.mark(now, format!("ended: {}", verdict.threshold));
        verdict
            .measured
            .push_str(&format!(" after {now:.0} s, which ended the run"));
    }

    /// Runs a command when its time has come.
    fn plan(&mut self, fault: &Fault, began: Duration) {
        let Fault { at, name, run } = fault.clone();
        let start = Instant::now() + (began + at.0).saturating_sub(self.now());
        let at = (began + at.0).as_secs_f64();
        self.faults.spawn(async move {
            sleep_until(start).await;
            let mut command = Command::new("sh");
            command
                .args(["-c", &run])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .kill_on_drop(true);
            let outcome = command.status().await;
            Done { at, name, outcome }
        });
    }

    /// Goes on until the next pulse, or `end` if that is earlier.
    async fn step(&mut self, end: Duration) -> io::Result<()> {
        let now = self.now();
        let until = Instant::now() + self.next_pulse.min(end).saturating_sub(now);
        tokio::select! {
            () = sleep_until(until) => {}
            Some(done) = self.faults.join_next() => if let Ok(done) = done {
                self.note(done);
            },
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                self.interrupted = true;
            }
        }
        if self.now() >= self.next_pulse.min(end) {
            self.pulse().await?;
        }
        Ok(())
    }

    fn note(&mut self, done: Done) {
        let Done { at, name, outcome } = done;
        match outcome {
            Ok(status) if status.success() => {}
            Ok(status) => self
                .record
                .warn(format!("fault {name}: its command ended with {status}")),
            Err(error) => self.record.warn(format!("fault {name}: {error}")),
        }
        self.record.mark(at, name);
    }

    /// Asks the workers what happened, and shows it.
    async fn pulse(&mut self) -> io::Result<()> {
        let pulse = self.workers.pulse().await?;
        let now = self.now();
        self.next_pulse = now.max(self.next_pulse) + PULSE - remainder(now, PULSE);
        self.watching.watch.sample(now.as_secs_f64());
        self.hear_of_workers(now.as_secs_f64());
        self.watching.metrics.sample(now.as_secs_f64()).await;
        self.add(pulse, now.as_secs_f64())?;
        self.interrupted |= self.watching.view.is_asked_to_stop();
        Ok(())
    }

    /// What workers in other processes use is part of what the generator uses.
    fn hear_of_workers(&mut self, now: f64) {
        for used in self.workers.used() {
            self.watching.watch.tell(now, &used);
        }
    }

    fn add(&mut self, pulse: Pulse, now: f64) -> io::Result<()> {
        self.record.pulse(self.scenario, pulse, now);
        self.record.results.processes = self.watching.watch.processes(&self.record.results.phases);
        let processes = self.watching.watch.glance();
        let mut snapshot = self.record.snapshot(self.scenario, now, self.wanted, processes);
        // What cannot be judged yet is neither good nor bad.
        let judged = self
            .scenario
            .thresholds
            .iter()
            .filter(|threshold| threshold.measure().of(&self.record.results).is_ok());
        snapshot.verdicts = judged.map(|threshold| threshold.judge(&self.record.results)).collect();
        self.watching.view.show(&snapshot)
    }

    /// Waits for messages under way; if some do not come, everybody logs in for what was kept.
    async fn settle(&mut self) -> io::Result<()> {
        self.record.begin("settle", self.seconds());
        self.workers.order(Order::Settle).await?;
        self.rest().await?;
        if self.record.messages.under_way() > 0 && !self.interrupted {
            self.record.begin("collect", self.seconds());
            self.wanted = self.scenario.users;
            self.workers.order(Order::Collect(self.now())).await?;
            self.rest().await?;
        }
        Ok(())
    }

    /// Waits until no message is under way, or nothing happens for as long as patience lasts.
    async fn rest(&mut self) -> io::Result<()> {
        let patience = self.scenario.patience.settle.0;
        let (mut last, mut since) = ((self.record.messages, self.record.online), self.now());
        loop {
            let until = self.now() + SETTLING;
            self.next_pulse = until;
            // A fault's command that ends is no news of messages: what was counted before may have been all then.
            while self.now() < until && !self.interrupted {
                self.step(until).await?;
            }
            let now = (self.record.messages, self.record.online);
            if now != last {
                (last, since) = (now, self.now());
            }
            let is_done = self.record.messages.under_way() == 0;
            if is_done || self.interrupted || self.now() - since >= patience {
                return Ok(());
            }
        }
    }

    async fn finish(mut self) -> io::Result<Outcome> {
        let scenario = self.scenario;
        let (ledger, pulse) = self.workers.finish().await?;
        let now = self.workers.now().as_secs_f64();
        while let Some(done) = self.faults.try_join_next() {
            if let Ok(done) = done {
                self.note(done);
            }
        }
        self.watching.watch.sample(now);
        self.hear_of_workers(now);
        self.record.pulse(scenario, pulse, now);
        let mut results = self.conclude(&ledger, now);
        results.verdicts = thresholds::judge(&scenario.thresholds, &results);
        // What came after does not make it good.
        let ended = |verdict: &&mut Verdict| {
            self.aborted
                .as_ref()
                .is_some_and(|ended| ended.threshold == verdict.threshold)
        };
        if let Some((verdict, ended)) = results.verdicts.iter_mut().find(ended).zip(self.aborted.clone()) {
            *verdict = ended;
        }
        Ok(Outcome {
            results,
            interrupted: self.interrupted,
        })
    }

    /// What is known at the end only.
    fn conclude(&mut self, ledger: &Ledger, now: f64) -> Results {
        let lag = self.record.lag.quantile(0.99).unwrap_or_default();
        if lag > LATE {
            self.record.warn(format!(
                "the generator was late for 1 % of what was due by {} ms or more: latencies are partly its own",
                lag.as_millis()
            ));
        }
        let misdelivered = self.record.messages.misdelivered;
        if misdelivered > 0 {
            self.record.warn(format!(
                "{misdelivered} messages reached somebody else than whom they were for"
            ));
        }
        for warning in self
            .watching
            .metrics
            .warnings()
            .into_iter()
            .chain(self.workers.warnings())
        {
            self.record.warn(warning);
        }
        let mut results = std::mem::take(&mut self.record.results);
        results.processes = self.watching.watch.processes(&results.phases);
        let warnings = busy(&results);
        results.warnings.extend(warnings);
        results.series.extend(self.watching.watch.series());
        results.series.extend(self.watching.metrics.series().clone());
        results.ledger = ledger.counts();
        results.about.seconds = now;
        results
    }
}

/// Who of the generator was near its limit, and in which phase: one is enough for rates to be its own.
fn busy(results: &Results) -> Vec<String> {
    let mut warnings = Vec::new();
    for process in results.processes.iter().filter(|process| process.name == GENERATOR) {
        let most = BUSY * f64::from(process.threads);
        let who = match process.worker.as_str() {
            "" => "the generator".to_owned(),
            worker => format!("worker {worker} of the generator"),
        };
        for span in results
            .phases
            .iter()
            .filter(|span| span.seconds() > 1.0 && process.threads > 0)
        {
            let usage = process.by_phase.get(&span.name).copied().unwrap_or_default();
            if usage.cpu() / span.seconds() > most {
                let phase = &span.name;
                warnings.push(format!(
                    "{who} was busy in phase {phase}: rates there may be its own limit; give it more threads, or the run more workers"
                ));
            }
        }
    }
    warnings
}

fn remainder(time: Duration, of: Duration) -> Duration {
    Duration::from_nanos((time.as_nanos() % of.as_nanos().max(1)) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::results::{Process, Span, Usage};

    fn generator(worker: &str, threads: u32, seconds: f64) -> Process {
        let usage = Usage {
            user: seconds,
            ..Usage::default()
        };
        Process {
            name: GENERATOR.into(),
            worker: worker.into(),
            threads,
            by_phase: BTreeMap::from([("hold".into(), usage)]),
            ..Process::default()
        }
    }

    fn check(processes: Vec<Process>, expected: &[&str]) {
        let hold = Span {
            name: "hold".into(),
            began: 0.0,
            ended: 10.0,
        };
        let results = Results {
            phases: vec![hold],
            processes,
            ..Results::default()
        };
        let busy = busy(&results);
        let who: Vec<&str> = busy
            .iter()
            .filter_map(|line| line.split(" was busy in phase hold").next())
            .collect();
        assert_eq!(who, expected);
    }

    #[test]
    fn one_of_the_generator_that_is_near_its_limit_is_named() {
        check(vec![generator("", 2, 15.9)], &[]);
        check(vec![generator("", 2, 16.1)], &["the generator"]);
        // The coordinator has no users of its own.
        let apart = vec![generator("", 0, 9.0), generator("a", 1, 3.0), generator("b", 1, 8.5)];
        check(apart, &["worker b of the generator"]);
        let server = Process {
            name: "server".into(),
            ..generator("", 0, 20.0)
        };
        check(vec![server], &[]);
    }
}
