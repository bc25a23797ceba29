//! The eldest router publishes the slot table when membership changes.

use std::sync::Arc;
use std::time::Duration;

use store::Error;
use topology::{Epoch, NodeId, Role, SlotTable, Snapshot};

use crate::core::Core;
use crate::member::{Life, Member};

/// Between two steps, so that homes move a few at a time.
const PACE: Duration = Duration::from_millis(200);
/// How long to wait before asking the membership store again.
const AGAIN: Duration = Duration::from_millis(500);

/// Publishes tables whenever it is this router's turn to.
pub(crate) async fn run(core: Arc<Core>, member: Arc<Member>) {
    let mut snapshots = core.snapshot.subscribe();
    let mut life = member.watch();
    loop {
        let now = *life.borrow_and_update();
        let snapshot = snapshots.borrow_and_update().clone();
        if let Some(next) = now.and_then(|life| next(&core, life, &snapshot)) {
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

/// The next table, when this router is the eldest and something is to change.
fn next(core: &Core, life: Life, snapshot: &Snapshot) -> Option<SlotTable> {
    let routers: Vec<(NodeId, Epoch, u32)> = snapshot
        .of_role(Role::Router)
        .map(|member| (member.record.id.clone(), member.epoch, member.record.weight))
        .collect();
    let eldest = routers.iter().min_by_key(|(_, epoch, _)| *epoch)?;
    if eldest.0 != core.node || eldest.1 != life.epoch {
        return None;
    }
    snapshot.table.next(&routers, core.config.cluster.moves as usize)
}
