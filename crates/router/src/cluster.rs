//! The router as a member of a cluster: joining, draining, and membership on behalf of edges.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use link::{Registry, Renewal};
use store::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use topology::{Epoch, Lease, NodeId, NodeRecord, Role, Snapshot};

use crate::config::{Blind, ms};
use crate::member::{Life, Member};
use crate::router::Router;
use crate::slots::Phase;
use crate::{follow, handover, publish, resume};

/// Slot tables that may wait to be carried out.
const CHANGES: usize = 16;
/// Longest time that sessions which nobody takes over may take to be ended.
const LAST_SESSIONS: Duration = Duration::from_secs(10);
/// How long to wait before asking the membership store again.
const AGAIN: Duration = Duration::from_millis(200);

/// Longest time that the membership store may take to renew another node's lease.
const ASK: Duration = Duration::from_millis(500);

/// What a health check needs to know of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it may act as a home: it is alone, or a living member of its cluster.
    pub permitted: bool,
    /// Slots it serves.
    pub serving: usize,
    /// Slots that wait for their sessions.
    pub opening: usize,
    /// Sessions here.
    pub sessions: usize,
}

impl Router {
    /// Joins the cluster as `record` and stays in it. Slots come by the published table.
    pub fn join(&self, mut record: NodeRecord) {
        record.weight = self.core.config.cluster.weight;
        let member = Arc::new(Member::new(record));
        if self.member.set(member.clone()).is_err() {
            return;
        }
        let (changes, work) = mpsc::channel(CHANGES);
        self.tasks.spawn(handover::run(self.core.clone(), work));
        self.tasks
            .spawn(follow::run(self.core.clone(), member.clone(), changes));
        self.tasks.spawn(publish::run(self.core.clone(), member.clone()));
        self.tasks.spawn(member.run(self.core.clone()));
    }

    /// The life in which this router has joined the cluster, once what it follows of the cluster tells of it; `None` when it was not to
    /// join. Its name alone says nothing: after a crash the life before stands there until its lease has ended, and links must not
    /// take this router for that one.
    pub async fn joined(&self) -> Option<Epoch> {
        let mut life = self.member.get()?.watch();
        let mut snapshots = self.core.snapshot.subscribe();
        loop {
            let mine = life.borrow_and_update().map(|life| life.epoch);
            let told = snapshots
                .borrow_and_update()
                .member(&self.core.node)
                .map(|member| member.epoch);
            if mine.is_some() && mine == told {
                return mine;
            }
            tokio::select! {
                changed = life.changed() => changed.ok()?,
                changed = snapshots.changed() => changed.ok()?,
            }
        }
    }

    /// How the router is.
    pub fn health(&self) -> Health {
        let (serving, opening) = self.core.slots.count();
        Health {
            permitted: self.core.slots.is_permitted(),
            serving,
            opening,
            sessions: self.sessions(),
        }
    }

    /// Gives all slots to the other routers and leaves the cluster; at most `cluster.drain_ms`.
    pub async fn drain(&self) {
        let limit = ms(self.core.config.cluster.drain_ms);
        let deadline = Instant::now() + limit;
        if let Some(member) = self.member.get()
            && let Some(life) = member.life()
        {
            if tokio::time::timeout_at(deadline, self.hand_over(member, life))
                .await
                .is_err()
            {
                tracing::warn!("stopping before every slot was taken over");
            }
            let mut trails = self.core.trails.subscribe();
            let _ = tokio::time::timeout_at(deadline, trails.wait_for(|trails| *trails == 0)).await;
            self.tasks.stop();
            let leave = self.core.stores.members.leave(&self.core.node, life.lease);
            let _ = tokio::time::timeout(AGAIN * 10, leave).await;
        }
        let ended = resume::end_lone(&self.core, |_| true);
        let _ = tokio::time::timeout(LAST_SESSIONS, ended).await;
        self.core.slots.set(&self.core.slots.held(), Phase::Closed, u64::MAX);
        let _ = tokio::time::timeout(AGAIN * 10, self.core.behind.flush(&self.core.stores)).await;
    }

    async fn hand_over(&self, member: &Member, life: Life) {
        let mut snapshots = self.core.snapshot.subscribe();
        while self.has_heirs() && !member.give_up_slots(&*self.core.stores.members).await {
            tokio::time::sleep(AGAIN).await;
        }
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let left = snapshot.table.slots_of(&self.core.node, life.epoch).len();
            if left == 0 {
                let mut sealed = self.core.sealed.subscribe();
                let _ = sealed.wait_for(|table| *table >= snapshot.table.revision).await;
                return;
            }
            if !self.has_heirs() || snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether another live router takes slots.
    fn has_heirs(&self) -> bool {
        let snapshot = self.core.snapshot.borrow().clone();
        snapshot
            .of_role(Role::Router)
            .any(|member| member.record.id != self.core.node && member.record.weight > 0)
    }
}

#[async_trait]
impl Registry for Router {
    async fn join(&self, node: NodeRecord, ttl: Duration) -> Option<(Epoch, Lease)> {
        self.core.stores.members.join(&node, ttl).await.ok()
    }

    async fn keep_alive(&self, lease: Lease) -> Renewal {
        // The edge must hear in time that the store is away, whatever the store's own patience.
        let patience = ASK.min(ms(self.core.config.cluster.ttl_ms) / 8);
        let ask = tokio::time::timeout(patience, self.core.stores.members.keep_alive(lease));
        match ask.await {
            Ok(Ok(())) => Renewal::Renewed,
            Ok(Err(Error::Precondition(_))) => Renewal::Ended,
            Ok(Err(_)) | Err(_) if self.core.config.cluster.blind == Blind::Serve && self.core.slots.is_permitted() => {
                Renewal::Blind
            }
            Ok(Err(_)) | Err(_) => Renewal::Unknown,
        }
    }

    async fn leave(&self, node: &NodeId, lease: Lease) {
        if let Err(error) = self.core.stores.members.leave(node, lease).await {
            tracing::debug!(%error, %node, "leaving the cluster");
        }
    }

    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.core.snapshot.subscribe()
    }
}
