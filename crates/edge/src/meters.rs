//! The edge's metrics. Those of the hot path are looked up once.

use metrics::{Counter, Gauge, counter, gauge};
use stanza::{Condition, SaslFailure, SaslReply, SaslRequest};
use stream::Closed;

use crate::outbox::Load;

/// Every metric of this crate: its name, its kind, and what it tells an operator.
pub const METRICS: &[(&str, &str, &str)] = &[
    (
        "dunlin_edge_accept_errors_total",
        "counter",
        "Times the system could give no connection (descriptors, memory)",
    ),
    (
        "dunlin_edge_bytes_total",
        "counter",
        "Bytes of client streams inside TLS, by `direction`: `in` or `out`",
    ),
    (
        "dunlin_edge_connections",
        "gauge",
        "Connections that are open, logged in or not",
    ),
    (
        "dunlin_edge_connections_refused_total",
        "counter",
        "Connections turned away, by `reason`: the limit that was reached, or `fenced`",
    ),
    (
        "dunlin_edge_connections_total",
        "counter",
        "Connections accepted, by `listener`",
    ),
    (
        "dunlin_edge_deliveries_dropped_total",
        "counter",
        "Deliveries not written, by `reason`: `no_session` (gone; the home delivers elsewhere or keeps it) or `repeated`",
    ),
    (
        "dunlin_edge_draining",
        "gauge",
        "While the edge drains, once a second: connections that are still to be closed; else 0",
    ),
    ("dunlin_edge_handshakes_total", "counter", "TLS handshakes, by `result`"),
    (
        "dunlin_edge_logins_refused_total",
        "counter",
        "Logins told to come again later, before a router was asked, by `class`: `resume`, `token`, `password` or `registration`; see `edge.rates.logins`",
    ),
    (
        "dunlin_edge_outbox_bytes",
        "gauge",
        "Bytes of stanzas that wait for their clients to read, of all sessions",
    ),
    (
        "dunlin_edge_outbox_fullest_stanzas",
        "gauge",
        "Stanzas that wait for the slowest client; its bound is `edge.outbox.stanzas`",
    ),
    (
        "dunlin_edge_outbox_overflows_total",
        "counter",
        "Sessions closed because their client read too slowly",
    ),
    (
        "dunlin_edge_outbox_stanzas",
        "gauge",
        "Stanzas that wait for their clients to read, of all sessions",
    ),
    (
        "dunlin_edge_outbox_waiting",
        "gauge",
        "Sessions with a stanza that waits for its client to read",
    ),
    (
        "dunlin_edge_sasl_total",
        "counter",
        "SASL exchanges that ended, by `mechanism` and `result`",
    ),
    ("dunlin_edge_sessions", "gauge", "Sessions with a bound resource"),
    (
        "dunlin_edge_stanza_errors_total",
        "counter",
        "Stanzas that the edge answered with an error, by `condition`",
    ),
    (
        "dunlin_edge_stanzas_total",
        "counter",
        "Stanzas from (`in`) and to (`out`) clients, by `direction`",
    ),
    (
        "dunlin_edge_stream_errors_total",
        "counter",
        "Stream errors sent, by `condition`",
    ),
    (
        "dunlin_edge_streams_closed_total",
        "counter",
        "Streams that ended, by `reason`",
    ),
];

/// Metrics of one edge.
pub(crate) struct Meters {
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Sessions with a bound resource.
    pub(crate) sessions: Gauge,
    /// Connections that a drain has still to close.
    pub(crate) draining: Gauge,
    /// Bytes of streams, inside TLS.
    pub(crate) bytes_in: Counter,
    /// As above.
    pub(crate) bytes_out: Counter,
    /// Stanzas from clients.
    pub(crate) stanzas_in: Counter,
    /// Stanzas given to streams.
    pub(crate) stanzas_out: Counter,
    /// Deliveries for sessions that are not here.
    pub(crate) strayed: Counter,
    /// Deliveries that were here before.
    pub(crate) repeated: Counter,
    /// Sessions closed because their client read too slowly.
    pub(crate) overflows: Counter,
}

/// What waits in outboxes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) stanzas: usize,
    pub(crate) bytes: usize,
    /// Sessions with anything waiting.
    pub(crate) sessions: usize,
    /// The most that waits in one.
    pub(crate) fullest: usize,
}

/// Counts for as long as it lives.
pub(crate) struct Counted(Gauge);

