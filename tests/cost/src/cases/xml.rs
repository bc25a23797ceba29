//! Bytes of an open stream become events.

use std::hint::black_box;

use xml::{Event, Limits, Reader};

use super::{CHAT, Round};

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
/// A message that a busy network delivers in pieces.
const CHUNK: usize = 64;

/// One chat message that comes as a whole.
pub(crate) fn chat() -> Round {
    in_chunks_of(CHAT.len())
}

/// The same message in several pieces.
pub(crate) fn chat_in_chunks() -> Round {
    in_chunks_of(CHUNK)
}

fn in_chunks_of(size: usize) -> Round {
    let mut reader = Reader::new(Limits::default());
    reader.receive(HEADER);
    assert!(matches!(reader.poll(), Ok(Some(Event::Open(_)))), "the stream is open");
    Box::new(move || {
        let mut children = 0;
        for chunk in CHAT.chunks(size) {
            reader.receive(black_box(chunk));
            while let Ok(Some(event)) = reader.poll() {
                children += usize::from(matches!(black_box(event), Event::Child(_)));
            }
        }
        assert_eq!(children, 1, "the message was read");
    })
}
