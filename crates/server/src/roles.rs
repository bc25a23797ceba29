//! The two roles, put together: alone they are joined by direct calls, in a cluster by gRPC links.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge::{Edge, Sessions, Tls};
use link::grpc::{self, Identity, PeerPool, Ports, RouterPool, Standing};
use link::{EdgeRef, Peers, Registry};
use router::{Clock, Hosts, NoPeers, Router, System, VirtualHost};
use stream::HostConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use topology::{Epoch, NodeId, NodeRecord, Snapshot};

use crate::config::{Config, LinkConfig, Role};
use crate::tls::{self, Certificates};
use crate::{hosts, secret, stores};

/// How long an edge that went silent counts as alive.
const EDGE_TTL: Duration = Duration::from_secs(6);
/// How long a node may take to find its place in the cluster before it says that it waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// The roles of this process.
pub(crate) struct Roles {
    /// The router, if this process is one.
    pub(crate) router: Option<RouterRole>,
    /// The edge, if this process is one.
    pub(crate) edge: Option<EdgeRole>,
}

/// A router and the links that reach it.
pub(crate) struct RouterRole {
    id: NodeId,
    router: Router,
    peers: Option<Arc<PeerPool>>,
    stop: CancellationToken,
}

/// An edge and what it serves with.
pub(crate) struct EdgeRole {
    /// The edge.
    pub(crate) edge: Arc<Edge>,
    /// Its certificates, to be reloaded.
    pub(crate) tls: Arc<Tls>,
    /// Where they come from.
    pub(crate) certificates: Certificates,
    id: NodeId,
    sessions: Arc<Sessions>,
    pool: Option<Arc<RouterPool>>,
}

impl Roles {
    /// Puts the configured roles together; returns once they have their place in the cluster.
    ///
    /// # Errors
    /// When one of them cannot start.
    pub(crate) async fn start(config: &Config) -> Result<Self> {
        let (hosts, streams) = virtual_hosts(config)?;
        let router = match config.has(Role::Router) {
            true => Some(RouterRole::start(config, hosts).await.context("router")?),
            false => None,
        };
        let edge = match config.has(Role::Edge) {
            true => Some(
                EdgeRole::start(config, streams, router.as_ref())
                    .await
                    .context("edge")?,
            ),
            false => None,
        };
        ensure!(
            router.is_some() || edge.is_some(),
            "roles: a process needs at least one"
        );
        Ok(Self { router, edge })
    }

    /// Which they are.
    pub(crate) fn held(&self) -> Vec<Role> {
        let edge = self.edge.as_ref().map(|_| Role::Edge);
        edge.into_iter()
            .chain(self.router.as_ref().map(|_| Role::Router))
            .collect()
    }

    /// Ends when the cluster has been told that this process is to drain (`dunlin node drain`); else never.
    pub(crate) async fn asked_to_drain(&self) {
        let router = async {
            match &self.router {
                Some(role) => role.asked_to_drain().await,
                None => std::future::pending().await,
            }
        };
        let edge = async {
            match &self.edge {
                Some(role) => role.asked_to_drain().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = router => {}
            () = edge => {}
        }
    }

    /// Reads all gauges that nobody keeps, such as lengths of queues.
    pub(crate) fn reader(&self) -> impl Fn() + Send + Sync + 'static {
        let router = self
            .router
            .as_ref()
            .map(|role| (role.router.clone(), role.peers.clone()));
        let edge = self
            .edge
            .as_ref()
            .map(|role| (role.sessions.clone(), role.pool.clone()));
        move || {
            if let Some((router, peers)) = &router {
                router.sample();
                peers.iter().for_each(|peers| peers.sample());
            }
            if let Some((sessions, pool)) = &edge {
                sessions.sample();
                pool.iter().for_each(|pool| pool.sample());
            }
        }
    }
}

