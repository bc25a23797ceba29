//! The walk of a stanza through one router, on memory stores: order, delivery, errors, binding, and the end of sessions.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use dunlin_router::{Config, ResourceConflict};
use link::Gone;
use stanza::StreamCondition;
use support::{BEFRIENDED, House, bare, settle};

const BODY: &str = "<body>wherefore</body>";

fn chat(to: &str, id: u32) -> String {
    format!("<message to='{to}' type='chat' id='{id}'>{BODY}</message>")
}

#[tokio::test(start_paused = true)]
async fn messages_arrive_in_order_from_the_true_sender() {
    let house = House::new(&["alice", "bob"]).await;
    let (alice, bob) = (house.client("alice", "a").await, house.client("bob", "b").await);
    bob.available().await;
    alice.got();
    for id in 0..10 {
        alice
            .send(&chat("bob@a.example", id).replace("type", "from='eve@a.example/x' type"))
            .await
            .unwrap();
    }
    let want: Vec<_> = (0..10)
        .map(|id| {
            format!("<message from='alice@a.example/a' to='bob@a.example' type='chat' id='{id}'>{BODY}</message>")
        })
        .map(sorted)
        .collect();
    assert_eq!(bob.got().into_iter().map(sorted).collect::<Vec<_>>(), want);
    assert_eq!(bob.numbers(), (1..=10).collect::<Vec<_>>());
}

/// Attributes in any order.
fn sorted(text: String) -> Vec<String> {
    let mut words: Vec<_> = text.split([' ', '>']).map(str::to_owned).collect();
    words.sort();
    words
}

#[tokio::test(start_paused = true)]
async fn a_stanza_that_was_taken_in_is_not_taken_twice() {
    let house = House::new(&["alice", "bob"]).await;
    let (alice, bob) = (house.client("alice", "a").await, house.client("bob", "b").await);
    bob.available().await;
    for number in [1, 1, 2, 1] {
        alice.send_as(number, &chat("bob@a.example", 1)).await.unwrap();
    }
    assert_eq!(bob.got().len(), 2);
}

