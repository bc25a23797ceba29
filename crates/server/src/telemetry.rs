//! Logs, traces and metrics of the process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};
use crate::spans::{Exporter, Spans};

/// Upper bounds of latency buckets, in seconds.
const SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// How often what histograms have gathered is folded.
const UPKEEP: Duration = Duration::from_secs(5);

/// Handles to what was set up.
pub(crate) struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    traces: Option<Arc<Exporter>>,
    /// Renders the metrics.
    pub(crate) metrics: PrometheusHandle,
}

/// Sets up logs, traces and metrics for this process; once, on a runtime.
///
/// # Errors
/// When the filter cannot be read, or something was set up before.
pub(crate) fn start(config: &LogConfig, node: &str) -> Result<Telemetry> {
    let (filter, handle) = reload::Layer::new(filter(config)?);
    let traces = config
        .otlp
        .as_deref()
        .map(|endpoint| Exporter::new(endpoint, node).map(Arc::new))
        .transpose()?;
    let lines = match config.format {
        LogFormat::Text => fmt::layer().with_writer(std::io::stderr).boxed(),
        LogFormat::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
    };
    let spans = traces.clone().map(Spans);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(spans)
        .try_init()
        .context("setting up logs")?;
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("setting up metrics")?;
    crate::metrics::describe();
    tokio::spawn(upkeep(metrics.clone()));
    Ok(Telemetry {
        filter: handle,
        traces,
        metrics,
    })
}

impl Telemetry {
    /// Changes what is logged.
    ///
    /// # Errors
    /// When the filter cannot be read.
    pub(crate) fn reload(&self, config: &LogConfig) -> Result<()> {
        self.filter.reload(filter(config)?).context("changing the log filter")
    }

    /// Sends what is left.
    pub(crate) fn stop(&self) {
        if let Some(traces) = &self.traces {
            traces.stop();
        }
    }
}

/// Histograms keep every value until somebody looks: without a scraper, that is done here.
async fn upkeep(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.run_upkeep();
    }
}

/// What is logged, and the spans that are exported: a log of warnings must not end the traces. One filter for both, as filters of
/// each would leave marks on a thread when a driver only asks what is enabled, and lose the next line or span there.
fn filter(config: &LogConfig) -> Result<EnvFilter> {
    let filter = EnvFilter::try_new(&config.filter).context("log.filter")?;
    match &config.otlp {
        Some(_) => Ok(filter.add_directive(format!("{}=info", link::TRACE_TARGET).parse()?)),
        None => Ok(filter),
    }
}
