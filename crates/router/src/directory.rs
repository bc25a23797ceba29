//! The sessions here by id: what is reached without an account's lock.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use stanza::SessionId;

use crate::session::Handle;

const SHARDS: usize = 64;

/// The sessions here by id.
pub(crate) struct Directory {
    shards: Vec<RwLock<HashMap<SessionId, Arc<Handle>>>>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<Arc<Handle>> {
        self.shard(id).read().get(&id).cloned()
    }

    pub(crate) fn insert(&self, id: SessionId, handle: Arc<Handle>) {
        self.shard(id).write().insert(id, handle);
    }

    /// Forgets the session, if `handle` is what is known of it.
    pub(crate) fn remove(&self, id: SessionId, handle: &Arc<Handle>) {
        let mut shard = self.shard(id).write();
        if shard.get(&id).is_some_and(|other| Arc::ptr_eq(other, handle)) {
            shard.remove(&id);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    fn shard(&self, id: SessionId) -> &RwLock<HashMap<SessionId, Arc<Handle>>> {
        // Session ids are random.
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
        let at = id.0 as usize % SHARDS;
        &self.shards[at]
    }
}
