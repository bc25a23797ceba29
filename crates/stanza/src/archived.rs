//! What a message is known by: in an account's archive, and wherever it may come again.

use crate::login::SessionId;

/// A message's id in one archive: time-ordered within it, unique within the cluster. Made by the archive's home, not by the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveId(pub u128);

/// Names a client's stanza for good: one that is tried again after a failure is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// The session that sent it, by the id that it had first.
    pub session: SessionId,
    /// Its number among that session's stanzas.
    pub number: u64,
}
