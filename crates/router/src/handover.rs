//! Slots come and go: what was lost is finished and given away, what was gained waits for its sessions and opens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use topology::{Role, Slot};

use crate::cells::{Cell, State};
use crate::config::ms;
use crate::core::Core;
use crate::entrust::entrust_lone;
use crate::gauges;
use crate::ghosts;
use crate::records;
use crate::resume;

/// Longest time that presence and locations of a lost slot may take to be written.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// How much longer than what was begun what arrives may take.
const LAST_ARRIVAL: Duration = Duration::from_millis(200);

/// What a slot table changes for this router.
pub(crate) struct Change {
    /// The slot table's revision.
    pub(crate) table: u64,
    pub(crate) lost: Vec<Slot>,
    /// Slots that nobody ever had: there is nothing to wait for.
    pub(crate) fresh: Vec<Slot>,
    /// Slots that another router had.
    pub(crate) gained: Vec<Slot>,
}

/// Carries changes out: they begin in order and end in order, but none waits for another. A slot that comes back while it is still
/// being given away opens after that.
pub(crate) async fn run(core: Arc<Core>, mut changes: mpsc::Receiver<Change>) {
    let mut seals = FuturesOrdered::new();
    // By slot that is being given away: the table that took it.
    let mut leaving = BTreeMap::<Slot, u64>::new();
    loop {
        tokio::select! {
            Some(change) = seals.next() => {
                let Change { table, gained, .. } = change;
                leaving.retain(|_, taken| *taken > table);
                gain(&core, gained, table);
                tell_sealed(&core, table);
            }
            change = changes.recv() => {
                let Some(mut change) = change else { return };
                core.slots.open(&change.fresh, change.table);
                core.slots.serve(&change.fresh, change.table);
                leaving.extend(change.lost.iter().map(|slot| (*slot, change.table)));
                let (back, gained) = change.gained.into_iter().partition(|slot| leaving.contains_key(slot));
                gain(&core, gained, change.table);
                change.gained = back;
                seals.push_back(give_away(core.clone(), change));
            }
        }
    }
}

fn gain(core: &Arc<Core>, slots: Vec<Slot>, table: u64) {
    if !slots.is_empty() {
        core.slots.open(&slots, table);
        tokio::spawn(open(core.clone(), slots, table));
    }
}

async fn give_away(core: Arc<Core>, change: Change) -> Change {
    if !change.lost.is_empty() {
        seal(&core, &change.lost, &change.gained).await;
    }
    change
}

fn tell_sealed(core: &Core, table: u64) {
    core.sealed.send_replace(table);
    for edge in core.edges.all() {
        edge.edge.sealed(table);
    }
    count(core);
}

/// Finishes what was begun in `slots`, then what arrives; writes what is behind, and forgets their accounts. Their sessions live
/// on at their edges, which attach them to the next home.
///
/// What was begun may have to wait for other homes that give slots away at the same time, but only for what they are about to
/// finish themselves: a slot that closes still takes in what arrives, and one that does so no longer opens elsewhere whatever
/// goes on here.
///
/// Those of `slots` that are `back` by the same table were elsewhere in between: what is known here of their sessions is of before that.
async fn seal(core: &Arc<Core>, slots: &[Slot], back: &[Slot]) {
    let began = Instant::now();
    let back: BTreeSet<Slot> = back.iter().copied().collect();
    let lone: BTreeSet<Slot> = slots.iter().copied().filter(|slot| !back.contains(slot)).collect();
    let settled = async {
        entrust_lone(core, |slot| lone.contains(&slot)).await;
        resume::end_lone(core, |slot| lone.contains(&slot)).await;
    };
    let _ = tokio::time::timeout(ms(core.config.cluster.seal_ms), settled).await;
    let until = began + ms(core.config.cluster.seal_ms);
    let finished = core.slots.finished(slots, until).await;
    core.slots.shut(slots);
    if !finished || !core.slots.idle(slots, until + LAST_ARRIVAL).await {
        gauges::dropped("work of a lost slot");
        tracing::warn!(slots = slots.len(), "gave slots away with stanzas in work");
    }
    let written = tokio::time::timeout(LAST_WRITE, core.behind.flush(&core.stores)).await;
    if written != Ok(true) {
        tracing::warn!("gave slots away before presence and locations were written");
    }
    let lost = slots.iter().copied().collect();
    core.behind.forget(&lost);
    for cell in core.cells.of_slots(|slot| lost.contains(&slot)) {
        forget(core, &cell).await;
    }
    tracing::info!(slots = slots.len(), took = ?began.elapsed(), "gave slots away");
}

async fn forget(core: &Core, cell: &Arc<Cell>) {
    let state = std::mem::replace(&mut *cell.state.lock().await, State::Cold);
    core.cells.remove(cell);
    if let State::Loaded(account) = state {
        for session in account.sessions.values() {
            core.directory.remove(session.id, &session.handle);
            gauges::session(false);
        }
    }
}

/// Opens each slot once every live edge has attached its sessions of it; in the end all, when that has taken too long.
async fn open(core: Arc<Core>, slots: Vec<Slot>, table: u64) {
    let began = Instant::now();
    let deadline = began + ms(core.config.cluster.opening_ms);
    let mut edges = core.edges.watch();
    let mut members = core.snapshot.subscribe();
    let mut left: BTreeSet<Slot> = slots.into_iter().collect();
    while !left.is_empty() {
        let awaited = if Instant::now() < deadline {
            awaited(&core, &left, table)
        } else {
            BTreeSet::new()
        };
        let ready: Vec<Slot> = left.difference(&awaited).copied().collect();
        if !ready.is_empty() {
            core.slots.serve(&ready, table);
            count(&core);
            let (slots, pending, took) = (ready.len(), awaited.len(), began.elapsed());
            tracing::info!(table, slots, pending, ?took, "opened slots");
            tokio::spawn(records::recover(core.clone(), ready.clone()));
            tokio::spawn(ghosts::lay(core.clone(), ready, table));
        }
        left = awaited;
        tokio::select! {
            _ = edges.changed() => {}
            _ = members.changed() => {}
            () = tokio::time::sleep_until(deadline) => {}
        }
    }
}

fn awaited(core: &Core, slots: &BTreeSet<Slot>, table: u64) -> BTreeSet<Slot> {
    let snapshot = core.snapshot.borrow().clone();
    let live: Vec<_> = snapshot
        .of_role(Role::Edge)
        .map(|edge| (edge.record.id.clone(), edge.epoch))
        .collect();
    core.edges.awaited(&live, slots, table)
}

fn count(core: &Core) {
    let (serving, opening) = core.slots.count();
    gauges::slots(serving, opening);
}
