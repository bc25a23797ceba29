//! Routers, an edge and a membership without anything behind them, linked over loopback.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "for tests; each uses its part"
)]

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dunlin_link::grpc::{Config, Identity, PeerPool, Ports, RouterPool, Standing, serve};
use dunlin_link::{
    Attach, CloseReason, Delivery, Edge, EdgeRef, Gone, Home, PeerHome, Registry, Renewal, Route, Router as _, Said,
    SessionRef, Submission,
};
use parking_lot::Mutex;
use stanza::{
    Bare, BindReply, BindRequest, Counts, EnableReply, EnableRequest, Exchange, Grant, Head, Jid, Message, MessageType,
    Payload, Peer, RegisterReply, RegisterRequest, ResourceRequest, ResumeReply, ResumeRequest, Resumption,
    SaslFailure, SaslReply, SaslRequest, SessionId, Stanza, StreamCondition,
};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use topology::{Epoch, Lease, Member, NodeId, NodeRecord, Role, Slot, SlotTable, Snapshot};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Membership in memory.
pub struct Cluster {
    pub snapshots: watch::Sender<Arc<Snapshot>>,
    /// Whether leases are renewed, and how often that was asked.
    pub renews: AtomicBool,
    pub renewals: AtomicUsize,
    next: AtomicUsize,
}

impl Cluster {
    pub fn new() -> Arc<Self> {
        let snapshots = watch::Sender::new(Arc::new(Snapshot::empty()));
        Arc::new(Self {
            snapshots,
            renews: AtomicBool::new(true),
            renewals: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        })
    }

    pub fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshots.send_modify(|snapshot| {
            let mut new = Snapshot::clone(snapshot);
            new.revision += 1;
            change(&mut new);
            *snapshot = Arc::new(new);
        });
    }

    pub fn enter(&self, record: NodeRecord) -> Epoch {
        let mut epoch = Epoch(0);
        self.change(|snapshot| {
            epoch = Epoch(snapshot.revision);
            snapshot.members.retain(|member| member.record.id != record.id);
            snapshot.members.push(Member { record, epoch });
        });
        epoch
    }

    pub fn exit(&self, id: &NodeId) {
        self.change(|snapshot| snapshot.members.retain(|member| member.record.id != *id));
    }

    /// Publishes the table for these weights of live routers.
    pub fn rebalance(&self, weights: &[(&str, u32)]) {
        self.change(|snapshot| {
            let routers: Vec<_> = weights
                .iter()
                .filter_map(|(id, weight)| {
                    snapshot
                        .member(&(*id).into())
                        .map(|m| (m.record.id.clone(), m.epoch, *weight))
                })
                .collect();
            if let Some(next) = snapshot.table.next(&routers, usize::MAX) {
                snapshot.table = next;
            }
        });
    }

    pub fn table(&self) -> SlotTable {
        self.snapshots.borrow().table.clone()
    }
}

#[async_trait]
impl Registry for Cluster {
    async fn join(&self, node: NodeRecord, _ttl: Duration) -> Option<(Epoch, Lease)> {
        let lease = self.next.fetch_add(1, Ordering::SeqCst) as i64 + 1;
        Some((self.enter(node), Lease(lease)))
    }
    async fn keep_alive(&self, _lease: Lease) -> Renewal {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        if self.renews.load(Ordering::SeqCst) {
            Renewal::Renewed
        } else {
            Renewal::Unknown
        }
    }
    async fn leave(&self, node: &NodeId, _lease: Lease) {
        self.exit(node);
    }
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }
}

/// What all homes of a test did, as if kept in one database: a submission is done once.
#[derive(Default)]
pub struct Ledger {
    /// By session: numbers in the order in which they were done (repeats included).
    pub done: Mutex<HashMap<SessionId, Vec<u64>>>,
    /// By recipient: ids of stanzas in the order in which they were routed there.
    pub routed: Mutex<HashMap<String, Vec<u64>>>,
    /// Who was asked about registration.
    pub registered: Mutex<Vec<NodeId>>,
    pub changed: Notify,
}

