//! What may be asked of a run: one small language for thresholds, summaries and comparisons.
//!
//! | Measure | Is |
//! |---|---|
//! | `p99(message)`, `mean(login)`, `max(login)` | latency from the intended time on; any percentile: `p50`, `p99.9` |
//! | `failed(login)` | failed ones as a share of all that ended |
//! | `done(message)`, `rate(message)` | how many came to a good end; how many a second |
//! | `cpu(server, message)` | CPU time of a process for each operation done in the phases that had any |
//! | `load(server)` | CPU time of a process as a share of one core |
//! | `memory(server)` | most resident memory |
//! | `memory-per-session(server)` | growth of memory for each session, from the run's begin until the last moment when nearly all were up |
//! | `sessions` | most sessions up |
//! | `sent`, `received`, `refused`, `loss`, `acknowledged-loss`, `duplicates`, `reordered` | the message ledger |
//!
//! All with an operation, `load` and `memory-per-session` take a phase as their last argument: `p99(message, spike)`.
//! Processes with the same name count as one.

use std::fmt;
use std::str::FromStr;

use crate::quantity::{Quantity, Unit};
use crate::results::{Ledger, Process, Results, Usage};

/// Something that can be asked of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// A count of the ledger.
    Ledger(Count),
    /// Something of one kind of operation.
    Operation {
        /// What.
        what: Aspect,
        /// Of which operation.
        operation: String,
        /// In which phase; in all if none is named.
        phase: Option<String>,
    },
    /// Something of a process.
    Process {
        /// What.
        what: Cost,
        /// Its name.
        process: String,
        /// In which phase; in all if none is named.
        phase: Option<String>,
    },
    /// Most sessions up.
    Sessions,
}

/// What can be asked of operations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aspect {
    /// How many came to a good end.
    Done,
    /// The share that failed.
    Failed,
    /// The longest latency.
    Max,
    /// The mean latency.
    Mean,
    /// The latency that this share, 0 to 1, did not exceed.
    Quantile(f64),
    /// How many came to a good end each second.
    Rate,
}

/// What can be asked of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// CPU time for each operation of this kind.
    Cpu(String),
    /// CPU time as a share of one core.
    Load,
    /// Most resident memory.
    Memory,
    /// Growth of memory for each session.
    MemoryPerSession,
}

/// A count of the ledger; see [`Ledger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Count {
    AcknowledgedLoss,
    Duplicates,
    Loss,
    Received,
    Refused,
    Reordered,
    Sent,
}

impl Measure {
    /// The unit of what it yields.
    pub fn unit(&self) -> Unit {
        match self {
            Self::Ledger(_) | Self::Sessions => Unit::Count,
            Self::Operation { what, .. } => match what {
                Aspect::Done => Unit::Count,
                Aspect::Failed => Unit::Share,
                Aspect::Rate => Unit::Rate,
                Aspect::Max | Aspect::Mean | Aspect::Quantile(_) => Unit::Time,
            },
            Self::Process { what, .. } => match what {
                Cost::Cpu(_) => Unit::Time,
                Cost::Load => Unit::Share,
                Cost::Memory | Cost::MemoryPerSession => Unit::Bytes,
            },
        }
    }

    /// Whether more of it is better.
    pub fn more_is_better(&self) -> bool {
        let good = |aspect: &Aspect| matches!(aspect, Aspect::Done | Aspect::Rate);
        match self {
            Self::Ledger(count) => matches!(count, Count::Received | Count::Sent),
            Self::Operation { what, .. } => good(what),
            Self::Process { .. } => false,
            Self::Sessions => true,
        }
    }

    /// What it comes to, or why nothing was measured.
    pub fn of(&self, results: &Results) -> Result<Quantity, String> {
        let value = match self {
            Self::Ledger(count) => Ok(count.of(&results.ledger) as f64),
            Self::Operation { what, operation, phase } => operations(results, *what, operation, phase.as_deref()),
            Self::Process { what, process, phase } => processes(results, what, process, phase.as_deref()),
            Self::Sessions => most_sessions(results).map(|(_, sessions)| sessions),
        }?;
        Ok(self.unit().of(value))
    }

