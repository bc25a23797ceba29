//! A house for tests: routers on memory stores, an edge that remembers, a few modules, clients with one verb per line.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses a part"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use dunlin_router as router;
use engine::{
    About, AccountCx, At, Cx, Effect, Effects, Hooks, Host, Module, Outcome, Pipeline, Presence, PresenceType, Reply,
    RosterChange, Row, SessionChange, SessionEvent, Way, row,
};
use link::{
    Attach, CloseReason, Delivery, Edge, EdgeRef, Gone, Held, Home, Peers, Said, SessionRef, Submission, Waiting,
};
use parking_lot::Mutex;
use router::{Clock, Config, Entropy, Parts, Router, VirtualHost};
use serde_json::Value;
use stanza::{ArchiveId, Bare, BindReply, BindRequest, Head, Jid, Peer, SessionId, Stanza, StreamCondition, Timestamp};
use store::{Account, Contact, Stores, Subscription};
use topology::Epoch;

pub const SECRET: [u8; 32] = [7; 32];
pub const DOMAIN: &str = "a.example";

/// An edge that remembers what it was told.
#[derive(Default)]
pub struct FakeEdge {
    pub log: Mutex<BTreeMap<SessionId, Vec<(u64, String)>>>,
    pub kicks: Mutex<Vec<(SessionId, StreamCondition)>>,
    pub mirrors: Mutex<BTreeMap<SessionId, Bytes>>,
    pub sealed: Mutex<Vec<u64>>,
    /// What waits for its sessions.
    pub held: Mutex<BTreeMap<SessionId, Held>>,
    /// Sessions that were entrusted to it.
    pub kept: Mutex<Vec<Attach>>,
    archived: Mutex<BTreeMap<(SessionId, u64), ArchiveId>>,
    /// Records, each with the number of deliveries that came before.
    records: Mutex<Vec<(SessionId, usize, Bytes)>>,
}

impl FakeEdge {
    /// Everything delivered to the session: number, stanza, and where it stands in the archive.
    pub fn deliveries(&self, session: SessionId) -> Vec<(u64, String, Option<ArchiveId>)> {
        let (log, archived) = (self.log.lock(), self.archived.lock());
        let all = log.get(&session).into_iter().flatten();
        all.map(|(number, text)| (*number, text.clone(), archived.get(&(session, *number)).copied()))
            .collect()
    }

    /// The link broke: only so many deliveries came to the edge. Returns the last record that came with them.
    pub fn cut(&self, session: SessionId, reached: usize) -> Bytes {
        let mut records = self.records.lock();
        records.retain(|(id, before, _)| *id != session || *before <= reached);
        let last = records.iter().rev().find(|(id, ..)| *id == session);
        let record = last.map(|(.., record)| record.clone()).unwrap_or_default();
        self.log.lock().entry(session).or_default().truncate(reached);
        record
    }
}

impl Edge for FakeEdge {
    fn deliver(&self, delivery: Delivery) {
        let mut out = Vec::new();
        delivery.stanza.write(&mut out);
        let text = String::from_utf8(out).unwrap();
        let mut log = self.log.lock();
        for (session, number) in delivery.sessions {
            if let Some(id) = delivery.archived {
                self.archived.lock().insert((session, number), id);
            }
            log.entry(session).or_default().push((number, text.clone()));
            self.held.lock().remove(&session);
        }
    }

    fn done(&self, _: SessionId, _: u64) {}

    fn mirror(&self, session: SessionId, state: Bytes) {
        let before = self.log.lock().get(&session).map_or(0, Vec::len);
        self.records.lock().push((session, before, state.clone()));
        self.mirrors.lock().insert(session, state);
    }

    fn hold(&self, session: SessionId, waiting: Waiting) {
        self.held.lock().entry(session).or_default().hold(waiting);
    }

    fn kick(&self, session: SessionId, condition: StreamCondition) {
        self.kicks.lock().push((session, condition));
    }

    fn keep(&self, attach: Attach) -> bool {
        self.kept.lock().push(attach);
        true
    }

    fn sealed(&self, table: u64) {
        self.sealed.lock().push(table);
    }
}

