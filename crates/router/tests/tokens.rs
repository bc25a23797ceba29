//! Tokens as a router deals with them (XEP-0484): asked for, used, replaced, counted, ended.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dunlin_router::{Clock, Config, NoPeers, Router, revoke, tokens};
use link::Home;
use sasl::client::hashed_token;
use stanza::{
    ClientId, FastUse, Peer, Sasl2, SaslFailure, SaslReply, SaslRequest, SessionId, Timestamp, Token, UserAgent,
};
use store::Stores;
use support::bare;

const NONE: &str = "HT-SHA-256-NONE";
const PLAIN: &str = "PLAIN";
const DAY: i64 = 86_400_000_000;

/// Time of day as the test has it.
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000_000 + self.0.load(Ordering::SeqCst))
    }
}

struct House {
    router: Router,
    stores: Stores,
    hands: Arc<Hands>,
}

impl House {
    async fn new(config: Config) -> Self {
        let (stores, hands) = (support::stores(&["alice", "bob"]).await, Arc::new(Hands::default()));
        let verifiers = sasl::verifiers("pencil", 5, b"salt").unwrap();
        stores.accounts.set_verifiers(&bare("alice"), &verifiers).await.unwrap();
        let router = support::router_by(hands.clone(), "router-1", stores.clone(), Arc::new(NoPeers), config);
        router.serve_alone();
        Self { router, stores, hands }
    }

    fn pass(&self, time: i64) {
        self.hands.0.fetch_add(time, Ordering::SeqCst);
    }

    /// Alice's client logs in. The new token, if there is one.
    async fn log_in(&self, initial: Vec<u8>, mechanism: &str, sasl2: Sasl2) -> Result<Option<Token>, SaslFailure> {
        let start = SaslRequest::Start {
            session: SessionId(1),
            domain: support::DOMAIN.into(),
            mechanism: mechanism.into(),
            offered: vec![mechanism.into()],
            bindings: vec![],
            initial: Some(initial.into()),
            sasl2: Some(Box::new(sasl2)),
            peer: Peer::default(),
        };
        match self.router.sasl(start).await {
            SaslReply::Success { account, token, .. } => {
                assert_eq!(account, bare("alice"));
                Ok(token)
            }
            SaslReply::Failure(failure) => Err(failure),
            SaslReply::Challenge { .. } => panic!("a challenge"),
        }
    }

    async fn by_password(&self, client: u8) -> Token {
        let sasl2 = Sasl2 {
            request_token: Some(NONE.into()),
            ..of(client)
        };
        let token = self.log_in(b"\0alice\0pencil".to_vec(), PLAIN, sasl2).await;
        token.unwrap().unwrap()
    }

    async fn by_token(&self, client: u8, token: &Token, usage: FastUse) -> Result<Option<Token>, SaslFailure> {
        let sasl2 = Sasl2 {
            fast: Some(usage),
            ..of(client)
        };
        self.log_in(hashed_token("alice", &token.token, b""), NONE, sasl2).await
    }

    async fn clients(&self) -> usize {
        tokens(&*self.stores.items, &bare("alice")).await.unwrap().len()
    }
}

fn of(client: u8) -> Sasl2 {
    Sasl2 {
        agent: UserAgent {
            id: Some(id(client)),
            software: Some("AwesomeXMPP".into()),
            device: None,
        },
        ..Sasl2::default()
    }
}

fn id(client: u8) -> ClientId {
    ClientId::parse(&format!("d4565fa7-4d72-4749-b3d3-740edbf877{client:02x}")).unwrap()
}

