//! A TLS handshake with a client, within its time, and what came of it as a metric.

use std::io::{self, ErrorKind};

use stanza::TlsFacts;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use crate::shared::Shared;
use crate::tls::{Tls, Way};

/// Shakes hands on `io`; `None` when that came to nothing (the connection is then closed).
pub(crate) async fn handshake<T>(shared: &Shared, io: T, way: Way) -> Option<(Box<TlsStream<T>>, TlsFacts)>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Some(tls) = &shared.tls else {
        shared.meters().handshake("no_certificate");
        return None;
    };
    let limit = shared.config.timeouts.handshake;
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(limit, Tls::accept(tls, io, way)) => outcome,
        () = shared.stopping.cancelled() => return None,
    };
    let result = outcome.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    shared.meters().handshake(result.as_ref().map_or_else(name, |_| "ok"));
    result
        .inspect_err(|error| tracing::debug!(%error, "TLS handshake failed"))
        .ok()
}

/// What a failure is called in the metric.
fn name(error: &io::Error) -> &'static str {
    use rustls::Error;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => return "not_tls",
        Some(Error::NoApplicationProtocol) => return "no_protocol",
        Some(Error::AlertReceived(_)) => return "refused_by_client",
        Some(Error::PeerIncompatible(_)) => return "incompatible",
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => return "client_certificate",
        _ => {}
    }
    match error.kind() {
        ErrorKind::TimedOut => "timed_out",
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "hung_up",
        _ => "failed",
    }
}