impl Ledger {
    pub async fn wait(&self, what: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if what(self) {
                    return;
                }
                // A notification may come between the look and the wait for it; look again soon.
                let _ = tokio::time::timeout(Duration::from_millis(100), changed).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("in time");
    }

    pub fn total(&self) -> usize {
        self.done.lock().values().map(Vec::len).sum()
    }
}

/// A router with a home that knows sessions and nothing else.
pub struct FakeHome {
    pub id: NodeId,
    pub ledger: Arc<Ledger>,
    pub table: watch::Receiver<Arc<Snapshot>>,
    /// The table it acts by: follows when the test says so.
    pub applied: Mutex<SlotTable>,
    pub edges: Mutex<HashMap<NodeId, EdgeRef>>,
    pub sessions: Mutex<HashMap<SessionId, (SessionRef, u64)>>,
    pub attached: Mutex<Vec<(u64, BTreeSet<Slot>)>>,
    pub closed: Mutex<Vec<SessionId>>,
    pub written: Mutex<HashMap<SessionId, u64>>,
    /// Routers that were found dead.
    pub dead: Mutex<BTreeSet<(NodeId, Epoch)>>,
    /// Each submission takes a permit, if there is a gate.
    pub gate: Option<Arc<Semaphore>>,
    /// Each attachment takes a permit, if there is such a gate; those that have begun.
    pub attach_gate: Mutex<Option<Arc<Semaphore>>>,
    pub attaching: Mutex<Vec<SessionId>>,
}

impl FakeHome {
    pub fn apply(&self) {
        let table = self.table.borrow().table.clone();
        *self.applied.lock() = table.clone();
        self.sessions
            .lock()
            .retain(|_, (session, _)| self.at_home_by(&table, session.slot));
        self.edges
            .lock()
            .values()
            .for_each(|edge| edge.edge.sealed(table.revision));
    }

    fn at_home(&self, slot: Slot) -> bool {
        self.at_home_by(&self.applied.lock(), slot)
    }

    fn at_home_by(&self, table: &SlotTable, slot: Slot) -> bool {
        table.at(slot).is_some_and(|(home, ..)| *home == self.id)
    }

    pub fn deliver(&self, edge: &str, session: SessionId, number: u64) {
        let stanza = Arc::new(message("romeo@example.com", "juliet@example.com/r", number, 10));
        let delivery = Delivery {
            sessions: vec![(session, number)],
            stanza,
            readdress: true,
            archived: None,
            settled: false,
            trace: None,
        };
        if let Some(edge) = self.edges.lock().get(&edge.into()) {
            edge.edge.deliver(delivery);
        }
    }
}

