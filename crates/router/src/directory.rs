//! The sessions here by id: what is reached without an account's lock.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use stanza::{Bare, SessionId};
use topology::{Epoch, NodeId};

use crate::session::Handle;

const SHARDS: usize = 64;
/// How many sessions that ended are remembered.
const ENDED: usize = 65_536;

/// The sessions here by id.
pub(crate) struct Directory {
    shards: Vec<RwLock<HashMap<SessionId, Arc<Handle>>>>,
    /// How many of them have no edge.
    lone: AtomicUsize,
    /// Sessions that ended here lately: an edge that has not heard of it may not attach them again.
    ended: Mutex<(HashSet<SessionId>, VecDeque<SessionId>)>,
    /// How much was handled of sessions under stream management that ended here lately, by their first ids.
    handled: Mutex<(HashMap<SessionId, u32>, VecDeque<SessionId>)>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            lone: AtomicUsize::new(0),
            ended: Mutex::default(),
            handled: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<Arc<Handle>> {
        self.shard(id).read().get(&id).cloned()
    }

    pub(crate) fn insert(&self, id: SessionId, handle: Arc<Handle>) {
        let mut shard = self.shard(id).write();
        self.lone
            .fetch_add(usize::from(handle.edge.is_none()), Ordering::SeqCst);
        let before = shard.insert(id, handle);
        self.leaves(before.as_deref());
    }

    /// Forgets the session, if `handle` is what is known of it.
    pub(crate) fn remove(&self, id: SessionId, handle: &Arc<Handle>) {
        let mut shard = self.shard(id).write();
        if shard.get(&id).is_some_and(|other| Arc::ptr_eq(other, handle)) {
            self.leaves(shard.remove(&id).as_deref());
        }
    }

    fn leaves(&self, handle: Option<&Handle>) {
        let was_lone = handle.is_some_and(|handle| handle.edge.is_none());
        self.lone.fetch_sub(usize::from(was_lone), Ordering::SeqCst);
    }

    /// Remembers that the session has ended.
    pub(crate) fn end(&self, id: SessionId, handle: &Arc<Handle>) {
        self.remove(id, handle);
        let (ended, order) = &mut *self.ended.lock();
        if ended.insert(id) {
            order.push_back(id);
        }
        if order.len() > ENDED
            && let Some(oldest) = order.pop_front()
        {
            ended.remove(&oldest);
        }
    }

    /// Remembers how much was handled of a session under stream management that has ended.
    pub(crate) fn note_handled(&self, id: SessionId, h: u32) {
        let (handled, order) = &mut *self.handled.lock();
        if handled.insert(id, h).is_none() {
            order.push_back(id);
        }
        if order.len() > ENDED
            && let Some(oldest) = order.pop_front()
        {
            handled.remove(&oldest);
        }
    }

    /// How much was handled of a session under stream management that ended here lately.
    pub(crate) fn handled(&self, id: SessionId) -> Option<u32> {
        self.handled.lock().0.get(&id).copied()
    }

    /// Whether the session ended here lately.
    pub(crate) fn has_ended(&self, id: SessionId) -> bool {
        self.ended.lock().0.contains(&id)
    }

    /// The edges that hold sessions, each with its life, in order.
    pub(crate) fn edges(&self) -> BTreeSet<(NodeId, Epoch)> {
        let mut edges = BTreeSet::new();
        for shard in &self.shards {
            for handle in shard.read().values() {
                if let Some(edge) = handle.edge.as_ref().filter(|edge| !edges.contains(*edge)) {
                    edges.insert(edge.clone());
                }
            }
        }
        edges
    }

    /// The sessions that `edge` holds in that life, in order.
    pub(crate) fn of_edge(&self, edge: &NodeId, epoch: Epoch) -> Vec<(SessionId, Bare)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.read();
            let of_edge = shard
                .iter()
                .filter(|(_, handle)| handle.edge.as_ref().is_some_and(|at| at.0 == *edge && at.1 == epoch));
            found.extend(of_edge.map(|(id, handle)| (*id, handle.account.clone())));
        }
        found.sort();
        found
    }

    /// Deliveries to all sessions that are not written, and their bytes.
    pub(crate) fn unwritten(&self) -> (u64, usize) {
        let of_shard = |shard: &RwLock<HashMap<SessionId, Arc<Handle>>>| -> Vec<(u64, usize)> {
            shard.read().values().map(|handle| handle.unwritten()).collect()
        };
        let sum = |(deliveries, bytes), (more, their)| (deliveries + more, bytes + their);
        self.shards.iter().flat_map(of_shard).fold((0, 0), sum)
    }

    /// Whether some session has no edge.
    pub(crate) fn has_lone(&self) -> bool {
        self.lone.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    fn shard(&self, id: SessionId) -> &RwLock<HashMap<SessionId, Arc<Handle>>> {
        // Session ids are random.
        let at = id.0 as usize % SHARDS;
        &self.shards[at]
    }
}
