//! Nodes, each on a runtime of its own with a clock of its own: a node that dies is a runtime that is dropped, with all its tasks where they
//! stand; one that is paused is not run, and its clock jumps when it is again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use engine::Pipeline;
use link::Registry;
use link::grpc::{self, Identity, PeerPool, Ports, RouterPool, Standing};
use parking_lot::Mutex;
use router::{Clock, Entropy, Router, VirtualHost};
use serde_json::Value;
use stanza::Timestamp;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use topology::{NodeId, NodeRecord, Role};

use crate::chance::Chance;
use crate::desk::Desk;
use crate::line::Line;
use crate::net::Net;
use crate::pulse::{Pulse, Seat};
use crate::stores::Shelf;

/// The domain that all accounts are of.
pub(crate) const DOMAIN: &str = "sim.example";
/// How long a session is kept for its client, in seconds.
pub(crate) const RESUME: u32 = 8;
/// How long an edge that went silent counts as alive.
const EDGE_TTL: Duration = Duration::from_secs(6);
/// When a world begins, in microseconds since 1970.
const BEGINNING: i64 = 1_800_000_000_000_000;

/// What all nodes of a world share.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) seed: u64,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) net: Net,
    pub(crate) shelf: Shelf,
    /// Names of routers that edges begin with.
    pub(crate) seeds: Vec<String>,
}

/// One life of a node.
pub(crate) struct Node {
    runtime: Runtime,
    began: Instant,
    /// When it began, and up to when it has run, in the world's time.
    born: u64,
    pub(crate) ran: u64,
    pub(crate) body: Body,
    /// It has left in order.
    left: Arc<AtomicBool>,
}

/// What a node is.
pub(crate) enum Body {
    Router {
        router: Router,
        _peers: Arc<PeerPool>,
        stop: CancellationToken,
    },
    Edge {
        pool: Arc<RouterPool>,
        desk: Arc<Desk>,
    },
}

impl Node {
    /// A router, in its `life`th life.
    pub(crate) fn router(ground: &Ground, seat: Seat, name: &str, life: u64) -> Self {
        let mut chance = Chance::new(ground.seed, &format!("{name} {life}"));
        let runtime = runtime(&mut chance);
        let entered = runtime.enter();
        let peers = Arc::new(PeerPool::new(links(ground, seat)));
        let router = Router::new(router::Parts {
            node: NodeId::from(name),
            config: settings(),
            hosts: hosts(),
            stores: ground.shelf.seen_from(seat),
            peers: peers.clone(),
            clock: Arc::new(Watch::new(&ground.pulse)),
            entropy: Arc::new(Dice(Mutex::new(chance))),
            secret: crate::stores::SECRET,
        });
        router.join(record(name, Role::Router));
        let stop = CancellationToken::new();
        let incoming = ground.net.listen(seat, name);
        let serving = serve(
            router.clone(),
            peers.clone(),
            name.to_owned(),
            links(ground, seat),
            UnboundedReceiverStream::new(incoming),
            stop.clone(),
        );
        runtime.spawn(serving);
        drop(entered);
        let body = Body::Router {
            router,
            _peers: peers,
            stop,
        };
        Self::new(ground, runtime, body)
    }

    /// An edge, in its `life`th life.
    pub(crate) fn edge(ground: &Ground, seat: Seat, name: &str, life: u64) -> Self {
        let runtime = runtime(&mut Chance::new(ground.seed, &format!("{name} {life}")));
        let entered = runtime.enter();
        let pool = RouterPool::new(
            record(name, Role::Edge),
            ground.seeds.clone(),
            EDGE_TTL,
            links(ground, seat),
        );
        let (pool, desk) = (Arc::new(pool), Arc::new(Desk::default()));
        pool.start(desk.clone());
        runtime.spawn(obey_fence(pool.clone(), desk.clone()));
        drop(entered);
        Self::new(ground, runtime, Body::Edge { pool, desk })
    }

    fn new(ground: &Ground, runtime: Runtime, body: Body) -> Self {
        let began = runtime.block_on(async { Instant::now() });
        let now = ground.pulse.now();
        Self {
            runtime,
            began,
            born: now,
            ran: now,
            body,
            left: Arc::default(),
        }
    }

    /// Runs the node up to `now`. `jumps`: it has slept, and its clock with it.
    pub(crate) fn run(&mut self, now: u64, jumps: bool) {
        let until = self.began + Duration::from_millis(now - self.born);
        let slept = Duration::from_millis(now - self.ran);
        self.ran = now;
        self.runtime.block_on(async {
            if jumps {
                tokio::time::advance(slept).await;
            }
            tokio::time::sleep_until(until).await;
        });
    }

