//! Messages that were acknowledged outlive the router that had them: the archive knows what was delivered, and what came before.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use dunlin_router::{Config, Durability, NoPeers, Router};
use link::{Attach, Home, Unwritten};
use stanza::{Peer, Stanza, StreamCondition};
use store::Stores;
use support::{Client, House, bare, settle};

fn chat(id: u32) -> String {
    format!("<message to='bob@a.example' type='chat' id='{id}'><body>{id}</body></message>")
}

/// Another home for everybody, after the last one died.
fn next(name: &str, stores: &Stores) -> Router {
    let router = support::router(name, stores.clone(), Arc::new(NoPeers), Config::default());
    router.serve_alone();
    router
}

/// The client's edge attaches its session to `router`: of what was delivered, `reached` deliveries came to the edge, of which the client
/// took `written`; of the client's stanzas the last `undone` were not reported done.
async fn attach(router: &Router, client: &mut Client, reached: usize, written: usize, undone: u64) {
    let done = client.sent() - undone;
    let log = client.edge.deliveries(client.session.id);
    let log = &log[..reached];
    let number = |at: usize| at.checked_sub(1).map_or(0, |at| log[at].0);
    let unwritten = log[written..].iter().map(|(number, text, archived)| Unwritten {
        number: *number,
        stanza: Arc::new(Stanza::parse(&text.clone().into()).unwrap()),
        readdress: false,
        archived: *archived,
        settled: false,
    });
    let archived = log.iter().rev().find_map(|(number, _, id)| Some((*number, (*id)?)));
    let attach = Attach {
        session: client.session.clone(),
        grant: client.grant.clone(),
        peer: Peer::default(),
        mirror: client.edge.cut(client.session.id, reached),
        delivered: number(reached),
        written: number(written),
        done,
        unwritten: unwritten.collect(),
        archived,
        detached: false,
        inactive: false,
        held: Default::default(),
    };
    let edge = support::edge_ref("edge-1", &client.edge);
    client.got();
    router.attach(&edge, attach).await.unwrap();
    client.router = router.clone();
}

/// The ids of messages with a body among what the client got since last asked.
fn ids(client: &Client) -> Vec<u32> {
    let got = client.got();
    let messages = got.iter().filter(|text| text.contains("<body>"));
    let id = |text: &String| text.split("<body>").nth(1)?.split('<').next()?.parse().ok();
    messages.filter_map(id).collect()
}

