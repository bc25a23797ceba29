//! Group commit of log entries: what comes within a few milliseconds shares one multi-row insert, several inserts at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use stanza::Jid;
use store::{Append, EntryId, Error, Result};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::config::Config;
use super::retry::{failed, persist};
use crate::sql::{id_bytes, id_of};

/// Where entries are handed in.
pub(super) struct Appender {
    queue: mpsc::Sender<Job>,
}

/// The entries of one caller.
struct Job {
    entries: Vec<Append>,
    answer: oneshot::Sender<Result<Vec<EntryId>>>,
}

impl Appender {
    /// Starts the task that gathers. It ends when this is dropped, after what was handed in.
    pub(super) fn start(pool: PgPool, config: &Config) -> Self {
        let (queue, jobs) = mpsc::channel(config.queue.max(1));
        let gather = Gather {
            jobs,
            rows: config.append_rows.max(1),
            linger: config.append_linger,
        };
        tokio::spawn(serve(pool, gather, config.append_connections.max(1)));
        Self { queue }
    }

    /// Returns once all entries are committed.
    pub(super) async fn append(&self, entries: Vec<Append>) -> Result<Vec<EntryId>> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job { entries, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn serve(pool: PgPool, mut gather: Gather, inserts: u32) {
    let room = Arc::new(Semaphore::new(inserts as usize));
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Some(jobs) = gather.batch().await else { return };
        let pool = pool.clone();
        tokio::spawn(async move {
            commit(&pool, jobs).await;
            drop(permit);
        });
    }
}

struct Gather {
    jobs: mpsc::Receiver<Job>,
    rows: usize,
    linger: Duration,
}

impl Gather {
    /// The next batch: what came within the linger of its first job, or what fills it. What comes meanwhile wakes nobody up. What nobody
    /// waits for any more is not written: by now it was refused, or is handed in again.
    async fn batch(&mut self) -> Option<Vec<Job>> {
        let first = self.jobs.recv().await?;
        if self.jobs.len() < self.rows {
            tokio::time::sleep(self.linger).await;
        }
        let (mut rows, mut batch) = (first.entries.len(), vec![first]);
        while rows < self.rows
            && let Ok(job) = self.jobs.try_recv()
        {
            rows += job.entries.len();
            batch.push(job);
        }
        batch.retain(|job| !job.answer.is_closed());
        Some(batch)
    }
}

/// Inserts all jobs together, if there are any. When the database refuses the insert, each job gets its own, so that it harms no other.
async fn commit(pool: &PgPool, jobs: Vec<Job>) {
    if jobs.is_empty() {
        return;
    }
    let rows: Vec<&Append> = jobs.iter().flat_map(|job| &job.entries).collect();
    metrics::histogram!("dunlin_store_commit_writes", "backend" => "postgres").record(rows.len() as f64);
    match insert(pool, &rows).await {
        Ok(ids) => {
            let mut ids = ids.into_iter();
            for job in jobs {
                let own = ids.by_ref().take(job.entries.len()).collect();
                let _ = job.answer.send(Ok(own)); // nobody waits any more when the caller gave up
            }
        }
        Err(error) if jobs.len() > 1 && error.as_database_error().is_some() => {
            for job in jobs.into_iter().filter(|job| !job.answer.is_closed()) {
                let ids = insert(pool, &job.entries.iter().collect::<Vec<_>>()).await;
                let _ = job.answer.send(ids.map_err(failed));
            }
        }
        Err(error) => {
            let reason = error.to_string();
            for job in jobs {
                let _ = job.answer.send(Err(Error::Unavailable(reason.clone().into())));
            }
        }
    }
}

/// Inserts in one statement; returns under which id each entry stands.
async fn insert(pool: &PgPool, rows: &[&Append]) -> sqlx::Result<Vec<EntryId>> {
    let mut sorted = rows.to_vec();
    // One order for all: two inserts that share keys then wait for each other instead of locking each other out.
    sorted
        .sort_by(|a, b| (&a.owner, a.log, &a.entry.key, a.entry.id).cmp(&(&b.owner, b.log, &b.entry.key, b.entry.id)));
    let kept = persist(|| execute(pool, &sorted)).await?;
    if kept == rows.len() as u64 {
        return Ok(rows.iter().map(|row| row.entry.id).collect());
    }
    let firsts = firsts(pool, rows).await?;
    let id = |row: &&Append| {
        let key = row
            .entry
            .key
            .as_ref()
            .map(|key| (row.owner.as_str(), row.log, &key[..]));
        key.and_then(|(owner, log, key)| firsts.get(&(owner.to_owned(), log.to_owned(), key.to_vec())).copied())
    };
    Ok(rows.iter().map(|row| id(row).unwrap_or(row.entry.id)).collect())
}

async fn execute(pool: &PgPool, rows: &[&Append]) -> sqlx::Result<u64> {
    let bare: Vec<_> = rows.iter().map(|row| row.entry.with.as_ref().map(Jid::bare)).collect();
    let done = sqlx::query(include_str!("sql/archive_append.sql"))
        .bind(rows.iter().map(|row| row.owner.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.log).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| id_bytes(row.entry.id)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.entry.at.0).collect::<Vec<_>>())
        .bind(
            rows.iter()
                .map(|row| row.entry.with.as_ref().map(Jid::as_str))
                .collect::<Vec<_>>(),
        )
        .bind(
            bare.iter()
                .map(|bare| bare.as_ref().map(|bare| bare.as_str()))
                .collect::<Vec<_>>(),
        )
        .bind(rows.iter().map(|row| row.entry.key.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| &row.entry.stanza[..]).collect::<Vec<_>>())
        .execute(pool)
        .await?;
    Ok(done.rows_affected())
}

/// Which id stands under each key of `rows`, by owner, log and key.
async fn firsts(pool: &PgPool, rows: &[&Append]) -> sqlx::Result<BTreeMap<(String, String, Vec<u8>), EntryId>> {
    let keyed: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row, row.entry.key.as_deref()?)))
        .collect();
    let found = sqlx::query_as(include_str!("sql/archive_find.sql"))
        .bind(keyed.iter().map(|(row, _)| row.owner.as_str()).collect::<Vec<_>>())
        .bind(keyed.iter().map(|(row, _)| row.log).collect::<Vec<_>>())
        .bind(keyed.iter().map(|(_, key)| *key).collect::<Vec<_>>());
    let found: Vec<(String, String, Vec<u8>, Vec<u8>)> = found.fetch_all(pool).await?;
    let first = |(owner, log, key, id): (String, String, Vec<u8>, Vec<u8>)| match id_of(&id) {
        Ok(id) => Ok(((owner, log, key), id)),
        Err(error) => Err(sqlx::Error::Decode(Box::new(error))),
    };
    found.into_iter().map(first).collect()
}

fn gone() -> Error {
    Error::Unavailable("the writer has stopped".into())
}
