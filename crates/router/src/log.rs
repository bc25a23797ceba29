//! What a home knows of an account's archive: in what order its messages stand, and which of them still wait for somebody to take
//! them. Pure.
//!
//! Everything up to the *mark* is through: somebody took it, or nobody ever was to. The mark and what is through beyond it are
//! the account's *record*, which is written now and then; a home that begins from an old one reads on from its mark.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use stanza::{ArchiveId, Jid, Timestamp};
use tokio::time::Instant;

/// How many of the newest messages are remembered one by one at most.
const SEEN: usize = 1_024;
/// How many ids beyond the mark a record holds.
const TAKEN: usize = 256;
const FORMAT: u8 = 1;

/// What a home knows of an account's archive.
pub(crate) struct Log {
    /// The newest message.
    last: ArchiveId,
    /// What stands up to here is known, though not one by one.
    floor: ArchiveId,
    /// The newest messages, in order.
    seen: VecDeque<ArchiveId>,
    /// Which message was the newest then. Not the clock by which ids are made, which may jump.
    aged: Option<(Instant, ArchiveId)>,
    /// Those that nobody took yet.
    open: BTreeMap<ArchiveId, Open>,
    /// Those that were taken and are not to stay, and how many sessions still have them, or are to get them.
    spent: BTreeMap<ArchiveId, usize>,
    changed: bool,
}

/// A message that nobody took yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    /// How many sessions have it, or are to get it.
    holders: usize,
    /// Whether it stays when it is taken.
    lasting: bool,
    /// To which address it was said.
    to: Option<Jid>,
}

/// What is written of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Everything up to here is through.
    pub(crate) mark: ArchiveId,
    /// What is through beyond.
    pub(crate) taken: BTreeSet<ArchiveId>,
}

impl Log {
    /// The log as `record` tells it.
    pub(crate) fn new(record: &Record) -> Self {
        Self {
            last: record.taken.last().copied().unwrap_or_default().max(record.mark),
            floor: record.mark,
            seen: record.taken.iter().copied().collect(),
            aged: None,
            open: BTreeMap::new(),
            spent: BTreeMap::new(),
            changed: false,
        }
    }

    /// An id for the next message: its time, and chance. The order holds within a microsecond, and when the clock goes back.
    pub(crate) fn next(&self, now: Timestamp, chance: u128) -> ArchiveId {
        fresh(now, chance).max(ArchiveId(self.last.0 + 1))
    }

    /// Whether a message with that id would be the newest.
    pub(crate) fn is_next(&self, id: ArchiveId) -> bool {
        id > self.last
    }

    /// A message stands in the archive.
    pub(crate) fn append(&mut self, id: ArchiveId) {
        self.last = self.last.max(id);
        if let Err(place) = self.seen.binary_search(&id) {
            self.seen.insert(place, id);
        }
        self.changed = true;
        if self.seen.len() > SEEN {
            self.floor = self.floor.max(self.seen.pop_front().unwrap_or_default());
        }
    }

    /// Remembers no longer one by one what is through and has been here for as long as messages are `fresh`, or at most twice that.
    pub(crate) fn rest(&mut self, now: Instant, fresh: Duration) {
        let (since, newest) = *self.aged.get_or_insert((now, self.last));
        if now - since < fresh {
            return;
        }
        self.aged = Some((now, self.last));
        let through = self.mark().min(newest);
        while let Some(first) = self.seen.pop_front_if(|first| *first <= through) {
            self.floor = self.floor.max(first);
        }
        self.seen.shrink_to_fit();
    }

    /// Whether the message has been dealt with here, or before.
    pub(crate) fn knows(&self, id: ArchiveId) -> bool {
        id <= self.floor || self.seen.binary_search(&id).is_ok()
    }

    /// Somebody is to take the message, which was said to that address; so many sessions will get it, or have it.
    pub(crate) fn open(&mut self, id: ArchiveId, holders: usize, lasting: bool, to: Option<&Jid>) {
        let to = to.cloned();
        self.open.insert(id, Open { holders, lasting, to });
    }

    /// Whether nobody took the message yet.
    pub(crate) fn is_open(&self, id: ArchiveId) -> bool {
        self.open.contains_key(&id)
    }

    /// How many messages nobody took yet.
    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Another session has the message, or is to get it.
    pub(crate) fn hold(&mut self, id: ArchiveId) {
        if let Some(open) = self.open.get_mut(&id) {
            open.holders += 1;
        }
    }

    /// A session that had the message, or was to get it, is over.
    pub(crate) fn release(&mut self, id: ArchiveId) {
        let holders = match self.open.get_mut(&id) {
            Some(open) => Some(&mut open.holders),
            None => self.spent.get_mut(&id),
        };
        if let Some(holders) = holders {
            *holders = holders.saturating_sub(1);
        }
    }

