//! The snapshot of members and table: a list, then a watch from the next revision on; a new list when the watch breaks.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::{Client, EventType, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse, WatchOptions, WatchResponse};
use store::{Error, Result};
use tokio::sync::watch;
use topology::{Epoch, Member, NodeId, SlotTable, Snapshot};

use super::error::failed;
use super::key::{Keys, node_record};

/// The first and the longest pause before a new list.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The task that follows etcd; it ends with this value.
pub(super) struct Watcher {
    told: watch::Sender<Snapshot>,
    task: tokio::task::JoinHandle<()>,
}

impl Watcher {
    /// Lists once, so that there is a snapshot, then follows.
    pub(super) async fn start(client: Client, keys: Keys) -> Result<Self> {
        let state = State::list(&client, &keys).await?;
        let (told, _) = watch::channel(state.snapshot());
        let task = tokio::spawn(follow(client, keys, state, told.clone()));
        Ok(Self { told, task })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Snapshot> {
        self.told.subscribe()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows for ever. While etcd is away, the last snapshot stands.
async fn follow(client: Client, keys: Keys, mut state: State, told: watch::Sender<Snapshot>) {
    let mut pause = PAUSE.0;
    loop {
        let before = state.revision;
        if let Err(error) = events(&client, &keys, &mut state, &told).await {
            tracing::warn!(%error, "the watch of the membership broke; listing again");
        }
        if state.revision > before {
            pause = PAUSE.0;
        }
        metrics::counter!("dunlin_store_watch_breaks_total", "backend" => "etcd").increment(1);
        relist(&client, &keys, &mut state, &mut pause).await;
        told.send_replace(state.snapshot());
    }
}

/// Lists until it works. A list older than what is known comes from a member that lags or a backup: it is not believed.
async fn relist(client: &Client, keys: &Keys, state: &mut State, pause: &mut Duration) {
    loop {
        tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * rand::random::<f64>())).await;
        *pause = (*pause * 2).min(PAUSE.1);
        match tokio::time::timeout(Duration::from_secs(5), State::list(client, keys)).await {
            Ok(Ok(listed)) if listed.revision >= state.revision => {
                *state = listed;
                return;
            }
            Ok(Ok(listed)) => tracing::error!(listed.revision, known = state.revision, "etcd went back in time"),
            Ok(Err(error)) => tracing::debug!(%error, "list the membership"),
            Err(_) => tracing::debug!("no answer to the list of the membership"),
        }
    }
}

/// Applies events until the watch breaks.
async fn events(client: &Client, keys: &Keys, state: &mut State, told: &watch::Sender<Snapshot>) -> Result<()> {
    let range = WatchOptions::new().with_range(keys.after_table());
    let range = range.with_start_revision(state.revision.cast_signed().saturating_add(1));
    let mut stream = client.clone().watch(keys.nodes(), Some(range)).await.map_err(failed)?;
    while let Some(response) = stream.message().await.map_err(failed)? {
        if response.canceled() || response.compact_revision() > 0 {
            return Err(Error::Unavailable(
                format!("cancelled: {}", response.cancel_reason()).into(),
            ));
        }
        if !response.events().is_empty() {
            state.apply(keys, &response)?;
            told.send_replace(state.snapshot());
        }
    }
    Ok(())
}

/// What is known.
struct State {
    revision: u64,
    members: BTreeMap<NodeId, Member>,
    table: SlotTable,
}

impl State {
    /// Nodes and table of one revision.
    async fn list(client: &Client, keys: &Keys) -> Result<Self> {
        let nodes = TxnOp::get(keys.nodes(), Some(GetOptions::new().with_prefix()));
        let both = Txn::new().and_then([nodes, TxnOp::get(keys.table(), None)]);
        let response = client.clone().txn(both).await.map_err(failed)?;
        let revision = response.header().map_or(0, |header| header.revision().cast_unsigned());
        let mut state = Self {
            revision,
            members: BTreeMap::new(),
            table: SlotTable::empty(),
        };
        for response in response.op_responses() {
            let TxnOpResponse::Get(found) = response else { continue };
            for pair in found.kvs() {
                state.put(keys, pair)?;
            }
        }
        Ok(state)
    }

    fn apply(&mut self, keys: &Keys, response: &WatchResponse) -> Result<()> {
        for event in response.events() {
            let Some(pair) = event.kv() else { continue };
            match event.event_type() {
                EventType::Put => self.put(keys, pair)?,
                EventType::Delete => self.delete(keys, pair),
            }
            // Not the header's revision: a watch that catches up tells of older events under the newest revision.
            self.revision = self.revision.max(pair.mod_revision().cast_unsigned());
        }
        Ok(())
    }

    fn put(&mut self, keys: &Keys, pair: &KeyValue) -> Result<()> {
        if pair.key() == keys.table().as_bytes() {
            self.table = table(pair.value())?;
        } else if let Some(id) = keys.node_of(pair.key()) {
            match node_record(id.clone(), pair.value()) {
                Some(record) => {
                    let epoch = Epoch(pair.create_revision().cast_unsigned());
                    self.members.insert(id, Member { record, epoch });
                }
                None => tracing::warn!(node = %id, "a node's record cannot be understood"),
            }
        }
        Ok(())
    }

    fn delete(&mut self, keys: &Keys, pair: &KeyValue) {
        if pair.key() == keys.table().as_bytes() {
            self.table = SlotTable::empty();
        } else if let Some(id) = keys.node_of(pair.key()) {
            self.members.remove(&id);
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            revision: self.revision,
            members: self.members.values().cloned().collect(),
            table: self.table.clone(),
        }
    }
}

/// The published table.
pub(super) fn table(bytes: &[u8]) -> Result<SlotTable> {
    SlotTable::decode(bytes).map_err(|error| Error::Corrupt(error.to_string()))
}
