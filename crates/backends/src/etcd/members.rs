//! Who is alive, in etcd: one leased key per node, and the slot table.

use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, Compare, CompareOp, Error as Failure, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse};
use store::{Error, Result};
use tokio::sync::{OnceCell, watch};
use topology::{Epoch, Lease, NodeId, NodeRecord, SlotTable, Snapshot};

use super::config::Config;
use super::error::failed;
use super::key::{Keys, node_record, node_value};
use super::watch::Watcher;
use crate::observe::At;

const AT: At = At {
    backend: "etcd",
    port: "members",
};

/// Who is alive: [`store::Members`].
pub struct Members {
    client: Client,
    keys: Keys,
    timeout: Duration,
    told: OnceCell<Watcher>,
}

impl Members {
    pub(super) fn new(client: Client, config: &Config) -> Self {
        Self {
            client,
            keys: Keys::new(&config.prefix),
            timeout: config.timeout,
            told: OnceCell::new(),
        }
    }
}

#[async_trait]
impl store::Members for Members {
    async fn join(&self, node: &NodeRecord, ttl: Duration) -> Result<(Epoch, Lease)> {
        AT.call_within(self.timeout, "join", async {
            let seconds = i64::try_from(ttl.as_millis().div_ceil(1_000))
                .unwrap_or(i64::MAX)
                .max(1);
            let lease = self
                .client
                .clone()
                .lease_grant(seconds, None)
                .await
                .map_err(failed)?
                .id();
            let joined = self.create(node, lease).await;
            if joined.is_err() {
                // Not waited for: the lease ends by itself, too.
                let mut client = self.client.clone();
                tokio::spawn(async move { client.lease_revoke(lease).await });
            }
            Ok((joined?, Lease(lease)))
        })
        .await
    }

    async fn keep_alive(&self, lease: Lease) -> Result<()> {
        AT.call_within(self.timeout, "keep_alive", async {
            match self.client.clone().lease_keep_alive(lease.0).await {
                Ok(_) => Ok(()),
                Err(Failure::LeaseKeepAliveError(_)) => Err(Error::Precondition("the lease has ended")),
                Err(error) => Err(failed(error)),
            }
        })
        .await
    }

    async fn update(&self, node: &NodeRecord, epoch: Epoch, lease: Lease) -> Result<()> {
        AT.call_within(self.timeout, "update", async {
            let key = self.keys.node(&node.id);
            let same = [
                Compare::create_revision(key.clone(), CompareOp::Equal, epoch.0.cast_signed()),
                Compare::lease(key.clone(), CompareOp::Equal, lease.0),
            ];
            let put = TxnOp::put(key, node_value(node), Some(PutOptions::new().with_lease(lease.0)));
            match self.commit(Txn::new().when(same).and_then([put])).await {
                Err(error) if is_lease_gone(&error) => Err(Error::Conflict),
                done => done.map_err(failed)?.map(drop).ok_or(Error::Conflict),
            }
        })
        .await
    }

    async fn drain(&self, node: &NodeId) -> Result<bool> {
        AT.call_within(self.timeout, "drain", async {
            let key = self.keys.node(node);
            let found = self.client.clone().get(key.clone(), None).await.map_err(failed)?;
            let Some(found) = found.kvs().first() else {
                return Ok(false);
            };
            let record = node_record(node.clone(), found.value())
                .ok_or_else(|| Error::Corrupt(format!("the record of {node}")))?;
            if record.draining {
                return Ok(true);
            }
            let same = [Compare::mod_revision(
                key.clone(),
                CompareOp::Equal,
                found.mod_revision(),
            )];
            let drains = NodeRecord {
                draining: true,
                ..record
            };
            let put = TxnOp::put(key, node_value(&drains), Some(PutOptions::new().with_ignore_lease()));
            let done = self.commit(Txn::new().when(same).and_then([put])).await;
            done.map_err(failed)?.map(|_| true).ok_or(Error::Conflict)
        })
        .await
    }

    async fn leave(&self, node: &NodeId, lease: Lease) -> Result<()> {
        AT.call_within(self.timeout, "leave", async {
            // Another node's lease is not this one's to end.
            self.end(node, |life| life.lease() == lease.0).await.map(drop)
        })
        .await
    }

