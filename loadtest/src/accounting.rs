//! What processes use: CPU time and memory of those that are watched and of the load tester itself, sampled about once a second. Workers in
//! other processes say what they use.
//!
//! Sampling reads `/proc`; everything after it is a function of the samples.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use crate::results::{Combine, GENERATOR, Process, Series, Span, Usage};

/// A process to be watched: `NAME=PID`, or `NAME=@FILE` for one whose id stands in a file and that may be started again. Its descendants count as
/// part of it. Several with the same name count as one in measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name for people: `server`, `postgres`.
    pub name: String,
    source: Source,
}

/// All watched processes and what was seen of them.
#[derive(Debug)]
pub struct Watch {
    watched: Vec<Watched>,
}

/// What a process used lately, for the live view.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Glance {
    /// Name of the process.
    pub name: String,
    /// CPU time since the sample before, as a share of one core.
    pub load: f64,
    /// Resident memory in bytes.
    pub memory: u64,
}

/// What a worker's own process has used since its users were made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Used {
    /// Which worker; no two have the same name.
    pub worker: String,
    /// How many threads its users have.
    pub threads: u32,
    /// Its process.
    pub pid: u32,
    /// CPU time in user mode, in seconds.
    pub user: f64,
    /// CPU time in the kernel, in seconds.
    pub kernel: f64,
    /// Resident memory in bytes.
    pub memory: u64,
}

/// This process, from a moment on.
#[derive(Debug)]
pub struct Own(Reading);

/// What cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum Unwatchable {
    /// The argument is not understood.
    #[error("`{0}` does not name a process; write NAME=PID, such as `server=1234`, or NAME=@FILE")]
    Argument(String),
    /// There is no such process, or it may not be looked at.
    #[error("process `{name}` cannot be watched: {reason}")]
    Process {
        /// Name of the process.
        name: String,
        /// What the system said.
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Own,
    Pid(u32),
    /// It says itself what it uses.
    Worker(String),
}

#[derive(Debug)]
struct Watched {
    target: Target,
    /// How many threads its users have.
    threads: u32,
    /// The process that was seen last, and its CPU time then.
    last: Option<Reading>,
    /// CPU time of the processes before it: user, kernel.
    ended: (f64, f64),
    samples: Vec<Sample>,
}

/// A process and its descendants at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    pid: u32,
    /// Start time in ticks since the machine's; tells a process from a later one with the same id.
    began: u64,
    user: f64,
    kernel: f64,
    memory: u64,
}

/// CPU time since the watch began and memory at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sample {
    at: f64,
    user: f64,
    kernel: f64,
    memory: u64,
}

impl FromStr for Target {
    type Err = Unwatchable;

    fn from_str(text: &str) -> Result<Self, Unwatchable> {
        let wrong = || Unwatchable::Argument(text.to_owned());
        let (name, source) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(wrong)?;
        let source = match source.strip_prefix('@') {
            Some("") => return Err(wrong()),
            Some(file) => Source::File(file.into()),
            None => Source::Pid(source.parse().map_err(|_| wrong())?),
        };
        Ok(Self {
            name: name.to_owned(),
            source,
        })
    }
}

impl Watch {
    /// Begins to watch these processes and the load tester itself. All must live; times of samples begin now.
    pub fn new(targets: Vec<Target>) -> Result<Self, Unwatchable> {
        let own = Target {
            name: GENERATOR.into(),
            source: Source::Own,
        };
        let mut watch = Self {
            watched: targets.into_iter().chain([own]).map(Watched::new).collect(),
        };
        for watched in &mut watch.watched {
            let reading = watched.target.read().map_err(|reason| Unwatchable::Process {
                name: watched.target.name.clone(),
                reason,
            })?;
            // What was used before the run is not the run's.
            watched.ended = (-reading.user, -reading.kernel);
            watched.add(0.0, Some(reading));
        }
        Ok(watch)
    }

    /// Users have so many threads of this process.
    pub fn has_users(&mut self, threads: u32) {
        let own = self
            .watched
            .iter_mut()
            .filter(|watched| watched.target.source == Source::Own);
        own.for_each(|watched| watched.threads = threads);
    }

