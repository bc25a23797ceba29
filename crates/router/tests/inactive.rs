//! Sessions whose client nobody looks at (XEP-0352), that have no stream, or a crowd to take in: of presence the newest waits.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use dunlin_router::{Config, NoPeers};
use link::{Attach, CloseReason, Home};
use stanza::{Counts, EnableRequest, Peer, SessionId};
use support::{Client, DOMAIN, House, settle};

const SHOWS: [&str; 3] = ["away", "xa", "dnd"];

async fn house() -> (House, Client, Client) {
    let house = House::new(&["juliet", "romeo"]).await;
    let (juliet, romeo) = (
        house.client("juliet", "balcony").await,
        house.client("romeo", "orchard").await,
    );
    juliet.available().await;
    juliet.got();
    (house, juliet, romeo)
}

/// Romeo shows what he does.
async fn show(romeo: &Client, show: &str) {
    romeo
        .send(&format!("<presence><show>{show}</show></presence>"))
        .await
        .unwrap();
    settle().await;
}

async fn say(romeo: &Client, id: u32) {
    let text = format!("<message to='juliet@{DOMAIN}/balcony' type='chat' id='{id}'><body>hi</body></message>");
    romeo.send(&text).await.unwrap();
    settle().await;
}

/// What came, in short.
fn short(got: &[String]) -> Vec<&str> {
    let word = |text: &&String| match text {
        text if text.contains("<body>") => "message",
        text => SHOWS
            .into_iter()
            .find(|show| text.contains(&format!("<show>{show}<")))
            .unwrap_or("other"),
    };
    got.iter().map(|text| word(&text)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_newest_waits_for_somebody_to_look_or_for_a_message() {
    let (_house, juliet, romeo) = house().await;
    juliet.router.look(&juliet.session, false).await.unwrap();
    show(&romeo, "away").await;
    show(&romeo, "xa").await;
    assert_eq!(short(&juliet.got()), [""; 0]);
    say(&romeo, 1).await;
    assert_eq!(short(&juliet.got()), ["xa", "message"]);
    show(&romeo, "dnd").await;
    show(&romeo, "away").await;
    assert_eq!(short(&juliet.got()), [""; 0]);
    juliet.router.look(&juliet.session, true).await.unwrap();
    assert_eq!(short(&juliet.got()), ["away"]);
    show(&romeo, "dnd").await;
    assert_eq!(short(&juliet.got()), ["dnd"]);
    let numbers = juliet.numbers();
    assert_eq!(
        numbers,
        (1..=numbers.len() as u64).collect::<Vec<_>>(),
        "no number is left out"
    );
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_nothing_waits() {
    let config = Config {
        held: 0,
        ..Config::default()
    };
    let house = House::with(&["juliet", "romeo"], config).await;
    let (juliet, romeo) = (
        house.client("juliet", "balcony").await,
        house.client("romeo", "orchard").await,
    );
    juliet.available().await;
    juliet.got();
    juliet.router.look(&juliet.session, false).await.unwrap();
    show(&romeo, "away").await;
    show(&romeo, "xa").await;
    assert_eq!(short(&juliet.got()), ["away", "xa"]);
}

#[tokio::test(start_paused = true)]
async fn in_a_crowd_the_newest_waits_for_what_is_on_its_way() {
    let config = Config {
        crowd: 2,
        ..Config::default()
    };
    let house = House::with(&["juliet", "romeo"], config).await;
    let (juliet, romeo) = (
        house.client("juliet", "balcony").await,
        house.client("romeo", "orchard").await,
    );
    juliet.available().await;
    juliet.written();
    juliet.got();
    for what in ["away", "xa", "dnd", "away", "xa"] {
        show(&romeo, what).await;
    }
    assert_eq!(short(&juliet.got()), ["away", "xa"]);
    juliet.written();
    settle().await;
    assert_eq!(short(&juliet.got()), ["xa"], "the newest of three");
    show(&romeo, "dnd").await;
    assert_eq!(short(&juliet.got()), ["dnd"]);
    show(&romeo, "away").await;
    say(&romeo, 1).await;
    assert_eq!(short(&juliet.got()), ["away", "message"], "a message does not wait");
    juliet.written();
    settle().await;
    assert_eq!(short(&juliet.got()), [""; 0]);
    let numbers = juliet.numbers();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_waits_outlives_its_home() {
    let (house, juliet, romeo) = house().await;
    let request = EnableRequest {
        since: Counts::default(),
        resume: true,
        max: None,
    };
    juliet.router.enable(&juliet.session, request).await.unwrap();
    juliet.router.close(&juliet.session, CloseReason::Lost).await.unwrap();
    show(&romeo, "away").await;
    show(&romeo, "xa").await;
    assert_eq!(short(&juliet.got()), [""; 0]);

    // The home dies; its edge has the second copy.
    let id: SessionId = juliet.session.id;
    let delivered = juliet.numbers().len() as u64;
    let attach = Attach {
        session: juliet.session.clone(),
        grant: juliet.grant.clone(),
        peer: Peer::default(),
        mirror: house.edge.mirrors.lock()[&id].clone(),
        delivered,
        written: delivered,
        done: juliet.sent(),
        unwritten: Vec::new(),
        archived: None,
        detached: false,
        inactive: true,
        held: house.edge.held.lock()[&id].clone(),
    };
    let stores = house.stores.clone();
    let next = support::router("router-2", stores, Arc::new(NoPeers), Config::default());
    next.serve_alone();
    next.attach(&house.edge_ref(), attach).await.unwrap();
    assert_eq!(short(&juliet.got()), [""; 0]);
    next.look(&juliet.session, true).await.unwrap();
    assert_eq!(short(&juliet.got()), ["xa"]);
}