/// Time of day that only goes on by itself one microsecond per look.
#[derive(Default)]
pub struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed).cast_signed())
    }
}

/// Chance that repeats itself from run to run.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Entropy for Counter {
    fn bits(&self) -> u128 {
        let n = u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1);
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

engine::request! {
    Ping = "ping" in "urn:xmpp:ping";
    Panic = "panic" in "test:panic";
    Sleep = "sleep" in "test:sleep";
    Befriend = "befriend" in "test:befriend";
}

/// How often [`Befriend`] ran.
pub static BEFRIENDED: AtomicU32 = AtomicU32::new(0);

/// Presence as far as tests need it, offline messages, a few requests.
struct Fake;

impl Module for Fake {
    const ABOUT: About = About {
        name: "fake",
        rfcs: &[],
        xeps: &[],
        summary: "Stands in for the real modules.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.observe::<engine::Message>(Way::In, |view, message, effects| {
            if matches!(view.outcome, Outcome::Nobody | Outcome::Sessions(_))
                && message.payload.has("jabber:client", "body")
            {
                let (message, lasting) = (message.clone(), false);
                effects.push(Effect::Archive { message, lasting });
            }
        });
        on.observe::<Presence>(Way::Out, |view, presence, effects| {
            let Some(session) = view.session else { return };
            if presence.head.to.is_some() {
                return;
            }
            let change = match presence.kind {
                PresenceType::Available => SessionChange::Available(Arc::new(presence.clone())),
                _ => SessionChange::Unavailable,
            };
            effects.push(Effect::Session(session.id, change));
            effects.broadcast(friends(view), presence.clone());
            effects.push(Effect::Flush {
                to: session.id,
                reads_archive: false,
            });
        });
        on.session(|view, event, effects| {
            let Some(session) = view
                .session
                .filter(|s| event == SessionEvent::Closed && s.presence.is_some())
            else {
                return;
            };
            let head = Head {
                from: Some(session.jid.clone().into()),
                ..Head::default()
            };
            let gone = Presence {
                head,
                kind: PresenceType::Unavailable,
                payload: engine::Payload::default(),
            };
            effects.broadcast(friends(view), gone);
        });
        on.account(async |cx: AccountCx, _| {
            let mut effects = Effects::default();
            for friend in cx.account.roster.contacts.keys() {
                let head = Head {
                    from: Some(cx.account.jid.jid().clone()),
                    to: Some(friend.clone()),
                    ..Head::default()
                };
                effects.send(Presence {
                    head,
                    kind: PresenceType::Unavailable,
                    payload: engine::Payload::default(),
                });
            }
            Ok(effects)
        });
        on.account(async |cx: AccountCx, _| panic!("removed: {}", cx.account.jid));
        on.can_wait(|presence: &Presence| presence.kind != PresenceType::Subscribe);
        on.get(At::Account, async |_: Cx, _: Ping| Ok(Reply::empty()));
        on.get(At::Server, async |_: Cx, _: Ping| Ok(Reply::empty()));
        on.get(At::Server, async |cx: Cx, _: Panic| panic!("{}", cx.host.domain));
        on.get(At::Server, async |_: Cx, _: Sleep| {
            std::future::pending::<()>().await;
            Ok(Reply::empty())
        });
        on.set(At::Account, async |_: Cx, _: Befriend| {
            BEFRIENDED.fetch_add(1, Ordering::Relaxed);
            Ok(Reply::empty().effect(Effect::Roster(befriend("friend@b.example"))))
        });
    }
}

fn befriend(jid: &str) -> RosterChange {
    RosterChange {
        put: vec![contact(jid)],
        remove: vec![],
    }
}

pub fn contact(jid: &str) -> Contact {
    Contact {
        subscription: Subscription::Both,
        in_roster: true,
        ..Contact::new(Jid::parse(jid).unwrap())
    }
}

fn friends(view: &engine::View<'_>) -> Vec<Jid> {
    view.account.roster.contacts.keys().cloned().collect()
}

static FAKE: Row = row::<Fake>();