#[async_trait]
impl Home for FakeHome {
    async fn edge_up(&self, edge: EdgeRef) {
        edge.edge.sealed(self.applied.lock().revision);
        self.edges.lock().insert(edge.id.clone(), edge);
        self.ledger.changed.notify_waiters();
    }
    async fn edge_down(&self, edge: &NodeId, _epoch: Epoch) {
        self.edges.lock().remove(edge);
        self.ledger.changed.notify_waiters();
    }
    async fn register(&self, _: RegisterRequest) -> RegisterReply {
        self.ledger.registered.lock().push(self.id.clone());
        self.ledger.changed.notify_waiters();
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        RegisterReply::Created
    }
    async fn sasl(&self, request: SaslRequest) -> SaslReply {
        match request {
            SaslRequest::Start { .. } => {
                let exchange = Exchange {
                    router: self.id.to_string(),
                    number: 7,
                };
                SaslReply::Challenge {
                    exchange,
                    data: "nonce".into(),
                }
            }
            SaslRequest::Respond { exchange, .. } if exchange.router == *self.id.0 => SaslReply::Success {
                account: Bare::parse("juliet@example.com").unwrap(),
                data: None,
                grant: Grant("grant".into()),
                token: None,
            },
            _ => SaslReply::Failure(SaslFailure::NotAuthorized),
        }
    }
    async fn bind(&self, _edge: &EdgeRef, request: BindRequest) -> Result<BindReply, Gone> {
        let jid = request
            .account
            .with_resource(request.resource.named().unwrap_or("r"))
            .unwrap();
        let session = SessionRef::new(request.session, jid.clone());
        if !self.at_home(session.slot) {
            return Err(Gone::Home);
        }
        self.sessions.lock().insert(session.id, (session, 0));
        Ok(BindReply::Bound(jid, Payload::default()))
    }
    async fn attach(&self, _edge: &EdgeRef, attach: Attach) -> Result<(), Gone> {
        if !self.at_home(attach.session.slot) {
            return Err(Gone::Home);
        }
        self.attaching.lock().push(attach.session.id);
        self.ledger.changed.notify_waiters();
        let gate = self.attach_gate.lock().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        let known = self
            .sessions
            .lock()
            .get(&attach.session.id)
            .map_or(0, |(_, done)| *done);
        self.sessions
            .lock()
            .insert(attach.session.id, (attach.session, known.max(attach.done)));
        Ok(())
    }
    async fn attached(&self, _edge: &EdgeRef, table: u64, pending: BTreeSet<Slot>) {
        self.attached.lock().push((table, pending));
        self.ledger.changed.notify_waiters();
    }
    async fn submit(&self, session: &SessionRef, submission: Submission) -> Result<(), Gone> {
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let mut sessions = self.sessions.lock();
        let Some((_, done)) = sessions.get_mut(&session.id) else {
            return Err(Gone::Home);
        };
        if *done < submission.number {
            *done = submission.number;
            self.ledger
                .done
                .lock()
                .entry(session.id)
                .or_default()
                .push(submission.number);
            self.ledger.changed.notify_waiters();
        }
        Ok(())
    }
    fn written(&self, session: &SessionRef, number: u64) {
        self.written.lock().insert(session.id, number);
        self.ledger.changed.notify_waiters();
    }
    async fn look(&self, _: &SessionRef, _: bool) -> Result<(), Gone> {
        Ok(())
    }
    async fn enable(&self, session: &SessionRef, _request: EnableRequest) -> Result<EnableReply, Gone> {
        let id = session.id.to_string();
        Ok(EnableReply::Enabled(Some(Resumption { id, max: 300 })))
    }
    async fn resume(&self, _edge: &EdgeRef, request: ResumeRequest) -> Result<ResumeReply, Gone> {
        let jid = request.account.with_resource("r").unwrap();
        let session = SessionRef::new(request.session, jid.clone());
        if !self.at_home(session.slot) {
            return Err(Gone::Home);
        }
        let now = Counts { received: 3, sent: 2 };
        self.sessions.lock().insert(session.id, (session, now.received));
        let since = Counts::default();
        Ok(ResumeReply::Resumed { jid, since, now })
    }
    async fn close(&self, session: &SessionRef, reason: CloseReason) -> Result<bool, Gone> {
        let kept = reason == CloseReason::Lost;
        if !kept {
            self.sessions.lock().remove(&session.id);
        }
        self.closed.lock().push(session.id);
        self.ledger.changed.notify_waiters();
        Ok(kept)
    }
}

#[async_trait]
impl PeerHome for FakeHome {
    async fn route(&self, _from: &NodeId, route: Route) -> Vec<Jid> {
        let id: u64 = route.stanza.head().id.as_ref().unwrap().parse().unwrap();
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let (here, back): (Vec<_>, Vec<_>) = route
            .to
            .into_iter()
            .partition(|jid| self.at_home(Slot::of(jid.bare().as_str())));
        here.iter()
            .for_each(|jid| self.ledger.routed.lock().entry(jid.to_string()).or_default().push(id));
        self.ledger.changed.notify_waiters();
        back
    }
    fn found_dead(&self, router: &NodeId, epoch: Epoch) {
        self.dead.lock().insert((router.clone(), epoch));
    }
}

