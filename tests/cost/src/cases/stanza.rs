//! Events become stanzas, and stanzas become bytes.

#![allow(clippy::unwrap_used, reason = "a case that cannot be made ready must not be counted")]

use std::hint::black_box;

use stanza::Stanza;

use super::{Round, chat};

/// The head is decoded, the payload kept.
pub(crate) fn read() -> Round {
    let child = chat();
    Box::new(move || {
        black_box(Stanza::parse(black_box(&child)).unwrap());
    })
}

/// As it goes on a stream.
pub(crate) fn write() -> Round {
    let stanza = Stanza::parse(&chat()).unwrap();
    let mut output = Vec::new();
    Box::new(move || {
        output.clear();
        black_box(&stanza).write(&mut output);
        assert_eq!(black_box(&output).len(), super::CHAT.len(), "it was written");
    })
}
