//! Follows membership and slot table, and says what they change for this router.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use topology::{Slot, SlotTable, Snapshot};

use crate::core::Core;
use crate::handover::Change;
use crate::lost;
use crate::member::{Life, Member};
use crate::slots::Phase;

/// How long to wait before asking the membership store again.
const AGAIN: Duration = Duration::from_millis(500);

/// Follows membership for ever.
pub(crate) async fn run(core: Arc<Core>, member: Arc<Member>, changes: mpsc::Sender<Change>) {
    let mut held = BTreeMap::new();
    let mut life = member.watch();
    let mut heard = member.heard();
    loop {
        let mut snapshots = watch_members(&core).await;
        loop {
            let now = *life.borrow_and_update();
            let snapshot = newer(&snapshots.borrow_and_update(), &heard.borrow_and_update());
            if !apply(&core, now, snapshot, &mut held, &changes).await {
                return;
            }
            tokio::select! {
                _ = life.changed() => {}
                _ = heard.changed() => {}
                changed = snapshots.changed() => if changed.is_err() { break },
            }
        }
    }
}

/// What the store told, or what a peer did while the store was silent.
fn newer(told: &Snapshot, heard: &Snapshot) -> Snapshot {
    let newer = if heard.revision > told.revision { heard } else { told };
    newer.clone()
}

async fn watch_members(core: &Core) -> watch::Receiver<Snapshot> {
    loop {
        match core.stores.members.watch().await {
            Ok(snapshots) => return snapshots,
            Err(error) => tracing::debug!(%error, "watching the cluster"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn apply(
    core: &Arc<Core>,
    life: Option<Life>,
    snapshot: Snapshot,
    held: &mut BTreeMap<Slot, u64>,
    changes: &mpsc::Sender<Change>,
) -> bool {
    let known = core.snapshot.borrow().clone();
    if snapshot.revision < known.revision {
        return true;
    }
    let change = difference(core, life, &snapshot.table, held);
    // At once: nothing new begins in slots that another router is to open. A life that is over ends all work.
    match life {
        Some(_) => core.slots.close(&change.lost, change.table),
        None => core.slots.set(&change.lost, Phase::Closed, change.table),
    }
    let is_news = change.table > known.table.revision || !change.lost.is_empty() || !change.gained.is_empty();
    if known.members != snapshot.members {
        tokio::spawn(lost::bury(core.clone()));
    }
    core.snapshot.send_replace(Arc::new(snapshot));
    !is_news || changes.send(change).await.is_ok()
}

/// `held`: the slots of the last table, each with its slot epoch. One with another epoch was another router's between the two, and what is known
/// here of its sessions may be of before that.
fn difference(core: &Core, life: Option<Life>, table: &SlotTable, held: &mut BTreeMap<Slot, u64>) -> Change {
    let mine = life
        .map(|life| table.slots_of(&core.node, life.epoch))
        .unwrap_or_default();
    let epoch = |slot: Slot| table.at(slot).map_or(0, |(_, _, slot_epoch)| slot_epoch);
    let mine: BTreeMap<Slot, u64> = mine.into_iter().map(|slot| (slot, epoch(slot))).collect();
    let lost = beyond(held, &mine).collect();
    let (fresh, gained) = beyond(&mine, held).partition(|slot| epoch(*slot) == 1);
    *held = mine;
    Change {
        table: table.revision,
        lost,
        fresh,
        gained,
    }
}

/// The slots of the first that the second does not have in the same epoch.
fn beyond<'a>(these: &'a BTreeMap<Slot, u64>, those: &'a BTreeMap<Slot, u64>) -> impl Iterator<Item = Slot> + 'a {
    let missing = |(slot, epoch): &(&Slot, &u64)| those.get(slot) != Some(epoch);
    these.iter().filter(missing).map(|(slot, _)| *slot)
}