    /// The measures by which a run is summed up, as far as it has them: the ledger, each operation, each process.
    pub fn headlines(results: &Results) -> Vec<Self> {
        let mut measures = vec![Self::Sessions];
        if results.ledger.sent > 0 {
            measures.extend(Count::ALL.map(|(count, _)| Self::Ledger(count)));
        }
        for name in results.operation_names() {
            let aspects = [0.5, 0.95, 0.99, 0.999].map(Aspect::Quantile);
            let others = [Aspect::Done, Aspect::Rate, Aspect::Failed, Aspect::Max];
            measures.extend(
                others[..3]
                    .iter()
                    .chain(&aspects)
                    .chain(&others[3..])
                    .map(|what| Self::Operation {
                        what: *what,
                        operation: name.to_owned(),
                        phase: None,
                    }),
            );
        }
        for process in process_names(results) {
            let cpu = results
                .operation_names()
                .into_iter()
                .map(|name| Cost::Cpu(name.to_owned()));
            let costs = [Cost::Load, Cost::Memory, Cost::MemoryPerSession];
            measures.extend(cpu.chain(costs).map(|what| Self::Process {
                what,
                process: process.to_owned(),
                phase: None,
            }));
        }
        measures.retain(|measure| measure.of(results).is_ok());
        measures
    }

    /// The same measures phase by phase, as far as they can be asked of one and it has them.
    pub fn by_phase(results: &Results) -> Vec<Self> {
        let headlines = Self::headlines(results);
        let phases = results.phases.iter().map(|span| span.name.as_str());
        let all = phases.flat_map(|phase| headlines.iter().filter_map(move |measure| measure.within(phase)));
        all.filter(|measure| measure.of(results).is_ok()).collect()
    }

    /// The phase that it is asked of, if it is one.
    pub fn phase(&self) -> Option<&str> {
        match self {
            Self::Operation { phase, .. } | Self::Process { phase, .. } => phase.as_deref(),
            Self::Ledger(_) | Self::Sessions => None,
        }
    }

    /// This measure of one phase, if it can be asked of one.
    fn within(&self, name: &str) -> Option<Self> {
        let mut measure = self.clone();
        match &mut measure {
            Self::Process { what: Cost::Memory, .. } | Self::Ledger(_) | Self::Sessions => return None,
            Self::Operation { phase, .. } | Self::Process { phase, .. } => *phase = Some(name.to_owned()),
        }
        Some(measure)
    }
}

impl Count {
    /// All, with their names, in the order in which people want to know.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Sent, "sent"),
        (Self::Received, "received"),
        (Self::Refused, "refused"),
        (Self::Loss, "loss"),
        (Self::AcknowledgedLoss, "acknowledged-loss"),
        (Self::Duplicates, "duplicates"),
        (Self::Reordered, "reordered"),
    ];

    fn of(self, ledger: &Ledger) -> u64 {
        match self {
            Self::AcknowledgedLoss => ledger.lost_acknowledged,
            Self::Duplicates => ledger.duplicated,
            Self::Loss => ledger.lost,
            Self::Received => ledger.received,
            Self::Refused => ledger.refused,
            Self::Reordered => ledger.reordered,
            Self::Sent => ledger.sent,
        }
    }
}

/// Names of the processes, each once, in the order of the results.
pub fn process_names(results: &Results) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for process in &results.processes {
        if !names.contains(&process.name.as_str()) {
            names.push(&process.name);
        }
    }
    names
}

fn operations(results: &Results, what: Aspect, name: &str, phase: Option<&str>) -> Result<f64, String> {
    let operation = results.operation(name, phase);
    let ended = operation.done.saturating_add(operation.failures());
    if operation.intended == 0 && ended == 0 {
        let known: Vec<&str> = results.operation_names().into_iter().collect();
        return Err(format!("no {name} happened{}", instead(&known)));
    }
    let seconds: f64 = phases_with(results, name, phase)
        .map(|name| phase_seconds(results, name))
        .sum();
    let value = match what {
        Aspect::Done => Some(operation.done as f64),
        Aspect::Failed => (ended > 0).then(|| operation.failures() as f64 / ended as f64),
        Aspect::Max => operation.latency.max().map(|time| time.as_secs_f64()),
        Aspect::Mean => operation.latency.mean().map(|time| time.as_secs_f64()),
        Aspect::Quantile(share) => operation.latency.quantile(share).map(|time| time.as_secs_f64()),
        Aspect::Rate => (seconds > 0.0).then(|| operation.done as f64 / seconds),
    };
    value.ok_or_else(|| format!("no {name} came to an end"))
}

