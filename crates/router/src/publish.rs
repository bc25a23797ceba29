//! The eldest router publishes the slot table when membership changes. If it does not, though it lives, the next in age does: it may be
//! cut off from the membership store and kept alive by its peers. Of two that publish, the store lets one.

use std::sync::Arc;
use std::time::Duration;

use store::Error;
use tokio::time::Instant;
use topology::{Epoch, NodeId, Role, SlotTable, Snapshot};

use crate::core::Core;
use crate::member::{Life, Member};

/// Between two steps, so that homes move a few at a time.
const PACE: Duration = Duration::from_millis(200);
/// How long to wait before asking the membership store again.
const AGAIN: Duration = Duration::from_millis(500);

/// How long a router leaves it to each one that is older.
const STEP_IN: Duration = Duration::from_secs(2);

/// Publishes tables whenever it is this router's turn to.
pub(crate) async fn run(core: Arc<Core>, member: Arc<Member>) {
    let mut snapshots = core.snapshot.subscribe();
    let mut life = member.watch();
    // The table that is to change, and since when.
    let mut wanted = (0, Instant::now());
    loop {
        let now = *life.borrow_and_update();
        let snapshot = snapshots.borrow_and_update().clone();
        if let Some((next, wait)) = now.and_then(|life| next(&core, life, &snapshot)) {
            if wanted.0 != snapshot.table.revision + 1 {
                wanted = (snapshot.table.revision + 1, Instant::now());
            }
            tokio::select! {
                () = tokio::time::sleep_until(wanted.1 + wait) => {}
                _ = life.changed() => continue,
                _ = snapshots.changed() => continue, // whatever else changes, the older ones have had their time
            }
            match core.stores.members.publish(&next).await {
                Ok(()) => tokio::time::sleep(PACE).await,
                // Somebody else was faster: the watch will tell.
                Err(Error::Conflict) => {}
                Err(error) => {
                    tracing::debug!(%error, "publishing the slot table");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            }
        }
        tokio::select! {
            _ = life.changed() => {}
            _ = snapshots.changed() => {}
        }
    }
}

/// The next table, when something is to change, and how long to leave it to those that are older.
fn next(core: &Core, life: Life, snapshot: &Snapshot) -> Option<(SlotTable, Duration)> {
    let routers: Vec<(NodeId, Epoch, u32)> = snapshot
        .of_role(Role::Router)
        .map(|member| (member.record.id.clone(), member.epoch, member.record.weight))
        .collect();
    let lives = routers
        .iter()
        .any(|(id, epoch, _)| (id, *epoch) == (&core.node, life.epoch));
    let older = routers.iter().filter(|(_, epoch, _)| *epoch < life.epoch).count();
    let wait = STEP_IN * u32::try_from(older).unwrap_or(u32::MAX);
    let next = snapshot.table.next(&routers, core.config.cluster.moves as usize)?;
    lives.then_some((next, wait))
}