    /// Looks at all processes of this machine; `at` is in seconds since the run began. To be called about once a second and at each end of a phase.
    pub fn sample(&mut self, at: f64) {
        for watched in &mut self.watched {
            if !matches!(watched.target.source, Source::Worker(_)) {
                let reading = watched.target.read().ok();
                watched.add(at, reading);
            }
        }
    }

    /// Takes in what a worker says of itself.
    pub fn tell(&mut self, at: f64, used: &Used) {
        let source = Source::Worker(used.worker.clone());
        let known = self.watched.iter().position(|watched| watched.target.source == source);
        let place = known.unwrap_or(self.watched.len());
        if known.is_none() {
            let name = GENERATOR.to_owned();
            self.watched.push(Watched::new(Target { name, source }));
        }
        let watched = &mut self.watched[place];
        watched.threads = used.threads;
        watched.add(at, Some(Reading::from(used)));
    }

    /// What each process used lately.
    pub fn glance(&self) -> Vec<Glance> {
        self.watched.iter().map(Watched::glance).collect()
    }

    /// What each process used in the whole run and in these phases.
    pub fn processes(&self, phases: &[Span]) -> Vec<Process> {
        let process = |watched: &Watched| {
            let samples = watched.samples.as_slice();
            let end = samples.last().map_or(0.0, |sample| sample.at);
            Process {
                name: watched.target.name.clone(),
                worker: watched.target.worker().to_owned(),
                threads: watched.threads,
                pid: watched.last.map_or(0, |reading| reading.pid),
                total: usage(samples, 0.0, end),
                by_phase: phases
                    .iter()
                    .map(|span| (span.name.clone(), usage(samples, span.began, span.ended)))
                    .collect(),
            }
        };
        self.watched.iter().map(process).collect()
    }

    /// CPU and memory over time, `cpu/NAME` in per cent of a core and `memory/NAME` in MB; processes with the same name are one.
    pub fn series(&self) -> BTreeMap<String, Series> {
        let mut together: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
        for watched in &self.watched {
            let sums = together.entry(&watched.target.name).or_default();
            if sums.is_empty() {
                sums.clone_from(&watched.samples);
            } else {
                // Workers are sampled at moments of their own.
                sums.iter_mut().for_each(|sum| sum.add(at(&watched.samples, sum.at)));
            }
        }
        let mut all = BTreeMap::new();
        let mut add = |name: String, unit: &str, points| {
            let series = Series::new(unit, Combine::Max);
            all.insert(name, Series { points, ..series });
        };
        for (name, samples) in together {
            let memory = samples.iter().map(|sample| (sample.at, sample.memory as f64 / 1e6));
            add(format!("memory/{name}"), "MB", memory.collect());
            add(format!("cpu/{name}"), "%", load(&samples));
        }
        all
    }
}

impl Sample {
    fn add(&mut self, other: Self) {
        self.user += other.user;
        self.kernel += other.kernel;
        self.memory += other.memory;
    }
}

impl Own {
    /// Begins to count.
    ///
    /// # Errors
    /// When the system does not say what this process uses.
    pub fn begin() -> Result<Self, String> {
        read_own().map(Self)
    }

    /// What was used since then, under no worker's name.
    pub fn used(&self) -> Used {
        let now = read_own().unwrap_or(self.0);
        Used {
            pid: now.pid,
            user: now.user - self.0.user,
            kernel: now.kernel - self.0.kernel,
            memory: now.memory,
            ..Used::default()
        }
    }
}

impl From<&Used> for Reading {
    fn from(used: &Used) -> Self {
        Self {
            pid: used.pid,
            began: 0,
            user: used.user,
            kernel: used.kernel,
            memory: used.memory,
        }
    }
}

impl Watched {
    fn new(target: Target) -> Self {
        Self {
            target,
            threads: 0,
            last: None,
            ended: (0.0, 0.0),
            samples: Vec::new(),
        }
    }

