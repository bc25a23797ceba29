//! Messages that a home refused because the store did not say in time whether it has them: nobody is to get them, should it have
//! them after all. Pure.

use std::collections::VecDeque;

use bytes::Bytes;
use stanza::ArchiveId;

/// Most that are remembered of one account; of more, the last.
const MOST: usize = 256;

/// What an account's home refused in doubt.
#[derive(Debug, Default)]
pub(crate) struct Doubts(VecDeque<Doubt>);

/// A message that was refused in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// Where it stands, if it does.
    pub(crate) id: ArchiveId,
    /// What it has in common with itself when it comes again.
    pub(crate) key: Option<Bytes>,
    /// It was found, and is being taken out: should that, too, be in doubt, it may go at any time.
    pub(crate) leaves: bool,
}

impl Doubts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, doubt: Doubt) {
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(doubt);
    }

    /// The message with that key comes again: it is wanted where it stands, unless it may go from there. What was known of it.
    pub(crate) fn forgive(&mut self, key: &Bytes) -> Vec<Doubt> {
        let is_wanted = |doubt: &Doubt| doubt.key.as_ref() == Some(key) && !doubt.leaves;
        let wanted = self.0.iter().filter(|doubt| is_wanted(doubt)).cloned().collect();
        self.0.retain(|doubt| !is_wanted(doubt));
        wanted
    }

    /// Of the messages that stand there, by their ids and keys, those that are to be taken out.
    pub(crate) fn find<'a>(
        &mut self,
        standing: impl Iterator<Item = (ArchiveId, Option<&'a Bytes>)>,
    ) -> Vec<ArchiveId> {
        let mut found = Vec::new();
        if self.is_empty() {
            return found;
        }
        for (id, key) in standing {
            let mut doubts = self.0.iter_mut();
            if let Some(doubt) = doubts.find(|doubt| doubt.id == id && doubt.key.as_ref() == key) {
                doubt.leaves = true;
                found.push(id);
            }
        }
        found
    }

    /// What was refused does not stand there: it was taken out, or something else was written there.
    pub(crate) fn clear(&mut self, ids: &[ArchiveId]) {
        self.0.retain(|doubt| !ids.contains(&doubt.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(id: u128) -> Doubt {
        Doubt {
            id: ArchiveId(id),
            key: Some(key(id)),
            leaves: false,
        }
    }

    fn key(id: u128) -> Bytes {
        id.to_string().into()
    }

    #[test]
    fn what_is_found_goes_unless_it_came_again() {
        let mut doubts = Doubts::default();
        (1..=3).for_each(|id| doubts.add(doubt(id)));
        assert_eq!(doubts.forgive(&key(2)), [doubt(2)]);
        let keys = [1, 2, 7].map(key);
        let standing = || {
            [ArchiveId(1), ArchiveId(2), ArchiveId(3)]
                .into_iter()
                .zip(keys.iter().map(Some))
        };
        assert_eq!(doubts.find(standing()), [ArchiveId(1)], "what stands at 3 is another");
        assert_eq!(doubts.forgive(&key(1)), [], "it may go at any time");
        assert_eq!(doubts.find(standing()), [ArchiveId(1)], "until it is known to be gone");
        doubts.clear(&[ArchiveId(1)]);
        assert_eq!(doubts.find(standing()), []);
        doubts.clear(&[ArchiveId(3)]);
        assert!(doubts.is_empty());
    }

    #[test]
    fn the_last_are_remembered() {
        let mut doubts = Doubts::default();
        (0..=MOST as u128).for_each(|id| doubts.add(doubt(id)));
        let keys = [0, 1].map(key);
        let standing = [ArchiveId(0), ArchiveId(1)].into_iter().zip(keys.iter().map(Some));
        assert_eq!(doubts.find(standing), [ArchiveId(1)]);
    }
}
