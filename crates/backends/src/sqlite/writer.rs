//! The one task that writes. Whatever waits when it is free shares a transaction, so that many small writes cost one commit.

use futures::future::BoxFuture;
use sqlx::SqliteConnection;
use store::{Error, Result};
use tokio::sync::{mpsc, oneshot};

use super::config::Config;

/// One write. It may run again in a transaction of its own when another write broke the one they shared, and must decide that
/// it is refused (`Conflict`, `Precondition`) before it changes anything.
pub(super) trait Write: Send + Sync + 'static {
    /// What the caller learns.
    type Answer: Send + 'static;

    /// Writes within an open transaction.
    fn write(&self, connection: &mut SqliteConnection) -> impl Future<Output = Result<Self::Answer>> + Send;
}

/// Where writes are handed in.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Starts the task. It ends when this is dropped, after what was handed in.
    pub(super) fn start(connection: SqliteConnection, config: &Config) -> Self {
        let (queue, jobs) = mpsc::channel(config.queue.max(1));
        tokio::spawn(serve(connection, jobs, config.batch.max(1)));
        Self { queue }
    }

    /// Returns once the write is committed, or refused.
    pub(super) async fn write<W: Write>(&self, work: W) -> Result<W::Answer> {
        let (answer, answered) = oneshot::channel();
        let job = Pending {
            work,
            outcome: None,
            answer,
        };
        self.queue.send(Box::new(job)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn serve(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Box<dyn Job>>, batch: usize) {
    let mut jobs = Vec::new();
    while queue.recv_many(&mut jobs, batch).await > 0 {
        metrics::histogram!("dunlin_store_commit_writes", "backend" => "sqlite").record(jobs.len() as f64);
        commit(&mut connection, &mut jobs).await;
    }
}

/// Commits all jobs together. When one of them broke the transaction, each gets its own, so that it harms no other.
async fn commit(connection: &mut SqliteConnection, jobs: &mut Vec<Box<dyn Job>>) {
    match attempt(connection, jobs).await {
        Ok(()) => jobs.drain(..).for_each(|job| job.settle(None)),
        Err(Broken::Job(_)) => {
            for mut job in jobs.drain(..) {
                let broken = attempt(connection, std::slice::from_mut(&mut job)).await.err();
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
    Transaction(sqlx::Error),
    /// One of its jobs failed.
    Job(Error),
}

impl Broken {
    fn error(self) -> Error {
        match self {
            Self::Transaction(error) => Error::Unavailable(Box::new(error)),
            Self::Job(error) => error,
        }
    }
}

async fn attempt(connection: &mut SqliteConnection, jobs: &mut [Box<dyn Job>]) -> std::result::Result<(), Broken> {
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut *connection)
        .await
        .map_err(Broken::Transaction)?;
    let done = match all(connection, jobs).await {
        Ok(()) => sqlx::query("COMMIT")
            .execute(&mut *connection)
            .await
            .map(drop)
            .map_err(Broken::Transaction),
        Err(error) => Err(Broken::Job(error)),
    };
    if done.is_err() {
        // SQLite may have rolled back by itself (disk full); then there is nothing left to do.
        let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
    }
    done
}

async fn all(connection: &mut SqliteConnection, jobs: &mut [Box<dyn Job>]) -> Result<()> {
    for job in jobs {
        job.run(connection).await?;
    }
    Ok(())
}

/// A [`Write`] whose answer's type is forgotten.
trait Job: Send {
    /// Runs; an error is one that breaks the transaction, not a refusal.
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, Result<()>>;

    /// Tells the caller, after the transaction ended or broke.
    fn settle(self: Box<Self>, broken: Option<Error>);
}

struct Pending<W: Write> {
    work: W,
    outcome: Option<Result<W::Answer>>,
    answer: oneshot::Sender<Result<W::Answer>>,
}

impl<W: Write> Job for Pending<W> {
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match self.work.write(connection).await {
                Err(error @ (Error::Unavailable(_) | Error::Corrupt(_))) => Err(error),
                outcome => {
                    self.outcome = Some(outcome);
                    Ok(())
                }
            }
        })
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
