//! The edge's metrics. Those of the hot path are looked up once.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use stanza::{Condition, SaslFailure, SaslReply, SaslRequest};
use stream::Closed;

/// Metrics of one edge.
pub(crate) struct Meters {
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Sessions with a bound resource.
    pub(crate) sessions: Gauge,
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

/// Counts for as long as it lives.
pub(crate) struct Counted(Gauge);

impl Meters {
    /// Registers everything with the recorder installed now.
    pub(crate) fn new() -> Self {
        describe();
        Self {
            connections: gauge!("dunlin_edge_connections"),
            sessions: gauge!("dunlin_edge_sessions"),
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
    const KNOWN: [&str; 8] = [
        "EXTERNAL",
        "PLAIN",
        "SCRAM-SHA-1",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-512",
        "SCRAM-SHA-512-PLUS",
    ];
    match request {
        SaslRequest::Start { mechanism, .. } => Some(KNOWN.into_iter().find(|k| k == mechanism).unwrap_or("other")),
        _ => None,
    }
}

fn describe() {
    describe_gauge!("dunlin_edge_connections", "Connections that are open");
    describe_gauge!("dunlin_edge_sessions", "Sessions with a bound resource");
    describe_counter!("dunlin_edge_bytes_total", "Bytes of client streams, inside TLS");
    describe_counter!("dunlin_edge_stanzas_total", "Stanzas from and to clients");
    describe_counter!(
        "dunlin_edge_deliveries_dropped_total",
        "Deliveries that no client can get"
    );
    describe_counter!(
        "dunlin_edge_outbox_overflows_total",
        "Sessions closed because their client read too slowly"
    );
    describe_counter!("dunlin_edge_connections_total", "Connections accepted, by listener");
    describe_counter!(
        "dunlin_edge_connections_refused_total",
        "Connections turned away, by limit"
    );
    describe_counter!(
        "dunlin_edge_accept_errors_total",
        "Times the system could give no connection"
    );
    describe_counter!("dunlin_edge_handshakes_total", "TLS handshakes, by result");
    describe_counter!("dunlin_edge_stream_errors_total", "Stream errors sent, by condition");
    describe_counter!("dunlin_edge_streams_closed_total", "Streams that ended, by reason");
    describe_counter!(
        "dunlin_edge_stanza_errors_total",
        "Stanzas that the edge answered with an error, by condition"
    );
    describe_counter!(
        "dunlin_edge_sasl_total",
        "SASL exchanges that ended, by mechanism and result"
    );
}
