//! Homes that move: routing between routers, sealing, attaching, fencing, and the sessions of the dead. Time is paused; edges
//! and links are played by the test.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dunlin_router::{Blind, Config, Router};
use link::{Attach, Delivery, Edge, EdgeRef, Gone, Home, PeerHome, Peers, Registry, Renewal, Route};
use parking_lot::Mutex;
use stanza::{Bare, Jid, Peer, SessionId, StreamCondition};
use store::{Contact, Members, Roster, Rosters, Stores};
use support::{Client, FakeEdge, bare, settle};
use tokio::sync::watch;
use topology::{Epoch, Lease, NodeId, NodeRecord, Role, Slot, SlotTable, Snapshot};

/// Routers by name: a link that calls the home directly.
#[derive(Default)]
struct Bus {
    routers: Mutex<BTreeMap<NodeId, Router>>,
    table: Mutex<Option<watch::Receiver<Snapshot>>>,
    /// Routers whose peers do not answer them.
    parted: Mutex<BTreeSet<NodeId>>,
}

/// The bus as one router uses it.
struct Seat {
    bus: Arc<Bus>,
    of: NodeId,
}

#[async_trait]
impl Peers for Seat {
    async fn route(&self, slot: Slot, route: Route) -> Result<(), Gone> {
        self.bus.route(slot, route).await
    }

    async fn keep_alive(&self, lease: Lease, _: Duration) -> (Renewal, Option<Arc<Snapshot>>) {
        let mut best = Renewal::Unknown;
        let others = self.bus.routers.lock().clone();
        let parted = self.bus.parted.lock().contains(&self.of);
        for (_, other) in others.iter().filter(|(name, _)| **name != self.of && !parted) {
            match other.keep_alive(lease).await {
                Renewal::Unknown => {}
                Renewal::Blind => best = Renewal::Blind,
                known => return (known, Some(other.watch().borrow().clone())),
            }
        }
        (best, None)
    }
}

#[async_trait]
impl Peers for Bus {
    async fn route(&self, _: Slot, route: Route) -> Result<(), Gone> {
        let mut left = route.to.clone();
        for _ in 0..100 {
            let mut back = Vec::new();
            for to in left {
                back.extend(self.hand_over(to, &route).await);
            }
            if back.is_empty() {
                return Ok(());
            }
            left = back;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Gone::Unreachable)
    }
}

impl Bus {
    fn snapshot(&self) -> Snapshot {
        self.table
            .lock()
            .as_ref()
            .map(|table| table.borrow().clone())
            .unwrap_or_else(Snapshot::empty)
    }

    fn home(&self, account: &str) -> Option<(NodeId, Router)> {
        let home = self.snapshot().table.home(Slot::of(account))?;
        let router = self.routers.lock().get(&home.router).cloned()?;
        Some((home.router, router))
    }

    async fn hand_over(&self, to: Jid, route: &Route) -> Vec<Jid> {
        let Some((_, router)) = self.home(to.bare().as_str()) else {
            return vec![to];
        };
        let part = Route {
            to: vec![to],
            ..route.clone()
        };
        router.route(&"peer".into(), part).await
    }
}

/// Membership that can be cut off for one node.
struct Cut {
    members: Arc<dyn Members>,
    is_cut: Arc<AtomicBool>,
}

