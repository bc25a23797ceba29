//! Session to edge, in etcd: group-committed, without leases.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, GetOptions, Txn, TxnOp};
use stanza::Full;
use store::{Error, Location, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use topology::Slot;

use super::config::Config;
use super::error::failed;
use super::key::{self, Keys, location_value};
use crate::observe::At;

const AT: At = At {
    backend: "etcd",
    port: "locations",
};

/// Session to edge: [`store::Locations`].
pub struct Locations {
    client: Client,
    keys: Keys,
    timeout: Duration,
    queue: mpsc::Sender<Job>,
}

/// The records of one caller: key to value, or to nothing.
struct Job {
    records: Vec<(String, Option<String>)>,
    answer: oneshot::Sender<Result<()>>,
}

impl Locations {
    pub(super) fn new(client: Client, config: &Config) -> Self {
        let (queue, jobs) = mpsc::channel(config.queue.max(1));
        let operations = config.operations.max(1);
        tokio::spawn(serve(
            client.clone(),
            Gather {
                jobs,
                operations,
                linger: config.linger,
            },
            config.timeout,
        ));
        Self {
            client,
            keys: Keys::new(&config.prefix),
            timeout: config.timeout,
            queue,
        }
    }
}

#[async_trait]
impl store::Locations for Locations {
    async fn put(&self, records: &[(Full, Option<Location>)]) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let record = |(jid, location): &(Full, Option<Location>)| {
            (self.keys.location(jid), location.as_ref().map(location_value))
        };
        let (answer, answered) = oneshot::channel();
        let job = Job {
            records: records.iter().map(record).collect(),
            answer,
        };
        AT.call("put", async {
            let queued = tokio::time::timeout(self.timeout, self.queue.send(job)).await;
            queued
                .map_err(|_| Error::Unavailable("the queue of locations is full".into()))?
                .map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        })
        .await
    }

    async fn load(&self, slot: Slot) -> Result<Vec<Location>> {
        AT.call_within(self.timeout, "load", async {
            let all = GetOptions::new().with_prefix();
            let found = self
                .client
                .clone()
                .get(self.keys.slot(slot), Some(all))
                .await
                .map_err(failed)?;
            let read =
                |pair: &etcd_client::KeyValue| key::location(self.keys.address_of(slot, pair.key())?, pair.value());
            let locations: Vec<_> = found.kvs().iter().filter_map(read).collect();
            if locations.len() < found.kvs().len() {
                let left_out = found.kvs().len() - locations.len();
                tracing::warn!(left_out, "locations in etcd cannot be understood");
            }
            Ok(locations)
        })
        .await
    }
}

/// Commits one batch after the other, so that later calls win.
async fn serve(client: Client, mut gather: Gather, timeout: Duration) {
    while let Some(jobs) = gather.batch().await {
        let mut last = BTreeMap::new(); // etcd refuses a transaction that names a key twice
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            last.extend(job.records);
            answers.push(job.answer);
        }
        metrics::histogram!("dunlin_store_commit_writes", "backend" => "etcd").record(last.len() as f64);
        let failure = commit(&client, last, gather.operations, timeout)
            .await
            .err()
            .map(|error| error.to_string());
        for answer in answers {
            let outcome = failure
                .clone()
                .map_or(Ok(()), |reason| Err(Error::Unavailable(reason.into())));
            let _ = answer.send(outcome); // nobody waits any more when the caller gave up
        }
    }
}

async fn commit(
    client: &Client,
    records: BTreeMap<String, Option<String>>,
    most: usize,
    timeout: Duration,
) -> Result<()> {
    let operation = |(key, value): (String, Option<String>)| match value {
        Some(value) => TxnOp::put(key, value, None),
        None => TxnOp::delete(key, None),
    };
    let operations: Vec<_> = records.into_iter().map(operation).collect();
    for chunk in operations.chunks(most) {
        let mut client = client.clone();
        let done = tokio::time::timeout(timeout, client.txn(Txn::new().and_then(chunk))).await;
        done.map_err(|_| Error::Unavailable("no answer from etcd in time".into()))?
            .map_err(failed)?;
    }
    Ok(())
}

struct Gather {
    jobs: mpsc::Receiver<Job>,
    operations: usize,
    linger: Duration,
}

impl Gather {
    /// The next batch: what comes within the linger of its first job, or fills a transaction.
    async fn batch(&mut self) -> Option<Vec<Job>> {
        let first = self.jobs.recv().await?;
        let (mut operations, mut batch, end) = (first.records.len(), vec![first], Instant::now() + self.linger);
        while operations < self.operations {
            let Ok(Some(job)) = tokio::time::timeout_at(end, self.jobs.recv()).await else {
                break;
            };
            operations += job.records.len();
            batch.push(job);
        }
        Some(batch)
    }
}

fn gone() -> Error {
    Error::Unavailable("the writer has stopped".into())
}
