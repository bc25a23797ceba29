//! What a module knows of an account while others change it: a stanza is judged, and a request answered, by what holds, or not at all.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dunlin_router::{Config, NoPeers};
use engine::{
    About, At, Condition, Cx, Effect, Fact, Hooks, Message, MessageType, Module, Put, Reply, Row, Verdict, Way, row,
};
use stanza::Bare;
use store::{Error, Item, Items, Key, Stores, Version};
use support::{Client, House, bare};

engine::request! {
    /// Opens the gate if it is closed, and the other way round.
    Turn = "turn" in "test:gate";
}

/// Lets messages out while it is open; of a chat it writes that it was.
struct Gate;

/// As it is kept.
struct State {
    is_open: bool,
    seen: Option<Version>,
}

/// How often [`Turn`] ran.
static TURNED: AtomicU32 = AtomicU32::new(0);
static GATE: Row = row::<Gate>();

const OPEN: &[u8] = b"open";
const CLOSED: &[u8] = b"closed";

impl Fact for State {
    async fn load(stores: &Stores, account: &Bare) -> store::Result<Self> {
        let item = stores.items.get(account, &key()).await?;
        Ok(Self {
            is_open: item.as_ref().is_none_or(|item| item.value == OPEN),
            seen: item.map(|item| item.version),
        })
    }
}

impl State {
    fn put(&self, value: &'static [u8]) -> Effect {
        Effect::Put(Put::fact::<Self>(key(), Some(Bytes::from_static(value)), self.seen))
    }
}

impl Module for Gate {
    const ABOUT: About = About {
        name: "gate",
        rfcs: &[],
        xeps: &[],
        summary: "Lets messages out while it is open.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.fact::<State>();
        on.guard::<Message>(Way::Out, |view, _| match view.fact::<State>() {
            Some(State { is_open: true, .. }) => Verdict::Pass,
            _ => Verdict::Bounce(Condition::Forbidden.into()),
        });
        on.observe::<Message>(Way::Out, |view, message, effects| {
            let is_chat = message.kind == MessageType::Chat;
            let state = view.fact::<State>().filter(|_| is_chat);
            effects.0.extend(state.map(|state| state.put(OPEN)));
        });
        on.set(At::Account, async |cx: Cx, _: Turn| {
            TURNED.fetch_add(1, Ordering::SeqCst);
            let state = cx.own::<State>()?;
            Ok(Reply::empty().effect(state.put(if state.is_open { CLOSED } else { OPEN })))
        });
    }
}

/// Items that cannot be read for a while, though they are written.
struct Unread {
    items: Arc<dyn Items>,
    is_unread: Arc<AtomicBool>,
}

#[async_trait]
impl Items for Unread {
    async fn get(&self, owner: &Bare, key: &Key) -> store::Result<Option<Item>> {
        match self.is_unread.load(Ordering::SeqCst) {
            true => Err(Error::Unavailable("away".into())),
            false => self.items.get(owner, key).await,
        }
    }

    async fn list(&self, owner: &Bare, space: &str) -> store::Result<Vec<Item>> {
        self.items.list(owner, space).await
    }

    async fn page(&self, owner: &Bare, after: Option<&Key>, limit: u32) -> store::Result<Vec<Item>> {
        self.items.page(owner, after, limit).await
    }

    async fn put(&self, owner: &Bare, key: &Key, value: Bytes, seen: Option<Version>) -> store::Result<Version> {
        self.items.put(owner, key, value, seen).await
    }

    async fn remove(&self, owner: &Bare, key: &Key, seen: Version) -> store::Result<()> {
        self.items.remove(owner, key, seen).await
    }
}

/// Alice, whose gate it is, and bob, who hears what comes through.
struct Scene {
    alice: Client,
    bob: Client,
    stores: Stores,
    is_unread: Arc<AtomicBool>,
}

