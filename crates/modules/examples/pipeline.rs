//! Measures what all modules together cost an ordinary chat message: `cargo run --release -p dunlin-modules --example pipeline`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "it measures time, and may fail"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use engine::{AccountView, Bare, Facts, Host, Outcome, Pipeline, SessionId, SessionView, Stanza, Timestamp, View, Way};
use serde_json::Value;
use store::Roster;

const RUNS: u32 = 2_000_000;

fn main() {
    let pipeline = Pipeline::new(dunlin_modules::ALL.iter().map(|row| (row, &Value::Null))).unwrap();
    let (host, romeo, juliet) = (Host::default(), account("romeo"), account("juliet"));
    let xml = "<message to='juliet@capulet.example' from='romeo@capulet.example/phone' id='a' type='chat'>\
               <body>But, soft! what light through yonder window breaks?</body></message>";
    let stanza = Stanza::parse(&Bytes::from_static(xml.as_bytes())).unwrap();
    let view = |way, account| View {
        way,
        now: Timestamp(0),
        host: &host,
        account,
        session: Some(&account.sessions[0]),
        outcome: &Outcome::Undecided,
        archive_id: engine::ArchiveId(1),
    };
    measure("outgoing", || {
        drop(black_box(pipeline.outgoing(&view(Way::Out, &romeo), &stanza)))
    });
    measure("incoming", || {
        drop(black_box(pipeline.incoming(&view(Way::In, &juliet), &stanza)))
    });
}

fn measure(what: &str, run: impl Fn()) {
    (0..RUNS / 10).for_each(|_| run());
    let start = Instant::now();
    (0..RUNS).for_each(|_| run());
    println!("{what}: {:.1} ns", start.elapsed().as_nanos() as f64 / f64::from(RUNS));
}

fn account(local: &str) -> AccountView {
    let jid = Bare::parse(&format!("{local}@capulet.example")).unwrap();
    let presence = "<presence><show>away</show><priority>5</priority></presence>";
    let Ok(Stanza::Presence(presence)) = Stanza::parse(&Bytes::from_static(presence.as_bytes())) else {
        unreachable!("it is a presence stanza")
    };
    let session = SessionView {
        presence: Some(Arc::new(presence)),
        interested: true,
        ..SessionView::new(SessionId(1), jid.with_resource("phone").unwrap(), Timestamp(0))
    };
    AccountView {
        jid,
        sessions: vec![session],
        roster: Arc::new(Roster::default()),
        meters: engine::Meters::default(),
        lent: None,
        away_since: None,
        facts: Facts::default(),
    }
}
