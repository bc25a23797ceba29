//! The world's time, and who has something to do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// A node's place in the world; a node that starts again has the same.
pub(crate) type Seat = usize;

/// Shared by everything in one world.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    now: AtomicU64,
    stirred: Mutex<BTreeSet<Seat>>,
}

impl Pulse {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Milliseconds since the world began.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn advance(&self, by: u64) -> u64 {
        self.now.fetch_add(by, Ordering::Relaxed) + by
    }

    /// The node has something to do before its timers say so.
    pub(crate) fn stir(&self, seat: Seat) {
        self.stirred.lock().insert(seat);
    }

    pub(crate) fn take_stirred(&self) -> BTreeSet<Seat> {
        std::mem::take(&mut self.stirred.lock())
    }
}