impl Cut {
    /// An answer that never comes while cut off.
    async fn reach(&self) {
        while self.is_cut.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[async_trait]
impl Members for Cut {
    async fn join(&self, node: &NodeRecord, ttl: Duration) -> store::Result<(Epoch, Lease)> {
        self.reach().await;
        self.members.join(node, ttl).await
    }
    async fn keep_alive(&self, lease: Lease) -> store::Result<()> {
        self.reach().await;
        self.members.keep_alive(lease).await
    }
    async fn update(&self, node: &NodeRecord, epoch: Epoch, lease: Lease) -> store::Result<()> {
        self.reach().await;
        self.members.update(node, epoch, lease).await
    }
    async fn drain(&self, node: &NodeId) -> store::Result<bool> {
        self.reach().await;
        self.members.drain(node).await
    }
    async fn leave(&self, node: &NodeId, lease: Lease) -> store::Result<()> {
        self.reach().await;
        self.members.leave(node, lease).await
    }
    async fn bury(&self, node: &NodeId, epoch: Epoch) -> store::Result<bool> {
        self.reach().await;
        self.members.bury(node, epoch).await
    }
    async fn publish(&self, table: &SlotTable) -> store::Result<()> {
        self.reach().await;
        self.members.publish(table).await
    }
    async fn watch(&self) -> store::Result<watch::Receiver<Snapshot>> {
        let mut from = self.members.watch().await?;
        let (told, receiver) = watch::channel(from.borrow_and_update().clone());
        let is_cut = self.is_cut.clone();
        tokio::spawn(async move {
            while from.changed().await.is_ok() {
                while is_cut.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                told.send_replace(from.borrow_and_update().clone());
            }
        });
        Ok(receiver)
    }
    async fn secret(&self) -> store::Result<[u8; 32]> {
        Ok(support::SECRET)
    }
}

/// Rosters that can be away.
struct Away {
    rosters: Arc<dyn Rosters>,
    is_away: Arc<AtomicBool>,
}

#[async_trait]
impl Rosters for Away {
    async fn load(&self, owner: &Bare) -> store::Result<Roster> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(store::Error::Unavailable("away".into()));
        }
        self.rosters.load(owner).await
    }
    async fn change(&self, owner: &Bare, seen: u64, put: &[Contact], remove: &[Jid]) -> store::Result<u64> {
        self.rosters.change(owner, seen, put, remove).await
    }
}

/// The end of one router's link at one edge.
struct Port {
    edge: Arc<FakeEdge>,
    sealed: watch::Sender<u64>,
}

impl Edge for Port {
    fn deliver(&self, delivery: Delivery) {
        self.edge.deliver(delivery);
    }
    fn done(&self, _: SessionId, _: u64) {}
    fn mirror(&self, session: SessionId, state: bytes::Bytes) {
        self.edge.mirror(session, state);
    }
    fn kick(&self, session: SessionId, condition: StreamCondition) {
        self.edge.kick(session, condition);
    }
    fn sealed(&self, table: u64) {
        self.sealed.send_replace(table);
    }
}

/// An edge that is linked to every router, and keeps its lease while alive.
struct TestEdge {
    id: NodeId,
    epoch: Epoch,
    edge: Arc<FakeEdge>,
    ports: Mutex<BTreeMap<NodeId, Arc<Port>>>,
    alive: Arc<AtomicBool>,
}

impl TestEdge {
    fn port(&self, router: &NodeId) -> Arc<Port> {
        let mut ports = self.ports.lock();
        let port = || Port {
            edge: self.edge.clone(),
            sealed: watch::Sender::new(0),
        };
        ports.entry(router.clone()).or_insert_with(|| Arc::new(port())).clone()
    }

    fn at(&self, router: &NodeId) -> EdgeRef {
        EdgeRef {
            id: self.id.clone(),
            epoch: self.epoch,
            edge: self.port(router),
        }
    }
}

struct Cluster {
    stores: Stores,
    bus: Arc<Bus>,
    cuts: BTreeMap<NodeId, Arc<AtomicBool>>,
    edges: Vec<Arc<TestEdge>>,
}

impl Cluster {
    async fn new(users: &[&str], routers: &[&str], edges: &[&str]) -> Self {
        Self::with(Blind::Fence, users, routers, edges).await
    }

    async fn with(blind: Blind, users: &[&str], routers: &[&str], edges: &[&str]) -> Self {
        Self::over(support::stores(users).await, blind, routers, edges).await
    }