    /// Keeps what was read; a process that is gone has used what it had, and no memory.
    fn add(&mut self, at: f64, reading: Option<Reading>) {
        let reading = match (self.last, reading) {
            (Some(last), Some(new)) if (last.pid, last.began) == (new.pid, new.began) => {
                // A descendant that ended before anybody asked for its times takes them along.
                Some(Reading {
                    user: new.user.max(last.user),
                    kernel: new.kernel.max(last.kernel),
                    ..new
                })
            }
            (Some(last), Some(new)) if matches!(self.target.source, Source::File(_)) => {
                self.ended.0 += last.user;
                self.ended.1 += last.kernel;
                Some(new)
            }
            (None, Some(new)) => Some(new),
            _ => None,
        };
        let memory = reading.map_or(0, |reading| reading.memory);
        self.last = reading.or(self.last);
        let (user, kernel) = self.last.map_or((0.0, 0.0), |last| (last.user, last.kernel));
        self.samples.push(Sample {
            at,
            user: self.ended.0 + user,
            kernel: self.ended.1 + kernel,
            memory,
        });
    }

    fn glance(&self) -> Glance {
        let (name, worker) = (self.target.name.clone(), self.target.worker());
        Glance {
            name: if worker.is_empty() {
                name
            } else {
                format!("{name} {worker}")
            },
            load: load(&self.samples).last().map_or(0.0, |(_, percent)| percent / 100.0),
            memory: self.samples.last().map_or(0, |sample| sample.memory),
        }
    }
}

/// Use between two times. CPU time within a sample's interval is taken as evenly spread.
fn usage(samples: &[Sample], began: f64, ended: f64) -> Usage {
    let (before, after) = (at(samples, began), at(samples, ended));
    let between = samples
        .iter()
        .filter(|sample| sample.at >= began && sample.at <= ended)
        .map(|sample| sample.memory);
    Usage {
        user: (after.user - before.user).max(0.0),
        kernel: (after.kernel - before.kernel).max(0.0),
        memory_before: before.memory,
        memory_after: after.memory,
        memory_peak: between.chain([before.memory, after.memory]).max().unwrap_or(0),
    }
}

/// What a sample at this time would have been: in a line between its neighbours; memory as in the one before.
fn at(samples: &[Sample], time: f64) -> Sample {
    let next = samples.partition_point(|sample| sample.at <= time);
    match (next.checked_sub(1).map(|index| samples[index]), samples.get(next)) {
        (Some(before), Some(after)) => {
            let part = (time - before.at) / (after.at - before.at);
            let between = |before: f64, after: f64| before + part * (after - before);
            Sample {
                at: time,
                user: between(before.user, after.user),
                kernel: between(before.kernel, after.kernel),
                memory: before.memory,
            }
        }
        (Some(before), None) => before,
        (None, first) => first.copied().unwrap_or_default(),
    }
}

/// CPU time between neighbouring samples in per cent of a core. CPU time comes in ticks of 10 ms: samples closer than `CLOSE` tell nothing and
/// have the value before them.
fn load(samples: &[Sample]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(samples.len());
    let mut base = samples.first().copied().unwrap_or_default();
    for sample in samples {
        let seconds = sample.at - base.at;
        let used = sample.user + sample.kernel - base.user - base.kernel;
        let value = if seconds < CLOSE {
            points.last().map_or(0.0, |point| point.1)
        } else {
            100.0 * used / seconds
        };
        if seconds >= CLOSE {
            base = *sample;
        }
        points.push((sample.at, value));
    }
    points
}

/// Seconds.
const CLOSE: f64 = 0.25;

/// Most processes of one tree that are looked at.
const MOST_DESCENDANTS: usize = 4096;

impl Target {
    fn read(&self) -> Result<Reading, String> {
        let (pid, with_descendants) = match &self.source {
            Source::File(path) => (pid_in(path)?, true),
            Source::Own => return read_own(),
            Source::Pid(pid) => (*pid, true),
            Source::Worker(_) => return Err("it is elsewhere".to_owned()),
        };
        read(pid, with_descendants).map_err(|error| error.to_string())
    }

    /// The name of the worker that it is, if it is one.
    fn worker(&self) -> &str {
        match &self.source {
            Source::Worker(name) => name,
            Source::File(_) | Source::Own | Source::Pid(_) => "",
        }
    }
}

fn read_own() -> Result<Reading, String> {
    read(std::process::id(), false).map_err(|error| error.to_string())
}

fn pid_in(path: &PathBuf) -> Result<u32, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let first = text.split_whitespace().next().unwrap_or_default();
    first
        .parse()
        .map_err(|_| format!("{} does not begin with a process id", path.display()))
}

