//! What waits for a session that nobody looks at, at its home and, as the second copy, at its edge: of what comes from one address, the
//! newest of each kind. Pure.

use std::sync::Arc;

use stanza::Stanza;

/// Stanzas that wait, in the order in which they go when somebody looks.
#[derive(Clone, Debug, Default)]
pub struct Held {
    all: Vec<Waiting>,
    bytes: usize,
}

/// A stanza that waits. It has no number yet: if a newer one takes its place, it never gets one.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The stanza.
    pub stanza: Arc<Stanza>,
    /// As in [`Delivery`](crate::Delivery).
    pub readdress: bool,
}

impl Held {
    /// Keeps a stanza, in place of what waited of its kind from its sender. Returns whether there was something like that.
    pub fn hold(&mut self, waiting: Waiting) -> bool {
        let before = self.all.len();
        self.drop_where(|other| is_superseded(&other.stanza, &waiting.stanza));
        let replaced = self.all.len() < before;
        self.bytes += waiting.size();
        self.all.push(waiting);
        replaced
    }

    /// A stanza was delivered: if it waited here, it does not any more. If it did not, it brought all that waited along before it.
    pub fn note_delivered(&mut self, stanza: &Stanza) {
        let before = self.all.len();
        self.drop_where(|waiting| *waiting.stanza == *stanza);
        if self.all.len() == before {
            self.release();
        }
    }

    /// Takes out everything.
    pub fn release(&mut self) -> Vec<Waiting> {
        self.bytes = 0;
        std::mem::take(&mut self.all)
    }

    /// What waits.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.all.iter()
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nothing does.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Roughly the memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_where(&mut self, is_it: impl Fn(&Waiting) -> bool) {
        self.all.retain(|waiting| !is_it(waiting));
        self.bytes = self.all.iter().map(Waiting::size).sum();
    }
}

impl Waiting {
    fn size(&self) -> usize {
        256 + self.stanza.payload().bytes().len()
    }
}

impl FromIterator<Waiting> for Held {
    fn from_iter<I: IntoIterator<Item = Waiting>>(all: I) -> Self {
        let mut held = Self::default();
        for waiting in all {
            held.hold(waiting);
        }
        held
    }
}

fn is_superseded(old: &Stanza, new: &Stanza) -> bool {
    let is_same_kind = std::mem::discriminant(old) == std::mem::discriminant(new);
    is_same_kind && old.head().from == new.head().from
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(text: &str) -> Waiting {
        Waiting {
            stanza: Arc::new(Stanza::parse(&bytes::Bytes::copy_from_slice(text.as_bytes())).unwrap()),
            readdress: false,
        }
    }

    #[test]
    fn the_newest_of_each_kind_from_each_sender_waits() {
        let mut held = Held::default();
        let chatting = "<message from='a@x/1'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>";
        for (text, replaces) in [
            ("<presence from='a@x/1'/>", false),
            ("<presence from='a@x/2'/>", false),
            (chatting, false),
            ("<presence from='a@x/1'><show>away</show></presence>", true),
            ("<presence from='a@x/1' type='unavailable'/>", true),
            (chatting, true),
        ] {
            assert_eq!(held.hold(waiting(text)), replaces, "{text}");
        }
        let left: Vec<_> = held.release().iter().map(|waiting| (*waiting.stanza).clone()).collect();
        let wanted = [
            "<presence from='a@x/2'/>",
            "<presence from='a@x/1' type='unavailable'/>",
            chatting,
        ];
        assert_eq!(left, wanted.map(|text| (*waiting(text).stanza).clone()));
        assert!(held.is_empty() && held.bytes() == 0);
    }

    #[test]
    fn what_was_delivered_waits_no_longer_nor_does_what_came_before_another() {
        let all = [
            "<presence from='a@x/1'/>",
            "<presence from='a@x/2'/>",
            "<presence from='a@x/3'/>",
        ]
        .map(waiting);
        let mut held: Held = all.iter().cloned().collect();
        held.note_delivered(&all[0].stanza);
        assert_eq!(held.len(), 2, "the others are still on their way");
        held.note_delivered(&waiting("<presence from='a@x/9'/>").stanza);
        assert!(held.is_empty());
    }
}