/// Fresh stores with these accounts, all of whom are each other's friends.
pub async fn stores(users: &[&str]) -> Stores {
    let stores = store::memory::stores();
    for user in users {
        let jid = bare(user);
        stores.accounts.create(&[account(user)]).await.unwrap();
        let others: Vec<_> = users
            .iter()
            .filter(|other| *other != user)
            .map(|other| contact(bare(other).as_str()))
            .collect();
        if !others.is_empty() {
            stores.rosters.change(&jid, 0, &others, &[]).await.unwrap();
        }
    }
    stores
}

/// An account as [`stores`] makes it.
pub fn account(user: &str) -> Account {
    Account {
        jid: bare(user),
        created: Timestamp(0),
        verifiers: Vec::new(),
        last_seen: None,
        disabled: false,
    }
}

/// That `session` authenticated to `account` as it is.
pub fn grant(session: SessionId, account: &Account, expires: Timestamp) -> stanza::Grant {
    sasl::seal(&SECRET, session, &account.jid, sasl::mark(&SECRET, account), expires)
}

pub fn bare(user: &str) -> Bare {
    Bare::parse(&format!("{user}@{DOMAIN}")).unwrap()
}

/// A router named `node`.
pub fn router(node: &str, stores: Stores, peers: Arc<dyn Peers>, config: Config) -> Router {
    router_by(Arc::new(Ticks::default()), node, stores, peers, config)
}

/// The same, by another clock.
pub fn router_by(clock: Arc<dyn Clock>, node: &str, stores: Stores, peers: Arc<dyn Peers>, config: Config) -> Router {
    router_of(&[&FAKE], clock, node, stores, peers, config)
}

/// The same, with other modules.
pub fn router_of(
    modules: &[&Row],
    clock: Arc<dyn Clock>,
    node: &str,
    stores: Stores,
    peers: Arc<dyn Peers>,
    config: Config,
) -> Router {
    Router::new(Parts {
        node: node.into(),
        config,
        hosts: hosts_of(modules, router::Registration::default()),
        stores,
        peers,
        clock,
        entropy: Arc::new(Counter::default()),
        secret: SECRET,
    })
}

/// The host, with these rules for who may register.
pub fn hosts(registration: router::Registration) -> router::Hosts {
    hosts_of(&[&FAKE], registration)
}

fn hosts_of(modules: &[&Row], registration: router::Registration) -> router::Hosts {
    let host = Host {
        domain: DOMAIN.into(),
        admins: [bare("prince")].into(),
        ..Host::default()
    };
    let host = VirtualHost {
        pipeline: Pipeline::new(modules.iter().map(|row| (*row, &Value::Null))).unwrap(),
        host: Arc::new(host),
        registration,
    };
    BTreeMap::from([(DOMAIN.to_owned(), Arc::new(host))])
}

/// A single router with one edge.
pub struct House {
    pub router: Router,
    pub edge: Arc<FakeEdge>,
    pub stores: Stores,
}

impl House {
    pub async fn new(users: &[&str]) -> Self {
        Self::with(users, Config::default()).await
    }

    pub async fn with(users: &[&str], config: Config) -> Self {
        let stores = stores(users).await;
        let router = router("router-1", stores.clone(), Arc::new(router::NoPeers), config);
        router.serve_alone();
        Self {
            router,
            edge: Arc::default(),
            stores,
        }
    }

    pub async fn client(&self, user: &str, resource: &str) -> Client {
        self.bind(user, Some(resource)).await.unwrap()
    }

    /// Somebody who authenticated as the account is now, or was.
    pub async fn bind(&self, user: &str, resource: Option<&str>) -> Result<Client, stanza::StanzaError> {
        let kept = self.stores.accounts.get(&bare(user)).await.unwrap();
        let account = kept.unwrap_or_else(|| account(user));
        Client::bind(&self.router, self.edge_ref(), &self.edge, &account, resource).await
    }

    /// A connection of an external component.
    pub async fn component(&self, domain: &str) -> Result<Client, stanza::StanzaError> {
        let component = Bare::parse(domain).unwrap();
        let session = Client::next();
        let grant = sasl::seal(&SECRET, session, &component, sasl::Mark::default(), Timestamp(i64::MAX));
        Client::bind_by(
            &self.router,
            self.edge_ref(),
            &self.edge,
            (session, component, grant),
            None,
        )
        .await
    }