    /// Begins to leave in order.
    pub(crate) fn leave(&self) {
        let left = self.left.clone();
        match &self.body {
            Body::Router { router, stop, .. } => {
                let (router, stop) = (router.clone(), stop.clone());
                self.runtime.spawn(async move {
                    router.drain().await;
                    stop.cancel();
                    left.store(true, Ordering::Relaxed);
                });
            }
            Body::Edge { pool, desk } => {
                let (pool, desk) = (pool.clone(), desk.clone());
                self.runtime.spawn(async move {
                    desk.leave();
                    while !desk.is_empty() {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    pool.leave().await;
                    left.store(true, Ordering::Relaxed);
                });
            }
        }
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Takes a client's connection, if this is an edge that may serve.
    pub(crate) fn accept(&self, line: &Arc<Line>) -> bool {
        let Body::Edge { pool, desk } = &self.body else {
            return false;
        };
        if !matches!(*pool.standing().borrow(), Standing::Live(_)) {
            return false;
        }
        self.runtime.spawn(desk.accept(pool, line));
        true
    }

    /// The connections of an edge.
    pub(crate) fn lines(&self) -> Vec<Arc<Line>> {
        match &self.body {
            Body::Edge { desk, .. } => desk.lines(),
            Body::Router { .. } => Vec::new(),
        }
    }

    /// How it is, in a line.
    pub(crate) fn describe(&self) -> String {
        match &self.body {
            Body::Router { router, .. } => format!("{:?}", router.health()),
            Body::Edge { pool, desk } => {
                let standing = *pool.standing().borrow();
                let table = pool.snapshots().borrow().table.revision;
                format!(
                    "{standing:?}, {} links, table {table}, load {:?}, {} connections",
                    pool.links(),
                    pool.load(),
                    desk.lines().len()
                )
            }
        }
    }

    /// Whether it is where it should be in a whole cluster: a router that serves, an edge that is linked to `routers`.
    pub(crate) fn is_settled(&self, routers: usize) -> bool {
        match &self.body {
            Body::Router { router, .. } => {
                let health = router.health();
                health.permitted && health.serving > 0 && health.opening == 0
            }
            Body::Edge { pool, .. } => {
                matches!(*pool.standing().borrow(), Standing::Live(_)) && pool.links() == routers
            }
        }
    }
}

/// With tokio's seed of chance, which is behind a flag (`make sim` sets it), a world repeats itself.
fn runtime(chance: &mut Chance) -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    seed(&mut builder, chance.bits());
    builder.build().expect("a runtime")
}

#[cfg(tokio_unstable)]
fn seed(builder: &mut Builder, bits: u64) {
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&bits.to_le_bytes()));
}

#[cfg(not(tokio_unstable))]
fn seed(_: &mut Builder, _: u64) {}

/// Joins, and serves links until stopped.
async fn serve(
    router: Router,
    peers: Arc<PeerPool>,
    name: String,
    links: grpc::Config,
    incoming: UnboundedReceiverStream<std::io::Result<crate::net::End>>,
    stop: CancellationToken,
) {
    let id = NodeId::from(name.as_str());
    let epoch = router.joined().await;
    let me = Identity {
        id,
        epoch: epoch.unwrap_or_default(),
        release: "sim".to_owned(),
    };
    let home = Arc::new(router.clone());
    peers.start(me.clone(), router.watch(), home.clone());
    let ports = Ports {
        home: home.clone(),
        peer_home: home.clone(),
        registry: home,
    };
    let _ = grpc::serve_on(incoming, me, links, ports, stop.cancelled_owned()).await;
}

async fn obey_fence(pool: Arc<RouterPool>, desk: Arc<Desk>) {
    let mut standing = pool.standing();
    loop {
        if *standing.borrow_and_update() == Standing::Fenced {
            desk.fence();
        }
        if standing.changed().await.is_err() {
            return;
        }
    }
}

fn links(ground: &Ground, seat: Seat) -> grpc::Config {
    grpc::Config {
        connector: Some(ground.net.dialler(seat)),
        lanes: 1, // which lane a key goes to hangs on a hash
        jitter: || 0.5,
        ..grpc::Config::default()
    }
}

fn record(name: &str, role: Role) -> NodeRecord {
    NodeRecord {
        id: NodeId::from(name),
        role,
        address: name.to_owned(),
        weight: 100,
        version: "sim".to_owned(),
        protocol: 1,
        draining: false,
    }
}

fn settings() -> router::Config {
    let mut config = router::Config {
        resume_timeout_s: RESUME,
        queue_stanzas: 40,
        ..router::Config::default()
    };
    config.cluster.moves = 2_048;
    config
}

/// One domain with every module.
fn hosts() -> router::Hosts {
    let pipeline = Pipeline::new(modules::ALL.iter().map(|row| (row, &Value::Null))).expect("a pipeline");
    let host = Arc::new(engine::Host {
        domain: DOMAIN.to_owned(),
        disco: pipeline.disco().clone(),
        ..engine::Host::default()
    });
    BTreeMap::from([(
        DOMAIN.to_owned(),
        Arc::new(VirtualHost {
            pipeline,
            host,
            registration: router::Registration::default(),
        }),
    )])
}

/// The world's time of day, at least a microsecond later at each look.
struct Watch {
    pulse: Arc<Pulse>,
    last: AtomicU64,
}

impl Watch {
    fn new(pulse: &Arc<Pulse>) -> Self {
        let (pulse, last) = (pulse.clone(), AtomicU64::new(0));
        Self { pulse, last }
    }
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        let last = self.last.load(Ordering::Relaxed);
        let now = (self.pulse.now() * 1_000).max(last + 1);
        self.last.store(now, Ordering::Relaxed);
        Timestamp(BEGINNING + now.cast_signed())
    }
}

struct Dice(Mutex<Chance>);

impl Entropy for Dice {
    fn bits(&self) -> u128 {
        self.0.lock().wide()
    }
}
