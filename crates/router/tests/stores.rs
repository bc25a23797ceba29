//! Stores that are away or lose their data, and what depends on them: nothing is half done, nothing waits for soft state.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dunlin_router::{Config, NoPeers};
use engine::{
    About, At, Cx, Effect, Effects, Element, Head, Hooks, Iq, IqType, Module, Payload, Presence, Reply, RosterChange,
    Row, View, Way, row,
};
use link::Home;
use stanza::{Bare, Jid, Peer, SaslFailure, SaslReply, SaslRequest, SessionId};
use store::{Accounts, Append, Archive, Contact, Entry, EntryId, Error, Page, PageRequest, Roster, Rosters, Stores};
use support::{House, bare, settle};
use topology::Slot;

/// Rosters that can be away for writing.
struct Away {
    rosters: Arc<dyn Rosters>,
    is_away: Arc<AtomicBool>,
}

#[async_trait]
impl Rosters for Away {
    async fn load(&self, owner: &Bare) -> store::Result<Roster> {
        self.rosters.load(owner).await
    }

    async fn change(&self, owner: &Bare, seen: u64, put: &[Contact], remove: &[Jid]) -> store::Result<u64> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("away".into()));
        }
        self.rosters.change(owner, seen, put, remove).await
    }
}

/// An archive whose next answer to a writer can be lost: what was to be written is, and the writer does not know.
struct Unheard {
    archive: Arc<dyn Archive>,
    is_unheard: Arc<AtomicBool>,
}

#[async_trait]
impl Archive for Unheard {
    async fn append(&self, entries: &[Append]) -> store::Result<Vec<EntryId>> {
        let ids = self.archive.append(entries).await?;
        match self.is_unheard.swap(false, Ordering::SeqCst) {
            true => Err(Error::Unavailable("no answer".into())),
            false => Ok(ids),
        }
    }

    async fn page(&self, owner: &Bare, log: &str, request: &PageRequest) -> store::Result<Page> {
        self.archive.page(owner, log, request).await
    }

