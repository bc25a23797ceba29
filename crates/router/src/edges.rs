//! The edges that are linked to this router.

use std::collections::BTreeMap;

use link::EdgeRef;
use parking_lot::Mutex;
use tokio::sync::watch;
use topology::{Epoch, NodeId};

/// The edges that are linked to this router.
pub(crate) struct Edges {
    edges: Mutex<BTreeMap<NodeId, Known>>,
    /// Counts changes.
    changes: watch::Sender<u64>,
}

struct Known {
    edge: EdgeRef,
    /// The slot table up to which it has attached its sessions.
    attached: u64,
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
            let before = edges.insert(edge.id.clone(), Known { edge, attached: 0 });
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

    /// The edge has attached its sessions by the slot table `table`.
    pub(crate) fn attached(&self, edge: &EdgeRef, table: u64) {
        self.change(|edges| {
            if let Some(known) = edges.get_mut(&edge.id).filter(|known| known.edge.epoch == edge.epoch) {
                known.attached = known.attached.max(table);
            }
        });
    }

    /// Whether the edge is linked in that life.
    pub(crate) fn is_up(&self, id: &NodeId, epoch: Epoch) -> bool {
        self.edges.lock().get(id).is_some_and(|known| known.edge.epoch == epoch)
    }

    /// Whether the edge has attached its sessions by the slot table `table`.
    pub(crate) fn has_attached(&self, id: &NodeId, epoch: Epoch, table: u64) -> bool {
        let edges = self.edges.lock();
        edges
            .get(id)
            .is_some_and(|known| known.edge.epoch == epoch && known.attached >= table)
    }

    /// Whether the edge is in this process: it lives as long as this router does.
    pub(crate) fn is_local(&self, id: &NodeId, epoch: Epoch) -> bool {
        self.has_attached(id, epoch, u64::MAX)
    }

    /// The linked edges in order of their names.
    pub(crate) fn all(&self) -> Vec<EdgeRef> {
        self.edges.lock().values().map(|known| known.edge.clone()).collect()
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