/// Alice and bob, both available.
async fn pair(house: &House) -> (Client, Client) {
    let (alice, bob) = (house.client("alice", "a").await, house.client("bob", "b").await);
    alice.available().await;
    bob.available().await;
    alice.got();
    bob.got();
    (alice, bob)
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_tried_again_finds_its_first_self() {
    let house = House::new(&["alice", "bob"]).await;
    let (mut alice, mut bob) = pair(&house).await;
    alice.send(&chat(1)).await.unwrap();
    assert_eq!(ids(&bob), [1]);
    // The router dies before alice's edge hears that it was done.
    let router = next("router-2", &house.stores);
    let heard = bob.edge.deliveries(bob.session.id).len();
    attach(&router, &mut bob, heard, heard, 0).await;
    let nothing = alice.edge.deliveries(alice.session.id).len();
    attach(&router, &mut alice, nothing, nothing, 1).await;
    alice.send_as(alice.sent(), &chat(1)).await.unwrap();
    alice.send(&chat(2)).await.unwrap();
    assert_eq!(ids(&bob), [2]);
}

#[tokio::test(start_paused = true)]
async fn what_the_home_did_not_deliver_any_more_the_next_one_does() {
    for (reached, written, again) in [
        (3, 0, vec![]),
        (3, 3, vec![]),
        (1, 1, vec![2, 3]),
        (0, 0, vec![1, 2, 3]),
    ] {
        let house = House::new(&["alice", "bob"]).await;
        let (alice, mut bob) = pair(&house).await;
        let before = bob.edge.deliveries(bob.session.id).len();
        for id in 1..=3 {
            alice.send(&chat(id)).await.unwrap();
        }
        let router = next("router-2", &house.stores);
        attach(&router, &mut bob, before + reached, before + written, 0).await;
        assert_eq!(ids(&bob), again, "{reached} reached the edge, {written} the client");
        bob.written();
        bob.close().await;

        let house = House { router, ..house };
        let bob = house.client("bob", "b").await;
        bob.available().await;
        assert_eq!(ids(&bob), Vec::<u32>::new(), "what was taken comes no more");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_between_two_records_is_not_delivered_again() {
    let house = House::new(&["alice", "bob"]).await;
    let (alice, mut bob) = pair(&house).await;
    for id in 1..=3 {
        alice.send(&chat(id)).await.unwrap();
        bob.written();
    }
    assert_eq!(ids(&bob), [1, 2, 3]);
    let heard = bob.edge.deliveries(bob.session.id).len();
    let router = next("router-2", &house.stores);
    attach(&router, &mut bob, heard, heard, 0).await;
    let house = House { router, ..house };
    let alice = house.client("alice", "again").await;
    alice.send(&chat(4)).await.unwrap();
    assert_eq!(ids(&bob), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_comes_late_to_its_home_gets_what_it_missed_and_nothing_else() {
    let house = House::new(&["alice", "bob"]).await;
    let (mut alice, mut bob) = pair(&house).await;
    for id in 1..=2 {
        alice.send(&chat(id)).await.unwrap();
    }
    bob.written();
    assert_eq!(ids(&bob), [1, 2]);
    let (heard, nothing) = (bob.edge.deliveries(bob.session.id).len(), 0);
    let router = next("router-2", &house.stores);
    attach(&router, &mut alice, nothing, nothing, 0).await;
    alice.send(&chat(3)).await.unwrap();
    attach(&router, &mut bob, heard, heard, 0).await;
    alice.send(&chat(4)).await.unwrap();
    assert_eq!(ids(&bob), [3, 4]);
    bob.written();
    bob.close().await;
    let house = House { router, ..house };
    let bob = house.client("bob", "b").await;
    bob.available().await;
    assert_eq!(ids(&bob), Vec::<u32>::new());
}

#[tokio::test(start_paused = true)]
async fn a_flush_goes_on_at_the_next_home() {
    let house = House::new(&["alice", "bob"]).await;
    let alice = house.client("alice", "a").await;
    for id in 1..=5 {
        alice.send(&chat(id)).await.unwrap();
    }
    let mut bob = house.client("bob", "b").await;
    bob.available().await;
    assert_eq!(ids(&bob), [1, 2, 3, 4, 5]);
    let second = bob
        .edge
        .deliveries(bob.session.id)
        .iter()
        .position(|(_, text, _)| text.contains("id='2'"));
    let reached = second.unwrap() + 1;
    let router = next("router-2", &house.stores);
    attach(&router, &mut bob, reached, reached, 0).await;
    assert_eq!(ids(&bob), [3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_client_has_no_room_for_comes_in_its_turn() {
    let config = Config {
        queue_stanzas: 10,
        ..Config::default()
    };
    let house = House::with(&["alice", "bob"], config).await;
    let (alice, bob) = pair(&house).await;
    bob.written();
    for id in 1..=300 {
        alice.send(&chat(id)).await.unwrap();
    }
    let mut heard = Vec::new();
    for _ in 0..300 {
        heard.extend(ids(&bob));
        bob.written();
        settle().await;
    }
    assert_eq!(heard, (1..=300).collect::<Vec<_>>());
    assert_eq!(bob.kicked(), None);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_to_more_than_there_is_room_for_is_not_ended() {
    let few = Config {
        queue_stanzas: 10,
        owed_messages: 10,
        ..Config::default()
    };
    let little = Config {
        queue_bytes: 2_600,
        ..few.clone()
    };
    for config in [few, little] {
        let house = House::with(&["alice", "bob"], config).await;
        let alice = house.client("alice", "a").await;
        alice.available().await;
        for id in 1..=50 {
            alice.send(&chat(id)).await.unwrap();
        }
        let bob = house.client("bob", "b").await;
        bob.available().await;
        let mut heard = Vec::new();
        for id in 51..=60 {
            alice.send(&chat(id)).await.unwrap();
        }
        for _ in 0..60 {
            heard.extend(ids(&bob));
            bob.written();
            settle().await;
        }
        assert_eq!(heard, (1..=60).collect::<Vec<_>>());
        bob.send("<presence><show>chat</show></presence>").await.unwrap();
        assert_eq!(bob.kicked(), None);
        for id in 61..=76 {
            alice.send(&chat(id)).await.unwrap();
        }
        let condition = StreamCondition::ResourceConstraint;
        assert_eq!(bob.kicked(), Some(condition), "more came than it may be slow by");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_client_that_never_reads_has_an_end() {
    let config = Config {
        queue_stanzas: 10,
        owed_messages: 10,
        kept_messages: 10,
        ..Config::default()
    };
    let house = House::with(&["alice", "bob"], config).await;
    let alice = house.client("alice", "a").await;
    alice.available().await;
    let mut kicks = 0;
    for login in 0..5 {
        let bob = house.client("bob", "b").await;
        bob.available().await;
        for id in 0..20 {
            alice.send(&chat(100 * login + id)).await.unwrap();
            alice.written();
        }
        kicks += u32::from(bob.kicked() == Some(StreamCondition::ResourceConstraint));
        bob.close().await;
    }
    assert_eq!(kicks, 1, "then nothing came any more");
    let refused = alice
        .got()
        .into_iter()
        .filter(|text| text.contains("service-unavailable"));
    let kept = house.stores.archive.count(&bare("bob"), "archive").await.unwrap();
    assert_eq!((kept, refused.count() as u64), (20, 80));
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_what_another_resource_took() {
    let house = House::new(&["alice", "bob"]).await;
    let (alice, bob) = pair(&house).await;
    let phone = house.client("bob", "phone").await;
    phone.send("<presence><priority>5</priority></presence>").await.unwrap();
    phone.got();
    alice.send(&chat(1)).await.unwrap();
    assert_eq!(ids(&phone), [1], "the one of highest priority");
    phone.written();
    alice.send(&chat(2)).await.unwrap();
    phone.close().await;
    assert_eq!(ids(&bob), [2], "what the phone did not take");
    bob.written();
    bob.close().await;
    let bob = house.client("bob", "b").await;
    bob.available().await;
    assert_eq!(ids(&bob), Vec::<u32>::new());
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_resource_comes_before_what_finds_it() {
    let house = House::new(&["alice", "bob"]).await;
    let alice = house.client("alice", "a").await;
    let to_b = |id| chat(id).replace("bob@a.example", "bob@a.example/b");
    for text in [to_b(1), chat(2), to_b(3)] {
        alice.send(&text).await.unwrap();
    }
    let mut bob = house.client("bob", "b").await;
    assert!(ids(&bob).is_empty());
    alice.send(&to_b(4)).await.unwrap();
    assert_eq!(
        ids(&bob),
        [1, 3, 4],
        "and nothing that is for the account as long as it sends no presence"
    );
    bob.written();
    // The next home knows what was taken so.
    let router = next("router-2", &house.stores);
    let reached = bob.numbers().len();
    attach(&router, &mut bob, reached, reached, 0).await;
    bob.available().await;
    assert_eq!(ids(&bob), [2]);
}

#[tokio::test(start_paused = true)]
async fn both_the_edge_and_the_home_die() {
    let house = House::new(&["alice", "bob"]).await;
    let (alice, bob) = pair(&house).await;
    alice.send(&chat(1)).await.unwrap();
    bob.written();
    alice.send(&chat(2)).await.unwrap();
    assert_eq!(ids(&bob), [1, 2]);
    let house = House {
        router: next("router-2", &house.stores),
        ..house
    };
    let bob = house.client("bob", "b").await;
    bob.available().await;
    let heard = ids(&bob);
    assert!(heard.contains(&2), "what was acknowledged is kept: {heard:?}");
}

#[tokio::test(start_paused = true)]
async fn relaxed_delivers_at_once_and_writes_behind() {
    let config = Config {
        durability: Durability::Relaxed,
        ..Config::default()
    };
    let house = House::with(&["alice", "bob"], config).await;
    let (alice, bob) = pair(&house).await;
    alice.send(&chat(1)).await.unwrap();
    assert_eq!(ids(&bob), [1]);
    settle().await;
    let count = house
        .stores
        .archive
        .count(&support::bare("bob"), "archive")
        .await
        .unwrap();
    assert_eq!(count, 1);
}
