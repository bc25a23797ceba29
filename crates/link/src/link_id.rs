//! Names connections, so that what a dead one still says is not taken for the living one's.

use std::sync::atomic::{AtomicU64, Ordering};

/// One connection of a link: a link that comes back has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId(pub(crate) u64);

impl LinkId {
    /// One that no other connection of this process has.
    pub(crate) fn fresh() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
