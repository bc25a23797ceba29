//! The accounts whose records are to be written, or that are to be looked at again.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use stanza::Bare;

/// The accounts to be looked at.
#[derive(Default)]
pub(crate) struct Marks(Mutex<BTreeSet<Bare>>);

impl Marks {
    /// This one is.
    pub(crate) fn note(&self, account: &Bare) {
        self.0.lock().insert(account.clone());
    }

    /// All of them, once.
    pub(crate) fn take(&self) -> BTreeSet<Bare> {
        std::mem::take(&mut *self.0.lock())
    }
}