impl Meters {
    /// What waits in all outboxes together.
    pub(crate) fn outboxes(waiting: &Waiting) {
        gauge!("dunlin_edge_outbox_stanzas").set(waiting.stanzas as f64);
        gauge!("dunlin_edge_outbox_bytes").set(waiting.bytes as f64);
        gauge!("dunlin_edge_outbox_waiting").set(waiting.sessions as f64);
        gauge!("dunlin_edge_outbox_fullest_stanzas").set(waiting.fullest as f64);
    }

    /// Registers everything with the recorder installed now.
    pub(crate) fn new() -> Self {
        Self {
            connections: gauge!("dunlin_edge_connections"),
            sessions: gauge!("dunlin_edge_sessions"),
            draining: gauge!("dunlin_edge_draining"),
            bytes_in: counter!("dunlin_edge_bytes_total", "direction" => "in"),
            bytes_out: counter!("dunlin_edge_bytes_total", "direction" => "out"),
            stanzas_in: counter!("dunlin_edge_stanzas_total", "direction" => "in"),
            stanzas_out: counter!("dunlin_edge_stanzas_total", "direction" => "out"),
            strayed: counter!("dunlin_edge_deliveries_dropped_total", "reason" => "no_session"),
            repeated: counter!("dunlin_edge_deliveries_dropped_total", "reason" => "repeated"),
            overflows: counter!("dunlin_edge_outbox_overflows_total"),
        }
    }

    /// A connection came.
    pub(crate) fn accepted(&self, listener: &'static str) {
        counter!("dunlin_edge_connections_total", "listener" => listener).increment(1);
    }

    /// A connection was turned away.
    pub(crate) fn refused(&self, reason: &'static str) {
        counter!("dunlin_edge_connections_refused_total", "reason" => reason).increment(1);
    }

    /// A TLS handshake ended.
    pub(crate) fn handshake(&self, result: &'static str) {
        counter!("dunlin_edge_handshakes_total", "result" => result).increment(1);
    }

    /// A stream ended.
    pub(crate) fn closed(&self, closed: &Closed) {
        let reason = match closed {
            Closed::Clean => "clean",
            Closed::HungUp => "hung_up",
            Closed::PeerError => "peer_error",
            Closed::TimedOut => "timed_out",
            Closed::Error(condition) => {
                counter!("dunlin_edge_stream_errors_total", "condition" => condition.name()).increment(1);
                "error"
            }
        };
        counter!("dunlin_edge_streams_closed_total", "reason" => reason).increment(1);
    }

    /// A stanza was answered with an error before any home saw it.
    pub(crate) fn refused_stanza(&self, condition: &Condition) {
        counter!("dunlin_edge_stanza_errors_total", "condition" => condition.name()).increment(1);
    }

    /// A SASL exchange failed; `mechanism` is `none` when it came to no exchange.
    pub(crate) fn sasl_failure(&self, mechanism: &'static str, failure: SaslFailure) {
        counter!("dunlin_edge_sasl_total", "mechanism" => mechanism, "result" => failure.name()).increment(1);
    }

    /// Too many log in at once.
    pub(crate) fn refused_login(&self, class: &'static str) {
        counter!("dunlin_edge_logins_refused_total", "class" => class).increment(1);
    }

    /// A router decided a SASL step.
    pub(crate) fn sasl(&self, mechanism: &'static str, reply: &SaslReply) {
        match reply {
            SaslReply::Challenge { .. } => {}
            SaslReply::Success { .. } => {
                counter!("dunlin_edge_sasl_total", "mechanism" => mechanism, "result" => "success").increment(1);
            }
            SaslReply::Failure(failure) => self.sasl_failure(mechanism, *failure),
        }
    }
}

impl Waiting {
    /// Adds an outbox.
    pub(crate) fn add(&mut self, load: Load) {
        let Load { stanzas, bytes } = load;
        self.stanzas += stanzas;
        self.bytes += bytes;
        self.sessions += usize::from(stanzas > 0);
        self.fullest = self.fullest.max(stanzas);
    }
}

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// The name of the mechanism that a request begins, from a closed list: a client must not make up labels.
pub(crate) fn mechanism(request: &SaslRequest) -> Option<&'static str> {
    const KNOWN: [&str; 12] = [
        "EXTERNAL",
        "HT-SHA-256-ENDP",
        "HT-SHA-256-EXPR",
        "HT-SHA-256-NONE",
        "PLAIN",
        "SCRAM-SHA-1",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-512",
        "SCRAM-SHA-512-PLUS",
        "jabber:component:accept",
    ];
    match request {
        SaslRequest::Start { mechanism, .. } => Some(KNOWN.into_iter().find(|k| k == mechanism).unwrap_or("other")),
        _ => None,
    }
}
