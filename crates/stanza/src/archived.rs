//! What a message is known by: in an account's archive, and wherever it may come again.

use std::fmt;

use xml::Element;

use crate::jid::Bare;
use crate::login::SessionId;
use crate::ns;
use crate::payload::Payload;
use crate::time::Timestamp;

/// A message's id in one archive: time-ordered within it, unique within the cluster. Made by the archive's home, not by the store. Its upper
/// half is the message's time in microseconds, so that a time is a place among the ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveId(pub u128);

/// Says under which id the archive of `by` holds a message (XEP-0359, 3.1).
pub fn stanza_id(by: &Bare, id: ArchiveId) -> Element {
    Element::new(ns::STANZA_ID, "stanza-id")
        .with("by", by.as_str())
        .with("id", id.to_string())
}

/// Whether a message says that it stands under `id` in the archive of `by`. It does when it is there to stay, as nobody else can say so.
pub fn is_at(payload: &Payload, by: &Bare, id: ArchiveId) -> bool {
    let own = stanza_id(by, id);
    let mut ids = payload
        .children()
        .iter()
        .filter(|child| child.is(ns::STANZA_ID, "stanza-id"));
    ids.any(|child| payload.element(child).as_ref() == Some(&own))
}

impl ArchiveId {
    /// Reads the text form; `None` for what was never made here.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_whole = text.len() == 32 && text.bytes().all(is_digit);
        is_whole.then(|| u128::from_str_radix(text, 16).ok())?.map(Self)
    }

    /// The lowest id of that time.
    pub fn first_at(time: Timestamp) -> Self {
        Self(u128::from(time.0.max(0).unsigned_abs()) << 64)
    }

    /// The time that it begins with.
    pub fn time(self) -> Timestamp {
        Timestamp(i64::try_from(self.0 >> 64).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Names a client's stanza for good: one that is tried again after a failure is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// The session that sent it, by the id that it had first.
    pub session: SessionId,
    /// Its number among that session's stanzas.
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read() {
        for id in [0, 7, u128::MAX / 3, u128::MAX].map(ArchiveId) {
            assert_eq!(ArchiveId::parse(&id.to_string()), Some(id));
        }
        for text in [
            "",
            "7",
            "0000000000000000000000000000000G",
            "+000000000000000000000000000000f",
        ] {
            assert_eq!(ArchiveId::parse(text), None, "{text}");
        }
        assert_eq!(ArchiveId::parse(&format!("{:032X}", u128::MAX)), None);
    }
}
