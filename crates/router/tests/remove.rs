//! Accounts that are retired beside a running router: their sessions end, their friends are told, and nothing of them is left.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use dunlin_router::Config;
use link::{Gone, Home};
use stanza::{BindReply, BindRequest, Peer, ResourceRequest, SessionId, StreamCondition, Timestamp};
use store::{Account, Accounts};
use support::{House, bare};

/// Retires an account and waits until the router has removed it.
async fn remove(house: &House, user: &str) {
    let accounts: &dyn Accounts = &*house.stores.accounts;
    assert!(accounts.retire(&bare(user)).await.unwrap());
    let gone = async {
        while !accounts.retired(None, 10).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
}

async fn create(house: &House, user: &str) {
    let account = Account {
        jid: bare(user),
        created: Timestamp(NOW),
        verifiers: Vec::new(),
        last_seen: None,
        disabled: false,
    };
    house.stores.accounts.create(&[account]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn its_sessions_end_and_its_friends_are_told() {
    let house = House::new(&["alice", "bob"]).await;
    let bob = house.client("bob", "b").await;
    bob.available().await;
    let (here, there) = (
        house.client("alice", "here").await,
        house.client("alice", "there").await,
    );
    here.available().await;
    bob.got();
    remove(&house, "alice").await;
    for session in [&here, &there] {
        assert_eq!(session.kicked(), Some(StreamCondition::NotAuthorized));
        assert_eq!(session.send("<presence/>").await, Err(Gone::Session));
    }
    // First the session in its own name, then the account's hook, though another one panics.
    let told = bob.got();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("from='alice@a.example/here'"), "{told:?}");
    assert!(told[1].contains("from='alice@a.example'"), "{told:?}");
    assert_eq!(house.router.sessions(), 1);
    bob.send("<message to='alice@a.example' type='chat' id='m'><body>x</body></message>")
        .await
        .unwrap();
    assert!(bob.got()[0].contains("service-unavailable"));
}

#[tokio::test(start_paused = true)]
async fn friends_of_one_who_is_away_are_told_as_well() {
    let house = House::new(&["alice", "bob"]).await;
    let bob = house.client("bob", "b").await;
    bob.available().await;
    remove(&house, "alice").await;
    assert!(bob.got().last().unwrap().contains("from='alice@a.example'"));
}

#[tokio::test(start_paused = true)]
async fn the_next_of_that_name_begins_with_nothing() {
    let config = Config {
        absent_account_s: 3_600,
        ..Config::default()
    };
    let house = House::with(&["alice", "bob"], config).await;
    let bob = house.client("bob", "b").await;
    bob.send("<message to='alice@a.example' type='chat'><body>kept</body></message>")
        .await
        .unwrap();
    assert_eq!(house.stores.archive.count(&bare("alice"), "archive").await.unwrap(), 1);
    remove(&house, "alice").await;
    create(&house, "alice").await;
    assert_eq!(house.stores.archive.count(&bare("alice"), "archive").await.unwrap(), 0);
    assert!(
        house
            .stores
            .rosters
            .load(&bare("alice"))
            .await
            .unwrap()
            .contacts
            .is_empty()
    );
    let alice = house.client("alice", "a").await;
    alice.available().await;
    assert_eq!(alice.got(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_back_to_a_retired_account() {
    let config = Config {
        retired_ms: 3_600_000,
        ..Config::default()
    };
    let house = House::with(&["alice"], config).await;
    assert!(house.stores.accounts.retire(&bare("alice")).await.unwrap());
    assert!(house.bind("alice", None).await.is_err());
}

/// Who logged in to the account before it was removed, and was slow to bind, is not let in to the next of that name.
#[tokio::test(start_paused = true)]
async fn an_old_login_is_none_to_the_next_of_that_name() {
    let house = House::new(&["alice"]).await;
    remove(&house, "alice").await;
    create(&house, "alice").await;
    let made = house.stores.accounts.get(&bare("alice")).await.unwrap().unwrap();
    for (expires, is_let_in) in [(NOW + TEN_MINUTES - 1, false), (NOW + TEN_MINUTES, true)] {
        let (session, account) = (SessionId(7), bare("alice"));
        let request = BindRequest {
            session,
            grant: support::grant(session, &made, Timestamp(expires)),
            account,
            resource: ResourceRequest::Any,
            peer: Peer::default(),
        };
        let reply = house.router.bind(&house.edge_ref(), request).await.unwrap();
        assert_eq!(matches!(reply, BindReply::Bound(..)), is_let_in, "{reply:?}");
    }
}

/// When the account is created again, by the clock of the tests.
const NOW: i64 = 1_800_000_000_000_000;
/// How long a login may take to be used for binding, in microseconds.
const TEN_MINUTES: i64 = 600_000_000;