impl RouterRole {
    async fn start(config: &Config, hosts: Hosts) -> Result<Self> {
        let stores = stores::all(config).await?;
        let secret = match config.store.etcd {
            Some(_) => stores.members.secret().await.context("the cluster's secret")?,
            None => secret::at(&config.data.join("secret")).context("the server's secret")?,
        };
        let peers = config
            .link
            .listen
            .is_some()
            .then(|| grpc_config(&config.link).map(PeerPool::new))
            .transpose()?
            .map(Arc::new);
        let mut settings = config.router.clone();
        settings.sasl.iterations = config.passwords.iterations;
        let router = Router::new(router::Parts {
            node: NodeId::from(config.node.as_str()),
            config: settings,
            hosts,
            stores,
            peers: peers.clone().map_or(Arc::new(NoPeers) as Arc<dyn Peers>, |peers| peers),
            clock: Arc::new(System),
            entropy: Arc::new(System),
            secret,
        });
        let stop = CancellationToken::new();
        match (config.link.listen, &peers) {
            (Some(listen), Some(peers)) => join(config, listen, &router, peers, stop.clone()).await?,
            _ => router.serve_alone(),
        }
        Ok(Self {
            id: NodeId::from(config.node.as_str()),
            router,
            peers,
            stop,
        })
    }

    /// Whoever serves has joined: what the snapshot has of it is of this life.
    async fn asked_to_drain(&self) {
        let drains = |snapshot: &Arc<Snapshot>| is_draining(snapshot, &self.id, None);
        if self.router.watch().wait_for(drains).await.is_err() {
            std::future::pending().await
        }
    }

    /// Gives everything to the other routers and leaves.
    pub(crate) async fn stop(&self) {
        self.router.drain().await;
        self.stop.cancel();
    }
}

impl EdgeRole {
    async fn start(config: &Config, hosts: Vec<HostConfig>, local: Option<&RouterRole>) -> Result<Self> {
        let certificates = tls::certificates(config)?;
        let tls = Arc::new(Tls::load(&certificates.config).context("certificates")?);
        let sessions = Sessions::new(config.edge.outbox.clone());
        let (router, fenced, pool): (Arc<dyn link::Router>, _, _) = match local {
            Some(local) if !config.is_clustered() => {
                let me = EdgeRef {
                    id: NodeId::from(config.node.as_str()),
                    epoch: Epoch(1),
                    edge: sessions.clone(),
                };
                (
                    link::local(Arc::new(local.router.clone()), me),
                    watch::channel(false).1,
                    None,
                )
            }
            _ => {
                let pool = Arc::new(join_edge(config)?);
                pool.start(sessions.clone());
                let fenced = fence(pool.standing());
                lives(&pool).await;
                (pool.clone(), fenced, Some(pool))
            }
        };
        let parts = edge::Parts {
            config: config.edge.clone(),
            hosts,
            tls: Some(tls.clone()),
            sessions: sessions.clone(),
            router,
            fenced,
        };
        Ok(Self {
            edge: Edge::new(parts),
            tls,
            certificates,
            id: NodeId::from(edge_name(config).as_str()),
            sessions,
            pool,
        })
    }

    async fn asked_to_drain(&self) {
        let Some(pool) = &self.pool else {
            return std::future::pending().await;
        };
        let standing = pool.standing();
        let drains = |snapshot: &Arc<Snapshot>| match *standing.borrow() {
            Standing::Live(epoch) => is_draining(snapshot, &self.id, Some(epoch)),
            Standing::Joining | Standing::Fenced => false,
        };
        if pool.snapshots().wait_for(drains).await.is_err() {
            std::future::pending().await
        }
    }

    /// Leaves the cluster, after the last session.
    pub(crate) async fn leave(&self) {
        if let Some(pool) = &self.pool {
            pool.leave().await;
        }
    }
}

/// Whether this life of a node is to drain.
fn is_draining(snapshot: &Snapshot, id: &NodeId, epoch: Option<Epoch>) -> bool {
    snapshot
        .member(id)
        .is_some_and(|member| member.record.draining && epoch.is_none_or(|epoch| member.epoch == epoch))
}

