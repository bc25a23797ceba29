//! Who is alive, for several nodes in one process that share one `Arc`. Leases end by tokio's clock, so that tests may pause it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use topology::{Epoch, Lease, Member, NodeId, NodeRecord, SlotTable, Snapshot};

use crate::{Error, Result};

/// Who is alive.
pub struct Members {
    state: Arc<State>,
}

struct State {
    lives: Mutex<Lives>,
    told: watch::Sender<Snapshot>,
}

struct Lives {
    revision: u64,
    nodes: BTreeMap<NodeId, Life>,
    table: SlotTable,
    secret: [u8; 32],
}

struct Life {
    member: Member,
    lease: Lease,
    ttl: Duration,
    ends: Instant,
}

impl Default for Members {
    fn default() -> Self {
        let lives = Lives {
            revision: 0,
            nodes: BTreeMap::new(),
            table: SlotTable::empty(),
            secret: rand::random(),
        };
        let (told, _) = watch::channel(Snapshot::empty());
        Self {
            state: Arc::new(State {
                lives: Mutex::new(lives),
                told,
            }),
        }
    }
}

#[async_trait]
impl crate::Members for Members {
    async fn join(&self, node: &NodeRecord, ttl: Duration) -> Result<(Epoch, Lease)> {
        let (epoch, lease) = self.state.write(|lives| {
            if lives.nodes.contains_key(&node.id) {
                return Err(Error::Conflict);
            }
            let epoch = Epoch(lives.revision + 1);
            let lease = Lease(lives.revision.cast_signed() + 1);
            let member = Member {
                record: node.clone(),
                epoch,
            };
            lives.nodes.insert(
                node.id.clone(),
                Life {
                    member,
                    lease,
                    ttl,
                    ends: Instant::now() + ttl,
                },
            );
            Ok((epoch, lease))
        })?;
        tokio::spawn(bury(Arc::downgrade(&self.state), lease));
        Ok((epoch, lease))
    }

    async fn keep_alive(&self, lease: Lease) -> Result<()> {
        self.state.bury(Instant::now());
        let mut lives = self.state.lives.lock();
        let life = lives.nodes.values_mut().find(|life| life.lease == lease);
        let life = life.ok_or(Error::Precondition("the lease has ended"))?;
        life.ends = Instant::now() + life.ttl;
        Ok(())
    }

    async fn update(&self, node: &NodeRecord, epoch: Epoch, lease: Lease) -> Result<()> {
        self.state.write(|lives| {
            let life = lives.nodes.get_mut(&node.id);
            let life = life
                .filter(|life| life.member.epoch == epoch && life.lease == lease)
                .ok_or(Error::Conflict)?;
            life.member.record = node.clone();
            Ok(())
        })
    }

    async fn drain(&self, node: &NodeId) -> Result<bool> {
        self.state.write(|lives| {
            let life = lives.nodes.get_mut(node);
            Ok(life.map(|life| life.member.record.draining = true).is_some())
        })
    }

    async fn leave(&self, node: &NodeId, lease: Lease) -> Result<()> {
        if self
            .state
            .lives
            .lock()
            .nodes
            .get(node)
            .is_none_or(|life| life.lease != lease)
        {
            return Ok(());
        }
        self.state.write(|lives| {
            lives.nodes.remove(node);
            Ok(())
        })
    }

    async fn bury(&self, node: &NodeId, epoch: Epoch) -> Result<bool> {
        let is_that_life = |lives: &Lives| lives.nodes.get(node).is_some_and(|life| life.member.epoch == epoch);
        if !is_that_life(&self.state.lives.lock()) {
            return Ok(false);
        }
        self.state.write(|lives| {
            lives.nodes.remove(node);
            Ok(true)
        })
    }

    async fn publish(&self, table: &SlotTable) -> Result<()> {
        self.state.write(|lives| {
            if lives.table.revision.checked_add(1) != Some(table.revision) {
                return Err(Error::Conflict);
            }
            lives.table = table.clone();
            Ok(())
        })
    }

    async fn watch(&self) -> Result<watch::Receiver<Snapshot>> {
        Ok(self.state.told.subscribe())
    }

    async fn secret(&self) -> Result<[u8; 32]> {
        Ok(self.state.lives.lock().secret)
    }
}

impl State {
    /// One write: raises the revision and tells the watchers, unless refused.
    fn write<T>(&self, change: impl FnOnce(&mut Lives) -> Result<T>) -> Result<T> {
        self.bury(Instant::now());
        let mut lives = self.lives.lock();
        let answer = change(&mut lives)?;
        self.tell(&mut lives);
        Ok(answer)
    }

    fn tell(&self, lives: &mut Lives) {
        lives.revision += 1;
        let members = lives.nodes.values().map(|life| life.member.clone()).collect();
        self.told.send_replace(Snapshot {
            revision: lives.revision,
            members,
            table: lives.table.clone(),
        });
    }

    /// Removes the nodes whose lease has ended.
    fn bury(&self, now: Instant) {
        let mut lives = self.lives.lock();
        let before = lives.nodes.len();
        lives.nodes.retain(|_, life| life.ends > now);
        if lives.nodes.len() < before {
            self.tell(&mut lives);
        }
    }

    fn ends(&self, lease: Lease) -> Option<Instant> {
        self.lives
            .lock()
            .nodes
            .values()
            .find(|life| life.lease == lease)
            .map(|life| life.ends)
    }
}

/// Waits for the end of one lease; holds nothing alive.
async fn bury(state: Weak<State>, lease: Lease) {
    while let Some(ends) = state.upgrade().and_then(|state| state.ends(lease)) {
        tokio::time::sleep_until(ends).await;
        if let Some(state) = state.upgrade() {
            state.bury(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Members as _;
    use crate::suite::members::node;

    #[tokio::test(start_paused = true)]
    async fn leases_end_by_the_paused_clock() {
        let members = Arc::new(Members::default());
        let ttl = Duration::from_secs(6);
        let (_, kept) = members.join(&node("edge-1"), ttl).await.unwrap();
        let (_, lost) = members.join(&node("edge-2"), ttl).await.unwrap();
        let mut watch = members.watch().await.unwrap();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(4)).await;
            members.keep_alive(kept).await.unwrap();
        }
        assert!(matches!(members.keep_alive(lost).await, Err(Error::Precondition(_))));
        let alive: Vec<_> = watch
            .borrow_and_update()
            .members
            .iter()
            .map(|member| member.record.id.to_string())
            .collect();
        assert_eq!(alive, ["edge-1"]);
    }
}
