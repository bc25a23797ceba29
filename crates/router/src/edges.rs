//! The edges that are linked to this router.

use std::collections::{BTreeMap, BTreeSet};

use link::EdgeRef;
use parking_lot::Mutex;
use stanza::SessionId;
use tokio::sync::watch;
use topology::{Epoch, NodeId, Slot};

/// The edges that are linked to this router.
pub(crate) struct Edges {
    edges: Mutex<BTreeMap<NodeId, Known>>,
    /// Counts changes.
    changes: watch::Sender<u64>,
}

struct Known {
    edge: EdgeRef,
    /// The slot table up to which it has attached its sessions, but those of the slots that are pending; `None` until it has said so.
    attached: Option<u64>,
    pending: BTreeSet<Slot>,
}

impl Known {
    fn new(edge: EdgeRef) -> Self {
        Self {
            edge,
            attached: None,
            pending: BTreeSet::new(),
        }
    }

    fn has_attached(&self, slot: Slot, table: u64) -> bool {
        self.attached >= Some(table) && !self.pending.contains(&slot)
    }

    /// Whether it is in this process: then its sessions are always attached.
    fn is_local(&self) -> bool {
        self.attached == Some(u64::MAX)
    }
}

impl Edges {
    pub(crate) fn new() -> Self {
        Self {
            edges: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// A link is up. An older life of the edge is forgotten, and returned.
    pub(crate) fn up(&self, edge: EdgeRef) -> Option<Epoch> {
        let mut older = None;
        self.change(|edges| {
            let epoch = edge.epoch;
            let before = edges.insert(edge.id.clone(), Known::new(edge));
            older = before.map(|known| known.edge.epoch).filter(|before| *before < epoch);
        });
        older
    }

    /// A link broke.
    pub(crate) fn down(&self, id: &NodeId, epoch: Epoch) {
        self.change(|edges| {
            if edges.get(id).is_some_and(|known| known.edge.epoch == epoch) {
                edges.remove(id);
            }
        });
    }

    /// The edge has attached its sessions by the slot table `table`, but those of the slots in `pending`. Returns whether it has said more than
    /// before.
    pub(crate) fn attached(&self, edge: &EdgeRef, table: u64, pending: BTreeSet<Slot>) -> bool {
        let mut is_news = false;
        self.change(|edges| {
            let known = edges.get_mut(&edge.id).filter(|known| known.edge.epoch == edge.epoch);
            if let Some(known) = known.filter(|known| known.attached <= Some(table)) {
                is_news = known.attached < Some(table) || !known.pending.is_subset(&pending);
                (known.attached, known.pending) = (Some(table), pending);
            }
        });
        is_news
    }

    /// Those of `slots` whose sessions some edge has still to attach by the slot table `table`: one that is linked, or of `live`.
    pub(crate) fn awaited(&self, live: &[(NodeId, Epoch)], slots: &BTreeSet<Slot>, table: u64) -> BTreeSet<Slot> {
        let edges = self.edges.lock();
        let is_linked = |(id, epoch): &(NodeId, Epoch)| edges.get(id).is_some_and(|known| known.edge.epoch == *epoch);
        if !live.iter().all(is_linked) || edges.values().any(|known| known.attached < Some(table)) {
            return slots.clone();
        }
        let pending = |known: &Known| slots.intersection(&known.pending).copied().collect::<Vec<_>>();
        edges.values().flat_map(pending).collect()
    }

    /// Tells the edge that the session's stanzas up to `number` are done. One in this process knows when the call returns.
    pub(crate) fn done(&self, edge: &(NodeId, Epoch), session: SessionId, number: u64) {
        let edges = self.edges.lock();
        let known = edges.get(&edge.0).filter(|known| known.edge.epoch == edge.1);
        if let Some(known) = known.filter(|known| !known.is_local()) {
            known.edge.edge.done(session, number);
        }
    }

    /// Whether the edge is linked in that life.
    pub(crate) fn is_up(&self, id: &NodeId, epoch: Epoch) -> bool {
        self.edges.lock().get(id).is_some_and(|known| known.edge.epoch == epoch)
    }

    /// Whether the edge has attached its sessions of `slot` by the slot table `table`.
    pub(crate) fn has_attached(&self, id: &NodeId, epoch: Epoch, slot: Slot, table: u64) -> bool {
        let edges = self.edges.lock();
        let known = edges.get(id).filter(|known| known.edge.epoch == epoch);
        known.is_some_and(|known| known.has_attached(slot, table))
    }

    /// Whether the edge is in this process: it lives as long as this router does.
    pub(crate) fn is_local(&self, id: &NodeId, epoch: Epoch) -> bool {
        let edges = self.edges.lock();
        let known = edges.get(id).filter(|known| known.edge.epoch == epoch);
        known.is_some_and(Known::is_local)
    }

    /// The linked edges in order of their names.
    pub(crate) fn all(&self) -> Vec<EdgeRef> {
        self.edges.lock().values().map(|known| known.edge.clone()).collect()
    }

    /// The linked edges in other processes but `gone` that have attached their sessions of `slot` by the slot table `table`, beginning at one
    /// that depends on `session`: so sessions are spread.
    pub(crate) fn others(&self, gone: &NodeId, session: SessionId, (slot, table): (Slot, u64)) -> Vec<EdgeRef> {
        let edges = self.edges.lock();
        let others = edges
            .values()
            .filter(|known| !known.is_local() && known.has_attached(slot, table) && known.edge.id != *gone);
        let mut others: Vec<EdgeRef> = others.map(|known| known.edge.clone()).collect();
        let first = session.0 as usize % others.len().max(1);
        others.rotate_left(first);
        others
    }

    /// Changes, to wait for.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<NodeId, Known>)) {
        change(&mut self.edges.lock());
        self.changes.send_modify(|n| *n += 1);
    }
}