fn plainly() -> FastUse {
    FastUse::default()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_good_until_it_ends() {
    let house = House::new(Config::default()).await;
    let token = house.by_password(1).await;
    assert_eq!(house.by_token(1, &token, plainly()).await, Ok(None));
    let (client, kept) = tokens(&*house.stores.items, &bare("alice")).await.unwrap().remove(0);
    assert_eq!((client, kept.software.as_deref()), (id(1), Some("AwesomeXMPP")));
    assert_eq!(
        house.by_token(2, &token, plainly()).await,
        Err(SaslFailure::NotAuthorized),
        "another client"
    );
    house.pass(30 * DAY);
    assert_eq!(
        house.by_token(1, &token, plainly()).await,
        Err(SaslFailure::CredentialsExpired)
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_when_it_is_a_day_old() {
    let house = House::new(Config::default()).await;
    let old = house.by_password(1).await;
    assert_eq!(house.by_token(1, &old, plainly()).await, Ok(None));
    house.pass(DAY);
    let lost = house.by_token(1, &old, plainly()).await.unwrap().unwrap();
    let new = house.by_token(1, &old, plainly()).await.unwrap().unwrap();
    assert!(
        house.by_token(1, &lost, plainly()).await.is_err(),
        "replaced before it was used"
    );
    assert_eq!(house.by_token(1, &new, plainly()).await, Ok(None));
    assert!(
        house.by_token(1, &old, plainly()).await.is_err(),
        "the new one has been used"
    );
}

/// Of many attempts at once with one count, one succeeds.
#[tokio::test(start_paused = true)]
async fn no_attempt_can_be_repeated() {
    let house = House::new(Config::default()).await;
    let token = house.by_password(1).await;
    let usage = FastUse {
        count: Some(1),
        invalidate: false,
    };
    let attempts = futures::future::join_all((0..3).map(|_| house.by_token(1, &token, usage))).await;
    assert_eq!(
        attempts.iter().filter(|attempt| attempt.is_ok()).count(),
        1,
        "{attempts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn tokens_are_taken_away() {
    let house = House::new(Config::default()).await;
    let (one, two) = (house.by_password(1).await, house.by_password(2).await);
    let items = &*house.stores.items;
    assert!(revoke(items, &bare("alice"), id(1)).await.unwrap());
    assert!(!revoke(items, &bare("alice"), id(1)).await.unwrap());
    assert_eq!(
        house.by_token(1, &one, plainly()).await,
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(house.by_token(2, &two, plainly()).await, Ok(None), "the other client's");
    let usage = FastUse {
        count: None,
        invalidate: true,
    };
    assert_eq!(house.by_token(2, &two, usage).await, Ok(None));
    assert_eq!(
        house.by_token(2, &two, plainly()).await,
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(house.clients().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_password_ends_all_tokens() {
    let house = House::new(Config::default()).await;
    let token = house.by_password(1).await;
    let verifiers = sasl::verifiers("pencil", 5, b"another salt").unwrap();
    house
        .stores
        .accounts
        .set_verifiers(&bare("alice"), &verifiers)
        .await
        .unwrap();
    assert_eq!(
        house.by_token(1, &token, plainly()).await,
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        house.by_token(1, &house.by_password(1).await, plainly()).await,
        Ok(None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_clients_loses_the_oldest_tokens() {
    let mut config = Config::default();
    config.sasl.tokens = 2;
    let house = House::new(config).await;
    let first = house.by_password(1).await;
    house.pass(1);
    let second = house.by_password(2).await;
    house.pass(1);
    let third = house.by_password(3).await;
    assert!(house.by_token(1, &first, plainly()).await.is_err());
    for (client, token) in [(2, second), (3, third)] {
        assert_eq!(house.by_token(client, &token, plainly()).await, Ok(None));
    }
    assert_eq!(house.clients().await, 2);
}

/// A token asked for with one is for that mechanism, also when the other is not due.
#[tokio::test(start_paused = true)]
async fn another_token_can_be_asked_for_with_the_first() {
    let house = House::new(Config::default()).await;
    let token = house.by_password(1).await;
    let sasl2 = Sasl2 {
        fast: Some(FastUse {
            count: None,
            invalidate: true,
        }),
        request_token: Some(NONE.into()),
        ..of(1)
    };
    let initial = hashed_token("alice", &token.token, b"");
    let new = house.log_in(initial, NONE, sasl2).await.unwrap().unwrap();
    assert!(house.by_token(1, &token, plainly()).await.is_err());
    assert_eq!(house.by_token(1, &new, plainly()).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn nobody_has_no_token() {
    let house = House::new(Config::default()).await;
    let token = house.by_password(1).await;
    for name in ["bob", "carol"] {
        let sasl2 = Sasl2 {
            fast: Some(plainly()),
            ..of(1)
        };
        let outcome = house.log_in(hashed_token(name, &token.token, b""), NONE, sasl2).await;
        assert_eq!(outcome, Err(SaslFailure::NotAuthorized), "{name}");
    }
}