/// Memory is what each process has for itself, and once the most that any of them shares with others: the pages that the processes of a
/// database share would count many times otherwise.
fn read(pid: u32, with_descendants: bool) -> procfs::ProcResult<Reading> {
    let root = procfs::process::Process::new(pid.cast_signed())?;
    let stat = root.stat()?;
    let mut reading = Reading {
        pid,
        began: stat.starttime,
        user: 0.0,
        kernel: 0.0,
        memory: 0,
    };
    let (mut shared, mut seen, mut waiting) = (0, 0, vec![root]);
    while let Some(process) = waiting.pop() {
        // Any but the root may have ended meanwhile.
        let (Ok(stat), Ok(memory)) = (process.stat(), process.statm()) else {
            continue;
        };
        let reaped = if with_descendants {
            (stat.cutime, stat.cstime)
        } else {
            (0, 0)
        };
        reading.user += seconds(stat.utime.saturating_add_signed(reaped.0));
        reading.kernel += seconds(stat.stime.saturating_add_signed(reaped.1));
        reading.memory += memory.resident.saturating_sub(memory.shared) * procfs::page_size();
        shared = shared.max(memory.shared * procfs::page_size());
        seen += 1;
        if with_descendants && seen < MOST_DESCENDANTS {
            waiting.extend(children(&process));
        }
    }
    reading.memory += shared;
    Ok(reading)
}

