//! The router's own life in the cluster: joins, stays, fences itself when it may count as dead, and joins again.
//!
//! A router that does not reach the membership store asks its peers to renew its lease, as edges do: cut off from the store alone, it
//! stays a member. If none of them reaches the store either, nobody can give its slots away, and it may go on ([`Blind`]). If none
//! of them answers, nobody knows: it fences itself before its lease can end.

use std::sync::Arc;
use std::time::Duration;

use link::Renewal;
use parking_lot::Mutex;
use store::{Error, Members};
use tokio::sync::watch;
use tokio::time::Instant;
use topology::{Epoch, Lease, NodeId, NodeRecord, Role, Snapshot};

use crate::config::{Blind, ClusterConfig, ms};
use crate::core::Core;
use crate::gauges;

/// How long to wait before asking the membership store again.
const AGAIN: Duration = Duration::from_millis(500);

/// This router as a member of the cluster.
pub(crate) struct Member {
    /// What it tells of itself.
    record: Mutex<NodeRecord>,
    /// Its present life; `None` while it has none.
    life: watch::Sender<Option<Life>>,
    /// The newest snapshot that a peer brought.
    heard: watch::Sender<Arc<Snapshot>>,
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
            heard: watch::Sender::new(Arc::new(Snapshot::empty())),
        }
    }

    pub(crate) fn life(&self) -> Option<Life> {
        *self.life.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Option<Life>> {
        self.life.subscribe()
    }

    /// What peers tell of membership while the store does not.
    pub(crate) fn heard(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.heard.subscribe()
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
                Ok(Err(Error::Conflict)) => bury_former(core, &record).await,
                Ok(Err(error)) => tracing::debug!(%error, "joining the cluster"),
                Err(_) => tracing::debug!("joining the cluster takes too long"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Renews the lease until it has ended.
    async fn stay(&self, core: &Core, life: Life) {
        let ttl = ms(core.config.cluster.ttl_ms);
        let (mut pause, mut usual) = (ttl / 3, "store");
        loop {
            tokio::time::sleep(pause).await;
            // What peers tell may be all that it hears of the slot table: it must not fall far behind.
            pause = if usual == "store" { ttl / 3 } else { ttl / 6 };
            let asked = Instant::now();
            let (renewal, by) = self.renew(core, life, ttl).await;
            gauges::lease_renewal(by, renewal);
            if by != std::mem::replace(&mut usual, by) {
                tracing::warn!(by, ?renewal, "the lease is renewed by another way than before");
            }
            let is_known = matches!(renewal, Renewal::Renewed | Renewal::Ended);
            if asked.elapsed() > ttl * 2 / 3 && !is_known {
                // The process slept meanwhile: nobody knows yet whether the store is away or this life is over.
                pause = Duration::ZERO;
                continue;
            }
            match renewal {
                Renewal::Renewed => core.slots.permit_until(safe_end(asked, ttl)),
                Renewal::Ended => return,
                Renewal::Blind if goes_on(&core.config.cluster) => core.slots.permit_until(Instant::now() + ttl),
                Renewal::Blind | Renewal::Unknown if core.slots.is_permitted() => {}
                Renewal::Blind | Renewal::Unknown => return,
            }
        }
    }

    /// Renews the lease, if need be by way of a peer; says by which way. Takes at most half of `ttl`.
    async fn renew(&self, core: &Core, life: Life, ttl: Duration) -> (Renewal, &'static str) {
        match tokio::time::timeout(ttl / 4, core.stores.members.keep_alive(life.lease)).await {
            Ok(Ok(())) => return (Renewal::Renewed, "store"),
            Ok(Err(Error::Precondition(_))) => return (Renewal::Ended, "store"),
            Ok(Err(error)) => tracing::debug!(%error, "renewing the lease"),
            Err(_) => tracing::debug!("renewing the lease takes too long"),
        }
        if is_alone(core) {
            return (Renewal::Blind, "nobody");
        }
        let (renewal, snapshot) = core.peers.keep_alive(life.lease, ttl / 4).await;
        if let Some(snapshot) = snapshot {
            self.heard.send_replace(snapshot);
        }
        (renewal, "peer")
    }
}

/// Ends a life that is known to be over, so that nobody waits for its lease to end.
pub(crate) async fn bury(core: &Core, node: &NodeId, epoch: Epoch) {
    match core.stores.members.bury(node, epoch).await {
        Ok(()) => {
            tracing::warn!(%node, epoch = epoch.0, "dead: nothing listens at its address any more");
            gauges::buried();
        }
        Err(error) => tracing::debug!(%error, %node, "burying a dead node"),
    }
}

/// This node's former life still counts as alive. Nobody else can listen at its address, so it is over.
async fn bury_former(core: &Core, record: &NodeRecord) {
    let snapshot = core.snapshot.borrow().clone();
    let former = snapshot.member(&record.id);
    if let Some(former) = former.filter(|former| former.record.address == record.address) {
        bury(core, &record.id, former.epoch).await;
    }
}

fn goes_on(config: &ClusterConfig) -> bool {
    config.blind == Blind::Serve
}

/// Whether there is no other router that could be given the slots.
fn is_alone(core: &Core) -> bool {
    let snapshot = core.snapshot.borrow().clone();
    !snapshot
        .of_role(Role::Router)
        .any(|member| member.record.id != core.node)
}

/// When a lease asked for at `asked` may end at the earliest, with a margin for clocks that run at different speeds.
fn safe_end(asked: Instant, ttl: Duration) -> Instant {
    asked + ttl.mul_f32(0.9)
}