    async fn bury(&self, node: &NodeId, epoch: Epoch) -> Result<bool> {
        AT.call_within(self.timeout, "bury", async {
            self.end(node, |life| life.create_revision() == epoch.0.cast_signed())
                .await
        })
        .await
    }

    async fn publish(&self, table: &SlotTable) -> Result<()> {
        AT.call_within(self.timeout, "publish", async {
            let (key, mut client) = (self.keys.table(), self.client.clone());
            let stored = client.get(key.clone(), None).await.map_err(failed)?;
            let (revision, modified) = match stored.kvs().first() {
                Some(stored) => (super::watch::table(stored.value())?.revision, stored.mod_revision()),
                None => (0, 0),
            };
            if revision.checked_add(1) != Some(table.revision) {
                return Err(Error::Conflict);
            }
            let same = Compare::mod_revision(key.clone(), CompareOp::Equal, modified);
            let put = TxnOp::put(key, table.encode(), None);
            let done = self.commit(Txn::new().when([same]).and_then([put])).await;
            done.map_err(failed)?.map(drop).ok_or(Error::Conflict)
        })
        .await
    }

    async fn watch(&self) -> Result<watch::Receiver<Snapshot>> {
        AT.call_within(self.timeout, "watch", async {
            let start = || Watcher::start(self.client.clone(), self.keys.clone());
            Ok(self.told.get_or_try_init(start).await?.subscribe())
        })
        .await
    }

    async fn secret(&self) -> Result<[u8; 32]> {
        AT.call_within(self.timeout, "secret", async {
            let (key, made) = (self.keys.secret(), rand::random::<[u8; 32]>());
            let absent = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
            let put = TxnOp::put(key.clone(), made, None);
            let made_or_found = Txn::new()
                .when([absent])
                .and_then([put])
                .or_else([TxnOp::get(key, None)]);
            let response = self.client.clone().txn(made_or_found).await.map_err(failed)?;
            if response.succeeded() {
                return Ok(made);
            }
            let found = response.op_responses().into_iter().find_map(|response| match response {
                TxnOpResponse::Get(found) => found.kvs().first()?.value().try_into().ok(),
                _ => None,
            });
            found.ok_or_else(|| Error::Corrupt("the cluster's secret is not 32 bytes".into()))
        })
        .await
    }
}

impl Members {
    /// Creates the node's key; its create revision is the epoch.
    async fn create(&self, node: &NodeRecord, lease: i64) -> Result<Epoch> {
        let key = self.keys.node(&node.id);
        let absent = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
        let put = TxnOp::put(key, node_value(node), Some(PutOptions::new().with_lease(lease)));
        let done = self
            .commit(Txn::new().when([absent]).and_then([put]))
            .await
            .map_err(failed)?;
        done.map(|revision| Epoch(revision.cast_unsigned()))
            .ok_or(Error::Conflict)
    }

    /// Ends the node's life, if it is that one; returns whether it was. Not the key alone: who still has the lease must hear that it has ended.
    async fn end(&self, node: &NodeId, is_it: impl Fn(&KeyValue) -> bool) -> Result<bool> {
        let mut client = self.client.clone();
        let found = client.get(self.keys.node(node), None).await.map_err(failed)?;
        let Some(life) = found.kvs().first().filter(|life| is_it(life)) else {
            return Ok(false);
        };
        match client.lease_revoke(life.lease()).await {
            Err(error) if is_lease_gone(&error) => Ok(false),
            done => done.map(|_| true).map_err(failed),
        }
    }

    /// The revision of the write, or `None` when its conditions did not hold.
    async fn commit(&self, txn: Txn) -> std::result::Result<Option<i64>, Failure> {
        let response = self.client.clone().txn(txn).await?;
        let revision = response.header().map(etcd_client::ResponseHeader::revision);
        let missing = || Failure::Internal("an answer without a header".into());
        if response.succeeded() {
            revision.ok_or_else(missing).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// gRPC's `NOT_FOUND`: the lease has ended.
fn is_lease_gone(error: &Failure) -> bool {
    const NOT_FOUND: i32 = 5;
    matches!(error, Failure::GRpcStatus(status) if i32::from(status.code()) == NOT_FOUND)
}
