//! What waits for a session that nobody looks at, at its home and, as the second copy, at its edge: of what comes from one address, the
//! newest of each kind. Pure.

use std::sync::Arc;

use stanza::Stanza;

/// Stanzas that wait, in the order in which they go when somebody looks.
#[derive(Clone, Debug, Default)]
pub struct Held(Vec<Waiting>);

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
        let before = self.0.len();
        self.0.retain(|other| !is_superseded(&other.stanza, &waiting.stanza));
        let replaced = self.0.len() < before;
        self.0.push(waiting);
        replaced
    }

    /// Takes out everything.
    pub fn release(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.0)
    }

    /// What waits.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.0.iter()
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing does.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
        assert!(held.is_empty());
    }
}
