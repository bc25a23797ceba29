//! The ledger: what became of every message, exactly. Each user keeps a [`Book`] of what it sent and what it heard; books of all
//! users, on whatever worker, make one [`Ledger`], which knows what nobody heard.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::ranges::Ranges;
use crate::results;
use crate::tag::Tag;

/// What one user sent and heard.
#[derive(Clone, Debug, Default)]
pub struct Book {
    sent: HashMap<u32, Sent>,
    heard: HashMap<u32, Heard>,
}

/// What one user sent another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// How many numbers were given out; all below were given to a connection.
    count: u32,
    acknowledged: Ranges,
    refused: Ranges,
}

/// What one user heard from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    numbers: Ranges,
    duplicated: u64,
    reordered: u64,
    /// The highest number by session of the sender; a user has few.
    highest: Vec<(u32, u32)>,
}

/// What a receipt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The first of its message, in order.
    First,
    /// The first of its message, but a later one of the same session had come before.
    Overtaken,
    /// Not the first.
    Again,
}

impl Book {
    /// The next number to user `to`; it is now sent.
    pub fn send(&mut self, to: u32) -> u32 {
        let sent = self.sent.entry(to).or_default();
        sent.count += 1;
        sent.count - 1
    }

    /// The server has acknowledged it. False when it had before, or it was never sent.
    pub fn acknowledge(&mut self, to: u32, number: u32) -> bool {
        let sent = self.sent.get_mut(&to).filter(|sent| number < sent.count);
        sent.is_some_and(|sent| sent.acknowledged.insert(number))
    }

    /// It came back as an error. False when it had before, or it was never sent.
    pub fn refuse(&mut self, to: u32, number: u32) -> bool {
        let sent = self.sent.get_mut(&to).filter(|sent| number < sent.count);
        sent.is_some_and(|sent| sent.refused.insert(number))
    }

    /// A message was received.
    pub fn hear(&mut self, tag: &Tag) -> Receipt {
        let heard = self.heard.entry(tag.from).or_default();
        if !heard.numbers.insert(tag.number) {
            heard.duplicated += 1;
            return Receipt::Again;
        }
        match heard.highest.iter_mut().find(|(session, _)| *session == tag.session) {
            Some((_, highest)) if *highest > tag.number => {
                heard.reordered += 1;
                Receipt::Overtaken
            }
            Some((_, highest)) => {
                *highest = tag.number;
                Receipt::First
            }
            None => {
                heard.highest.push((tag.session, tag.number));
                Receipt::First
            }
        }
    }

    /// A message was found in an archive, where all are that were heard, too. True when it had not been heard.
    pub fn find(&mut self, tag: &Tag) -> bool {
        self.heard.entry(tag.from).or_default().numbers.insert(tag.number)
    }
}

/// What became of every message of a run, or of a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// By sender and receiver, each.
    sent: BTreeMap<u64, Sent>,
    heard: BTreeMap<u64, Heard>,
}

impl Ledger {
    /// Adds the book of user `owner`.
    pub fn add(&mut self, owner: u32, book: Book) {
        let sent = book.sent.into_iter().map(|(to, sent)| (pair(owner, to), sent));
        let heard = book.heard.into_iter().map(|(from, heard)| (pair(from, owner), heard));
        self.merge(Self {
            sent: sent.collect(),
            heard: heard.collect(),
        });
    }

    /// Adds another part of the same run.
    pub fn merge(&mut self, other: Self) {
        for (pair, more) in other.sent {
            let sent = self.sent.entry(pair).or_default();
            sent.count = sent.count.max(more.count);
            sent.acknowledged = sent.acknowledged.union(&more.acknowledged);
            sent.refused = sent.refused.union(&more.refused);
        }
        for (pair, more) in other.heard {
            let heard = self.heard.entry(pair).or_default();
            heard.duplicated += more.duplicated + heard.numbers.common(&more.numbers);
            heard.reordered += more.reordered;
            heard.numbers = heard.numbers.union(&more.numbers);
        }
    }

