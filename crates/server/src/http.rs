//! Health, readiness and metrics for operators: `/live`, `/ready`, `/draining`, `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::metrics::Sampler;

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Not ready for clients yet.
    Starting,
    /// Takes clients.
    Ready,
    /// On its way out.
    Draining,
}

/// The process's phase, shared with the endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<AtomicU8>);

#[derive(Clone)]
struct Shared {
    health: Health,
    metrics: PrometheusHandle,
    sampler: Sampler,
}

impl Health {
    /// Enters a phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }
}

/// Serves the endpoints until the process ends.
pub(crate) async fn serve(listener: TcpListener, health: Health, metrics: PrometheusHandle, sampler: Sampler) {
    let app = Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready))
        .route("/draining", get(draining))
        .route("/metrics", get(show_metrics))
        .with_state(Shared {
            health,
            metrics,
            sampler,
        });
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the HTTP endpoint stopped");
    }
}

async fn show_metrics(State(shared): State<Shared>) -> String {
    shared.sampler.sample();
    shared.metrics.render()
}

/// 200 while clients are taken.
async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    match shared.health.phase() {
        Phase::Ready => (StatusCode::OK, "ready\n"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// 200 while the process is on its way out.
async fn draining(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    match shared.health.phase() {
        Phase::Draining => (StatusCode::OK, "draining\n"),
        _ => (StatusCode::NOT_FOUND, "not draining\n"),
    }
}