    async fn over(stores: Stores, blind: Blind, routers: &[&str], edges: &[&str]) -> Self {
        let bus = Arc::new(Bus::default());
        *bus.table.lock() = stores.members.watch().await.ok();
        let mut cluster = Self {
            stores,
            bus,
            cuts: BTreeMap::new(),
            edges: Vec::new(),
        };
        for router in routers {
            cluster.start_as(router, blind);
        }
        for edge in edges {
            cluster.edge(edge).await;
        }
        cluster
            .until(|snapshot| snapshot.table.routers().len() == routers.len())
            .await;
        cluster
    }

    fn start(&mut self, name: &str) -> Router {
        self.start_as(name, Blind::Fence)
    }

    fn start_as(&mut self, name: &str, blind: Blind) -> Router {
        let is_cut = Arc::new(AtomicBool::new(false));
        self.cuts.insert(name.into(), is_cut.clone());
        let stores = Stores {
            members: Arc::new(Cut {
                members: self.stores.members.clone(),
                is_cut,
            }),
            ..self.stores.clone()
        };
        let mut config = Config::default();
        config.cluster.blind = blind;
        config.cluster.moves = 4_096;
        let seat = Seat {
            bus: self.bus.clone(),
            of: name.into(),
        };
        let router = support::router(name, stores, Arc::new(seat), config);
        router.join(record(name, Role::Router));
        self.bus.routers.lock().insert(name.into(), router.clone());
        router
    }