impl Scene {
    async fn new() -> Self {
        let (stores, is_unread) = (
            support::stores(&["alice", "bob"]).await,
            Arc::new(AtomicBool::new(false)),
        );
        let items = Arc::new(Unread {
            items: stores.items.clone(),
            is_unread: is_unread.clone(),
        });
        let stores = Stores { items, ..stores };
        let clock = Arc::new(support::Ticks::default());
        let router = support::router_of(
            &[&GATE],
            clock,
            "router-1",
            stores.clone(),
            Arc::new(NoPeers),
            Config::default(),
        );
        router.serve_alone();
        let house = House {
            router,
            edge: Arc::default(),
            stores,
        };
        Self {
            alice: house.client("alice", "a").await,
            bob: house.client("bob", "b").await,
            stores: house.stores,
            is_unread,
        }
    }

    /// Another home of alice writes the state.
    async fn write(&self, value: &'static [u8]) {
        let seen = State::load(&self.stores, &bare("alice")).await.unwrap().seen;
        let value = Bytes::from_static(value);
        self.stores
            .items
            .put(&bare("alice"), &key(), value, seen)
            .await
            .unwrap();
    }

    async fn is_open(&self) -> bool {
        State::load(&self.stores, &bare("alice")).await.unwrap().is_open
    }

    /// Alice says something. Returns whether bob hears it, and what she is told.
    async fn say(&self) -> (bool, String) {
        self.say_as("chat").await
    }

    async fn say_as(&self, kind: &str) -> (bool, String) {
        let said = format!("<message to='bob@a.example/b' type='{kind}'><body>Soft!</body></message>");
        self.alice.send(&said).await.unwrap();
        support::settle().await;
        (!self.bob.got().is_empty(), self.alice.got().concat())
    }

    async fn turn(&self) -> String {
        self.alice
            .send("<iq type='set' id='1'><turn xmlns='test:gate'/></iq>")
            .await
            .unwrap();
        support::settle().await;
        self.alice.got().concat()
    }
}

fn key() -> Key {
    Key {
        space: "gate".to_owned(),
        name: "state".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_judged_anew_when_somebody_else_was_faster() {
    let scene = Scene::new().await;
    assert_eq!(scene.say().await, (true, String::new()));
    scene.write(CLOSED).await;
    let (is_heard, told) = scene.say().await;
    assert!(!is_heard && told.contains("forbidden"), "{told}");
    assert!(!scene.is_open().await, "what the other wrote stays");
    scene.write(OPEN).await;
    // What nobody had to write again was judged by what was known; it is known again with the next request.
    assert!(scene.turn().await.contains("result"));
    assert!(!scene.is_open().await);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_by_what_holds() {
    let scene = Scene::new().await;
    assert_eq!(scene.say().await, (true, String::new()));
    scene.write(CLOSED).await;
    let before = TURNED.load(Ordering::SeqCst);
    assert!(scene.turn().await.contains("result"));
    assert!(scene.is_open().await, "turned from what the other wrote");
    assert!(TURNED.load(Ordering::SeqCst) >= before + 2);
    assert_eq!(scene.say().await, (true, String::new()));
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_by_what_could_not_be_read() {
    let scene = Scene::new().await;
    assert_eq!(scene.say().await, (true, String::new()));
    scene.is_unread.store(true, Ordering::SeqCst);
    // It is written, but what came of it is not known.
    assert!(scene.turn().await.contains("resource-constraint"));
    for kind in ["chat", "normal", "normal"] {
        let (is_heard, told) = scene.say_as(kind).await;
        assert!(!is_heard && told.contains("resource-constraint"), "{told}");
    }
    scene.is_unread.store(false, Ordering::SeqCst);
    let (is_heard, told) = scene.say_as("normal").await;
    assert!(!is_heard && told.contains("forbidden"), "{told}");
    assert!(scene.turn().await.contains("result"));
    assert_eq!(scene.say().await, (true, String::new()));
}
