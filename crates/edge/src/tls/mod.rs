//! TLS for clients: certificates by SNI, exchanged at run time; channel bindings; client certificates.

mod binding;
mod certificate;
mod clients;
mod error;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};
use stanza::TlsFacts;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config;
use certificate::Leaf;
use clients::Clients;
pub use error::TlsError;

/// What ALPN calls a client's XMPP stream (XEP-0368, 2).
const ALPN: &[u8] = b"xmpp-client";

/// How much rustls may hold of what we write, in bytes (each for text and records).
const WRITE_BUFFER: usize = 16 << 10;

/// The TLS side of an edge: what is served now. Shared by all listeners.
pub struct Tls {
    current: ArcSwap<State>,
}

/// Which kind of listener asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the first byte (XEP-0368).
    Direct,
    /// After `<starttls/>`; ALPN is not looked at.
    StartTls,
}

/// Everything that a reload replaces at once.
struct State {
    /// Not empty; the first is the default.
    certificates: Vec<Served>,
    clients: Option<Clients>,
    exporter_on_tls12: bool,
}

/// One certificate and the two configurations that serve it.
struct Served {
    leaf: Leaf,
    tickets: Arc<dyn ProducesTickets>,
    direct: Arc<ServerConfig>,
    starttls: Arc<ServerConfig>,
}

impl Tls {
    /// Reads and checks all files named in `config`.
    ///
    /// # Errors
    /// When there is no certificate, a file cannot be read or parsed, or a key does not belong to its certificate.
    pub fn load(config: &config::Tls) -> Result<Self, TlsError> {
        let state = State::load(config, &BTreeMap::new())?;
        Ok(Self {
            current: ArcSwap::from_pointee(state),
        })
    }

    /// Reads all files again and serves them from the next handshake on. Returns the hosts that are served.
    ///
    /// # Errors
    /// As [`Tls::load`]; what was served before is then served on.
    pub fn reload(&self, config: &config::Tls) -> Result<Vec<String>, TlsError> {
        let tickets = self
            .current
            .load()
            .certificates
            .iter()
            .map(|c| (c.leaf.der().to_vec(), c.tickets.clone()))
            .collect();
        let state = State::load(config, &tickets)?;
        let hosts = state
            .certificates
            .iter()
            .flat_map(|c| c.leaf.hosts())
            .cloned()
            .collect();
        self.current.store(Arc::new(state));
        Ok(hosts)
    }

    /// When the first of the certificates served now ends, in seconds since 1970.
    pub fn expires(&self) -> i64 {
        self.current
            .load()
            .certificates
            .iter()
            .map(|c| c.leaf.expires())
            .min()
            .unwrap_or(i64::MAX)
    }

    /// Does the server's part of a handshake on `io`.
    pub(crate) async fn accept<T>(&self, io: T, way: Way) -> std::io::Result<(Box<TlsStream<T>>, TlsFacts)>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let state = self.current.load_full();
        let served = state.choose(&start.client_hello());
        let config = match way {
            Way::Direct => &served.direct,
            Way::StartTls => &served.starttls,
        };
        let limit = |connection: &mut rustls::ServerConnection| connection.set_buffer_limit(Some(WRITE_BUFFER));
        let stream = Box::new(start.into_stream_with(config.clone(), limit).await?);
        let facts = state.facts(stream.get_ref().1, &served.leaf);
        Ok((stream, facts))
    }
}

impl State {
    fn load(config: &config::Tls, known: &BTreeMap<Vec<u8>, Arc<dyn ProducesTickets>>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = config
            .clients
            .as_ref()
            .map(|clients| Clients::load(clients, &provider))
            .transpose()?;
        let serve = |file: &config::Certificate| {
            let leaf = Leaf::load(file, &provider)?;
            let tickets = match known.get(leaf.der()) {
                Some(tickets) => tickets.clone(),
                None => aws_lc_rs::Ticketer::new().map_err(TlsError::Provider)?,
            };
            Served::new(
                leaf,
                tickets,
                clients.as_ref(),
                &provider,
                config.require_extended_master_secret,
            )
        };
        let certificates = config.certificates.iter().map(serve).collect::<Result<Vec<_>, _>>()?;
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        Ok(Self {
            certificates,
            clients,
            exporter_on_tls12: config.require_extended_master_secret,
        })
    }

    /// The certificate for the host that the client names, of a kind that it can check; else the first.
    fn choose(&self, hello: &ClientHello<'_>) -> &Served {
        let schemes = hello.signature_schemes();
        let named = hello.server_name().map(str::to_ascii_lowercase);
        let of_host = || {
            self.certificates
                .iter()
                .filter(|c| named.as_deref().is_some_and(|host| c.leaf.is_for(host)))
        };
        let usable = of_host().find(|c| c.leaf.suits(schemes));
        usable.or_else(|| of_host().next()).unwrap_or(&self.certificates[0])
    }

    fn facts(&self, connection: &rustls::ServerConnection, leaf: &Leaf) -> TlsFacts {
        let version = connection.protocol_version();
        let exports = version == Some(rustls::ProtocolVersion::TLSv1_3) || self.exporter_on_tls12;
        let verified = self.clients.as_ref().zip(connection.peer_certificates());
        TlsFacts {
            version: version
                .and_then(|v| v.as_str())
                .map(|v| v.replace('_', "."))
                .unwrap_or_default(),
            cipher: connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or_default()
                .to_owned(),
            exporter: exports.then(|| binding::exporter(connection)).flatten(),
            server_end_point: leaf.end_point().map(<[u8]>::to_vec),
            certificate_addresses: verified
                .map(|(clients, chain)| clients.addresses(chain))
                .unwrap_or_default(),
        }
    }
}

impl Served {
    fn new(
        leaf: Leaf,
        tickets: Arc<dyn ProducesTickets>,
        clients: Option<&Clients>,
        provider: &Arc<CryptoProvider>,
        require_ems: bool,
    ) -> Result<Self, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Provider)?;
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients.verifier()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(leaf.resolver());
        // A session is resumed under the certificate that it began with, so that tls-server-end-point stays true.
        config.ticketer = tickets.clone();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        config.require_ems = require_ems;
        let mut direct = config.clone();
        direct.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            leaf,
            tickets,
            direct: Arc::new(direct),
            starttls: Arc::new(config),
        })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