    /// The counts.
    pub fn counts(&self) -> results::Ledger {
        let mut counts = results::Ledger::default();
        let nothing = Ranges::default();
        for (pair, sent) in &self.sent {
            let received = self.heard.get(pair).map_or(&nothing, |heard| &heard.numbers);
            let settled = received.union(&sent.refused);
            let (count, acknowledged) = (u64::from(sent.count), sent.acknowledged.len());
            counts.sent += count;
            counts.acknowledged += acknowledged;
            counts.refused += sent.refused.len();
            counts.received += received.len();
            counts.lost += count.saturating_sub(settled.len());
            counts.lost_acknowledged += acknowledged - sent.acknowledged.common(&settled);
        }
        for heard in self.heard.values() {
            counts.duplicated += heard.duplicated;
            counts.reordered += heard.reordered;
        }
        counts
    }
}

fn pair(from: u32, to: u32) -> u64 {
    u64::from(from) << 32 | u64::from(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(from: u32, to: u32, number: u32, session: u32) -> Tag {
        Tag {
            run: 0,
            from,
            to,
            number,
            session,
            intended: 0,
        }
    }

    #[test]
    fn counts_what_became_of_every_message() {
        let (mut sender, mut receiver) = (Book::default(), Book::default());
        for _ in 0..6 {
            sender.send(2);
        }
        for number in [0, 1, 2, 4] {
            assert!(sender.acknowledge(2, number));
        }
        assert!(!sender.acknowledge(2, 0) && !sender.acknowledge(2, 6) && !sender.acknowledge(3, 0));
        assert!(sender.refuse(2, 3));
        for (number, session, expected) in [
            (0, 1, Receipt::First),
            (2, 1, Receipt::First),
            (1, 1, Receipt::Overtaken),
            (1, 1, Receipt::Again),
        ] {
            assert_eq!(receiver.hear(&tag(1, 2, number, session)), expected, "{number}");
        }
        let mut ledger = Ledger::default();
        ledger.add(1, sender);
        ledger.add(2, receiver);
        let expected = results::Ledger {
            sent: 6,
            acknowledged: 4,
            received: 3,
            refused: 1,
            lost: 2,
            lost_acknowledged: 1,
            duplicated: 1,
            reordered: 1,
        };
        assert_eq!(ledger.counts(), expected);
    }

    #[test]
    fn order_holds_within_a_session_of_the_sender() {
        let mut book = Book::default();
        assert_eq!(book.hear(&tag(1, 2, 5, 1)), Receipt::First);
        assert_eq!(book.hear(&tag(1, 2, 3, 2)), Receipt::First);
        assert_eq!(book.hear(&tag(1, 2, 2, 2)), Receipt::Overtaken);
    }

    #[test]
    fn what_is_found_in_an_archive_is_received_and_neither_twice_nor_out_of_order() {
        let mut book = Book::default();
        assert_eq!(book.hear(&tag(1, 2, 3, 1)), Receipt::First);
        assert!(book.find(&tag(1, 2, 2, 1)) && !book.find(&tag(1, 2, 3, 1)));
        let mut ledger = Ledger::default();
        ledger.add(2, book);
        let counts = ledger.counts();
        assert_eq!((counts.duplicated, counts.reordered), (0, 0));
    }

    #[test]
    fn parts_of_several_workers_make_the_whole_in_any_order() {
        let mut parts = Vec::new();
        for owner in 0..3 {
            let mut book = Book::default();
            for number in 0..4 {
                book.send((owner + 1) % 3);
                book.hear(&tag((owner + 2) % 3, owner, number, 1));
            }
            let mut part = Ledger::default();
            part.add(owner, book);
            parts.push(part);
        }
        let whole = |order: [usize; 3]| {
            let mut ledger = Ledger::default();
            order.iter().for_each(|at| ledger.merge(parts[*at].clone()));
            ledger.counts()
        };
        assert_eq!(whole([0, 1, 2]), whole([2, 0, 1]));
        assert_eq!((whole([1, 0, 2]).received, whole([1, 0, 2]).lost), (12, 0));
    }

    #[test]
    fn what_two_receivers_heard_is_a_duplicate() {
        let mut ledger = Ledger::default();
        for _ in 0..2 {
            let mut book = Book::default();
            book.hear(&tag(1, 2, 0, 1));
            ledger.add(2, book);
        }
        assert_eq!(ledger.counts().duplicated, 1);
    }
}