    /// Somebody took the message. One that is not to stay does so as long as others are to get it, too.
    pub(crate) fn take(&mut self, id: ArchiveId) {
        if let Some(open) = self.open.remove(&id) {
            self.changed = true;
            if !open.lasting {
                self.spent.insert(id, open.holders.saturating_sub(1));
            }
        } else {
            self.release(id);
        }
    }

    /// Another home has noted what was taken there.
    pub(crate) fn learn(&mut self, other: &Record) {
        let taken = |id: &ArchiveId| *id <= other.mark || other.taken.contains(id);
        let taken: Vec<ArchiveId> = self.open.keys().copied().filter(taken).collect();
        taken.into_iter().for_each(|id| self.take(id));
    }

    /// What nobody has, in order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = ArchiveId> {
        let waiting = self.open.iter().filter(|(_, open)| open.holders == 0);
        waiting.map(|(id, _)| *id)
    }

    /// Of that, what was said to this very address.
    pub(crate) fn waiting_for(&self, address: &Jid) -> impl Iterator<Item = ArchiveId> {
        let is_for = |open: &Open| open.holders == 0 && open.to.as_ref() == Some(address);
        let waiting = self.open.iter().filter(move |(_, open)| is_for(open));
        waiting.map(|(id, _)| *id)
    }

    /// Of that, what stays when it is taken and is not beyond `last`.
    pub(crate) fn waiting_to_stay(&self, last: ArchiveId) -> Vec<ArchiveId> {
        let stays = |(id, open): &(&ArchiveId, &Open)| open.holders == 0 && open.lasting && **id <= last;
        self.open.iter().filter(stays).map(|(id, _)| *id).collect()
    }

    /// Whether somebody has something that he did not take yet.
    pub(crate) fn has_held(&self) -> bool {
        !self.spent.is_empty() || self.open.values().any(|open| open.holders > 0)
    }

    /// Whether something beyond that message still is to be taken.
    pub(crate) fn has_open_after(&self, id: ArchiveId) -> bool {
        self.open
            .range((Bound::Excluded(id), Bound::Unbounded))
            .next()
            .is_some()
    }

    /// What to write, if that has changed since it was written.
    pub(crate) fn news(&self) -> Option<Record> {
        self.changed.then(|| self.record())
    }

    /// The record was written, as of now.
    pub(crate) fn written(&mut self) {
        self.changed = false;
    }

    /// What was taken, is not to stay and nobody has any more, once.
    pub(crate) fn spent(&mut self) -> Vec<ArchiveId> {
        let is_over = |_: &ArchiveId, holders: &mut usize| *holders == 0;
        self.spent.extract_if(.., is_over).map(|(id, _)| id).collect()
    }

    /// Up to where everything is through.
    fn mark(&self) -> ArchiveId {
        match self.open.first_key_value() {
            Some((first, _)) => ArchiveId(first.0 - 1),
            None => self.last,
        }
    }

    fn record(&self) -> Record {
        let mark = self.mark();
        let beyond = self.seen.iter().rev().take_while(|id| **id > mark);
        let taken = beyond.filter(|id| !self.open.contains_key(id));
        Record {
            mark,
            taken: taken.take(TAKEN).copied().collect(),
        }
    }
}

impl Record {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(17 + 16 * self.taken.len());
        out.put_u8(FORMAT);
        out.put_u128_le(self.mark.0);
        self.taken.iter().for_each(|id| out.put_u128_le(id.0));
        out.into()
    }

    /// `None` when the bytes are no record of a format known here.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let mark = ArchiveId(bytes.try_get_u128_le().ok()?);
        let mut taken = BTreeSet::new();
        while bytes.has_remaining() {
            taken.insert(ArchiveId(bytes.try_get_u128_le().ok()?));
        }
        Some(Self { mark, taken })
    }
}

