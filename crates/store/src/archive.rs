//! Append-only logs by owner and name: offline messages now, message archives and room histories later.

use async_trait::async_trait;
use bytes::Bytes;
pub use stanza::ArchiveId as EntryId;
use stanza::{Bare, Jid, Timestamp};

use crate::Result;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// When it was accepted.
    pub at: Timestamp,
    /// The other party.
    pub with: Option<Jid>,
    /// Unique key within the log against repetition (session id and stanza number), if any.
    pub key: Option<Bytes>,
    /// The stanza, canonical.
    pub stanza: Bytes,
}

/// An entry and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Whose log.
    pub owner: Bare,
    /// Which log, such as `offline`.
    pub log: &'static str,
    /// What to keep.
    pub entry: Entry,
}

/// What to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Only entries after this id.
    pub after: Option<EntryId>,
    /// Only entries before this id.
    pub before: Option<EntryId>,
    /// Only entries with this party (bare matches all its resources).
    pub with: Option<Jid>,
    /// Only entries at or after this time.
    pub start: Option<Timestamp>,
    /// Only entries at or before this time.
    pub end: Option<Timestamp>,
    /// At most so many; the *last* so many when `backwards`.
    pub limit: u32,
    /// Take the page from the end (still answered in ascending order).
    pub backwards: bool,
}

/// A page in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether there are no more in the direction asked.
    pub complete: bool,
}

/// Append-only logs.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Appends all entries durably in one step; an entry whose `key` is in its log already is left out, as is one
    /// whose id is. Returns for each entry the id under which it stands (its own, or that of its first self).
    async fn append(&self, entries: &[Append]) -> Result<Vec<EntryId>>;
    /// Reads a page.
    async fn page(&self, owner: &Bare, log: &str, request: &PageRequest) -> Result<Page>;
    /// How many entries the log holds.
    async fn count(&self, owner: &Bare, log: &str) -> Result<u64>;
    /// Removes entries up to and including `last`. Returns how many.
    async fn trim(&self, owner: &Bare, log: &str, last: EntryId) -> Result<u64>;
    /// Removes these entries, as far as they are there. Returns how many.
    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<u64>;
}

impl PageRequest {
    /// Whether `entry` is among what is asked for, the limit aside.
    pub fn fits(&self, entry: &Entry) -> bool {
        self.after.is_none_or(|after| entry.id > after)
            && self.before.is_none_or(|before| entry.id < before)
            && self.start.is_none_or(|start| entry.at >= start)
            && self.end.is_none_or(|end| entry.at <= end)
            && self
                .with
                .as_ref()
                .is_none_or(|with| entry.with.as_ref().is_some_and(|party| matches(with, party)))
    }
}

fn matches(asked: &Jid, party: &Jid) -> bool {
    if asked.is_bare() {
        asked.bare() == party.bare()
    } else {
        asked == party
    }
}
