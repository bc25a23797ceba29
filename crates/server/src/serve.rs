//! `dunlin serve`: puts the configured roles together, runs them until a signal comes, and ends them in order.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use edge::{Edge, Listener, Sessions, Tls};
use link::EdgeRef;
use router::{Clock, Hosts, NoPeers, Router, System, VirtualHost};
use serde_json::{Value, json};
use stream::HostConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use topology::{Epoch, NodeId};

use crate::cli::Serve;
use crate::config::{self, Config};
use crate::http::{self, Health, Phase};
use crate::telemetry::{self, Telemetry};
use crate::tls::{self, Certificates};
use crate::{hosts, stores};

/// What listens where, once clients can log in.
pub(crate) struct Started {
    /// Plain TCP with STARTTLS.
    pub(crate) c2s: Vec<SocketAddr>,
    /// Direct TLS.
    pub(crate) c2s_tls: Vec<SocketAddr>,
    /// Health and metrics.
    pub(crate) http: Vec<SocketAddr>,
    /// The development CA's certificate, when there is one.
    pub(crate) ca: Option<PathBuf>,
}

/// Runs `dunlin serve`.
///
/// # Errors
/// When the server cannot start.
pub(crate) async fn run(arguments: Serve) -> Result<()> {
    let file = arguments.file.config.clone();
    let mut config = config::load(file.as_deref())?;
    if let Some(role) = arguments.role {
        config.roles = role.roles();
    }
    serve(config, file, |started| {
        tracing::info!(c2s = ?started.c2s, c2s_tls = ?started.c2s_tls, http = ?started.http, "ready for clients");
        arguments
            .ready_file
            .as_deref()
            .map_or(Ok(()), |file| write_ready(file, &started.to_json()))
    })
    .await
}

/// Writes a ready file. Readers wait for it to appear: it appears whole.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_ready(file: &Path, ready: &Value) -> Result<()> {
    let draft = file.with_extension("draft");
    fs::write(&draft, serde_json::to_vec_pretty(ready)?).with_context(|| draft.display().to_string())?;
    fs::rename(&draft, file).with_context(|| file.display().to_string())
}

impl Started {
    fn to_json(&self) -> Value {
        json!({
            "ca": self.ca,
            "c2s": first(&self.c2s),
            "c2s_tls": first(&self.c2s_tls),
            "http": first(&self.http),
            "pid": std::process::id(),
        })
    }
}

/// Runs a server until SIGTERM or SIGINT; SIGHUP reloads from `file`. Calls `ready` once clients can log in.
///
/// # Errors
/// When the server cannot start.
pub(crate) async fn serve(
    config: Config,
    file: Option<PathBuf>,
    ready: impl FnOnce(&Started) -> Result<()>,
) -> Result<()> {
    ensure!(
        !config.is_clustered(),
        "this version runs both roles in one process, without `link`, `store.redis` and `store.etcd`: clusters are not in it yet"
    );
    let telemetry = telemetry::start(&config.log, &config.node)?;
    let health = Health::default();
    let (http, http_listener) = bind(config.http.listen.as_slice()).await.context("http.listen")?;
    for listener in http_listener {
        tokio::spawn(http::serve(listener, health.clone(), telemetry.metrics.clone()));
    }
    let node = Node::assemble(&config).await?;
    let (c2s, plain) = bind(&config.edge.listeners.c2s).await.context("edge.listeners.c2s")?;
    let (c2s_tls, direct) = bind(&config.edge.listeners.c2s_tls)
        .await
        .context("edge.listeners.c2s_tls")?;
    let listeners = plain
        .into_iter()
        .map(Listener::starttls)
        .chain(direct.into_iter().map(Listener::direct_tls));
    let started = Started {
        c2s,
        c2s_tls,
        http,
        ca: node.certificates.development.clone(),
    };
    ready(&started)?;
    health.enter(Phase::Ready);
    let drain = until_told(&node, &telemetry, file.as_deref(), &health)?;
    let left = node.edge.run(listeners.collect(), drain).await;
    if left > 0 {
        tracing::warn!(left, "sessions were cut off");
    }
    telemetry.stop();
    Ok(())
}

