//! Workers in other processes, as their coordinator knows them: they join, have their clocks compared, get their shares, and do what they are
//! told. One that is lost is said to be lost.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::Stream;
use futures::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::accounting::Used;
use crate::admission::Gate;
use crate::board::Order;
use crate::ledger::Ledger;
use crate::tally::{Pulse, micros};
use crate::wire::{
    Assignment, Beat, Coordinator, CoordinatorServer, MOST, Ping, Said, Says, Tells, Told, Usage, encode,
};

/// How often each clock is compared; the quickest answer says most.
const PINGS: usize = 16;
/// How long a worker may take for an answer, to make its users, and to bring in its report.
const ANSWER: Duration = Duration::from_secs(5);
const BIRTH: Duration = Duration::from_secs(120);
const REPORT: Duration = Duration::from_secs(60);
/// From the last assignment to the beginning of the run at the earliest.
const HEAD_START: Duration = Duration::from_millis(500);
/// What is told and not yet taken, per worker; beyond, telling waits.
const QUEUE: usize = 16;
/// Workers that have joined and are not greeted yet; beyond, joining waits.
const DOOR: usize = 64;

/// All workers of a run, each in another process.
pub struct Remote {
    members: Vec<Member>,
    epoch: Instant,
    warnings: Vec<String>,
    server: JoinHandle<()>,
}

/// One worker.
struct Member {
    name: String,
    tell: mpsc::Sender<Result<Told, Status>>,
    said: Streaming<Said>,
    /// How far its clock is ahead of ours, in microseconds, and how wrong that may be.
    offset: i128,
    doubt: Duration,
    /// What its process has used.
    used: Used,
    is_lost: bool,
}

/// Where workers join.
pub struct Reception {
    listener: TcpListener,
    gate: Gate,
}

/// What is to be done, for all workers.
#[derive(Clone, Debug)]
pub struct Job {
    /// The scenario, as TOML.
    pub scenario: String,
    /// The run's number.
    pub run: u32,
    /// How many workers are to join.
    pub workers: u32,
}

/// Lets workers in.
struct Door {
    gate: Gate,
    joined: mpsc::Sender<Member>,
}

impl Reception {
    /// Listens there.
    ///
    /// # Errors
    /// When anybody at all could join there, or nobody may listen.
    pub async fn open(address: SocketAddr, gate: Gate) -> io::Result<Self> {
        gate.check(address).map_err(io::Error::other)?;
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, gate })
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[tonic::async_trait]
impl Coordinator for Door {
    type JoinStream = Pin<Box<dyn Stream<Item = Result<Told, Status>> + Send>>;

    async fn join(&self, request: Request<Streaming<Said>>) -> Result<Response<Self::JoinStream>, Status> {
        self.gate.admit(&request)?;
        let mut said = request.into_inner();
        let Some(Says::Hello(hello)) = said.message().await?.and_then(|said| said.what) else {
            return Err(Status::invalid_argument("a worker says hello first"));
        };
        let own = env!("CARGO_PKG_VERSION");
        if hello.version != own {
            let why = format!("the coordinator is of version {own}, the worker of {}", hello.version);
            return Err(Status::failed_precondition(why));
        }
        let (tell, told) = mpsc::channel(QUEUE);
        let member = Member {
            name: hello.name,
            tell,
            said,
            offset: 0,
            doubt: Duration::MAX,
            used: Used::default(),
            is_lost: false,
        };
        let taken = self.joined.send(member).await;
        taken.map_err(|_| Status::unavailable("the run has all its workers"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }
}

impl Remote {
    /// Waits until enough workers have joined, and gives each its share.
    ///
    /// # Errors
    /// When TLS cannot be set up, or a worker cannot do its part.
    pub async fn gather(reception: Reception, job: &Job) -> io::Result<Self> {
        let Reception { listener, gate } = reception;
        let mut server = gate.server()?;
        let (door, mut joined) = mpsc::channel(DOOR);
        let service = CoordinatorServer::new(Door { gate, joined: door }).max_decoding_message_size(MOST);
        let server = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            // Ends with the run, and with it the connections: then nobody is left to be told.
            let _ = server.add_service(service).serve_with_incoming(incoming).await;
        });
        let mut members: Vec<Member> = Vec::new();
        while members.len() < job.workers as usize {
            let member = joined.recv().await;
            let member = member.ok_or_else(|| io::Error::other("nobody can join any more"))?;
            members.push(member.told_apart(&members));
        }
        let mut remote = Self {
            members,
            epoch: Instant::now(),
            warnings: Vec::new(),
            server,
        };
        remote.assign(job).await?;
        Ok(remote)
    }

