//! What a client has sent under stream management and the server has not acknowledged (XEP-0198, 4). Pure.

use std::collections::VecDeque;

/// Stanzas that were sent and not acknowledged, oldest first.
#[derive(Clone, Debug)]
pub struct Outgoing<T> {
    waiting: VecDeque<T>,
    /// How many were acknowledged, modulo 2^32.
    handled: u32,
}

impl<T> Default for Outgoing<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Outgoing<T> {
    /// Nothing sent since stream management began.
    pub fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            handled: 0,
        }
    }

    /// One more was sent.
    pub fn push(&mut self, stanza: T) {
        self.waiting.push_back(stanza);
    }

    /// The server has handled `h` in all. Returns those that it had not acknowledged before; `None` when there were never so many,
    /// or once more.
    pub fn acknowledge(&mut self, h: u32) -> Option<Vec<T>> {
        let count = usize::try_from(h.wrapping_sub(self.handled)).ok()?;
        if count > self.waiting.len() {
            return None;
        }
        self.handled = h;
        Some(self.waiting.drain(..count).collect())
    }

    /// How many were acknowledged, modulo 2^32.
    pub fn handled(&self) -> u32 {
        self.handled
    }

    /// Those that are not acknowledged, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter()
    }

    /// The same, for good.
    pub fn into_waiting(self) -> impl Iterator<Item = T> {
        self.waiting.into_iter()
    }

    /// Whether all are acknowledged.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_acknowledged_and_refuses_what_was_never_sent() {
        let mut outgoing = Outgoing::new();
        (0..5).for_each(|stanza| outgoing.push(stanza));
        for (h, expected) in [
            (2, Some(vec![0, 1])),
            (2, Some(vec![])),
            (1, None),
            (6, None),
            (5, Some(vec![2, 3, 4])),
        ] {
            assert_eq!(outgoing.acknowledge(h), expected, "{h}");
        }
        assert!(outgoing.is_empty());
    }

    #[test]
    fn counts_past_the_largest_number() {
        let mut outgoing = Outgoing {
            waiting: VecDeque::from(["last", "first"]),
            handled: u32::MAX,
        };
        assert_eq!(outgoing.acknowledge(1), Some(vec!["last", "first"]));
    }
}
