//! Prints what reading and writing one chat message costs: `cargo run --release -p dunlin-stanza --example hot`.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::time::Instant;

use dunlin_stanza::Stanza;
use xml::{Event, Limits, Reader};

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const CHAT: &[u8] =
    b"<message from='juliet@capulet.example/balcony' to='romeo@montague.example/orchard' id='ktx72v49' \
    type='chat' xml:lang='en'><body>Wherefore art thou, Romeo? Deny thy father and refuse thy name.</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
    <origin-id xmlns='urn:xmpp:sid:0' id='ktx72v49'/></message>";
const ROUNDS: u32 = 300_000;

fn main() {
    let mut reader = Reader::new(Limits::default());
    reader.receive(HEADER);
    assert!(matches!(reader.poll(), Ok(Some(Event::Open(_)))));
    println!("{} bytes", CHAT.len());
    measure("read", || {
        reader.receive(CHAT);
        while let Ok(Some(event)) = reader.poll() {
            black_box(event);
        }
    });
    reader.receive(CHAT);
    let Ok(Some(Event::Child(child))) = reader.poll() else {
        return;
    };
    measure("parse", || {
        let _ = black_box(Stanza::parse(black_box(&child)));
    });
    measure("read, parse", || {
        reader.receive(CHAT);
        while let Ok(Some(Event::Child(child))) = reader.poll() {
            let _ = black_box(Stanza::parse(&child));
        }
    });
    let Ok(stanza) = Stanza::parse(&child) else { return };
    let mut out = Vec::with_capacity(1024);
    measure("write", || {
        out.clear();
        black_box(&stanza).write(&mut out);
        black_box(&out);
    });
    measure("index", || {
        let payload = dunlin_stanza::Payload::from_canonical(stanza.payload().bytes().clone());
        black_box(payload.has("jabber:client", "body"));
    });
    measure("jid", || {
        let _ = black_box(dunlin_stanza::Jid::parse(black_box("juliet@capulet.example/balcony")));
    });
}

fn measure(what: &str, mut work: impl FnMut()) {
    (0..ROUNDS / 10).for_each(|_| work());
    let best = (0..5).map(|_| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        start.elapsed().as_nanos() / u128::from(ROUNDS)
    });
    println!("{what:12} {:5} ns", best.min().unwrap_or_default());
}