fn processes(results: &Results, what: &Cost, name: &str, phase: Option<&str>) -> Result<f64, String> {
    let watched: Vec<&Process> = results
        .processes
        .iter()
        .filter(|process| process.name == name)
        .collect();
    if watched.is_empty() {
        return Err(format!(
            "no process `{name}` was watched{}",
            instead(&process_names(results))
        ));
    }
    let cpu = |phase: &str| {
        watched
            .iter()
            .filter_map(|process| process.by_phase.get(phase))
            .map(Usage::cpu)
            .sum::<f64>()
    };
    match (what, phase) {
        (Cost::Cpu(operation), _) => {
            let done = results.operation(operation, phase).done;
            let used: f64 = phases_with(results, operation, phase).map(cpu).sum();
            let each = (done > 0).then(|| used / done as f64);
            each.ok_or_else(|| format!("no {operation} was done"))
        }
        (Cost::Load, Some(phase)) => share_of_core(cpu(phase), phase_seconds(results, phase)),
        (Cost::Load, None) => share_of_core(
            watched.iter().map(|process| process.total.cpu()).sum(),
            results.about.seconds,
        ),
        (Cost::Memory, _) => Ok(watched.iter().map(|process| process.total.memory_peak as f64).sum()),
        (Cost::MemoryPerSession, phase) => memory_per_session(results, name, phase),
    }
}

fn share_of_core(cpu: f64, seconds: f64) -> Result<f64, String> {
    if seconds > 0.0 {
        Ok(cpu / seconds)
    } else {
        Err("the phase did not happen".into())
    }
}

/// Growth of memory over growth of sessions, from the run's begin until the end of a phase; if none is named, until the last moment when all but
/// one of a hundred were up.
fn memory_per_session(results: &Results, process: &str, phase: Option<&str>) -> Result<f64, String> {
    let until = match phase {
        None => most_sessions(results)?.0,
        Some(phase) => {
            let span = results.phase(phase);
            span.ok_or("the phase did not happen")?.ended
        }
    };
    let series = |name: &str| {
        let series = results.series.get(name).filter(|series| !series.points.is_empty());
        series.ok_or_else(|| format!("there is no series `{name}`"))
    };
    let (memory, sessions) = (series(&format!("memory/{process}"))?, series(SESSIONS)?);
    let before = memory.points.first().map_or(0.0, |point| point.1);
    let grown = memory.at(until).unwrap_or(before) - before;
    // Sessions are first counted a second after memory is: they begin at none.
    let added = sessions.at(until).unwrap_or(0.0);
    if added < 1.0 {
        return Err("no sessions were added".into());
    }
    Ok(grown.max(0.0) * MEGABYTE / added)
}

/// The last moment when all but one of a hundred sessions were up, and how many were.
fn most_sessions(results: &Results) -> Result<(f64, f64), String> {
    let points = results
        .series
        .get(SESSIONS)
        .map(|series| series.points.as_slice())
        .unwrap_or_default();
    let most = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let full = points.iter().rfind(|point| most > 0.0 && point.1 >= 0.99 * most);
    full.map(|(at, _)| (*at, most))
        .ok_or_else(|| "no sessions were counted".into())
}

/// The series of sessions, and the unit of series of memory in bytes.
const SESSIONS: &str = "sessions/up";
const MEGABYTE: f64 = 1e6;

/// The phases in which an operation was done: the named one, or all that had any.
fn phases_with<'a>(results: &'a Results, operation: &'a str, phase: Option<&'a str>) -> impl Iterator<Item = &'a str> {
    let had_any = move |name: &str| {
        results.operations[name]
            .get(operation)
            .is_some_and(|operation| operation.done > 0)
    };
    let names = results.operations.keys().map(String::as_str);
    names.filter(move |name| phase.is_none_or(|phase| phase == *name) && had_any(name))
}

fn phase_seconds(results: &Results, phase: &str) -> f64 {
    results
        .phases
        .iter()
        .filter(|span| span.name == phase)
        .map(|span| span.seconds())
        .sum()
}

fn instead(known: &[&str]) -> String {
    if known.is_empty() {
        String::new()
    } else {
        format!("; there are: {}", known.join(", "))
    }
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('(') else {
            return word(text);
        };
        let inside = rest
            .strip_suffix(')')
            .ok_or_else(|| format!("`{text}` lacks its closing bracket"))?;
        let arguments: Vec<&str> = inside.split(',').map(str::trim).collect();
        if arguments.iter().any(|argument| argument.is_empty()) {
            return Err(format!("`{text}` has an empty argument"));
        }
        call(name.trim(), &arguments).ok_or_else(|| unknown(text))
    }
}

