//! The router's own life in the cluster: joins, stays, fences itself when it may count as dead, and joins again.
//!
//! A router that does not reach the membership store asks its peers to renew its lease, as edges do: cut off from the store alone, it
//! stays a member. If none of them reaches the store either, nobody can give its slots away, and it may go on ([`Blind`]). If none
//! of them answers, nobody knows: it fences itself before its lease can end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
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
/// How soon after a router was buried it is not buried again.
const BURIED: Duration = Duration::from_secs(60);

/// This router as a member of the cluster.
pub(crate) struct Member {
    /// What it tells of itself.
    record: Mutex<NodeRecord>,
    /// Its present life; `None` while it has none.
    life: watch::Sender<Option<Life>>,
    /// The newest snapshot that a peer brought.
    heard: watch::Sender<Arc<Snapshot>>,
    /// When routers were last buried by this one.
    buried: Mutex<BTreeMap<NodeId, Instant>>,
    /// Whether this process has not looked yet for a former life of its own.
    is_new: AtomicBool,
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
            buried: Mutex::default(),
            is_new: AtomicBool::new(true),
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
                Ok(Err(Error::Conflict)) => self.bury_former(core, &record).await,
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
            let asked = Instant::now();
            let (renewal, by) = self.renew(core, life, usual, ttl).await;
            // What peers tell may be all that it hears of the slot table: it must not fall far behind. Nor may a round that failed cost the lease.
            pause = if (renewal, by) == (Renewal::Renewed, "store") {
                ttl / 3
            } else {
                ttl / 12
            };
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
                Renewal::Renewed => {
                    core.slots.permit_until(safe_end(asked, ttl));
                    if !core.slots.is_permitted() {
                        pause = Duration::ZERO; // it slept while it asked, and the lease goes on
                    }
                }
                Renewal::Ended => return,
                Renewal::Blind if goes_on(&core.config.cluster) => core.slots.permit_until(Instant::now() + ttl),
                Renewal::Blind | Renewal::Unknown if core.slots.is_permitted() => {}
                Renewal::Blind | Renewal::Unknown => return,
            }
        }
    }

    /// Renews the lease, if need be by way of a peer; says by which way. Takes at most half of `ttl`.
    async fn renew(&self, core: &Core, life: Life, usual: &str, ttl: Duration) -> (Renewal, &'static str) {
        let store = ask_store(core, life, ttl / 4).fuse();
        tokio::pin!(store);
        if usual == "store"
            && let Some(renewal) = store.as_mut().await
        {
            return (renewal, "store");
        }
        let peers = self.ask_peers(core, life, ttl / 4);
        if usual == "store" {
            return peers.await;
        }
        // Of late it was peers that answered: the store is asked beside them, and preferred when it is quick.
        tokio::pin!(peers);
        tokio::select! {
            biased;
            Some(renewal) = &mut store => (renewal, "store"),
            answer = &mut peers => match tokio::time::timeout(ttl / 24, store).await {
                Ok(Some(renewal)) => (renewal, "store"),
                _ => answer,
            },
        }
    }

    async fn ask_peers(&self, core: &Core, life: Life, patience: Duration) -> (Renewal, &'static str) {
        if is_alone(core) {
            return (Renewal::Blind, "nobody");
        }
        let (renewal, snapshot) = core.peers.keep_alive(life.lease, patience).await;
        if let Some(snapshot) = snapshot {
            self.heard.send_replace(snapshot);
        }
        (renewal, "peer")
    }

    /// Ends the life of a router at whose address nothing listens any more. Not twice in a short time: then it lives, and something on the way to it
    /// refuses in its place.
    pub(crate) async fn bury(&self, core: &Core, router: &NodeId, epoch: Epoch) {
        let now = Instant::now();
        let lately = |buried: &Instant| now.duration_since(*buried) < BURIED;
        if self.buried.lock().get(router).is_some_and(lately) {
            return;
        }
        if end_life(core, router, epoch).await {
            self.buried.lock().insert(router.clone(), now);
            tracing::warn!(%router, epoch = epoch.0, "dead: nothing listens at its address any more");
        }
    }

    /// A former life of this node still counts as alive, at the address where this process listens now: it is over. Looked for once: two
    /// processes with one name and one address must not end each other for ever.
    async fn bury_former(&self, core: &Core, record: &NodeRecord) {
        let snapshot = core.snapshot.borrow().clone();
        let former = snapshot.member(&record.id);
        if let Some(former) = former.filter(|former| former.record.address == record.address)
            && self.is_new.swap(false, Ordering::Relaxed)
            && end_life(core, &record.id, former.epoch).await
        {
            tracing::info!(epoch = former.epoch.0, "ended the former life of this node");
        }
    }
}

/// Ends a life that is over, so that nobody waits for its lease to end. Returns whether it still counted as alive.
async fn end_life(core: &Core, node: &NodeId, epoch: Epoch) -> bool {
    match core.stores.members.bury(node, epoch).await {
        Ok(ended) => {
            if ended {
                gauges::buried();
            }
            ended
        }
        Err(error) => {
            tracing::debug!(%error, %node, "burying a dead node");
            false
        }
    }
}

/// `None` when the store does not answer in time.
async fn ask_store(core: &Core, life: Life, patience: Duration) -> Option<Renewal> {
    match tokio::time::timeout(patience, core.stores.members.keep_alive(life.lease)).await {
        Ok(Ok(())) => Some(Renewal::Renewed),
        Ok(Err(Error::Precondition(_))) => Some(Renewal::Ended),
        Ok(Err(error)) => {
            tracing::debug!(%error, "renewing the lease");
            None
        }
        Err(_) => None,
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
