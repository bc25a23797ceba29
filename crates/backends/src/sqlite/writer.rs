//! The one thread that writes. Whatever waits when it is free shares a transaction, so that many small writes cost one commit.

use store::{Error, Result};
use tokio::sync::{mpsc, oneshot};

use super::config::Config;
use super::connection::Connection;

/// Where writes are handed in.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Starts the thread. It ends when this is dropped, after what was handed in.
    ///
    /// # Errors
    /// `Unavailable` when the system has no thread left.
    pub(super) fn start(connection: Connection, config: &Config) -> Result<Self> {
        let (queue, jobs) = mpsc::channel(config.queue.max(1));
        let batch = config.batch.max(1);
        let thread = std::thread::Builder::new().name("sqlite-writer".into());
        thread
            .spawn(move || serve(&connection, jobs, batch))
            .map_err(|error| Error::Unavailable(Box::new(error)))?;
        Ok(Self { queue })
    }

    /// Returns once the write is committed, or refused.
    ///
    /// It happens within a transaction. It may run again in one of its own when another write broke the one they shared, and must decide
    /// that it is refused (`Conflict`, `Precondition`) before it changes anything.
    pub(super) async fn write<T, F>(&self, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Pending {
            write,
            outcome: None,
            answer,
        };
        self.queue.send(Box::new(job)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn serve(connection: &Connection, mut queue: mpsc::Receiver<Box<dyn Job>>, batch: usize) {
    let mut jobs = Vec::new();
    while queue.blocking_recv_many(&mut jobs, batch) > 0 {
        metrics::histogram!("dunlin_store_commit_writes", "backend" => "sqlite").record(jobs.len() as f64);
        commit(connection, &mut jobs);
    }
}

/// Commits all jobs together. When one of them broke the transaction, each gets its own, so that it harms no other.
fn commit(connection: &Connection, jobs: &mut Vec<Box<dyn Job>>) {
    match attempt(connection, jobs) {
        Ok(()) => jobs.drain(..).for_each(|job| job.settle(None)),
        Err(Broken::Job(_)) => {
            for mut job in jobs.drain(..) {
                let broken = attempt(connection, std::slice::from_mut(&mut job)).err();
                job.settle(broken.map(Broken::error));
            }
        }
        Err(Broken::Transaction(error)) => {
            let reason = error.to_string();
            jobs.drain(..)
                .for_each(|job| job.settle(Some(Error::Unavailable(reason.clone().into()))));
        }
    }
}

/// What kept a transaction from its commit.
enum Broken {
    /// It could not begin or commit.
    Transaction(Error),
    /// One of its jobs failed.
    Job(Error),
}

impl Broken {
    fn error(self) -> Error {
        let (Self::Transaction(error) | Self::Job(error)) = self;
        error
    }
}

fn attempt(connection: &Connection, jobs: &mut [Box<dyn Job>]) -> std::result::Result<(), Broken> {
    connection.execute("BEGIN IMMEDIATE", ()).map_err(Broken::Transaction)?;
    let done = match jobs.iter_mut().try_for_each(|job| job.run(connection)) {
        Ok(()) => connection.execute("COMMIT", ()).map(drop).map_err(Broken::Transaction),
        Err(error) => Err(Broken::Job(error)),
    };
    if done.is_err() {
        // SQLite may have rolled back by itself (disk full); then there is nothing left to do.
        let _ = connection.execute("ROLLBACK", ());
    }
    done
}

/// A write whose answer's type is forgotten.
trait Job: Send {
    /// Runs; an error is one that breaks the transaction, not a refusal.
    fn run(&mut self, connection: &Connection) -> Result<()>;

    /// Tells the caller, after the transaction ended or broke.
    fn settle(self: Box<Self>, broken: Option<Error>);
}

struct Pending<T, F> {
    write: F,
    outcome: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Pending<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<()> {
        match (self.write)(connection) {
            Err(error @ (Error::Unavailable(_) | Error::Corrupt(_))) => Err(error),
            outcome => {
                self.outcome = Some(outcome);
                Ok(())
            }
        }
    }

    fn settle(self: Box<Self>, broken: Option<Error>) {
        let Self { outcome, answer, .. } = *self;
        let outcome = broken.map_or_else(|| outcome.unwrap_or_else(|| Err(gone())), Err);
        // Nobody waits any more when the caller gave up.
        let _ = answer.send(outcome);
    }
}

fn gone() -> Error {
    Error::Unavailable("the writer has stopped".into())
}