fn word(text: &str) -> Result<Measure, String> {
    if text == "sessions" {
        return Ok(Measure::Sessions);
    }
    let count = Count::ALL.iter().find(|(_, name)| *name == text);
    count
        .map(|(count, _)| Measure::Ledger(*count))
        .ok_or_else(|| unknown(text))
}

fn call(name: &str, arguments: &[&str]) -> Option<Measure> {
    let (first, rest) = arguments.split_first()?;
    let process = |what: Cost, phase: Option<&&str>| Measure::Process {
        what,
        process: (*first).into(),
        phase: phase.map(|phase| (*phase).into()),
    };
    match (name, rest) {
        ("cpu", [operation, phase @ ..]) if phase.len() < 2 => {
            Some(process(Cost::Cpu((*operation).into()), phase.first()))
        }
        ("load", phase) if phase.len() < 2 => Some(process(Cost::Load, phase.first())),
        ("memory", []) => Some(process(Cost::Memory, None)),
        ("memory-per-session", phase) if phase.len() < 2 => Some(process(Cost::MemoryPerSession, phase.first())),
        (name, phase) if phase.len() < 2 => Some(Measure::Operation {
            what: aspect(name)?,
            operation: (*first).into(),
            phase: phase.first().map(|phase| (*phase).into()),
        }),
        _ => None,
    }
}

fn aspect(name: &str) -> Option<Aspect> {
    let percentile = || {
        let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
        (percent > 0.0 && percent < 100.0).then(|| Aspect::Quantile((percent * 1e4).round() / 1e6))
    };
    match name {
        "done" => Some(Aspect::Done),
        "failed" => Some(Aspect::Failed),
        "max" => Some(Aspect::Max),
        "mean" => Some(Aspect::Mean),
        "rate" => Some(Aspect::Rate),
        _ => percentile(),
    }
}

