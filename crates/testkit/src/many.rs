//! A cluster in the test's process: three edges and two routers joined by the real links, over pipes instead of TCP; stores in
//! memory, shared by the routers. Membership and slot table are the real ones. Nothing leaves the runtime, so tests may pause time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use edge::{Edge, Sessions};
use link::Registry;
use link::grpc::{self, Identity, PeerPool, Ports, RouterPool, Standing};
use router::{Clock, Router, System};
use stanza::{Bare, Jid};
use store::{Contact, Stores, Subscription, memory};
use tokio::sync::watch;
use tokio::time::{interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use topology::{NodeId, NodeRecord, Role, SLOTS};

use crate::client::{Client, PATIENCE, PIPE};
use crate::pipes::Pipes;
use crate::runner::Stage;
use crate::single::{account, create_accounts, invite, remove_account, router_config, virtual_hosts};

/// Edges of a cluster; each client of a script is on another one.
const EDGES: usize = 3;
/// Routers of a cluster.
const ROUTERS: usize = 2;
/// How long an edge that went silent counts as alive.
const EDGE_TTL: Duration = Duration::from_secs(6);
/// How often to look whether the cluster has formed.
const LOOK: Duration = Duration::from_millis(20);
/// Looks in a row that find the slots where they were.
const SETTLED: u32 = 200;

/// A cluster in the test's process.
pub struct Many {
    edges: Vec<Seat>,
    stores: Stores,
    /// Dropping them ends the links between them.
    _peers: Vec<Arc<PeerPool>>,
}

/// An edge and its links.
struct Seat {
    edge: Arc<Edge>,
    pool: Arc<RouterPool>,
}

impl Many {
    /// Three edges and two routers with every module on, for [`crate::settings::DOMAINS`]; returns once every slot has its home,
    /// both routers are homes, and every edge is linked to both.
    ///
    /// # Errors
    /// When they cannot be put together, or do not find each other.
    pub async fn start() -> Result<Self> {
        let stores = memory::stores();
        let pipes = Arc::new(Pipes::default());
        let mut routers = BTreeMap::new();
        for number in 1..=ROUTERS {
            let name = format!("router-{number}");
            routers.insert(name.clone(), start_router(&name, &stores, &pipes).await?);
        }
        let mut edges = Vec::new();
        for number in 1..=EDGES {
            edges.push(start_edge(&format!("edge-{number}"), &pipes, routers.keys()).await?);
        }
        let (routers, peers): (Vec<Router>, Vec<Arc<PeerPool>>) = routers.into_values().unzip();
        timeout(PATIENCE, forms(&routers, &edges))
            .await
            .context("the cluster does not form")?;
        Ok(Self {
            edges,
            stores,
            _peers: peers,
        })
    }

    /// Creates many accounts with one password, which is hashed once.
    ///
    /// # Errors
    /// When one of them exists.
    pub async fn create_accounts(&self, names: &[String], domain: &str, password: &str) -> Result<()> {
        create_accounts(&self.stores, names, domain, password).await
    }

    /// Writes into a new account's roster that it and these others of its domain are subscribed to each other; the others' side is not written.
    ///
    /// # Errors
    /// When the roster is not new.
    pub async fn befriend(&self, name: &str, others: &[String], domain: &str) -> Result<()> {
        let contact = |other: &String| {
            anyhow::Ok(Contact {
                subscription: Subscription::Both,
                in_roster: true,
                ..Contact::new(Jid::parse(&format!("{other}@{domain}"))?)
            })
        };
        let contacts = others.iter().map(contact).collect::<Result<Vec<_>>>()?;
        let owner = Bare::parse(&format!("{name}@{domain}"))?;
        self.stores.rosters.change(&owner, 0, &contacts, &[]).await?;
        Ok(())
    }
}

#[async_trait]
impl Stage for Many {
    async fn create_account(&self, name: &str, domain: &str, password: &str) -> Result<()> {
        let account = account(name, domain, password, System.now())?;
        self.stores
            .accounts
            .create(&[account])
            .await
            .with_context(|| format!("creating {name}@{domain}"))
    }

    async fn remove_account(&self, name: &str, domain: &str) -> Result<()> {
        remove_account(&self.stores, name, domain).await
    }

    async fn invite(&self, domain: &str, user: Option<&str>, contact: Option<&str>) -> Result<String> {
        invite(&self.stores, domain, user, contact).await
    }

    async fn connect(&self, index: usize) -> Result<Client> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let seat = &self.edges[index % self.edges.len()];
        seat.edge.serve(theirs, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), false);
        Ok(Client::over(ours))
    }

    async fn connect_component(&self, index: usize) -> Result<Client> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let seat = &self.edges[index % self.edges.len()];
        seat.edge.serve_component(theirs, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        Ok(Client::over(ours).of_component())
    }
}