    async fn assign(&mut self, job: &Job) -> io::Result<()> {
        // All workers share one clock from here on.
        let clock = Instant::now();
        for member in &mut self.members {
            member.compare(clock).await?;
        }
        self.epoch = clock + clock.elapsed() + HEAD_START;
        let epoch = micros(self.epoch - clock);
        for (index, member) in (0..).zip(&mut self.members) {
            let assignment = Assignment {
                scenario: job.scenario.clone(),
                run: job.run,
                index,
                of: job.workers,
                epoch: u64::try_from(i128::from(epoch) + member.offset).unwrap_or(0),
            };
            member.tell(Tells::Assignment(assignment)).await?;
        }
        for member in &mut self.members {
            match timeout(BIRTH, member.hear()).await {
                Ok(Ok(Says::Ready(ready))) => {
                    member.used.threads = ready.threads;
                    member.uses(ready.usage);
                }
                Ok(Ok(Says::Failure(failure))) => return Err(member.told(&failure.why)),
                Ok(Ok(_)) => return Err(member.told("it says something else than that it is ready")),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(member.told("its users are not ready in time")),
            }
        }
        let doubt = self.members.iter().map(|member| member.doubt).max().unwrap_or_default();
        if doubt > Duration::from_millis(1) {
            let doubt = doubt.as_millis();
            self.warnings.push(format!(
                "clocks of workers agree to within {doubt} ms only: so do latencies"
            ));
        }
        tokio::time::sleep_until(self.epoch.into()).await;
        Ok(())
    }

    /// When the run begins.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    /// What each worker that is left has used, as it said last.
    pub fn used(&self) -> Vec<Used> {
        self.members.iter().map(|member| member.used.clone()).collect()
    }

    /// What the reader must know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Tells all workers.
    ///
    /// # Errors
    /// When none is left.
    pub async fn order(&mut self, order: Order) -> io::Result<()> {
        let Some(order) = encode(order) else { return Ok(()) };
        for member in self.members.iter_mut().filter(|member| !member.is_lost) {
            member.is_lost = member.tell(Tells::Order(order)).await.is_err();
        }
        self.count_losses()
    }

    /// What happened since the last time, on all workers together.
    ///
    /// # Errors
    /// When none is left.
    pub async fn pulse(&mut self) -> io::Result<Pulse> {
        let beats = self
            .members
            .iter_mut()
            .filter(|member| !member.is_lost)
            .map(Member::beat);
        let mut pulse = Pulse::default();
        for part in join_all(beats).await.into_iter().flatten() {
            pulse.merge(part);
        }
        self.count_losses()?;
        Ok(pulse)
    }

    /// What all workers know in the end.
    ///
    /// # Errors
    /// When none is left.
    pub async fn finish(&mut self) -> io::Result<(Ledger, Pulse)> {
        let reports = self
            .members
            .iter_mut()
            .filter(|member| !member.is_lost)
            .map(Member::report);
        let (mut ledger, mut pulse) = (Ledger::default(), Pulse::default());
        for (part, last) in join_all(reports).await.into_iter().flatten() {
            ledger.merge(part);
            pulse.merge(last);
        }
        self.count_losses()?;
        Ok((ledger, pulse))
    }