/// A router that serves on a free port.
pub struct FakeRouter {
    pub home: Arc<FakeHome>,
    pub me: Identity,
    pub address: SocketAddr,
    pub peers: PeerPool,
    pub stop: CancellationToken,
}

impl FakeRouter {
    pub async fn start(id: &str, cluster: &Arc<Cluster>, ledger: &Arc<Ledger>, config: &Config) -> Self {
        Self::start_gated(id, cluster, ledger, config, None).await
    }

    pub async fn start_gated(
        id: &str,
        cluster: &Arc<Cluster>,
        ledger: &Arc<Ledger>,
        config: &Config,
        gate: Option<Arc<Semaphore>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let epoch = cluster.enter(record(id, Role::Router, &address.to_string()));
        let home = Arc::new(FakeHome {
            id: id.into(),
            ledger: Arc::clone(ledger),
            table: cluster.watch(),
            applied: Mutex::new(SlotTable::empty()),
            edges: Mutex::default(),
            sessions: Mutex::default(),
            attached: Mutex::default(),
            closed: Mutex::default(),
            written: Mutex::default(),
            dead: Mutex::default(),
            gate,
            attach_gate: Mutex::default(),
            attaching: Mutex::default(),
        });
        let me = Identity {
            id: id.into(),
            epoch,
            release: "0.1.0".into(),
        };
        let stop = CancellationToken::new();
        let ports = Ports {
            home: Arc::<FakeHome>::clone(&home),
            peer_home: Arc::<FakeHome>::clone(&home),
            registry: Arc::<Cluster>::clone(cluster),
        };
        let serving = serve(
            listener,
            me.clone(),
            config.clone(),
            ports,
            stop.clone().cancelled_owned(),
        );
        tokio::spawn(async move { serving.await.unwrap() });
        let peers = PeerPool::new(config.clone());
        peers.start(me.clone(), cluster.watch(), Arc::<FakeHome>::clone(&home));
        Self {
            home,
            me,
            address,
            peers,
            stop,
        }
    }
}

/// An edge that notes what it is told.
#[derive(Default)]
pub struct FakeEdge {
    pub delivered: Mutex<HashMap<SessionId, Vec<u64>>>,
    pub done: Mutex<HashMap<SessionId, u64>>,
    pub kicked: Mutex<Vec<SessionId>>,
    pub changed: Notify,
}