fn unknown(text: &str) -> String {
    let counts = Count::ALL.map(|(_, name)| name).join(", ");
    format!(
        "`{text}` cannot be measured; there are: p99(OPERATION), mean(…), max(…), failed(…), done(…), rate(…), cpu(PROCESS, OPERATION), load(PROCESS), \
         memory(PROCESS), memory-per-session(PROCESS), sessions, {counts}; a phase may follow as last argument"
    )
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = |phase: &Option<String>| phase.as_ref().map(|phase| format!(", {phase}")).unwrap_or_default();
        match self {
            Self::Ledger(count) => Count::ALL
                .iter()
                .filter(|(other, _)| other == count)
                .try_for_each(|(_, name)| f.write_str(name)),
            Self::Sessions => f.write_str("sessions"),
            Self::Operation { what, operation, phase } => write!(f, "{what}({operation}{})", last(phase)),
            Self::Process { what, process, phase } => match what {
                Cost::Cpu(operation) => write!(f, "cpu({process}, {operation}{})", last(phase)),
                Cost::Load => write!(f, "load({process}{})", last(phase)),
                Cost::Memory => write!(f, "memory({process})"),
                Cost::MemoryPerSession => write!(f, "memory-per-session({process}{})", last(phase)),
            },
        }
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed => f.write_str("failed"),
            Self::Max => f.write_str("max"),
            Self::Mean => f.write_str("mean"),
            // Rounded to what people write: 0.999 × 100 is not quite 99.9.
            Self::Quantile(share) => write!(f, "p{}", (share * 1e8).round() / 1e6),
            Self::Rate => f.write_str("rate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::results::{Operation, Series, Span};

    /// A ramp of 10 s with 100 logins, then 20 s with 1,000 messages; the server is two processes.
    fn sample() -> Results {
        let mut results = Results::default();
        results.about.seconds = 30.0;
        for (phase, began, ended, name, count) in
            [("ramp", 0.0, 10.0, "login", 100), ("hold", 10.0, 30.0, "message", 1000)]
        {
            results.phases.push(Span {
                name: phase.into(),
                began,
                ended,
            });
            let mut operation = Operation {
                intended: count,
                done: count,
                ..Operation::default()
            };
            (1..=count).for_each(|number| operation.latency.record(Duration::from_millis(number)));
            results
                .operations
                .entry(phase.into())
                .or_default()
                .insert(name.into(), operation);
        }
        let ramp = results.operations.get_mut("ramp").expect("ramp");
        ramp.get_mut("login")
            .expect("login")
            .failed
            .insert("time-out".into(), 25);
        for pid in [7, 8] {
            let usage = |user: f64| Usage {
                user,
                kernel: 0.0,
                memory_peak: 50_000_000,
                ..Usage::default()
            };
            let by_phase = [("ramp".to_owned(), usage(1.0)), ("hold".to_owned(), usage(0.01))].into();
            results.processes.push(Process {
                name: "server".into(),
                pid,
                total: usage(1.01),
                by_phase,
                ..Process::default()
            });
        }
        let series = |points: &[(f64, f64)]| Series {
            points: points.to_vec(),
            ..Series::default()
        };
        results.series.insert(
            "sessions/up".into(),
            series(&[(0.0, 0.0), (5.0, 50.0), (10.0, 100.0), (20.0, 100.0), (30.0, 0.0)]),
        );
        results.series.insert(
            "memory/server".into(),
            series(&[(0.0, 10.0), (10.0, 11.0), (20.0, 12.0), (30.0, 12.0)]),
        );
        results.ledger.lost = 3;
        results
    }

    #[test]
    fn what_is_measured() {
        let table = [
            ("p99(message)", "990 ms"),
            ("p99.9(message)", "999 ms"),
            ("max(login)", "100 ms"),
            ("mean(login, ramp)", "50.5 ms"),
            ("failed(login)", "20 %"),
            ("failed(message)", "0 %"),
            ("done(message, hold)", "1,000"),
            ("rate(message)", "50/s"),
            ("rate(login)", "10/s"),
            ("cpu(server, message)", "20 µs"),
            ("cpu(server, login, ramp)", "20 ms"),
            ("load(server, ramp)", "20 %"),
            ("load(server)", "6.73 %"),
            ("memory(server)", "100 MB"),
            ("memory-per-session(server)", "20 kB"),
            ("memory-per-session(server, ramp)", "10 kB"),
            ("memory-per-session(server, spike)", "the phase did not happen"),
            ("sessions", "100"),
            ("loss", "3"),
            ("duplicates", "0"),
            (
                "p99(archive-page)",
                "no archive-page happened; there are: login, message",
            ),
            ("p99(message, ramp)", "no message happened; there are: login, message"),
            (
                "memory(postgres)",
                "no process `postgres` was watched; there are: server",
            ),
            ("load(server, spike)", "the phase did not happen"),
            ("cpu(server, message, ramp)", "no message was done"),
        ];
        for (text, expected) in table {
            let measure: Measure = text.parse().expect(text);
            let measured = measure
                .of(&sample())
                .map_or_else(|reason| reason, |quantity| quantity.to_string());
            assert_eq!(measured, expected, "{text}");
            assert_eq!(measure.to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_asked_says_what_can() {
        for text in [
            "speed(message)",
            "p0(message)",
            "p100(message)",
            "losses",
            "memory(server, hold)",
            "cpu(server)",
            "p99",
        ] {
            let error = text.parse::<Measure>().expect_err(text);
            assert!(
                error.contains(text) && error.contains("there are: p99(OPERATION)"),
                "{error}"
            );
        }
        let broken = |text: &str| text.parse::<Measure>().expect_err(text);
        assert_eq!(broken("p99(message"), "`p99(message` lacks its closing bracket");
        assert_eq!(broken("p99()"), "`p99()` has an empty argument");
    }

    #[test]
    fn headlines_are_what_the_run_has() {
        let names: Vec<String> = Measure::headlines(&sample()).iter().map(ToString::to_string).collect();
        assert!(names.contains(&"p99.9(message)".to_owned()) && names.contains(&"cpu(server, login)".to_owned()));
        assert!(!names.contains(&"loss".to_owned()), "nothing was sent");
        assert!(Measure::headlines(&Results::default()).is_empty());
        let phases: Vec<String> = Measure::by_phase(&sample()).iter().map(ToString::to_string).collect();
        assert!(phases.contains(&"p99(message, hold)".to_owned()) && phases.contains(&"load(server, ramp)".to_owned()));
        assert!(
            !phases
                .iter()
                .any(|name| name == "p99(message, ramp)" || name.starts_with("memory("))
        );
    }
}