    async fn edge(&mut self, name: &str) {
        let members = self.stores.members.clone();
        let (epoch, lease) = members
            .join(&record(name, Role::Edge), Duration::from_secs(6))
            .await
            .unwrap();
        let alive = Arc::new(AtomicBool::new(true));
        tokio::spawn({
            let alive = alive.clone();
            async move {
                while alive.load(Ordering::SeqCst) {
                    let _ = members.keep_alive(lease).await;
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
        });
        let edge = TestEdge {
            id: name.into(),
            epoch,
            edge: Arc::default(),
            ports: Mutex::default(),
            alive,
        };
        self.edges.push(Arc::new(edge));
    }

    /// Waits until what is published satisfies `holds`, and every router has carried it out.
    async fn until(&self, holds: impl Fn(&Snapshot) -> bool) {
        for _ in 0..2_000 {
            let snapshot = self.bus.snapshot();
            let served = Slot::all().all(|slot| {
                let home = snapshot
                    .table
                    .home(slot)
                    .and_then(|home| self.bus.routers.lock().get(&home.router).cloned());
                home.is_some()
            });
            if holds(&snapshot) && served {
                settle().await;
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not in time: {:?}", self.bus.snapshot().members);
    }

    /// Links every live edge to every router, as the links do when they see a member.
    async fn link(&self) {
        let routers = self.bus.routers.lock().clone();
        for edge in self.edges.iter().filter(|edge| edge.alive.load(Ordering::SeqCst)) {
            for (name, router) in &routers {
                router.edge_up(edge.at(name)).await;
                router
                    .attached(&edge.at(name), self.bus.snapshot().table.revision, BTreeSet::new())
                    .await;
            }
        }
    }

    async fn attached(&self) {
        let routers = self.bus.routers.lock().clone();
        let revision = self.bus.snapshot().table.revision;
        for edge in self.edges.iter().filter(|edge| edge.alive.load(Ordering::SeqCst)) {
            for (name, router) in &routers {
                router.attached(&edge.at(name), revision, BTreeSet::new()).await;
            }
        }
    }

    async fn client(&self, edge: usize, user: &str) -> Client {
        let (home, router) = self.bus.home(bare(user).as_str()).unwrap();
        let edge = &self.edges[edge];
        Client::bind(&router, edge.at(&home), &edge.edge, &support::account(user), Some("x"))
            .await
            .unwrap()
    }

    fn home(&self, user: &str) -> NodeId {
        self.bus.home(bare(user).as_str()).unwrap().0
    }

    /// The client's edge attaches its session to the home of now.
    async fn attach(&self, edge: usize, client: &mut Client) -> Result<(), Gone> {
        let (home, router) = self.bus.home(client.session.account().as_str()).unwrap();
        let numbers = client.numbers();
        let deliveries = client.edge.deliveries(client.session.id);
        let archived = deliveries
            .iter()
            .rev()
            .find_map(|(number, _, id)| Some((*number, (*id)?)));
        let attach = Attach {
            session: client.session.clone(),
            grant: client.grant.clone(),
            peer: Peer::default(),
            mirror: client.edge.mirrors.lock()[&client.session.id].clone(),
            delivered: numbers.last().copied().unwrap_or(0),
            written: numbers.last().copied().unwrap_or(0),
            unwritten: Vec::new(),
            archived,
            detached: false,
            inactive: false,
            held: Default::default(),
            done: client.sent(),
        };
        client.router = router.clone();
        router.attach(&self.edges[edge].at(&home), attach).await
    }
}

fn record(name: &str, role: Role) -> NodeRecord {
    NodeRecord {
        id: name.into(),
        role,
        address: String::new(),
        weight: 100,
        version: "0.1.0".into(),
        protocol: 1,
        draining: false,
    }
}

/// Users whose homes are, in order, these routers of two.
fn users_at(homes: &[&str]) -> Vec<String> {
    let routers: Vec<_> = ["router-1", "router-2"]
        .iter()
        .map(|name| (NodeId::from(*name), Epoch(1), 100))
        .collect();
    let table = SlotTable::empty().next(&routers, 4_096).unwrap();
    let mut names = (0..).map(|n| format!("user{n}"));
    let mut at = |home: &&str| {
        let fits = |name: &String| *table.home(Slot::of(bare(name).as_str())).unwrap().router.0 == **home;
        names.find(fits).unwrap()
    };
    homes.iter().map(&mut at).collect()
}

fn body(to: &str, n: u32) -> String {
    format!(
        "<message to='{}' type='chat' id='{n}'><body>{n}</body></message>",
        bare(to)
    )
}

fn ids(got: &[String]) -> Vec<String> {
    got.iter()
        .filter(|text| text.contains("<body>"))
        .map(|text| {
            text.split("<body>")
                .nth(1)
                .unwrap()
                .split('<')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn accounts_of_two_homes_talk() {
    let users = users_at(&["router-1", "router-2"]);
    let (a, b) = (&*users[0], &*users[1]);
    let cluster = Cluster::new(&[a, b], &["router-1", "router-2"], &["edge-1"]).await;
    cluster.link().await;
    assert_ne!(cluster.home(a), cluster.home(b));
    let (alice, bob) = (cluster.client(0, a).await, cluster.client(0, b).await);
    bob.available().await;
    alice.available().await;
    assert!(
        bob.got().iter().any(|text| text.contains("<presence")),
        "presence crosses homes"
    );
    for n in 0..5 {
        alice.send(&body(b, n)).await.unwrap();
    }
    assert_eq!(ids(&bob.got()), ["0", "1", "2", "3", "4"]);
    alice
        .send(&format!(
            "<iq type='get' id='p' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>",
            bare(b)
        ))
        .await
        .unwrap();
    settle().await;
    assert!(alice.got().iter().any(|text| text.contains("type='result'")));
}

#[tokio::test(start_paused = true)]
async fn a_router_that_stops_hands_its_sessions_over() {
    let users = users_at(&["router-1", "router-2"]);
    let (a, b) = (&*users[0], &*users[1]);
    let cluster = Cluster::new(&[a, b], &["router-1", "router-2"], &["edge-1"]).await;
    cluster.link().await;
    let (mut alice, bob) = (cluster.client(0, a).await, cluster.client(0, b).await);
    bob.available().await;
    alice.available().await;
    bob.send(&body(a, 1)).await.unwrap();
    assert_eq!(ids(&alice.got()), ["1"]);
    bob.got();

    let leaving = cluster.bus.routers.lock()[&"router-1".into()].clone();
    let drained = tokio::spawn(async move { leaving.drain().await });
    cluster.until(|snapshot| snapshot.table.routers().len() == 1).await;
    let port = cluster.edges[0].port(&"router-1".into());
    let revision = cluster.bus.snapshot().table.revision;
    port.sealed
        .subscribe()
        .wait_for(|table| *table >= revision)
        .await
        .unwrap();
    drained.await.unwrap();
    assert_eq!(alice.send(&body(b, 9)).await, Err(Gone::Home));
    alice.unsend();

    // What is sent meanwhile waits for the slot to open.
    let text = body(a, 2);
    let meanwhile = async { bob.send(&text).await.unwrap() };
    let moved = async {
        settle().await;
        cluster.attach(0, &mut alice).await.unwrap();
        cluster.attached().await;
    };
    tokio::join!(meanwhile, moved);
    assert_eq!(ids(&alice.got()), ["2"]);
    assert_eq!(
        alice.numbers(),
        (1..=alice.numbers().len() as u64).collect::<Vec<_>>(),
        "numbers go on"
    );
    assert!(bob.got().is_empty(), "nobody sees a session move");
    alice.send(&body(b, 3)).await.unwrap();
    assert_eq!(ids(&bob.got()), ["3"]);
    alice.close().await;
    assert!(
        bob.got().iter().any(|text| text.contains("type='unavailable'")),
        "its presence came with it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slot_waits_for_a_session_whose_account_cannot_be_loaded_yet() {
    let users = users_at(&["router-1", "router-2"]);
    let (a, b) = (&*users[0], &*users[1]);
    let (stores, is_away) = (support::stores(&[a, b]).await, Arc::new(AtomicBool::new(false)));
    let rosters = Arc::new(Away {
        rosters: stores.rosters.clone(),
        is_away: is_away.clone(),
    });
    let cluster = Cluster::over(
        Stores { rosters, ..stores },
        Blind::Fence,
        &["router-1", "router-2"],
        &["edge-1"],
    )
    .await;
    cluster.link().await;
    let (mut alice, bob) = (cluster.client(0, a).await, cluster.client(0, b).await);
    alice.available().await;
    let leaving = cluster.bus.routers.lock()[&"router-1".into()].clone();
    is_away.store(true, Ordering::SeqCst);
    let drained = tokio::spawn(async move { leaving.drain().await });
    cluster.until(|snapshot| snapshot.table.routers().len() == 1).await;
    drained.await.unwrap();

    let text = body(a, 1);
    let meanwhile = async { bob.send(&text).await.unwrap() };
    let moved = async {
        cluster.attach(0, &mut alice).await.unwrap();
        cluster.attached().await;
    };
    let back = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        is_away.store(false, Ordering::SeqCst);
    };
    tokio::join!(meanwhile, moved, back);
    assert_eq!(ids(&alice.got()), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_router_that_may_count_as_dead_fences_itself_and_comes_back() {
    let users = users_at(&["router-1", "router-2"]);
    let (a, b) = (&*users[0], &*users[1]);
    let cluster = Cluster::new(&[a, b], &["router-1", "router-2"], &["edge-1"]).await;
    cluster.link().await;
    let mut alice = cluster.client(0, a).await;
    let epoch = cluster.bus.snapshot().member(&"router-1".into()).unwrap().epoch;
    let cut = cluster.cuts[&"router-1".into()].clone();
    cut.store(true, Ordering::SeqCst);
    cluster.bus.parted.lock().insert("router-1".into());

    // It stops before anybody else may begin.
    while cluster.bus.snapshot().member(&"router-1".into()).is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(alice.send(&body(b, 1)).await, Err(Gone::Home));
    alice.unsend();
    cluster.until(|snapshot| snapshot.table.routers().len() == 1).await;
    assert_eq!(cluster.home(a), "router-2".into());
    cluster.attach(0, &mut alice).await.unwrap();
    cluster.attached().await;
    alice.available().await;

    cut.store(false, Ordering::SeqCst);
    cluster.bus.parted.lock().clear();
    cluster.until(|snapshot| snapshot.table.routers().len() == 2).await;
    let again = cluster.bus.snapshot().member(&"router-1".into()).unwrap().epoch;
    assert!(again > epoch);
    assert_eq!(cluster.home(a), "router-1".into());
    cluster.attach(0, &mut alice).await.unwrap();
    cluster.attached().await;
    settle().await;
    alice.send(&body(a, 2)).await.unwrap();
    assert_eq!(ids(&alice.got()), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_router_cut_off_from_the_store_is_kept_alive_by_its_peers() {
    let users = users_at(&["router-1", "router-2"]);
    let (a, b) = (&*users[0], &*users[1]);
    let mut cluster = Cluster::new(&[a, b], &["router-1", "router-2"], &["edge-1"]).await;
    cluster.link().await;
    let alice = cluster.client(0, a).await;
    let epoch = cluster.bus.snapshot().member(&"router-1".into()).unwrap().epoch;
    cluster.cuts[&"router-1".into()].store(true, Ordering::SeqCst);
    for n in 0..40 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        alice.send(&body(b, n)).await.unwrap();
    }
    let now = cluster.bus.snapshot().member(&"router-1".into()).unwrap().epoch;
    assert_eq!(now, epoch, "the same life");

    // It was the eldest: the other publishes in its place, and it hears of the new table.
    cluster.start("router-3");
    cluster.until(|snapshot| snapshot.table.routers().len() == 3).await;
    let moved = slot_of(&cluster, "router-3");
    let old = cluster.bus.routers.lock()[&"router-1".into()].clone();
    tokio::time::timeout(Duration::from_secs(5), async {
        while old
            .watch()
            .borrow()
            .table
            .home(moved)
            .is_none_or(|home| *home.router.0 != *"router-3")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
}

/// A slot of `router`.
fn slot_of(cluster: &Cluster, router: &str) -> Slot {
    let table = cluster.bus.snapshot().table;
    Slot::all()
        .find(|slot| table.home(*slot).is_some_and(|home| *home.router.0 == *router))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_router_that_starts_again_does_not_wait_for_its_former_lease() {
    let mut cluster = Cluster::new(&[], &["router-1", "router-2"], &[]).await;
    let epoch = cluster.bus.snapshot().member(&"router-1".into()).unwrap().epoch;
    // Its process is gone, its lease is not: nobody renews it, and it has not ended.
    cluster.cuts[&"router-1".into()].store(true, Ordering::SeqCst);
    cluster.bus.parted.lock().insert("router-1".into());
    cluster.bus.routers.lock().remove(&"router-1".into());
    cluster.start("router-1");
    let began = tokio::time::Instant::now();
    let is_next = |snapshot: &Snapshot| {
        snapshot
            .member(&"router-1".into())
            .is_some_and(|member| member.epoch > epoch)
    };
    cluster.until(is_next).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn routers_go_on_when_none_reaches_the_store_and_fence_when_nobody_answers() {
    let users = users_at(&["router-1", "router-2"]);
    let (a, b) = (&*users[0], &*users[1]);
    let cluster = Cluster::with(Blind::Serve, &[a, b], &["router-1", "router-2"], &["edge-1"]).await;
    cluster.link().await;
    let alice = cluster.client(0, a).await;
    for cut in cluster.cuts.values() {
        cut.store(true, Ordering::SeqCst);
    }
    for n in 0..40 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // The store of this test ends leases all the same: only the router's own word counts here.
        assert!(alice.router.health().permitted, "{n}");
    }
    cluster.bus.parted.lock().insert("router-1".into());
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!alice.router.health().permitted);
    assert_eq!(alice.send(&body(b, 1)).await, Err(Gone::Home));
    alice.unsend();
}

#[tokio::test(start_paused = true)]
async fn a_router_that_starts_again_does_not_go_by_the_life_before() {
    let mut cluster = Cluster::new(&[], &["router-1"], &[]).await;
    let before = cluster.bus.snapshot().member(&"router-1".into()).unwrap().epoch;
    // It was killed; its lease goes on for a while.
    cluster.cuts[&"router-1".into()].store(true, Ordering::SeqCst);
    let again = cluster.start("router-1");
    let joined = again.joined().await.unwrap();
    assert!(joined > before, "{joined:?} after {before:?}");
    let told = again.watch().borrow().member(&"router-1".into()).unwrap().epoch;
    assert_eq!(told, joined);
}

#[tokio::test(start_paused = true)]
async fn no_ghost_stays_when_edge_and_router_die_together() {
    let users = users_at(&["router-1", "router-2"]);
    let (a, b) = (&*users[0], &*users[1]);
    let cluster = Cluster::new(&[a, b], &["router-1", "router-2"], &["edge-1", "edge-2"]).await;
    cluster.link().await;
    let (alice, bob) = (cluster.client(0, a).await, cluster.client(1, b).await);
    bob.available().await;
    alice.available().await;
    // Written behind by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    bob.got();

    cluster.edges[0].alive.store(false, Ordering::SeqCst);
    cluster.cuts[&"router-1".into()].store(true, Ordering::SeqCst);
    cluster.bus.parted.lock().insert("router-1".into());
    cluster.bus.routers.lock().remove(&"router-1".into());
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster.attached().await;
    settle().await;
    let got = bob.got();
    assert_eq!(
        got.iter().filter(|text| text.contains("type='unavailable'")).count(),
        1,
        "{got:?}"
    );
    let slot = Slot::of(bare(a).as_str());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.stores.locations.load(slot).await.unwrap(), []);
    assert_eq!(cluster.stores.presence.load(slot).await.unwrap().1, []);
}

#[tokio::test(start_paused = true)]
async fn sessions_of_an_edge_that_does_not_come_back_end() {
    let users = users_at(&["router-1", "router-2"]);
    let (a, b) = (&*users[0], &*users[1]);
    let cluster = Cluster::new(&[a, b], &["router-1", "router-2"], &["edge-1", "edge-2"]).await;
    cluster.link().await;
    let (mut alice, bob) = (cluster.client(0, a).await, cluster.client(1, b).await);
    bob.available().await;
    alice.available().await;
    bob.got();
    let (edge, home) = (cluster.edges[0].clone(), alice.router.clone());

    // The link comes back in time: nobody notices, and what did not arrive comes again.
    home.edge_down(&edge.id, edge.epoch).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    home.edge_up(edge.at(&"router-1".into())).await;
    cluster.attach(0, &mut alice).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(bob.got().is_empty());

    home.edge_down(&edge.id, edge.epoch).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(bob.got().iter().any(|text| text.contains("type='unavailable'")));
    home.edge_up(edge.at(&"router-1".into())).await;
    assert_eq!(
        cluster.attach(0, &mut alice).await,
        Err(Gone::Session),
        "what has ended is not attached again"
    );
}

#[tokio::test(start_paused = true)]
async fn an_edge_joins_through_a_router() {
    let cluster = Cluster::new(&[], &["router-1"], &[]).await;
    let router = cluster.bus.routers.lock()[&"router-1".into()].clone();
    let registry: &dyn Registry = &router;
    let (epoch, lease) = registry
        .join(record("edge-9", Role::Edge), Duration::from_secs(6))
        .await
        .unwrap();
    settle().await;
    assert_eq!(
        registry
            .watch()
            .borrow()
            .member(&"edge-9".into())
            .map(|member| member.epoch),
        Some(epoch)
    );
    assert_eq!(registry.keep_alive(lease).await, Renewal::Renewed);
    registry.leave(&"edge-9".into(), lease).await;
    assert_eq!(registry.keep_alive(lease).await, Renewal::Ended);
}