/// An id for a message of that time.
pub(crate) fn fresh(now: Timestamp, chance: u128) -> ArchiveId {
    ArchiveId(ArchiveId::first_at(now).0 | (chance >> 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u128]) -> BTreeSet<ArchiveId> {
        ids.iter().copied().map(ArchiveId).collect()
    }

    /// A log with messages 1 to 9, of which these are open.
    fn log(open: &[u128]) -> Log {
        let mut log = Log::new(&Record::default());
        (1..=9).for_each(|id| log.append(ArchiveId(id)));
        open.iter().for_each(|id| log.open(ArchiveId(*id), 1, true, None));
        log
    }

    #[test]
    fn what_was_taken_elsewhere_is_taken() {
        let mut log = log(&[2, 4, 6, 8]);
        log.learn(&Record {
            mark: ArchiveId(3),
            taken: ids(&[5, 6]),
        });
        assert_eq!(log.open.keys().map(|id| id.0).collect::<Vec<_>>(), [4, 8]);
        assert!(log.news().is_some());
    }

    #[test]
    fn ids_rise_whatever_the_clock_says() {
        let mut log = log(&[]);
        for (now, least) in [(5, 5 << 64), (5, (5 << 64) + 1), (3, (5 << 64) + 2), (6, 6 << 64)] {
            let id = log.next(Timestamp(now), 0);
            assert_eq!(id, ArchiveId(least));
            log.append(id);
        }
    }

    #[test]
    fn the_mark_stands_before_the_first_that_nobody_took() {
        for (open, taken, mark, beyond) in [
            (&[][..], &[][..], 9, &[][..]),
            (&[4, 6], &[], 3, &[5, 7, 8, 9]),
            (&[4, 6], &[6], 3, &[5, 6, 7, 8, 9]),
            (&[4, 6], &[4], 5, &[7, 8, 9]),
            (&[4, 6], &[4, 6], 9, &[]),
        ] {
            let mut log = log(open);
            taken.iter().for_each(|id| log.take(ArchiveId(*id)));
            let record = log.news().expect("changed");
            assert_eq!(
                record,
                Record {
                    mark: ArchiveId(mark),
                    taken: ids(beyond)
                },
                "{open:?} {taken:?}"
            );
            assert_eq!(Record::decode(record.encode()), Some(record));
            log.written();
            assert_eq!(log.news(), None);
        }
    }

    #[test]
    fn what_nobody_has_waits() {
        let mut log = log(&[3, 5]);
        log.hold(ArchiveId(5));
        log.release(ArchiveId(3));
        log.release(ArchiveId(5));
        assert_eq!(log.waiting().collect::<Vec<_>>(), [ArchiveId(3)]);
        log.release(ArchiveId(5));
        log.take(ArchiveId(3));
        assert_eq!(log.waiting().collect::<Vec<_>>(), [ArchiveId(5)]);
    }

    #[test]
    fn what_waits_knows_its_address() {
        let [balcony, bare, orchard] =
            ["a@b.example/balcony", "a@b.example", "a@b.example/orchard"].map(|jid| Jid::parse(jid).unwrap());
        let mut log = log(&[]);
        for (id, holders, to) in [
            (3, 0, &balcony),
            (4, 0, &bare),
            (5, 1, &balcony),
            (6, 0, &orchard),
            (7, 0, &balcony),
        ] {
            log.open(ArchiveId(id), holders, true, Some(to));
        }
        assert_eq!(
            log.waiting_for(&balcony).collect::<Vec<_>>(),
            [ArchiveId(3), ArchiveId(7)]
        );
    }

    #[test]
    fn only_what_is_not_to_stay_is_spent() {
        let mut log = log(&[3]);
        log.open(ArchiveId(4), 1, false, None);
        for id in [3, 4, 4, 5] {
            log.take(ArchiveId(id));
        }
        assert_eq!(log.spent(), [ArchiveId(4)]);
        assert_eq!(log.spent(), []);
    }

    #[test]
    fn what_is_spent_stays_for_those_that_are_still_to_get_it() {
        let mut log = log(&[]);
        for (id, then) in [(4, Log::take as fn(&mut Log, ArchiveId)), (5, Log::release)] {
            let id = ArchiveId(id);
            log.open(id, 2, false, None);
            log.take(id);
            assert_eq!(log.spent(), []);
            then(&mut log, id);
            assert_eq!(log.spent(), [id]);
        }
    }

    #[test]
    fn what_was_seen_is_known() {
        let mut log = log(&[2]);
        assert!(log.knows(ArchiveId(9)) && !log.knows(ArchiveId(10)));
        (10..=2_000)
            .filter(|id| *id != 1_500)
            .for_each(|id| log.append(ArchiveId(id)));
        assert!(log.knows(ArchiveId(2)) && log.knows(ArchiveId(2_000)) && !log.knows(ArchiveId(1_500)));
    }

    /// But for what is beyond one that still waits: a home that begins from the record reads on from there, and is not to deliver it again.
    #[test]
    fn what_is_through_for_long_is_known_as_a_whole() {
        const FRESH: Duration = Duration::from_mins(10);
        for (open, one_by_one) in [(None, 10), (Some(5), 16), (Some(12), 10)] {
            let (mut log, begin) = (Log::new(&Record::default()), Instant::now());
            (1..=10).for_each(|id| log.append(ArchiveId(id)));
            log.rest(begin, FRESH);
            (11..=20).for_each(|id| log.append(ArchiveId(id)));
            open.into_iter().for_each(|id| log.open(ArchiveId(id), 1, true, None));
            let record = log.record();
            log.rest(begin + FRESH / 2, FRESH);
            assert_eq!(log.seen.len(), 20, "{open:?}");
            log.rest(begin + FRESH, FRESH);
            assert_eq!(log.seen.len(), one_by_one, "{open:?}");
            assert!((1..=20).all(|id| log.knows(ArchiveId(id))) && !log.knows(ArchiveId(21)));
            assert_eq!(log.record(), record, "{open:?}");
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        assert_eq!(Record::decode(Bytes::new()), None);
        assert_eq!(Record::decode(Bytes::from_static(&[9; 17])), None);
        assert_eq!(Record::decode(Bytes::from_static(&[1; 20])), None);
    }
}
