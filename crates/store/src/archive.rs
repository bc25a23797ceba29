//! Append-only logs by owner and name: what accounts said and heard, and room histories later.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
pub use stanza::ArchiveId as EntryId;
use stanza::{Bare, Jid, Timestamp};

use crate::Result;
use crate::words::{words, words_said};

/// How many words are looked for at a time.
pub const SOUGHT: usize = 32;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id, whose upper half is its time.
    pub id: EntryId,
    /// When it was accepted: the time of its id ([`EntryId::time`]).
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
    /// Which log, such as `archive`.
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
    /// Only entries whose bodies have all the words of these texts, whatever their case ([`words`]). Only what is indexed is found
    /// ([`Archive::index`]), and nothing by texts without a word.
    pub text: Vec<String>,
    /// At most so many; the *last* so many when `backwards`.
    pub limit: u32,
    /// At most so many bytes of stanzas, but at least one entry; 0: as many as there are.
    pub bytes: usize,
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

/// A page that is being read, from the end at which it begins.
pub struct Filling<'a> {
    request: &'a PageRequest,
    bytes: usize,
    entries: Vec<Entry>,
}

impl<'a> Filling<'a> {
    /// Nothing of it is there yet.
    pub fn new(request: &'a PageRequest) -> Self {
        Self {
            request,
            bytes: 0,
            entries: Vec::new(),
        }
    }

    /// Takes the next entry. Returns whether there was room for it: the page is full otherwise, and not the last.
    pub fn take(&mut self, entry: Entry) -> bool {
        self.bytes += entry.stanza.len();
        let is_large = self.request.bytes > 0 && self.bytes > self.request.bytes && !self.entries.is_empty();
        if self.entries.len() >= self.request.limit as usize || is_large {
            return false;
        }
        self.entries.push(entry);
        true
    }

    /// The page; `complete` when all entries found room.
    pub fn page(mut self, complete: bool) -> Page {
        if self.request.backwards {
            self.entries.reverse();
        }
        Page {
            entries: self.entries,
            complete,
        }
    }
}

/// Append-only logs.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Appends all entries durably in one step; an entry whose `key` is in its log already is left out, as is one
    /// whose id is. Returns for each entry the id under which it stands (its own, or that of its first self).
    async fn append(&self, entries: &[Append]) -> Result<Vec<EntryId>>;
    /// Reads a page. It costs the same wherever in the log it lies; with a party named, wherever among the entries with that party.
    async fn page(&self, owner: &Bare, log: &str, request: &PageRequest) -> Result<Page>;
    /// Reads these entries, as far as they are there, in ascending order.
    async fn entries(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<Vec<Entry>>;
    /// The names of the logs that hold anything, in the store's order.
    async fn logs(&self, owner: &Bare) -> Result<Vec<String>>;
    /// How many entries the log holds.
    async fn count(&self, owner: &Bare, log: &str) -> Result<u64>;
    /// How many entries a request without limit would find; `None` when they are more than `most`. Looks at no more than that.
    async fn count_found(&self, owner: &Bare, log: &str, request: &PageRequest, most: u32) -> Result<Option<u32>>;
    /// The newest entry that is not among the `keep` newest: it and all before it are in excess.
    async fn excess(&self, owner: &Bare, log: &str, keep: u32) -> Result<Option<EntryId>>;
    /// Puts another stanza in the place of an entry's, which keeps all else. Returns whether there is such an entry.
    async fn replace(&self, owner: &Bare, log: &str, id: EntryId, stanza: Bytes) -> Result<bool>;
    /// Removes entries up to and including `last`, the oldest first and at most `most`. Returns how many.
    async fn trim(&self, owner: &Bare, log: &str, last: EntryId, most: u32) -> Result<u64>;
    /// Removes these entries, as far as they are there. Returns how many.
    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<u64>;
    /// Brings the index of the log's words up to date, by at most `most` entries, the oldest first. Returns whether it is: to be called
    /// before [`PageRequest::text`] is asked for, until it is.
    async fn index(&self, owner: &Bare, log: &str, most: u32) -> Result<bool>;
}

impl PageRequest {
    /// Whether `entry` is among what is asked for, the limit aside.
    pub fn fits(&self, entry: &Entry) -> bool {
        self.after.is_none_or(|after| entry.id > after)
            && self.before.is_none_or(|before| entry.id < before)
            && self.start.is_none_or(|start| entry.at >= start)
            && self.end.is_none_or(|end| entry.at <= end)
            && self.words().is_none_or(|words| has_all(&entry.stanza, &words))
            && self
                .with
                .as_ref()
                .is_none_or(|with| entry.with.as_ref().is_some_and(|party| matches(with, party)))
    }

    /// The words that all are to occur, if there is a text to look for, the longest first. Of more than [`SOUGHT`] the longest count.
    pub fn words(&self) -> Option<Vec<String>> {
        if self.text.is_empty() {
            return None;
        }
        let words: BTreeSet<String> = self.text.iter().flat_map(|text| words(text)).collect();
        let mut words: Vec<String> = words.into_iter().collect();
        words.sort_by_key(|word| Reverse(word.len()));
        words.truncate(SOUGHT);
        Some(words)
    }
}

fn has_all(stanza: &Bytes, words: &[String]) -> bool {
    let said = words_said(stanza);
    !words.is_empty() && words.iter().all(|word| said.contains(word))
}

fn matches(asked: &Jid, party: &Jid) -> bool {
    if asked.is_bare() {
        asked.bare() == party.bare()
    } else {
        asked == party
    }
}