fn children(process: &procfs::process::Process) -> Vec<procfs::process::Process> {
    let tasks = process.tasks().into_iter().flatten().flatten();
    let pids = tasks.filter_map(|task| task.children().ok()).flatten();
    pids.filter_map(|pid| procfs::process::Process::new(pid.cast_signed()).ok())
        .collect()
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use super::*;

    fn samples(points: &[(f64, f64, u64)]) -> Vec<Sample> {
        points
            .iter()
            .map(|(at, user, memory)| Sample {
                at: *at,
                user: *user,
                kernel: user / 2.0,
                memory: *memory,
            })
            .collect()
    }

    #[test]
    fn use_is_read_between_samples() {
        let samples = samples(&[(0.0, 0.0, 10), (1.0, 0.5, 20), (2.0, 1.5, 90), (3.0, 1.5, 30)]);
        let used = usage(&samples, 0.5, 2.0);
        assert_eq!((used.user, used.kernel), (1.25, 0.625));
        assert_eq!((used.memory_before, used.memory_after, used.memory_peak), (10, 90, 90));
        assert_eq!(usage(&samples, 2.0, 9.0).user, 0.0);
        assert_eq!(usage(&[], 0.0, 1.0), Usage::default());
    }

    #[test]
    fn load_is_of_one_core_and_close_samples_say_nothing() {
        let samples = samples(&[(0.0, 0.0, 0), (1.0, 1.0, 0), (1.01, 1.01, 0), (2.0, 1.5, 0)]);
        let values: Vec<f64> = load(&samples).iter().map(|point| point.1).collect();
        assert_eq!(values, [0.0, 150.0, 150.0, 75.0]);
    }

    #[test]
    fn workers_are_part_of_the_generator() {
        let mut watch = Watch::new(Vec::new()).expect("this process");
        watch.watched[0].samples = samples(&[(0.0, 0.0, 10), (2.0, 2.0, 10)]);
        for (worker, user) in [("a", 1.0), ("b", 4.0)] {
            for (at, user) in [(0.0, 0.0), (1.0, user), (3.0, user)] {
                let used = Used {
                    worker: worker.into(),
                    threads: 2,
                    pid: 7,
                    user,
                    kernel: user / 2.0,
                    memory: 1_000_000,
                };
                watch.tell(at, &used);
            }
        }
        let series = watch.series();
        assert_eq!(series["cpu/generator"].points, [(0.0, 0.0), (2.0, 525.0)]);
        assert_eq!(series["memory/generator"].points[1], (2.0, 2.00001));
        let phase = Span {
            name: "hold".into(),
            began: 0.5,
            ended: 2.0,
        };
        let processes = watch.processes(&[phase]);
        let seen: Vec<(&str, &str, u32, f64)> = processes
            .iter()
            .map(|process| {
                (
                    &*process.name,
                    &*process.worker,
                    process.threads,
                    process.by_phase["hold"].cpu(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (GENERATOR, "", 0, 2.25),
                (GENERATOR, "a", 2, 0.75),
                (GENERATOR, "b", 2, 3.0)
            ]
        );
        let names: Vec<String> = watch.glance().into_iter().map(|glance| glance.name).collect();
        assert_eq!(names, ["generator", "generator a", "generator b"]);
    }

    #[test]
    fn a_worker_counts_from_when_it_has_its_users() {
        let own = Own::begin().expect("this process");
        let used = own.used();
        assert!(used.user >= 0.0 && used.user < 60.0 && used.memory > 0, "{used:?}");
        assert_eq!(used.pid, std::process::id());
    }

    #[test]
    fn a_process_that_is_started_again_goes_on_counting() {
        let reading = |pid: u32, user: f64| {
            Some(Reading {
                pid,
                began: 1,
                user,
                kernel: 0.0,
                memory: 5,
            })
        };
        let used = |source: Source, readings: &[Option<Reading>]| {
            let mut watched = Watched::new(Target {
                name: "server".into(),
                source,
            });
            readings
                .iter()
                .enumerate()
                .for_each(|(at, reading)| watched.add(at as f64, *reading));
            watched
                .samples
                .iter()
                .map(|sample| (sample.user, sample.memory))
                .collect::<Vec<_>>()
        };
        let seen = [reading(7, 1.0), reading(7, 2.0), None, reading(8, 0.5)];
        assert_eq!(
            used(Source::File("pid".into()), &seen),
            [(1.0, 5), (2.0, 5), (2.0, 0), (2.5, 5)]
        );
        // Watched by its id alone, a later process with that id, or any other, is a stranger.
        assert_eq!(used(Source::Pid(7), &seen), [(1.0, 5), (2.0, 5), (2.0, 0), (2.0, 0)]);
    }

    #[test]
    fn arguments() {
        let own = std::process::id();
        assert_eq!(
            format!("server={own}").parse::<Target>().expect("read").source,
            Source::Pid(own)
        );
        assert_eq!(
            "a=@/run/a.pid".parse::<Target>().expect("read").source,
            Source::File("/run/a.pid".into())
        );
        for wrong in ["server", "=5", "server=abc", "server=@", ""] {
            let error = wrong.parse::<Target>().expect_err(wrong).to_string();
            assert!(error.contains("write NAME=PID"), "{error}");
        }
        let gone = Target {
            name: "gone".into(),
            source: Source::Pid(u32::MAX / 2),
        };
        assert!(
            Watch::new(vec![gone])
                .expect_err("gone")
                .to_string()
                .starts_with("process `gone` cannot be watched")
        );
    }

    #[test]
    fn children_are_part_of_a_process_and_the_generator_is_always_there() {
        let piped = || Stdio::piped();
        let mut shell = Command::new("sh")
            .args(["-c", "cat; :"])
            .stdin(piped())
            .stdout(piped())
            .spawn()
            .expect("a shell");
        let (mut to, mut from) = (shell.stdin.take().expect("piped"), shell.stdout.take().expect("piped"));
        // What comes back shows that the shell's child runs.
        to.write_all(b"x")
            .and_then(|()| from.read_exact(&mut [0]))
            .expect("an echo");
        let parent = procfs::process::Process::new(shell.id().cast_signed()).expect("the shell");
        assert_eq!(children(&parent).len(), 1);
        let target: Target = format!("server={}", shell.id()).parse().expect("read");
        let mut watch = Watch::new(vec![target]).expect("watched");
        watch.sample(1.0);
        let phases = [Span {
            name: "hold".into(),
            began: 0.0,
            ended: 1.0,
        }];
        let names: Vec<String> = watch
            .processes(&phases)
            .into_iter()
            .map(|process| process.name)
            .collect();
        assert_eq!(names, ["server", GENERATOR]);
        assert!(watch.glance().iter().all(|glance| glance.memory > 0));
        assert_eq!(watch.series()["memory/server"].points.len(), 2);
        drop(to);
        shell.wait().expect("ended");
        watch.sample(2.0);
        assert_eq!(watch.glance()[0].memory, 0);
    }
}
