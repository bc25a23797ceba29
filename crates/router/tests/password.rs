//! Another password: while somebody is on his way in by the old one, and when what goes with it fails.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dunlin_router::{Config, NoPeers, tokens};
use engine::{About, At, Credentials, Cx, Effect, Hooks, Module, Password, Put, Reply, Row, request, row};
use link::Home;
use sasl::client::{Binding, Keys, Scram};
use stanza::{
    Bare, BindReply, BindRequest, ClientId, Condition, Counts, EnableReply, EnableRequest, Exchange, Grant, Peer,
    ResourceRequest, ResumeReply, ResumeRequest, Resumption, Sasl2, SaslFailure, SaslReply, SaslRequest, SessionId,
    UserAgent,
};
use store::{Error, HashName, Item, Items, Key, Stores, Version};
use support::{House, bare};

const SCRAM: &str = "SCRAM-SHA-256";

async fn house() -> House {
    let mut config = Config::default();
    config.sasl.iterations = 10;
    let house = House::with(&["alice"], config).await;
    give(&house, "pencil").await;
    house
}

/// Gives Alice a password: nobody but the store hears of it.
async fn give(house: &House, password: &str) {
    let verifiers = sasl::verifiers(password, 10, password.as_bytes()).unwrap();
    house
        .stores
        .accounts
        .set_verifiers(&bare("alice"), &verifiers)
        .await
        .unwrap();
}

/// An exchange of a client that wants a token, up to the server's challenge; and how it goes on.
async fn begin(house: &House, session: u128, password: &str) -> (Exchange, Vec<u8>) {
    let scram = Scram::new(HashName::Sha256, "alice", None, Binding::Unsupported, "nonce");
    let agent = UserAgent {
        id: ClientId::parse("d4565fa7-4d72-4749-b3d3-740edbf87701").ok(),
        ..UserAgent::default()
    };
    let start = SaslRequest::Start {
        session: SessionId(session),
        domain: support::DOMAIN.into(),
        mechanism: SCRAM.into(),
        offered: vec![SCRAM.into()],
        bindings: vec![],
        initial: Some(scram.first().into()),
        sasl2: Some(Box::new(Sasl2 {
            agent,
            request_token: Some("HT-SHA-256-NONE".into()),
            ..Sasl2::default()
        })),
        peer: Peer::default(),
    };
    let SaslReply::Challenge { exchange, data } = house.router.sasl(start).await else {
        panic!("a challenge")
    };
    let keys = |salt: &[u8], iterations| Keys::derive(HashName::Sha256, password, salt, iterations).unwrap();
    let (response, _) = scram.respond(&data, keys).unwrap();
    (exchange, response)
}

async fn go_on(house: &House, (exchange, response): (Exchange, Vec<u8>)) -> SaslReply {
    let respond = SaslRequest::Respond {
        exchange,
        response: response.into(),
    };
    house.router.sasl(respond).await
}

async fn log_in(house: &House, session: u128, password: &str) -> Grant {
    let begun = begin(house, session, password).await;
    match go_on(house, begun).await {
        SaslReply::Success { grant, .. } => grant,
        reply => panic!("{reply:?}"),
    }
}

async fn bind(house: &House, session: u128, grant: Grant) -> Result<(), Condition> {
    let request = BindRequest {
        session: SessionId(session),
        account: bare("alice"),
        grant,
        resource: ResourceRequest::Any,
        peer: Peer::default(),
    };
    match house.router.bind(&house.edge_ref(), request).await.unwrap() {
        BindReply::Bound(..) => Ok(()),
        BindReply::Refused(error) => Err(error.condition),
    }
}

async fn resume(house: &House, session: u128, grant: Grant, id: &str) -> bool {
    let request = ResumeRequest {
        session: SessionId(session),
        account: bare("alice"),
        grant,
        id: id.to_owned(),
        h: 0,
        peer: Peer::default(),
    };
    let reply = house.router.resume(&house.edge_ref(), request).await.unwrap();
    matches!(reply, ResumeReply::Resumed { .. })
}

/// What was begun by the old password comes to nothing, and no token of the new one comes of it.
#[tokio::test(start_paused = true)]
async fn an_exchange_does_not_outlive_its_password() {
    let house = house().await;
    let begun = begin(&house, 101, "pencil").await;
    give(&house, "quill").await;
    let reply = go_on(&house, begun).await;
    assert_eq!(reply, SaslReply::Failure(SaslFailure::NotAuthorized));
    assert!(tokens(&*house.stores.items, &bare("alice")).await.unwrap().is_empty());
    log_in(&house, 102, "quill").await;
    assert_eq!(tokens(&*house.stores.items, &bare("alice")).await.unwrap().len(), 1);
}