    async fn entries(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> store::Result<Vec<Entry>> {
        self.archive.entries(owner, log, ids).await
    }

    async fn logs(&self, owner: &Bare) -> store::Result<Vec<String>> {
        self.archive.logs(owner).await
    }

    async fn count(&self, owner: &Bare, log: &str) -> store::Result<u64> {
        self.archive.count(owner, log).await
    }

    async fn count_found(
        &self,
        owner: &Bare,
        log: &str,
        request: &PageRequest,
        most: u32,
    ) -> store::Result<Option<u32>> {
        self.archive.count_found(owner, log, request, most).await
    }

    async fn excess(&self, owner: &Bare, log: &str, keep: u32) -> store::Result<Option<EntryId>> {
        self.archive.excess(owner, log, keep).await
    }

    async fn replace(&self, owner: &Bare, log: &str, id: EntryId, stanza: Bytes) -> store::Result<bool> {
        self.archive.replace(owner, log, id, stanza).await
    }

    async fn trim(&self, owner: &Bare, log: &str, last: EntryId, most: u32) -> store::Result<u64> {
        self.archive.trim(owner, log, last, most).await
    }

    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> store::Result<u64> {
        self.archive.remove(owner, log, ids).await
    }

    async fn index(&self, owner: &Bare, log: &str, most: u32) -> store::Result<bool> {
        self.archive.index(owner, log, most).await
    }
}

async fn house(stores: Stores) -> House {
    let router = support::router("router-1", stores.clone(), Arc::new(NoPeers), Config::default());
    router.serve_alone();
    House {
        router,
        edge: Arc::default(),
        stores,
    }
}

#[tokio::test(start_paused = true)]
async fn a_roster_that_cannot_be_written_bounces_and_changes_nothing() {
    let is_away = Arc::new(AtomicBool::new(true));
    let stores = support::stores(&["alice"]).await;
    let rosters = Arc::new(Away {
        rosters: stores.rosters.clone(),
        is_away: is_away.clone(),
    });
    let house = house(Stores { rosters, ..stores }).await;
    let alice = house.client("alice", "a").await;
    let befriend = "<iq type='set' id='1'><befriend xmlns='test:befriend'/></iq>";
    alice.send(befriend).await.unwrap();
    let got = alice.got();
    assert!(
        got.len() == 1 && got[0].contains("type='error'") && got[0].contains("resource-constraint"),
        "{got:?}"
    );
    is_away.store(false, Ordering::SeqCst);
    alice.send(befriend).await.unwrap();
    assert!(alice.got()[0].contains("type='result'"));
    assert_eq!(house.stores.rosters.load(&bare("alice")).await.unwrap().version, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_delivered_though_it_was_written() {
    let is_unheard = Arc::new(AtomicBool::new(false));
    let stores = support::stores(&["alice", "bob"]).await;
    let archive = Arc::new(Unheard {
        archive: stores.archive.clone(),
        is_unheard: is_unheard.clone(),
    });
    let house = house(Stores { archive, ..stores }).await;
    let (alice, bob) = (house.client("alice", "a").await, house.client("bob", "b").await);
    alice.available().await;
    bob.available().await;
    alice.got();
    let say = |id: u32| format!("<message to='bob@a.example' type='chat' id='{id}'><body>{id}</body></message>");
    alice.send(&say(1)).await.unwrap();
    is_unheard.store(true, Ordering::SeqCst);
    alice.send(&say(2)).await.unwrap();
    let refused = alice.got();
    assert!(
        refused.len() == 1 && refused[0].contains("id='2'") && refused[0].contains("resource-constraint"),
        "{refused:?}"
    );
    alice.send(&say(3)).await.unwrap();
    settle().await;
    let heard = bob.got().concat();
    assert!(heard.contains("id='1'") && heard.contains("id='3'"), "{heard}");
    assert!(!heard.contains("id='2'"), "{heard}");
    bob.written();
    bob.close().await;
    is_unheard.store(true, Ordering::SeqCst);
    alice.send(&say(4)).await.unwrap();
    assert!(
        alice.got().concat().contains("resource-constraint"),
        "while he was away"
    );
    let again = house.client("bob", "b").await;
    again.available().await;
    assert!(!again.got().concat().contains("<body>"));
    assert_eq!(house.stores.archive.count(&bare("bob"), "archive").await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn presence_that_was_lost_is_written_again_from_memory() {
    let presence = Arc::new(store::memory::Presence::default());
    let stores = support::stores(&["alice"]).await;
    let house = house(Stores {
        presence: presence.clone(),
        ..stores
    })
    .await;
    let kept = async || {
        house
            .stores
            .presence
            .load(Slot::of(bare("alice").as_str()))
            .await
            .unwrap()
            .1
            .len()
    };
    let (one, two) = (house.client("alice", "1").await, house.client("alice", "2").await);
    one.available().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(kept().await, 1);
    presence.forget();
    two.available().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(kept().await, 2, "both, though only one was news");
    one.close().await;
    two.close().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(kept().await, 0);
}

#[tokio::test(start_paused = true)]
async fn locations_follow_sessions() {
    let house = House::new(&["alice"]).await;
    let kept = async || {
        house
            .stores
            .locations
            .load(Slot::of(bare("alice").as_str()))
            .await
            .unwrap()
    };
    let alice = house.client("alice", "a").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        kept().await.iter().map(|record| record.session).collect::<Vec<_>>(),
        [alice.session.id.0]
    );
    alice.close().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(kept().await, []);
}

fn plain(session: u128, user: &str, password: &str) -> SaslRequest {
    SaslRequest::Start {
        session: SessionId(session),
        domain: support::DOMAIN.into(),
        mechanism: "PLAIN".into(),
        offered: vec!["PLAIN".into()],
        bindings: vec![],
        initial: Some(format!("\0{user}\0{password}").into_bytes().into()),
        sasl2: None,
        peer: Peer {
            address: "192.0.2.1".parse().ok(),
            tls: None,
        },
    }
}

#[tokio::test]
async fn logins_succeed_fail_alike_and_are_limited() {
    let mut config = Config::default();
    (config.sasl.failures, config.sasl.iterations) = (2, 10);
    let house = House::with(&["alice"], config).await;
    let verifiers = sasl::verifiers("pencil", 10, &[1; 16]).unwrap();
    let accounts: &dyn Accounts = &*house.stores.accounts;
    accounts.set_verifiers(&bare("alice"), &verifiers).await.unwrap();

    let SaslReply::Success { account, grant, .. } = house.router.sasl(plain(1, "alice", "pencil")).await else {
        panic!("the password is right")
    };
    assert_eq!(account, bare("alice"));
    let now = stanza::Timestamp(1_800_000_000_000_000);
    assert!(sasl::open(&support::SECRET, &grant, SessionId(1), &account, now).is_ok());

    for (user, password) in [("alice", "pen"), ("eve", "pencil")] {
        let reply = house.router.sasl(plain(2, user, password)).await;
        assert_eq!(reply, SaslReply::Failure(SaslFailure::NotAuthorized), "{user}");
    }
    let reply = house.router.sasl(plain(3, "alice", "pencil")).await;
    assert_eq!(
        reply,
        SaslReply::Failure(SaslFailure::TemporaryAuthFailure),
        "too many failures"
    );
}

#[tokio::test(start_paused = true)]
async fn an_exchange_ends_when_its_client_takes_too_long() {
    let house = House::new(&["alice"]).await;
    let start = |session| SaslRequest::Start {
        session: SessionId(session),
        domain: support::DOMAIN.into(),
        mechanism: "PLAIN".into(),
        offered: vec!["PLAIN".into()],
        bindings: vec![],
        initial: None,
        sasl2: None,
        peer: Peer::default(),
    };
    let SaslReply::Challenge { exchange, .. } = house.router.sasl(start(1)).await else {
        panic!("a challenge")
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    settle().await;
    let respond = SaslRequest::Respond {
        exchange,
        response: "\0alice\0x".into(),
    };
    assert_eq!(
        house.router.sasl(respond).await,
        SaslReply::Failure(SaslFailure::TemporaryAuthFailure)
    );
}

/// Rosters that take their time to be written.
struct Slow(Arc<dyn Rosters>);

#[async_trait]
impl Rosters for Slow {
    async fn load(&self, owner: &Bare) -> store::Result<Roster> {
        self.0.load(owner).await
    }

    async fn change(&self, owner: &Bare, seen: u64, put: &[Contact], remove: &[Jid]) -> store::Result<u64> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.0.change(owner, seen, put, remove).await
    }
}

/// Asks its own account and another one at once.
struct Asks;

engine::request! {
    /// Writes to the roster.
    Write = "write" in "test:asks";
    /// Does nothing.
    Answer = "answer" in "test:asks";
}

impl Module for Asks {
    const ABOUT: About = About {
        name: "asks",
        rfcs: &[],
        xeps: &[],
        summary: "Asks its own account and another one at once.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.observe(Way::Out, both);
        on.set(At::Account, async |_: Cx, _: Write| {
            let change = RosterChange {
                put: vec![support::contact("friend@b.example")],
                remove: vec![],
            };
            Ok(Reply::empty().effect(Effect::Roster(change)))
        });
        on.set(At::Account, async |_: Cx, _: Answer| Ok(Reply::empty()));
    }
}

fn both(view: &View<'_>, _: &Presence, effects: &mut Effects) {
    effects.send(ask(view, "alice", "write"));
    effects.send(ask(view, "bob", "answer"));
}

fn ask(view: &View<'_>, user: &str, what: &'static str) -> Iq {
    Iq {
        head: Head {
            from: view.session.map(|session| session.jid.clone().into()),
            to: Some(bare(user).into()),
            id: Some(what.into()),
            ..Head::default()
        },
        kind: IqType::Set,
        payload: Payload::from(Element::new("test:asks", what)),
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_stanza_sets_off_does_not_wait_for_itself() {
    static ASKS: Row = row::<Asks>();
    let stores = support::stores(&["alice", "bob"]).await;
    let rosters = Arc::new(Slow(stores.rosters.clone()));
    let stores = Stores { rosters, ..stores };
    let router = support::router_of(
        &[&ASKS],
        Arc::new(support::Ticks::default()),
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
    let alice = house.client("alice", "a").await;
    // Bob's answer comes to alice while what her own account was asked is being written.
    let sent = tokio::time::timeout(Duration::from_secs(10), alice.available()).await;
    assert!(sent.is_ok(), "it waits for ever");
    let got = alice.got();
    let results = ["id='write'", "id='answer'"].map(|id| got.iter().filter(|text| text.contains(id)).count());
    assert_eq!(results, [1, 1], "{got:?}");
}