    /// Its edge as routers see it.
    pub fn edge_ref(&self) -> EdgeRef {
        edge_ref("edge-1", &self.edge)
    }
}

/// An edge as routers see it.
pub fn edge_ref(id: &str, edge: &Arc<FakeEdge>) -> EdgeRef {
    EdgeRef {
        id: id.into(),
        epoch: Epoch(1),
        edge: edge.clone(),
    }
}

/// A client that is bound.
pub struct Client {
    pub router: Router,
    pub edge: Arc<FakeEdge>,
    pub session: SessionRef,
    pub grant: stanza::Grant,
    number: AtomicU64,
    read: Mutex<usize>,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Client {
    /// Of who authenticated as `account`.
    pub async fn bind(
        router: &Router,
        at: EdgeRef,
        edge: &Arc<FakeEdge>,
        account: &Account,
        resource: Option<&str>,
    ) -> Result<Self, stanza::StanzaError> {
        let session = Self::next();
        let grant = grant(session, account, Timestamp(i64::MAX));
        Self::bind_by(router, at, edge, (session, account.jid.clone(), grant), resource).await
    }

    /// The id of a session that there has not been.
    pub fn next() -> SessionId {
        SessionId(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// The same, by this grant.
    pub async fn bind_by(
        router: &Router,
        at: EdgeRef,
        edge: &Arc<FakeEdge>,
        (session, account, grant): (SessionId, Bare, stanza::Grant),
        resource: Option<&str>,
    ) -> Result<Self, stanza::StanzaError> {
        let request = BindRequest {
            session,
            account,
            grant: grant.clone(),
            resource: resource.map(str::to_owned).into(),
            peer: Peer::default(),
        };
        match router.bind(&at, request).await.expect("the home") {
            BindReply::Bound(jid, _) => Ok(Self {
                router: router.clone(),
                edge: edge.clone(),
                session: SessionRef::new(session, jid),
                grant,
                number: AtomicU64::new(0),
                read: Mutex::new(0),
            }),
            BindReply::Refused(error) => Err(error),
        }
    }

    pub async fn send(&self, xml: &str) -> Result<(), Gone> {
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        self.send_as(number, xml).await
    }

    pub async fn send_as(&self, number: u64, xml: &str) -> Result<(), Gone> {
        let stanza = Stanza::parse(&Bytes::copy_from_slice(xml.as_bytes())).unwrap();
        let submission = Submission {
            number,
            said: Said::Stanza(stanza),
            trace: None,
        };
        self.router.submit(&self.session, submission).await
    }

    /// How many stanzas the client has sent.
    pub fn sent(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// The last stanza was not taken in: the next one bears its number.
    pub fn unsend(&self) {
        self.number.fetch_sub(1, Ordering::Relaxed);
    }

    pub async fn available(&self) {
        self.send("<presence/>").await.unwrap();
    }

    /// What was delivered since last asked.
    pub fn got(&self) -> Vec<String> {
        let log = self.edge.log.lock();
        let all = log.get(&self.session.id).map_or(&[][..], |all| all);
        let mut read = self.read.lock();
        let new = all[(*read).min(all.len())..]
            .iter()
            .map(|(_, text)| text.clone())
            .collect();
        *read = all.len();
        new
    }

    /// The numbers of everything delivered.
    pub fn numbers(&self) -> Vec<u64> {
        self.edge
            .log
            .lock()
            .get(&self.session.id)
            .map(|all| all.iter().map(|(n, _)| *n).collect())
            .unwrap_or_default()
    }

    /// The edge wrote everything to the client.
    pub fn written(&self) {
        let last = self.numbers().last().copied().unwrap_or(0);
        self.router.written(&self.session, last);
    }

    pub async fn close(&self) {
        let _ = self.router.close(&self.session, CloseReason::Client).await;
    }

    pub fn kicked(&self) -> Option<StreamCondition> {
        self.edge
            .kicks
            .lock()
            .iter()
            .find(|(id, _)| *id == self.session.id)
            .map(|(_, condition)| condition.clone())
    }
}

/// Lets other tasks run until there is nothing to do.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