/// The first address, for people.
pub(crate) fn first(addresses: &[SocketAddr]) -> String {
    addresses.first().map(ToString::to_string).unwrap_or_default()
}

/// The roles, put together.
struct Node {
    edge: Arc<Edge>,
    tls: Arc<Tls>,
    certificates: Certificates,
}

impl Node {
    async fn assemble(config: &Config) -> Result<Self> {
        let certificates = tls::certificates(config)?;
        let tls = Arc::new(Tls::load(&certificates.config).context("certificates")?);
        let (hosts, streams) = virtual_hosts(config)?;
        let router = router(config, hosts).await?;
        let sessions = Sessions::new(config.edge.outbox.clone());
        let name = NodeId::from(config.node.as_str());
        let router = link::local(
            Arc::new(router),
            EdgeRef {
                id: name,
                epoch: Epoch(1),
                edge: sessions.clone(),
            },
        );
        let (_, fenced) = tokio::sync::watch::channel(false);
        let parts = edge::Parts {
            config: config.edge.clone(),
            hosts: streams,
            tls: Some(tls.clone()),
            sessions,
            router,
            fenced,
        };
        Ok(Self {
            edge: Edge::new(parts),
            tls,
            certificates,
        })
    }

    /// Reloads what can be reloaded, and says what cannot.
    fn reload(&self, telemetry: &Telemetry, file: Option<&Path>) -> Result<()> {
        let config = config::load(file)?;
        telemetry.reload(&config.log)?;
        let served = self
            .tls
            .reload(&tls::certificates(&config)?.config)
            .context("certificates")?;
        tracing::info!(hosts = ?served, "reloaded certificates and the log filter; every other setting needs a restart");
        Ok(())
    }
}

/// What the router and what streams know of each virtual host.
fn virtual_hosts(config: &Config) -> Result<(Hosts, Vec<HostConfig>)> {
    let started = System.now();
    let mut known = Hosts::new();
    let mut streams = Vec::new();
    for (domain, (settings, pipeline)) in hosts::pipelines(config)? {
        streams.push(HostConfig {
            domain: domain.clone(),
            mechanisms: settings.mechanisms,
            plain_without_tls: settings.plain_without_tls,
            features: pipeline.stream_features(&domain),
        });
        let host = Arc::new(hosts::host(&domain, &pipeline, started));
        known.insert(domain, Arc::new(VirtualHost { pipeline, host }));
    }
    Ok((known, streams))
}

async fn router(config: &Config, hosts: Hosts) -> Result<Router> {
    let stores = stores::all(config).await?;
    let secret = stores.members.secret().await.context("the cluster's secret")?;
    let mut settings = config.router.clone();
    settings.sasl.iterations = config.passwords.iterations;
    let router = Router::new(router::Parts {
        node: NodeId::from(config.node.as_str()),
        config: settings,
        hosts,
        stores,
        peers: Arc::new(NoPeers),
        clock: Arc::new(System),
        entropy: Arc::new(System),
        secret,
    });
    router.serve_alone();
    Ok(router)
}

async fn bind(addresses: &[SocketAddr]) -> Result<(Vec<SocketAddr>, Vec<TcpListener>)> {
    let mut bound = (Vec::new(), Vec::new());
    for address in addresses {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address}"))?;
        bound.0.push(listener.local_addr()?);
        bound.1.push(listener);
    }
    Ok(bound)
}

/// Ends when the process is told to stop; reloads when told so meanwhile.
fn until_told<'a>(
    node: &'a Node,
    telemetry: &'a Telemetry,
    file: Option<&'a Path>,
    health: &'a Health,
) -> Result<impl Future<Output = ()> + use<'a>> {
    let mut stop = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let mut reload = signal(SignalKind::hangup())?;
    Ok(async move {
        let [terminate, interrupt] = &mut stop;
        loop {
            tokio::select! {
                () = told(terminate) => break,
                () = told(interrupt) => break,
                () = told(&mut reload) => {
                    if let Err(error) = node.reload(telemetry, file) {
                        tracing::error!("not reloaded, everything stays as it was: {error:#}");
                    }
                }
            }
        }
        health.enter(Phase::Draining);
        tracing::info!("draining");
    })
}

async fn told(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending().await
    }
}