/// Whether another session keeps the account warm or not, nobody comes in by a login of before.
#[tokio::test(start_paused = true)]
async fn a_login_does_not_outlive_its_password() {
    let house = house().await;
    let unused = log_in(&house, 101, "pencil").await;
    let slow = log_in(&house, 102, "pencil").await;
    let alice = house.client("alice", "a").await;
    give(&house, "quill").await;
    assert_eq!(bind(&house, 101, unused).await, Err(Condition::NotAuthorized));
    alice.close().await;
    assert_eq!(bind(&house, 102, slow).await, Err(Condition::NotAuthorized));
    let new = log_in(&house, 103, "quill").await;
    assert_eq!(bind(&house, 103, new).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_resumed_by_the_password_of_today() {
    let house = house().await;
    let alice = house.client("alice", "a").await;
    let request = EnableRequest {
        since: Counts { received: 0, sent: 0 },
        resume: true,
        max: None,
    };
    let Ok(EnableReply::Enabled(Some(Resumption { id, .. }))) = house.router.enable(&alice.session, request).await
    else {
        panic!("a session that can be resumed")
    };
    let old = log_in(&house, 101, "pencil").await;
    give(&house, "quill").await;
    assert!(!resume(&house, 101, old, &id).await);
    let new = log_in(&house, 102, "quill").await;
    assert!(resume(&house, 102, new, &id).await);
}

/// Who was let in and then shut out before he came is not let in, though others of his are there still.
#[tokio::test(start_paused = true)]
async fn a_login_does_not_outlive_that_it_is_allowed() {
    let house = house().await;
    let _alice = house.client("alice", "a").await;
    let accounts = &house.stores.accounts;
    let grant = log_in(&house, 101, "pencil").await;
    accounts.set_disabled(&bare("alice"), true).await.unwrap();
    assert_eq!(bind(&house, 101, grant.clone()).await, Err(Condition::NotAuthorized));
    accounts.set_disabled(&bare("alice"), false).await.unwrap();
    assert_eq!(bind(&house, 101, grant).await, Ok(()));
}

request! {
    /// Asks for Bob's account, and for a value to be written.
    Found = "found" in "test:password";
    /// Asks for a value to be written.
    Write = "write" in "test:password";
}

/// Makes accounts.
struct Founder;

impl Module for Founder {
    const ABOUT: About = About {
        name: "founder",
        rfcs: &[],
        xeps: &[],
        summary: "Makes accounts.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.set(At::Account, async |_: Cx, _: Found| {
            let credentials = Credentials {
                account: bare("bob"),
                password: Password("orchard wall".into()),
                is_new: true,
            };
            Ok(Reply::empty().effect(Effect::Account(credentials)).effect(put()))
        });
        on.set(At::Account, async |_: Cx, _: Write| Ok(Reply::empty().effect(put())));
    }
}

fn put() -> Effect {
    Effect::Put(Put {
        key: Key {
            space: "test".into(),
            name: "value".into(),
        },
        value: Some(Bytes::from_static(b"value")),
        seen: None,
        fact: None,
    })
}

static FOUNDER: Row = row::<Founder>();

/// Items of which the first so many are not written: because somebody else was faster, or because the store is away.
struct Shaky {
    items: Arc<dyn Items>,
    left: AtomicU32,
    is_away: bool,
}

#[async_trait]
impl Items for Shaky {
    async fn get(&self, owner: &Bare, key: &Key) -> store::Result<Option<Item>> {
        self.items.get(owner, key).await
    }

    async fn list(&self, owner: &Bare, space: &str) -> store::Result<Vec<Item>> {
        self.items.list(owner, space).await
    }

    async fn page(&self, owner: &Bare, after: Option<&Key>, limit: u32) -> store::Result<Vec<Item>> {
        self.items.page(owner, after, limit).await
    }

    async fn put(&self, owner: &Bare, key: &Key, value: Bytes, seen: Option<Version>) -> store::Result<Version> {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match (left, self.is_away) {
            (Ok(_), false) => Err(Error::Conflict),
            (Ok(_), true) => Err(Error::Unavailable("away".into())),
            (Err(_), _) => self.items.put(owner, key, value, seen).await,
        }
    }

    async fn remove(&self, owner: &Bare, key: &Key, seen: Version) -> store::Result<()> {
        self.items.remove(owner, key, seen).await
    }
}

/// An account is made once, however often what goes with it has to be tried, and once it is made that is what is said.
#[tokio::test(start_paused = true)]
async fn what_fails_beside_a_password_does_not_hide_it() {
    let always = u32::MAX;
    for (name, left, is_away, expected) in [
        ("found", 0, false, "result"),
        ("found", 2, false, "result"),
        ("found", always, false, "result"),
        ("found", always, true, "result"),
        ("write", 2, false, "result"),
        ("write", always, false, "resource-constraint"),
        ("write", always, true, "resource-constraint"),
    ] {
        let stores = support::stores(&["alice"]).await;
        let items = Arc::new(Shaky {
            items: stores.items.clone(),
            left: AtomicU32::new(left),
            is_away,
        });
        let stores = Stores { items, ..stores };
        let mut config = Config::default();
        config.sasl.iterations = 10;
        let clock = Arc::new(support::Ticks::default());
        let router = support::router_of(
            &[&FOUNDER],
            clock,
            "router-1",
            stores.clone(),
            Arc::new(NoPeers),
            config,
        );
        router.serve_alone();
        let house = House {
            router,
            edge: Arc::default(),
            stores,
        };
        let alice = house.client("alice", "a").await;
        let ask = format!("<iq type='set' id='1'><{name} xmlns='test:password'/></iq>");
        alice.send(&ask).await.unwrap();
        let got = alice.got();
        assert!(
            got.len() == 1 && got[0].contains(expected),
            "{name} {left} {is_away}: {got:?}"
        );
        let made = house.stores.accounts.get(&bare("bob")).await.unwrap();
        assert_eq!(made.is_some(), name == "found", "{left} {is_away}");
    }
}
