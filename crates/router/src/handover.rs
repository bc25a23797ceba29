//! Slots come and go: what was lost is finished and given away, what was gained waits for its sessions and opens.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use topology::{Role, Slot};

use crate::cells::{Cell, State};
use crate::config::ms;
use crate::core::Core;
use crate::gauges;
use crate::ghosts;
use crate::slots::Phase;

/// Longest time that presence and locations of a lost slot may take to be written.
const LAST_WRITE: Duration = Duration::from_secs(1);

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

/// Carries changes out, in order.
pub(crate) async fn run(core: Arc<Core>, mut changes: mpsc::Receiver<Change>) {
    while let Some(change) = changes.recv().await {
        core.slots.open(&change.fresh, change.table);
        core.slots.serve(&change.fresh, change.table);
        if !change.gained.is_empty() {
            core.slots.open(&change.gained, change.table);
            tokio::spawn(open(core.clone(), change.gained, change.table));
        }
        if !change.lost.is_empty() {
            seal(&core, &change.lost, change.table).await;
        }
        core.sealed.send_replace(change.table);
        for edge in core.edges.all() {
            edge.edge.sealed(change.table);
        }
        count(&core);
    }
}

/// Finishes what is in work for `slots`, writes what is behind, and forgets their accounts. Their sessions live on at their
/// edges, which attach them to the next home.
async fn seal(core: &Core, slots: &[Slot], table: u64) {
    core.slots.set(slots, Phase::Closed, table);
    if !core.slots.quiet(slots, ms(core.config.cluster.seal_ms)).await {
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
}

async fn forget(core: &Core, cell: &Arc<Cell>) {
    let state = std::mem::replace(&mut *cell.state.lock().await, State::Cold);
    core.cells.remove(cell);
    if let State::Loaded(account) = state {
        for (id, session) in &account.sessions {
            core.directory.remove(*id, &session.handle);
            gauges::session(false);
        }
    }
}

/// Opens slots once every live edge has attached its sessions, or has had time enough to do so.
async fn open(core: Arc<Core>, slots: Vec<Slot>, table: u64) {
    let deadline = Instant::now() + ms(core.config.cluster.opening_ms);
    let mut edges = core.edges.watch();
    let mut members = core.snapshot.subscribe();
    while !all_attached(&core, table) {
        tokio::select! {
            _ = edges.changed() => {}
            _ = members.changed() => {}
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
    core.slots.serve(&slots, table);
    count(&core);
    ghosts::lay(core, slots, table).await;
}

fn all_attached(core: &Core, table: u64) -> bool {
    let snapshot = core.snapshot.borrow().clone();
    let live = snapshot
        .of_role(Role::Edge)
        .all(|edge| core.edges.has_attached(&edge.record.id, edge.epoch, table));
    live && core
        .edges
        .all()
        .iter()
        .all(|edge| core.edges.has_attached(&edge.id, edge.epoch, table))
}

fn count(core: &Core) {
    let (serving, opening) = core.slots.count();
    gauges::slots(serving, opening);
}