/// A router that has joined and is reachable under its name.
async fn start_router(name: &str, stores: &Stores, pipes: &Arc<Pipes>) -> Result<(Router, Arc<PeerPool>)> {
    let peers = Arc::new(PeerPool::new(links(pipes)));
    let router = Router::new(router::Parts {
        node: NodeId::from(name),
        config: router_config(),
        hosts: virtual_hosts()?.0,
        stores: stores.clone(),
        peers: peers.clone(),
        clock: Arc::new(System),
        entropy: Arc::new(System),
        secret: stores.members.secret().await?,
    });
    router.join(record(name, Role::Router));
    let me = identity(&router, name).await?;
    let home = Arc::new(router.clone());
    peers.start(me.clone(), router.watch(), home.clone());
    let ports = Ports {
        home: home.clone(),
        peer_home: home.clone(),
        registry: home,
    };
    let incoming = ReceiverStream::new(pipes.listen(name));
    tokio::spawn(grpc::serve_on(
        incoming,
        me,
        links(pipes),
        ports,
        std::future::pending(),
    ));
    Ok((router, peers))
}

/// An edge that joins through the routers named `seeds`.
async fn start_edge(name: &str, pipes: &Arc<Pipes>, seeds: impl Iterator<Item = &String>) -> Result<Seat> {
    let record = record(name, Role::Edge);
    let pool = Arc::new(RouterPool::new(
        record,
        seeds.cloned().collect(),
        EDGE_TTL,
        links(pipes),
    ));
    let sessions = Sessions::new(edge::Outbox::default());
    pool.start(sessions.clone());
    let parts = edge::Parts {
        config: edge::Config::default(),
        hosts: virtual_hosts()?.1,
        tls: None,
        sessions,
        router: pool.clone(),
        fenced: fence(pool.standing()),
    };
    Ok(Seat {
        edge: Edge::new(parts),
        pool,
    })
}

/// Waits until every slot is served, by both routers, every edge has joined and reaches both, and no more slots move between them.
async fn forms(routers: &[Router], edges: &[Seat]) {
    let mut look = interval(LOOK);
    let mut same = (Vec::new(), 0);
    loop {
        look.tick().await;
        let served: Vec<usize> = routers.iter().map(|router| router.health().serving).collect();
        let linked = edges.iter().all(|seat| seat.is_linked(routers.len()));
        let formed = served.iter().all(|slots| *slots > 0) && served.iter().sum::<usize>() == usize::from(SLOTS);
        same = if served == same.0 {
            (served, same.1 + 1)
        } else {
            (served, 0)
        };
        if linked && formed && same.1 >= SETTLED {
            return;
        }
    }
}

impl Seat {
    fn is_linked(&self, routers: usize) -> bool {
        matches!(*self.pool.standing().borrow(), Standing::Live(_)) && self.pool.links() == routers
    }
}

async fn identity(router: &Router, name: &str) -> Result<Identity> {
    let id = NodeId::from(name);
    let epoch = router.joined().await.context("joining the cluster")?;
    Ok(Identity {
        id,
        epoch,
        release: "test".to_owned(),
    })
}

/// True while the edge may not serve.
fn fence(mut standing: watch::Receiver<Standing>) -> watch::Receiver<bool> {
    let is_fenced = |standing: &Standing| !matches!(standing, Standing::Live(_));
    let (sender, fenced) = watch::channel(is_fenced(&standing.borrow()));
    tokio::spawn(async move {
        while standing.changed().await.is_ok() {
            sender.send_replace(is_fenced(&standing.borrow_and_update()));
        }
    });
    fenced
}

/// A node is reached under its name.
fn record(name: &str, role: Role) -> NodeRecord {
    NodeRecord {
        id: NodeId::from(name),
        role,
        address: name.to_owned(),
        weight: 100,
        version: "test".to_owned(),
        protocol: 1,
        draining: false,
    }
}

fn links(pipes: &Arc<Pipes>) -> grpc::Config {
    grpc::Config {
        connector: Some(pipes.clone()),
        ..grpc::Config::default()
    }
}