impl FakeEdge {
    pub async fn wait(&self, what: impl Fn(&Self) -> bool) {
        let wait = async {
            while !what(self) {
                let _ = tokio::time::timeout(Duration::from_millis(100), self.changed.notified()).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("in time");
    }
}

impl Edge for FakeEdge {
    fn deliver(&self, delivery: Delivery) {
        let mut delivered = self.delivered.lock();
        delivery
            .sessions
            .iter()
            .for_each(|(id, number)| delivered.entry(*id).or_default().push(*number));
        self.changed.notify_one();
    }
    fn done(&self, session: SessionId, number: u64) {
        let mut done = self.done.lock();
        let old = done.insert(session, number);
        assert!(old.is_none_or(|old| old < number), "done never falls");
        self.changed.notify_one();
    }
    fn mirror(&self, _session: SessionId, _state: Bytes) {}
    fn kick(&self, session: SessionId, _condition: StreamCondition) {
        self.kicked.lock().push(session);
        self.changed.notify_one();
    }
}

/// A cluster of routers, with one edge linked to them.
pub struct World {
    pub cluster: Arc<Cluster>,
    pub ledger: Arc<Ledger>,
    pub routers: Vec<FakeRouter>,
    pub edge: Arc<FakeEdge>,
    pub pool: Arc<RouterPool>,
}

impl World {
    pub async fn start(ids: &[&str], config: &Config) -> Self {
        Self::start_gated(ids, config, None).await
    }

    pub async fn start_gated(ids: &[&str], config: &Config, gate: Option<Arc<Semaphore>>) -> Self {
        let (cluster, ledger) = (Cluster::new(), Arc::<Ledger>::default());
        let mut routers = Vec::new();
        for id in ids {
            routers.push(FakeRouter::start_gated(id, &cluster, &ledger, config, gate.clone()).await);
        }
        let weights: Vec<_> = ids.iter().map(|id| (*id, 100)).collect();
        cluster.rebalance(&weights);
        routers.iter().for_each(|router| router.home.apply());
        let seeds = vec![routers[0].address.to_string()];
        let pool = RouterPool::new(
            record("edge-1", Role::Edge, ""),
            seeds,
            Duration::from_secs(6),
            config.clone(),
        );
        let edge = Arc::<FakeEdge>::default();
        pool.start(Arc::<FakeEdge>::clone(&edge));
        let world = Self {
            cluster,
            ledger,
            routers,
            edge,
            pool: Arc::new(pool),
        };
        world.linked(ids.len()).await;
        world
    }

    /// Waits until the edge has this many links.
    pub async fn linked(&self, count: usize) {
        eventually(|| self.pool.links() == count).await;
    }

    pub async fn bind(&self, id: u128, user: &str) -> SessionRef {
        let account = Bare::parse(&format!("{user}@example.com")).unwrap();
        let request = BindRequest {
            session: SessionId(id),
            account,
            grant: Grant("grant".into()),
            resource: ResourceRequest::Named("r".into()),
            peer: Peer::default(),
        };
        match self.pool.bind(request).await {
            BindReply::Bound(jid, _) => SessionRef::new(SessionId(id), jid),
            BindReply::Refused(error) => panic!("refused: {error:?}"),
        }
    }

    /// The router that is home of `session` by the newest table.
    pub fn home_of(&self, session: &SessionRef) -> &FakeRouter {
        let home = self.cluster.table().home(session.slot).unwrap();
        self.routers.iter().find(|router| router.me.id == home.router).unwrap()
    }

    pub async fn live(&self) -> Epoch {
        let mut standing = self.pool.standing();
        let live = standing
            .wait_for(|standing| matches!(standing, Standing::Live(_)))
            .await
            .unwrap();
        match *live {
            Standing::Live(epoch) => epoch,
            _ => unreachable!(),
        }
    }
}

/// Submits `count` stanzas, as fast as the pool takes them.
pub async fn submit_all(pool: &RouterPool, session: &SessionRef, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let stanza = message("juliet@example.com/r", "romeo@example.com", number, 100);
        pool.submit(
            session,
            Submission {
                number,
                said: Said::Stanza(stanza),
                trace: None,
            },
        )
        .await
        .expect("submitted");
    }
}

pub async fn eventually(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("in time");
}

pub fn record(id: &str, role: Role, address: &str) -> NodeRecord {
    NodeRecord {
        id: id.into(),
        role,
        address: address.into(),
        weight: 100,
        version: "0.1.0".into(),
        protocol: 1,
        draining: false,
    }
}

pub fn message(from: &str, to: &str, id: u64, size: usize) -> Stanza {
    let head = Head {
        to: Some(Jid::parse(to).unwrap()),
        from: Some(Jid::parse(from).unwrap()),
        id: Some(id.to_string().as_str().into()),
        ..Head::default()
    };
    let body = format!("<body>{}</body>", "x".repeat(size));
    Stanza::Message(Message {
        head,
        kind: MessageType::Chat,
        payload: Payload::from_canonical(body.into()),
    })
}

pub fn config() -> Config {
    Config {
        retry_first: Duration::from_millis(10),
        ..Config::default()
    }
}
