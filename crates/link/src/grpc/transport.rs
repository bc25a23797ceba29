//! Connections as both sides set them up: TLS, pings, windows, names in certificates.

use std::sync::Arc;

use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Status, transport};
use topology::NodeId;

use super::calm::Calmly;
use super::config::{Config, InvalidTls, Tls};
use super::connector::Dialled;
use crate::wire::pb::router_client::RouterClient;

/// Flow-control windows, in bytes: what may be under way unread.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// A router could not be reached.
#[derive(Debug)]
pub(super) struct Unreached {
    /// Nothing listens there.
    pub(super) refused: bool,
    status: Status,
}

impl From<Unreached> for Status {
    fn from(unreached: Unreached) -> Self {
        unreached.status
    }
}

/// Connects to the router at `address` (`host:port`), named `id` if that is known.
pub(super) async fn connect(
    address: &str,
    id: Option<&NodeId>,
    config: &Config,
) -> Result<RouterClient<Channel>, Unreached> {
    let not_tried = |status| Unreached { refused: false, status };
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .map_err(|error| not_tried(Status::unavailable(format!("address {address}: {error}"))))?
        .executor(Calmly)
        .connect_timeout(config.connect_timeout)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(config.ping_interval)
        .keep_alive_timeout(config.ping_timeout)
        .keep_alive_while_idle(true);
    let endpoint = match &config.tls {
        Some(tls) => endpoint
            .tls_config(client_tls(tls, id))
            .map_err(|error| not_tried(Status::internal(detail(&error))))?,
        None => endpoint,
    };
    let connected = match &config.connector {
        Some(connector) => endpoint.connect_with_connector(Dialled(Arc::clone(connector))).await,
        None => endpoint.connect().await,
    };
    let channel = connected.map_err(|error| Unreached {
        refused: is_refused(&error),
        status: Status::unavailable(detail(&error)),
    })?;
    Ok(RouterClient::new(channel).max_decoding_message_size(config.message_bytes))
}

/// A server with the same settings.
pub(super) fn server(config: &Config) -> http2::Builder<Calmly> {
    let mut server = http2::Builder::new(Calmly);
    server
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(config.ping_interval)
        .keep_alive_timeout(config.ping_timeout);
    server
}

/// What a server proves its name by, and whom it lets in; `None` for clear text.
pub(super) fn server_tls(config: &Config) -> Result<Option<Arc<ServerConfig>>, InvalidTls> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let read = |pem| {
        CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(InvalidTls::new)
    };
    let mut authorities = RootCertStore::empty();
    for authority in read(&tls.ca)? {
        authorities.add(authority).map_err(InvalidTls::new)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider)).build();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(InvalidTls::new)?
        .with_client_cert_verifier(clients.map_err(InvalidTls::new)?)
        .with_single_cert(
            read(&tls.certificate)?,
            PrivateKeyDer::from_pem_slice(&tls.key).map_err(InvalidTls::new)?,
        )
        .map_err(InvalidTls::new)?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Some(Arc::new(server)))
}

/// Refuses a client whose certificate bears neither the node's id nor the cluster's name.
pub(super) fn is_certified(
    node: &NodeId,
    tls: Option<&Tls>,
    chain: Option<&[CertificateDer<'_>]>,
) -> Result<(), Status> {
    let Some(tls) = tls else { return Ok(()) };
    let refused = || Status::permission_denied(format!("the certificate is not one of {node}"));
    let leaf = chain.and_then(<[_]>::first).ok_or_else(refused)?;
    let leaf = ParsedCertificate::try_from(leaf).map_err(|_| refused())?;
    let bears = |name: &str| ServerName::try_from(name).is_ok_and(|name| verify_server_name(&leaf, &name).is_ok());
    if bears(&node.0) || tls.cluster.as_deref().is_some_and(bears) {
        Ok(())
    } else {
        Err(refused())
    }
}

fn client_tls(tls: &Tls, id: Option<&NodeId>) -> ClientTlsConfig {
    let identity = transport::Identity::from_pem(&tls.certificate, &tls.key);
    let config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&tls.ca))
        .identity(identity);
    match tls.cluster.as_deref().or(id.map(|id| &*id.0)) {
        Some(name) => config.domain_name(name),
        None => config,
    }
}

/// Whether the other side's system answered that nothing listens there.
fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut io = causes.filter_map(|error| error.downcast_ref::<std::io::Error>());
    io.any(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// An error with its causes: the outermost says only "transport error".
fn detail(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
