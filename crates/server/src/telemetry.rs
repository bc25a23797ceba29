//! Logs, traces and metrics of the process.

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};

/// Upper bounds of latency buckets, in seconds.
const SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Handles to what was set up.
pub(crate) struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    traces: Option<SdkTracerProvider>,
    /// Renders the metrics.
    pub(crate) metrics: PrometheusHandle,
}

/// Sets up logs, traces and metrics for this process; once.
///
/// # Errors
/// When the filter cannot be read, or something was set up before.
pub(crate) fn start(config: &LogConfig, node: &str) -> Result<Telemetry> {
    let filter = EnvFilter::try_new(&config.filter).context("log.filter")?;
    let (filter, handle) = reload::Layer::new(filter);
    let traces = config
        .otlp
        .as_deref()
        .map(|endpoint| exporter(endpoint, node))
        .transpose()?;
    let lines = match config.format {
        LogFormat::Text => fmt::layer().with_writer(std::io::stderr).boxed(),
        LogFormat::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
    };
    let spans = traces
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("dunlin")));
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
        let filter = EnvFilter::try_new(&config.filter).context("log.filter")?;
        self.filter.reload(filter).context("changing the log filter")
    }

    /// Sends what is left.
    pub(crate) fn stop(&self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown()
        {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }
}

fn exporter(endpoint: &str, node: &str) -> Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .context("setting up trace export")?;
    let resource = opentelemetry_sdk::Resource::builder()
        .with_service_name("dunlin")
        .with_attribute(opentelemetry::KeyValue::new("service.instance.id", node.to_owned()))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}
