//! What an edge has received from a home for one session: its deliveries, each once and in order. Pure.

use std::collections::VecDeque;

use stanza::ArchiveId;

use crate::Unwritten;

/// What was delivered to a session.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// The number of the last delivery.
    pub(crate) last: u64,
    /// The last delivery from the account's archive: its number, and where it stands there.
    pub(crate) archived: Option<(u64, ArchiveId)>,
    /// The second copy of what the home keeps for the client, within the home's limits.
    pub(crate) unwritten: VecDeque<Unwritten>,
}

/// What a delivery is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It follows the last one.
    Next,
    /// It came before.
    Past,
    /// One before it has not come.
    Beyond,
}

impl Received {
    /// What a delivery of that number is.
    pub(crate) fn place(&self, number: u64) -> Place {
        match number.checked_sub(self.last) {
            None | Some(0) => Place::Past,
            Some(1) => Place::Next,
            Some(_) => Place::Beyond,
        }
    }

    /// Keeps a delivery that follows.
    pub(crate) fn push(&mut self, delivery: Unwritten) {
        self.last = delivery.number;
        self.archived = delivery.archived.map(|id| (delivery.number, id)).or(self.archived);
        self.unwritten.push_back(delivery);
    }

    /// The delivery of that number, if it is the next, cannot be kept.
    pub(crate) fn pass_over(&mut self, number: u64) {
        if self.place(number) == Place::Next {
            self.last = number;
        }
    }

    /// Those up to `number` were written to the client.
    pub(crate) fn written(&mut self, number: u64) {
        while self.unwritten.pop_front_if(|first| first.number <= number).is_some() {}
    }
}