    fn count_losses(&mut self) -> io::Result<()> {
        let at = self.epoch.elapsed().as_secs();
        let (lost, left): (Vec<_>, Vec<_>) = self.members.drain(..).partition(|member| member.is_lost);
        self.members = left;
        for member in lost {
            let name = &member.name;
            let text = format!(
                "worker {name} was lost after {at} s: what its users did is not counted, and what was sent to them counts as lost"
            );
            self.warnings.push(text);
        }
        if self.members.is_empty() {
            return Err(io::Error::other("no worker is left"));
        }
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Member {
    /// Under a name of its own, if one of the others has the same.
    fn told_apart(mut self, others: &[Self]) -> Self {
        let is_taken = |name: &str| others.iter().any(|other| other.name == name);
        if self.name.is_empty() || is_taken(&self.name) {
            let numbered = |number: usize| format!("{}-{number}", self.name);
            self.name = (others.len() + 1..)
                .map(numbered)
                .find(|name| !is_taken(name))
                .unwrap_or_default();
        }
        self.used.worker.clone_from(&self.name);
        self
    }

    fn uses(&mut self, usage: Option<Usage>) {
        let Some(Usage {
            pid,
            user,
            kernel,
            memory,
        }) = usage
        else {
            return;
        };
        self.used = Used {
            pid,
            user,
            kernel,
            memory,
            ..std::mem::take(&mut self.used)
        };
    }

    /// Compares its clock with the time since `clock`.
    async fn compare(&mut self, clock: Instant) -> io::Result<()> {
        for _ in 0..PINGS {
            let asked = clock.elapsed();
            self.tell(Tells::Ping(Ping {})).await?;
            let Says::Pong(pong) = self.hear_soon().await? else {
                return Err(self.told("it does not answer a ping"));
            };
            let took = clock.elapsed() - asked;
            if took / 2 < self.doubt {
                self.doubt = took / 2;
                self.offset = i128::from(pong.clock) - i128::from(micros(asked + took / 2));
            }
        }
        Ok(())
    }

    async fn beat(&mut self) -> Option<Pulse> {
        let pulse = async {
            self.tell(Tells::Beat(Beat {})).await?;
            match self.hear_soon().await? {
                Says::Pulse(pulse) => {
                    self.uses(pulse.usage);
                    serde_json::from_slice(&pulse.json).map_err(io::Error::other)
                }
                _ => Err(self.told("it sends no pulse")),
            }
        };
        let pulse = pulse.await;
        self.is_lost = pulse.is_err();
        pulse.ok()
    }

    async fn report(&mut self) -> Option<(Ledger, Pulse)> {
        let report = async {
            match timeout(REPORT, self.hear()).await?? {
                Says::Report(report) => {
                    self.uses(report.usage);
                    let ledger = serde_json::from_slice(&report.ledger)?;
                    Ok((ledger, serde_json::from_slice(&report.pulse)?))
                }
                _ => Err(self.told("it sends no report")),
            }
        };
        let report = report.await;
        self.is_lost = report.is_err();
        report.ok()
    }

    async fn tell(&self, what: Tells) -> io::Result<()> {
        let told = self.tell.send(Ok(Told { what: Some(what) })).await;
        told.map_err(|_| self.told("it is gone"))
    }

    async fn hear_soon(&mut self) -> io::Result<Says> {
        let heard = timeout(ANSWER, self.hear()).await;
        heard.unwrap_or_else(|_| Err(self.told("it does not answer")))
    }

    async fn hear(&mut self) -> io::Result<Says> {
        let said = self.said.message().await.map_err(io::Error::other)?;
        said.and_then(|said| said.what).ok_or_else(|| self.told("it is gone"))
    }

    fn told(&self, why: &str) -> io::Error {
        io::Error::other(format!("worker {}: {why}", self.name))
    }
}
