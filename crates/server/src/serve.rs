//! `dunlin serve`: puts the configured roles together, runs them until a signal comes, and ends them in order.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::{Context, Result};
use edge::Listener;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{RoleChoice, Serve};
use crate::config::{self, Config};
use crate::hosts;
use crate::http::{self, Health, Phase};
use crate::metrics::Sampler;
use crate::roles::Roles;
use crate::telemetry::{self, Telemetry};
use crate::tls;

/// What listens where, once clients can log in.
pub(crate) struct Started {
    /// Plain TCP with STARTTLS.
    pub(crate) c2s: Vec<SocketAddr>,
    /// Direct TLS.
    pub(crate) c2s_tls: Vec<SocketAddr>,
    /// Components (XEP-0114).
    pub(crate) component: Vec<SocketAddr>,
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
    let roles = arguments.role.map(RoleChoice::roles);
    let config = config::load_readable(file.as_deref(), roles.as_deref())?;
    hosts::check(&config, file.as_deref())?;
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
            "component": first(&self.component),
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
    let telemetry = telemetry::start(&config.log, &config.node)?;
    let (health, sampler) = (Health::default(), Sampler::default());
    let (http, http_listener) = bind(config.http.listen.as_slice()).await.context("http.listen")?;
    for listener in http_listener {
        tokio::spawn(http::serve(
            listener,
            health.clone(),
            telemetry.metrics.clone(),
            sampler.clone(),
        ));
    }
    let roles = Roles::start(&config).await?;
    sampler.set(roles.reader());
    let (c2s, plain) = bind(listeners(&roles, &config.edge.listeners.c2s))
        .await
        .context("edge.listeners.c2s")?;
    let (c2s_tls, direct) = bind(listeners(&roles, &config.edge.listeners.c2s_tls))
        .await
        .context("edge.listeners.c2s_tls")?;
    let (component, components) = bind(listeners(&roles, &config.edge.listeners.component))
        .await
        .context("edge.listeners.component")?;
    let listeners = plain
        .into_iter()
        .map(Listener::starttls)
        .chain(direct.into_iter().map(Listener::direct_tls))
        .chain(components.into_iter().map(Listener::component));
    let ca = roles
        .edge
        .as_ref()
        .and_then(|edge| edge.certificates.development.clone());
    ready(&Started {
        c2s,
        c2s_tls,
        component,
        http,
        ca,
    })?;
    health.enter(Phase::Ready);
    let drain = until_told(&roles, &telemetry, file.as_deref(), &health)?;
    run_roles(&roles, listeners.collect(), drain).await;
    telemetry.stop();
    Ok(())
}

/// Runs until `drain`: first the edge closes its sessions, then the router gives its slots away.
async fn run_roles(roles: &Roles, listeners: Vec<Listener>, drain: impl Future<Output = ()>) {
    match &roles.edge {
        Some(edge) => {
            let left = edge.edge.run(listeners, drain).await;
            if left > 0 {
                tracing::warn!(left, "sessions were cut off");
            }
            edge.leave().await;
        }
        None => drain.await,
    }
    if let Some(router) = &roles.router {
        router.stop().await;
    }
}

/// A process that is no edge listens for no clients.
fn listeners<'a>(roles: &Roles, configured: &'a [SocketAddr]) -> &'a [SocketAddr] {
    if roles.edge.is_some() { configured } else { &[] }
}

/// The first address, for people.
pub(crate) fn first(addresses: &[SocketAddr]) -> String {
    addresses.first().map(ToString::to_string).unwrap_or_default()
}

/// Reloads what can be reloaded, and says what cannot.
fn reload(roles: &Roles, telemetry: &Telemetry, file: Option<&Path>) -> Result<()> {
    let config = config::load_as(file, Some(&roles.held()))?;
    telemetry.reload(&config.log)?;
    if let Some(edge) = &roles.edge {
        let served = edge
            .tls
            .reload(&tls::certificates(&config)?.config)
            .context("certificates")?;
        tracing::info!(hosts = ?served, "reloaded certificates");
    }
    tracing::info!("reloaded the log filter; every other setting needs a restart");
    Ok(())
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

/// Ends when the process is told to stop, by a signal or by way of the cluster; reloads when told so meanwhile.
fn until_told<'a>(
    roles: &'a Roles,
    telemetry: &'a Telemetry,
    file: Option<&'a Path>,
    health: &'a Health,
) -> Result<impl Future<Output = ()> + use<'a>> {
    let mut stop = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let [terminate, interrupt] = &mut stop;
        let mut asked = pin!(roles.asked_to_drain());
        loop {
            tokio::select! {
                () = &mut asked => {
                    tracing::info!("asked to drain by way of the cluster");
                    break;
                }
                () = told(terminate) => break,
                () = told(interrupt) => break,
                () = told(&mut hangup) => {
                    if let Err(error) = reload(roles, telemetry, file) {
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
