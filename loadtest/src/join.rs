//! A worker in a process of its own: joins a coordinator and does what it is told.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use crate::accounting::Own;
use crate::admission::{Pass, in_full, is_retryable};
use crate::board::Order;
use crate::preflight;
use crate::scenario::Scenario;
use crate::tally::micros;
use crate::wire::{
    Assignment, CoordinatorClient, Failure, Hello, MOST, Pong, Pulse, Ready, Report, Said, Says, Tells, Told, decode,
};
use crate::worker::{Share, Worker};
use crate::world::World;

/// How long to look for the coordinator, and how often.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);
/// What is said and not yet taken; beyond, saying waits.
const QUEUE: usize = 16;

/// Who joins.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it is called in warnings.
    pub name: String,
    /// How many threads its users have.
    pub threads: u32,
    /// Whether its operator says that targets outside of private networks are theirs.
    pub owns_targets: bool,
    /// How it is let in.
    pub pass: Pass,
}

/// A worker on its stream.
struct Joined {
    member: Member,
    clock: Instant,
    say: mpsc::Sender<Said>,
    told: Streaming<Told>,
}

impl Member {
    /// Joins the coordinator at `HOST:PORT`, and works until the run is over.
    ///
    /// # Errors
    /// When the coordinator cannot be reached, is lost, or asks for what cannot be done.
    pub async fn work(self, coordinator: &str) -> io::Result<()> {
        // The clock that the coordinator compares with its own.
        let clock = Instant::now();
        let mut client = self.connect(coordinator, clock).await?.max_encoding_message_size(MOST);
        let (say, said) = mpsc::channel(QUEUE);
        let hello = Hello {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let first = Said {
            what: Some(Says::Hello(hello)),
        };
        say.send(first).await.map_err(io::Error::other)?;
        let request = self.pass.show(Request::new(ReceiverStream::new(said)));
        let told = client.join(request).await.map_err(|status| self.refused(&status))?;
        let mut joined = Joined {
            member: self,
            clock,
            say,
            told: told.into_inner(),
        };
        let assignment = joined.assignment().await?;
        match joined.prepare(&assignment) {
            Ok(worker) => joined.obey(worker).await,
            Err(error) => {
                let why = error.to_string();
                joined.say(Says::Failure(Failure { why })).await?;
                Err(error)
            }
        }
    }

    fn refused(&self, status: &Status) -> io::Error {
        let hint = match status.code() {
            Code::Internal | Code::Unknown if self.pass.authority.is_none() => {
                "; if it speaks TLS, --tls-authority is missing"
            }
            _ => "",
        };
        io::Error::other(format!("not let in: {}{hint}", status.message()))
    }

    /// The coordinator may be started after its workers.
    async fn connect(&self, coordinator: &str, clock: Instant) -> io::Result<CoordinatorClient<Channel>> {
        let endpoint = self.pass.endpoint(coordinator).await?;
        loop {
            match endpoint.connect().await {
                Ok(channel) => return Ok(CoordinatorClient::new(channel)),
                Err(error) if clock.elapsed() > PATIENCE || !is_retryable(&error) => {
                    let why = in_full(error);
                    return Err(io::Error::other(format!("no coordinator at {coordinator}: {why}")));
                }
                Err(_) => sleep(LOOK).await,
            }
        }
    }
}

impl Joined {
    /// Answers pings until there is something to do.
    async fn assignment(&mut self) -> io::Result<Assignment> {
        loop {
            match self.hear().await? {
                Tells::Ping(_) => {
                    let clock = micros(self.clock.elapsed());
                    self.say(Says::Pong(Pong { clock })).await?;
                }
                Tells::Assignment(assignment) => return Ok(assignment),
                Tells::Order(_) | Tells::Beat(_) => {
                    return Err(io::Error::other("told something before there were users"));
                }
            }
        }
    }

    /// The users, who wait.
    fn prepare(&self, assignment: &Assignment) -> io::Result<Worker> {
        let scenario = Scenario::read(&assignment.scenario).map_err(io::Error::other)?;
        let users = scenario.users.div_ceil(assignment.of.max(1));
        preflight::check_machine(&scenario, users).map_err(io::Error::other)?;
        let world = World::new(scenario, assignment.run)?;
        // Its own operator says what may be attacked from here, not the coordinator's.
        preflight::check_targets(&world.addresses, self.member.owns_targets).map_err(io::Error::other)?;
        let share = Share {
            index: assignment.index,
            of: assignment.of.max(1),
        };
        let epoch = self.clock + Duration::from_micros(assignment.epoch);
        Worker::start(Arc::new(world), share, self.member.threads, epoch)
    }

    async fn obey(&mut self, worker: Worker) -> io::Result<()> {
        let own = Own::begin().map_err(io::Error::other)?;
        let ready = Ready {
            threads: self.member.threads,
            usage: Some(own.used().into()),
        };
        self.say(Says::Ready(ready)).await?;
        loop {
            match self.hear().await? {
                Tells::Order(order) => {
                    let Some(order) = decode(&order) else { continue };
                    worker.order(order);
                    if order == Order::End {
                        return self.report(worker, &own).await;
                    }
                }
                Tells::Beat(_) => {
                    let pulse = Pulse {
                        json: serde_json::to_vec(&worker.pulse())?.into(),
                        usage: Some(own.used().into()),
                    };
                    self.say(Says::Pulse(pulse)).await?;
                }
                Tells::Ping(_) | Tells::Assignment(_) => {}
            }
        }
    }

    async fn report(&mut self, worker: Worker, own: &Own) -> io::Result<()> {
        let finish = tokio::task::spawn_blocking(move || worker.finish());
        let (ledger, pulse) = finish.await.map_err(io::Error::other)??;
        let report = Report {
            ledger: serde_json::to_vec(&ledger)?.into(),
            pulse: serde_json::to_vec(&pulse)?.into(),
            usage: Some(own.used().into()),
        };
        self.say(Says::Report(report)).await?;
        // The coordinator ends the stream when it has it.
        while self.hear().await.is_ok() {}
        Ok(())
    }

    async fn say(&self, what: Says) -> io::Result<()> {
        let said = self.say.send(Said { what: Some(what) }).await;
        said.map_err(|_| io::Error::other("the coordinator is gone"))
    }

    async fn hear(&mut self) -> io::Result<Tells> {
        let told = self.told.message().await.map_err(io::Error::other)?;
        let told = told.and_then(|told| told.what);
        told.ok_or_else(|| io::Error::other("the coordinator is gone"))
    }
}
