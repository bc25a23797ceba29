//! What a message carries of itself: who sent it, as which of its messages, and when it was meant to be sent.
//!
//! It stands in the stanza's `id`, which servers hand on unchanged and put on errors too (RFC 6120, 8.3.1), so that a receiver reads no
//! more than the start tag. What a server sends of it beside itself (copies, pages of an archive) has another id on the outside.

use std::io::Write;

/// A message of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The run; what others have left behind is none of this one's business.
    pub run: u32,
    /// The sender and the receiver, by their number among the users.
    pub from: u32,
    /// The receiver.
    pub to: u32,
    /// Its number among all from this sender to this receiver, from 0.
    pub number: u32,
    /// The session of its sender in which it was written; order holds within a session only.
    pub session: u32,
    /// When it was to be sent, in microseconds since the run began.
    pub intended: u64,
}

/// What every tag begins with.
const MARK: &str = "lt";

impl Tag {
    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Self {
            run,
            from,
            to,
            number,
            session,
            intended,
        } = self;
        // A vector takes everything.
        let _ = write!(out, "{MARK}{run:x}.{from:x}.{to:x}.{number:x}.{session:x}.{intended:x}");
    }

    /// Reads one.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(MARK)?.split('.');
        let mut small = || u32::from_str_radix(parts.next()?, 16).ok();
        let (run, from, to, number, session) = (small()?, small()?, small()?, small()?, small()?);
        let intended = u64::from_str_radix(parts.next()?, 16).ok()?;
        parts.next().is_none().then_some(Self {
            run,
            from,
            to,
            number,
            session,
            intended,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let tag = Tag {
            run: 0xfeed_beef,
            from: 1,
            to: 0,
            number: 77,
            session: 2,
            intended: 1 << 40,
        };
        let mut text = Vec::new();
        tag.write(&mut text);
        assert_eq!(Tag::read(std::str::from_utf8(&text).unwrap()), Some(tag));
    }

    #[test]
    fn anything_else_is_no_tag() {
        for text in [
            "",
            "lt",
            "lt1.2.3.4.5",
            "lt1.2.3.4.5.6.7",
            "xx1.2.3.4.5.6",
            "lt1.2.3.4.5.x",
        ] {
            assert_eq!(Tag::read(text), None, "{text}");
        }
    }
}
