//! Gives the spans of traced stanzas ([`link::Step`]) to an OTLP collector, under the ids they bear. No other span is looked at.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{self, Layer};
use tracing_subscriber::registry::LookupSpan;

/// The way to a collector: bounded, and what does not fit is dropped (and said in the log).
#[derive(Debug)]
pub(crate) struct Exporter {
    processor: BatchSpanProcessor,
}

impl Exporter {
    /// To the collector at `endpoint`; spans say that they are `node`'s. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the endpoint is no URL.
    pub(crate) fn new(endpoint: &str, node: &str) -> Result<Self> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .with_context(|| format!("log.otlp: {endpoint}"))?;
        let resource = opentelemetry_sdk::Resource::builder()
            .with_service_name("dunlin")
            .with_attribute(KeyValue::new("service.instance.id", node.to_owned()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&resource);
        Ok(Self { processor })
    }

    /// Sends what is left.
    pub(crate) fn stop(&self) {
        if let Err(error) = self.processor.shutdown() {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }
}

/// Watches spans begin and end.
pub(crate) struct Spans(pub(crate) Arc<Exporter>);

/// A span that has begun.
struct Begun {
    at: SystemTime,
    fields: Fields,
}

/// What its fields say.
#[derive(Default)]
struct Fields {
    name: String,
    trace: Option<TraceId>,
    span: Option<SpanId>,
    parent: Option<SpanId>,
    others: Vec<KeyValue>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        let walk = attributes.metadata().target() == link::TRACE_TARGET;
        let Some(span) = context.span(id).filter(|_| walk) else {
            return;
        };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(Begun {
            at: SystemTime::now(),
            fields,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: layer::Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(begun) = span.extensions_mut().get_mut::<Begun>() {
            values.record(&mut begun.fields);
        }
    }

    fn on_close(&self, id: Id, context: layer::Context<'_, S>) {
        let begun = context
            .span(&id)
            .and_then(|span| span.extensions_mut().remove::<Begun>());
        if let Some(data) = begun.and_then(Begun::end) {
            self.0.processor.on_end(data);
        }
    }
}

impl Begun {
    fn end(self) -> Option<SpanData> {
        let Fields {
            name,
            trace,
            span,
            parent,
            others,
        } = self.fields;
        let span_context = SpanContext::new(trace?, span?, TraceFlags::SAMPLED, false, TraceState::default());
        let span_kind = match &*name {
            "edge.submit" => SpanKind::Server,
            _ => SpanKind::Consumer,
        };
        Some(SpanData {
            span_context,
            parent_span_id: parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: parent.is_some(),
            span_kind,
            name: name.into(),
            start_time: self.at,
            end_time: SystemTime::now(),
            attributes: others,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("dunlin").build(),
        })
    }
}

impl Fields {
    fn note(&mut self, name: &'static str, text: String) {
        match name {
            "step" => self.name = text,
            "trace_id" => self.trace = TraceId::from_hex(&text).ok(),
            "span_id" => self.span = SpanId::from_hex(&text).ok(),
            "parent_id" => self.parent = SpanId::from_hex(&text).ok(),
            _ => self.others.push(KeyValue::new(attribute(name), Value::from(text))),
        }
    }
}

/// Our names among OpenTelemetry's.
fn attribute(name: &'static str) -> String {
    format!("xmpp.{name}")
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.note(field.name(), format!("{value:?}"));
    }
}