/// What a stanza to an address comes back as; empty: not at all.
#[tokio::test(start_paused = true)]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn errors() {
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    let table: &[(&str, String, &str)] = &[
        (
            "iq to own account",
            format!("<iq type='get' id='1'>{ping}</iq>"),
            "type='result'",
        ),
        (
            "iq to own bare address",
            format!("<iq type='get' id='1' to='alice@a.example'>{ping}</iq>"),
            "type='result'",
        ),
        (
            "iq to the server",
            format!("<iq type='get' id='1' to='a.example'>{ping}</iq>"),
            "type='result'",
        ),
        (
            "iq to another account",
            format!("<iq type='get' id='1' to='bob@a.example'>{ping}</iq>"),
            "type='result'",
        ),
        (
            "unknown iq to the server",
            "<iq type='get' id='1' to='a.example'><x xmlns='y'/></iq>".into(),
            "service-unavailable",
        ),
        (
            "iq to a resource of the server",
            format!("<iq type='get' id='1' to='a.example/x'>{ping}</iq>"),
            "service-unavailable",
        ),
        (
            "iq to a gone resource",
            format!("<iq type='get' id='1' to='bob@a.example/x'>{ping}</iq>"),
            "service-unavailable",
        ),
        (
            "iq to nobody",
            format!("<iq type='get' id='1' to='eve@a.example'>{ping}</iq>"),
            "service-unavailable",
        ),
        (
            "iq to another domain",
            format!("<iq type='get' id='1' to='x@b.example'>{ping}</iq>"),
            "remote-server-not-found",
        ),
        (
            "result to the server",
            "<iq type='result' id='1' to='a.example'/>".into(),
            "",
        ),
        (
            "result to nobody",
            "<iq type='result' id='1' to='eve@a.example/x'/>".into(),
            "",
        ),
        (
            "result to another domain",
            "<iq type='result' id='1' to='b.example'/>".into(),
            "",
        ),
        (
            "handler that panics",
            "<iq type='get' id='1' to='a.example'><panic xmlns='test:panic'/></iq>".into(),
            "internal-server-error",
        ),
        (
            "handler that hangs",
            "<iq type='get' id='1' to='a.example'><sleep xmlns='test:sleep'/></iq>".into(),
            "remote-server-timeout",
        ),
        (
            "message to the server",
            format!("<message to='a.example'>{BODY}</message>"),
            "service-unavailable",
        ),
        (
            "error to the server",
            format!("<message type='error' to='a.example'>{BODY}</message>"),
            "",
        ),
        (
            "message to nobody",
            format!("<message to='eve@a.example'>{BODY}</message>"),
            "service-unavailable",
        ),
        (
            "message to another domain",
            format!("<message to='x@b.example'>{BODY}</message>"),
            "remote-server-not-found",
        ),
        (
            "groupchat to an account",
            format!("<message type='groupchat' to='bob@a.example'>{BODY}</message>"),
            "service-unavailable",
        ),
        (
            "headline to nobody there",
            format!("<message type='headline' to='bob@a.example'>{BODY}</message>"),
            "",
        ),
        (
            "message that is kept",
            format!("<message type='chat' to='bob@a.example'>{BODY}</message>"),
            "",
        ),
        ("presence to the server", "<presence to='a.example'/>".into(), ""),
        ("presence to nobody", "<presence to='eve@a.example'/>".into(), ""),
        ("presence to another domain", "<presence to='b.example'/>".into(), ""),
        (
            "probe to nobody",
            "<presence type='probe' to='eve@a.example'/>".into(),
            "",
        ),
    ];
    for (what, stanza, want) in table {
        let house = House::new(&["alice", "bob"]).await;
        let alice = house.client("alice", "a").await;
        alice.send(stanza).await.unwrap();
        settle().await;
        let got = alice.got();
        match *want {
            "" => assert!(got.is_empty(), "{what}: {got:?}"),
            want => assert!(
                got.len() == 1 && got[0].contains(want) && got[0].contains("to='alice@a.example/a'"),
                "{what}: {got:?}"
            ),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_kept_until_somebody_took_it() {
    let house = House::new(&["alice", "bob"]).await;
    let alice = house.client("alice", "a").await;
    for id in 0..250 {
        alice.send(&chat("bob@a.example", id)).await.unwrap();
    }
    let count = async || house.stores.archive.count(&bare("bob"), "archive").await.unwrap();
    assert_eq!(count().await, 250);

    let bob = house.client("bob", "b").await;
    bob.available().await;
    let ids = |got: Vec<String>| {
        got.iter()
            .filter_map(|text| text.split("id='").nth(1)?.split('\'').next()?.parse().ok())
            .collect::<Vec<u32>>()
    };
    assert_eq!(ids(bob.got()), (0..250).collect::<Vec<_>>());
    assert_eq!(count().await, 250, "not before it was written");
    bob.close().await;
    assert_eq!(count().await, 250, "and not twice");

    let bob = house.client("bob", "b").await;
    bob.available().await;
    assert_eq!(ids(bob.got()), (0..250).collect::<Vec<_>>());
    bob.written();
    bob.close().await;
    assert_eq!(count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_log_bounces() {
    let config = Config {
        kept_messages: 2,
        ..Config::default()
    };
    let house = House::with(&["alice", "bob"], config).await;
    let alice = house.client("alice", "a").await;
    for id in 0..3 {
        alice.send(&chat("bob@a.example", id)).await.unwrap();
    }
    let got = alice.got();
    assert!(
        got.len() == 1 && got[0].contains("id='2'") && got[0].contains("service-unavailable"),
        "{got:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_goes_to_another_session_or_is_kept() {
    let house = House::new(&["alice", "bob"]).await;
    let alice = house.client("alice", "a").await;
    let (one, two) = (house.client("bob", "1").await, house.client("bob", "2").await);
    one.available().await;
    alice.send(&chat("bob@a.example/1", 1)).await.unwrap();
    one.written();
    alice.send(&chat("bob@a.example/1", 2)).await.unwrap();
    alice
        .send("<iq type='get' id='3' to='bob@a.example/1'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await
        .unwrap();
    two.available().await;
    two.got();
    alice.got();
    one.close().await;
    let got: Vec<_> = two.got().into_iter().filter(|text| text.contains("<message")).collect();
    assert!(got.len() == 1 && got[0].contains("id='2'"), "{got:?}");
    assert!(
        alice
            .got()
            .iter()
            .any(|text| text.contains("id='3'") && text.contains("service-unavailable"))
    );
    two.close().await;
    assert_eq!(
        house.stores.archive.count(&bare("bob"), "archive").await.unwrap(),
        1,
        "the last one keeps it"
    );
}

#[tokio::test(start_paused = true)]
async fn what_one_session_has_taken_is_not_delivered_again() {
    let house = House::new(&["alice", "bob"]).await;
    let alice = house.client("alice", "a").await;
    let (one, two) = (house.client("bob", "1").await, house.client("bob", "2").await);
    one.available().await;
    two.available().await;
    alice.send(&chat("bob@a.example", 1)).await.unwrap();
    one.written();
    two.close().await;
    one.close().await;
    assert_eq!(house.stores.archive.count(&bare("bob"), "archive").await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_ended_and_nothing_is_lost() {
    let config = Config {
        queue_stanzas: 10,
        owed_messages: 10,
        ..Config::default()
    };
    let house = House::with(&["alice", "bob"], config).await;
    let (alice, bob) = (house.client("alice", "a").await, house.client("bob", "b").await);
    bob.available().await;
    for id in 0..20 {
        alice.send(&chat("bob@a.example", id)).await.unwrap();
    }
    assert_eq!(bob.kicked(), Some(StreamCondition::ResourceConstraint));
    assert_eq!(bob.send("<presence/>").await, Err(Gone::Session));
    assert_eq!(house.stores.archive.count(&bare("bob"), "archive").await.unwrap(), 20);
}

#[tokio::test(start_paused = true)]
async fn resource_conflicts() {
    for policy in [
        ResourceConflict::Replace,
        ResourceConflict::Refuse,
        ResourceConflict::Rename,
    ] {
        let config = Config {
            resource_conflict: policy,
            ..Config::default()
        };
        let house = House::with(&["alice", "bob"], config).await;
        let watcher = house.client("bob", "b").await;
        watcher.available().await;
        let first = house.client("alice", "a").await;
        first.available().await;
        watcher.got();
        let second = house.bind("alice", Some("a")).await;
        match policy {
            ResourceConflict::Replace => {
                assert_eq!(first.kicked(), Some(StreamCondition::Conflict));
                assert_eq!(second.unwrap().session.jid, first.session.jid);
                assert!(watcher.got()[0].contains("type='unavailable'"));
                assert_eq!(house.router.sessions(), 2);
            }
            ResourceConflict::Refuse => {
                assert_eq!(
                    second.err().map(|error| error.condition),
                    Some(stanza::Condition::Conflict)
                );
                assert_eq!(first.kicked(), None);
            }
            ResourceConflict::Rename => {
                assert!(second.unwrap().session.jid.resource().len() >= 16);
                assert_eq!(first.kicked(), None);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn binding_has_limits() {
    let config = Config {
        sessions_per_account: 2,
        ..Config::default()
    };
    let house = House::with(&["alice"], config).await;
    let bind = async |user: &str, resource: Option<&str>| {
        let bound = house.bind(user, resource).await;
        bound
            .map(|client| client.session.jid.to_string())
            .map_err(|error| error.condition)
    };
    assert_eq!(bind("eve", None).await, Err(stanza::Condition::NotAuthorized));
    assert_eq!(bind("alice", Some("\u{7}")).await, Err(stanza::Condition::BadRequest));
    assert!(bind("alice", None).await.is_ok());
    assert!(bind("alice", Some("x")).await.is_ok());
    assert_eq!(bind("alice", None).await, Err(stanza::Condition::ResourceConstraint));
    assert!(
        bind("alice", Some("x")).await.is_ok(),
        "the new one takes the place of the old"
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_roster_is_read_again_and_the_handler_runs_anew() {
    let house = House::new(&["alice", "bob"]).await;
    let alice = house.client("alice", "a").await;
    // Somebody else, who believes to be home too, was faster.
    house
        .stores
        .rosters
        .change(&bare("alice"), 1, &[support::contact("other@b.example")], &[])
        .await
        .unwrap();
    let before = BEFRIENDED.load(Ordering::Relaxed);
    alice
        .send("<iq type='set' id='1'><befriend xmlns='test:befriend'/></iq>")
        .await
        .unwrap();
    assert!(alice.got()[0].contains("type='result'"));
    assert_eq!(BEFRIENDED.load(Ordering::Relaxed) - before, 2);
    let roster = house.stores.rosters.load(&bare("alice")).await.unwrap();
    assert_eq!((roster.version, roster.contacts.len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn others_see_the_end_of_a_session_and_it_is_remembered() {
    let house = House::new(&["alice", "bob"]).await;
    let (alice, bob) = (house.client("alice", "a").await, house.client("bob", "b").await);
    bob.available().await;
    alice.available().await;
    bob.got();
    alice.close().await;
    assert!(bob.got()[0].contains("type='unavailable'"));
    assert_eq!(alice.send("<presence/>").await, Err(Gone::Session));
    assert!(
        house
            .stores
            .accounts
            .get(&bare("alice"))
            .await
            .unwrap()
            .unwrap()
            .last_seen
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn an_account_that_comes_into_being_is_seen_soon() {
    let house = House::new(&["alice"]).await;
    let alice = house.client("alice", "a").await;
    alice.send(&chat("bob@a.example", 1)).await.unwrap();
    assert!(alice.got()[0].contains("service-unavailable"));
    let account = store::Account {
        jid: bare("bob"),
        created: stanza::Timestamp(0),
        verifiers: vec![],
        last_seen: None,
        disabled: false,
    };
    house.stores.accounts.create(&[account]).await.unwrap();
    tokio::time::advance(Duration::from_secs(6)).await;
    alice.send(&chat("bob@a.example", 2)).await.unwrap();
    assert!(alice.got().is_empty());
    assert_eq!(house.stores.archive.count(&bare("bob"), "archive").await.unwrap(), 1);
}
