//! The router's own life in the cluster: joins, stays, fences itself when it may count as dead, and joins again.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use store::{Error, Members};
use tokio::sync::watch;
use tokio::time::Instant;
use topology::{Epoch, Lease, NodeRecord};

use crate::config::{Blind, ClusterConfig, ms};
use crate::core::Core;

/// How long to wait before asking the membership store again.
const AGAIN: Duration = Duration::from_millis(500);

/// This router as a member of the cluster.
pub(crate) struct Member {
    /// What it tells of itself.
    record: Mutex<NodeRecord>,
    /// Its present life; `None` while it has none.
    life: watch::Sender<Option<Life>>,
}

/// A life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) epoch: Epoch,
    pub(crate) lease: Lease,
}

impl Member {
    pub(crate) fn new(record: NodeRecord) -> Self {
        Self {
            record: Mutex::new(record),
            life: watch::Sender::new(None),
        }
    }

    pub(crate) fn life(&self) -> Option<Life> {
        *self.life.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Option<Life>> {
        self.life.subscribe()
    }

    /// Lives one life after another.
    pub(crate) async fn run(self: Arc<Self>, core: Arc<Core>) {
        loop {
            let life = self.join(&core).await;
            tracing::info!(node = %core.node, epoch = life.epoch.0, "joined the cluster");
            self.life.send_replace(Some(life));
            self.stay(&core, life).await;
            tracing::warn!(node = %core.node, epoch = life.epoch.0, "fenced: no slot is served until joined again");
            self.life.send_replace(None);
        }
    }

    /// Tells the others that this router wants no slots any more. `false` when that could not be told.
    pub(crate) async fn give_up_slots(&self, members: &dyn Members) -> bool {
        let Some(life) = self.life() else { return false };
        let record = {
            let mut record = self.record.lock();
            (record.weight, record.draining) = (0, true);
            record.clone()
        };
        members.update(&record, life.epoch, life.lease).await.is_ok()
    }

    async fn join(&self, core: &Core) -> Life {
        let ttl = ms(core.config.cluster.ttl_ms);
        loop {
            let asked = Instant::now();
            let record = self.record.lock().clone();
            match tokio::time::timeout(ttl, core.stores.members.join(&record, ttl)).await {
                Ok(Ok((epoch, lease))) => {
                    core.slots.permit_until(safe_end(asked, ttl));
                    return Life { epoch, lease };
                }
                Ok(Err(error)) => tracing::debug!(%error, "joining the cluster"),
                Err(_) => tracing::debug!("joining the cluster takes too long"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Renews the lease until it has ended.
    async fn stay(&self, core: &Core, life: Life) {
        let config = &core.config.cluster;
        let ttl = ms(config.ttl_ms);
        let mut pause = ttl / 3;
        loop {
            tokio::time::sleep(pause).await;
            pause = ttl / 3;
            let asked = Instant::now();
            let answer = tokio::time::timeout(ttl / 3, core.stores.members.keep_alive(life.lease)).await;
            if asked.elapsed() > ttl * 2 / 3 && !matches!(answer, Ok(Ok(()) | Err(Error::Precondition(_)))) {
                // The process slept meanwhile: nobody knows yet whether the store is away or this life is over.
                pause = Duration::ZERO;
                continue;
            }
            match answer {
                Ok(Ok(())) => core.slots.permit_until(safe_end(asked, ttl)),
                Ok(Err(Error::Precondition(_))) => return,
                Ok(Err(_)) | Err(_) if goes_on(config) => core.slots.permit_until(Instant::now() + ttl),
                Ok(Err(_)) | Err(_) if core.slots.is_permitted() => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

fn goes_on(config: &ClusterConfig) -> bool {
    config.blind == Blind::Serve
}

/// When a lease asked for at `asked` may end at the earliest, with a margin for clocks that run at different speeds.
fn safe_end(asked: Instant, ttl: Duration) -> Instant {
    asked + ttl.mul_f32(0.9)
}