/// What the router and what streams know of each virtual host.
fn virtual_hosts(config: &Config) -> Result<(Hosts, Vec<HostConfig>)> {
    let started = System.now();
    let mut known = Hosts::new();
    let mut streams = Vec::new();
    for (domain, (settings, pipeline)) in hosts::pipelines(config)? {
        let host = Arc::new(hosts::host(
            &domain,
            &settings,
            hosts::services(config, &domain),
            &pipeline,
            started,
        ));
        streams.push(HostConfig {
            domain: domain.clone(),
            mechanisms: settings.mechanisms,
            tokens: settings.tokens,
            plain_without_tls: settings.plain_without_tls,
            registration: settings.registration.is_offered(),
            features: pipeline.stream_features(&domain),
            bind_features: pipeline.bind_features().map(str::to_owned).collect(),
        });
        let registration = settings.registration;
        let host = VirtualHost {
            pipeline,
            host,
            registration,
        };
        known.insert(domain, Arc::new(host));
    }
    Ok((known, streams))
}

/// Joins the cluster, opens the links, and waits for a share of the slots.
async fn join(
    config: &Config,
    listen: SocketAddr,
    router: &Router,
    peers: &PeerPool,
    stop: CancellationToken,
) -> Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("link.listen: {listen}"))?;
    let address = config
        .link
        .advertise
        .clone()
        .unwrap_or(listener.local_addr()?.to_string());
    let record = record(config, config.node.clone(), topology::Role::Router, address);
    let id = record.id.clone();
    router.join(record);
    let epoch = router.joined().await.context("joining the cluster")?;
    let me = Identity {
        id,
        epoch,
        release: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let home = Arc::new(router.clone());
    peers.start(me.clone(), router.watch(), home.clone());
    let ports = Ports {
        home: home.clone(),
        peer_home: home.clone(),
        registry: home,
    };
    let links = grpc_config(&config.link)?;
    tokio::spawn(async move {
        if let Err(error) = grpc::serve(listener, me, links, ports, stop.cancelled_owned()).await {
            tracing::error!(%error, "the links stopped");
        }
    });
    serves(router).await;
    Ok(())
}

fn join_edge(config: &Config) -> Result<RouterPool> {
    let own = config.link.listen.map(|address| address.to_string());
    let seeds = if config.link.routers.is_empty() {
        own.into_iter().collect()
    } else {
        config.link.routers.clone()
    };
    ensure!(!seeds.is_empty(), "link.routers: an edge needs routers to join through");
    let record = record(config, edge_name(config), topology::Role::Edge, String::new());
    Ok(RouterPool::new(record, seeds, EDGE_TTL, grpc_config(&config.link)?))
}

/// A process with both roles joins twice.
fn edge_name(config: &Config) -> String {
    if config.has(Role::Router) {
        format!("{}-edge", config.node)
    } else {
        config.node.clone()
    }
}

fn record(config: &Config, id: String, role: topology::Role, address: String) -> NodeRecord {
    NodeRecord {
        id: NodeId::from(id.as_str()),
        role,
        address,
        weight: config.router.cluster.weight,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: 1,
        draining: false,
    }
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

/// Waits until the edge has joined and reaches a router.
async fn lives(pool: &RouterPool) {
    let mut standing = pool.standing();
    let mut wait = tokio::time::interval(PATIENCE);
    wait.tick().await;
    loop {
        tokio::select! {
            joined = standing.wait_for(|standing| matches!(standing, Standing::Live(_))) => {
                drop(joined);
                return;
            }
            _ = wait.tick() => tracing::warn!("still waiting for a router to join through"),
        }
    }
}

/// Waits until the router is home of slots.
async fn serves(router: &Router) {
    let mut snapshots = router.watch();
    let mut look = tokio::time::interval(Duration::from_millis(20));
    while router.health().serving == 0 {
        tokio::select! {
            _ = snapshots.changed() => {}
            _ = look.tick() => {}
        }
    }
}

fn grpc_config(link: &LinkConfig) -> Result<grpc::Config> {
    let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    let tls = match (&link.ca, &link.certificate, &link.key) {
        (Some(ca), Some(certificate), Some(key)) => Some(grpc::Tls {
            ca: read(ca)?,
            certificate: read(certificate)?,
            key: read(key)?,
            cluster: link.name.clone(),
        }),
        (None, None, None) => None,
        _ => anyhow::bail!("link: ca, certificate and key go together"),
    };
    Ok(link.grpc(tls))
}
