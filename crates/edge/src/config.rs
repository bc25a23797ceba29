//! Settings of an edge, as they stand in the configuration file.

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stream::{HostConfig, TlsPolicy};

use crate::units;

/// Settings of an edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    pub listeners: Listeners,
    /// How many connections, and how much each may make the edge hold.
    pub limits: Limits,
    /// How fast each connection may send.
    pub rates: Rates,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Certificates and what is demanded of clients.
    pub tls: Tls,
    /// What is kept for a client that reads slowly.
    pub outbox: Outbox,
    /// How the edge stops.
    pub drain: Drain,
    /// Sends every client elsewhere (RFC 6120, 4.9.3.19): a host with an optional port. Default: none.
    pub see_other_host: Option<String>,
    /// Where clients should try first to resume a session (`host:port`; XEP-0198, 3): this very edge, if it can be reached by itself.
    /// Default: none.
    pub resume_location: Option<String>,
    /// Share of client stanzas for which a trace is begun, 0 to 1. Default 0.
    pub trace_ratio: f64,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listeners {
    /// Addresses for plain TCP with STARTTLS (RFC 6120, 5). Default `["[::]:5222"]`.
    pub c2s: Vec<SocketAddr>,
    /// Addresses for direct TLS (XEP-0368). Default `["[::]:5223"]`.
    pub c2s_tls: Vec<SocketAddr>,
    /// Addresses for external components (XEP-0114), such as `["127.0.0.1:5347"]`: in plain, so for loopback or a network of your own.
    /// Which there are, routers know (`router.components`). Default: none.
    pub component: Vec<SocketAddr>,
}

/// How many connections, and how much each may make the edge hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections in all. More are closed at once. Default 100,000.
    pub connections: usize,
    /// Connections that have not bound a resource yet, in all. Default 10,000.
    pub unauthenticated: usize,
    /// Connections from one source address (an IPv6 /64 counts as one; loopback is not limited). Default 1,000.
    pub per_address: usize,
    /// Connections from one source address that have not bound a resource yet (as above). Default 200.
    pub unauthenticated_per_address: usize,
    /// Failed SASL attempts before the stream is closed. Default 3.
    pub sasl_attempts: u32,
    /// How often one connection may ask about registration (XEP-0077) before the stream is closed. Default 20.
    pub registration_requests: u32,
    /// Limits on XML before authentication. Default: 64 KiB for a stanza.
    pub before: StanzaLimits,
    /// Limits on XML after authentication. Default: 256 KiB for a stanza.
    pub after: StanzaLimits,
}

/// Limits on the XML of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StanzaLimits {
    /// Largest stanza (and stream header), in bytes. Default 256 KiB.
    #[serde(with = "units::size")]
    #[schemars(with = "String")]
    pub stanza: usize,
    /// Deepest nesting. Default 64.
    pub depth: usize,
    /// Most attributes on one element. Default 64.
    pub attributes: usize,
    /// Longest name, in bytes. Default 256.
    pub name: usize,
    /// Most elements in one stanza. Default 10,000.
    pub elements: usize,
}

/// How fast each connection may send, where the edge reads no faster and refuses nothing; and how fast clients log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Bytes before a resource is bound. Default 64 KiB/s, burst 256 KiB.
    pub bytes_before: Rate,
    /// Bytes afterwards. Default 1 MiB/s, burst 4 MiB.
    pub bytes: Rate,
    /// Stanzas after a resource is bound. Default: no limit.
    pub stanzas: Rate,
    /// Logins that go on to a router, of all connections together; others are told `temporary-auth-failure` at once. The last quarter
    /// of the burst is for clients that resume a session (XEP-0198 within XEP-0388), the one before for those and for logins by
    /// token (XEP-0484), the second but for clients that have yet to register (XEP-0077). Default 2,000/s, burst 8,000.
    pub logins: Rate,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// Sustained rate per second; 0: no limit.
    pub per_second: u64,
    /// How much may come at once.
    pub burst: u64,
}

/// How long to wait for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// A TLS handshake. Default 10s.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub handshake: Duration,
    /// From connection to bound resource. Default 30s.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub negotiation: Duration,
    /// From a client's first question about registration to bound resource, if that is longer: somebody fills in a form. Default 5m.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub registration: Duration,
    /// For a client to answer our closing tag, and for what is left to be written. Default 3s.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub close: Duration,
    /// For a client that takes nothing of what we write. Default 60s.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub write: Duration,
    /// For a client that sends nothing; announced to it (XEP-0478). 0: for ever. Default 0s.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// For a client under stream management (XEP-0198) that says nothing once it was asked to acknowledge: then its connection
    /// counts as broken, and it may resume. 0: for ever. Default 60s.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub acknowledge: Duration,
    /// Idle time after which TCP asks whether the client is still there. 0: never. Default 2m.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub keepalive: Duration,
}

/// Certificates and what is demanded of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Whether clients must use TLS on the STARTTLS listeners. Default `required`.
    pub starttls: StartTls,
    /// Certificates; the first is served to clients that name no host or an unknown one. Default: none, and a development
    /// certificate for each virtual host is made.
    pub certificates: Vec<Certificate>,
    /// Where the development CA and its certificates are kept when `certificates` is empty. Default `data/dev-ca`.
    pub development: PathBuf,
    /// Client certificates (XEP-0178). Default: none are asked for.
    pub clients: Option<ClientAuthority>,
    /// Refuses TLS 1.2 without the extended master secret (RFC 7627); `tls-exporter` channel binding can then be offered
    /// on TLS 1.2 too. Default false.
    pub require_extended_master_secret: bool,
}

/// Whether STARTTLS is offered and demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartTls {
    /// Offered and required (RFC 7590).
    #[default]
    Required,
    /// Offered; authentication without it is allowed.
    Optional,
    /// Not offered (load tests on loopback, or TLS ended in front of the edge).
    Off,
}

/// A certificate chain with its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// PEM file with the certificate, followed by its intermediates.
    pub chain: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// Hosts it is served for. Default: the DNS names in the certificate.
    #[serde(default)]
    pub hosts: BTreeSet<String>,
}

/// Who vouches for client certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuthority {
    /// PEM files with CA certificates.
    pub authorities: Vec<PathBuf>,
    /// Whether the handshake fails without a valid certificate. Default false: SASL EXTERNAL is then not offered.
    #[serde(default)]
    pub required: bool,
}

/// What is kept for a client that reads slowly. At the limit its stream is closed with `policy-violation`; the home is told
/// what was not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// Stanzas. The home's bound (`router.queue_stanzas`) should come first: what it allows must fit here when a session is resumed.
    /// Default 4,000.
    pub stanzas: usize,
    /// Bytes, as for `router.queue_bytes`. Default 16 MiB.
    #[serde(with = "units::size")]
    #[schemars(with = "String")]
    pub bytes: usize,
}

/// How the edge stops (SIGTERM): it takes no more connections and closes its sessions one after another, in random order. A client
/// under stream management hears first what is done, and resumes over another edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Sessions closed per second (faster when they would not be done within half of `timeout`). Default 500.
    pub sessions_per_second: u32,
    /// After this the edge stops whatever is left. Default 30s.
    #[serde(with = "units::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Where to send clients (`see-other-host`) instead of `system-shutdown`. Default: none.
    pub see_other_host: Option<String>,
}

impl Config {
    /// What the stream machine must know of these settings, for `hosts`. `encrypted` says whether certificates are at hand.
    pub fn stream(&self, hosts: Vec<HostConfig>, encrypted: bool) -> stream::Config {
        stream::Config {
            hosts,
            tls: if encrypted {
                self.tls.starttls.into()
            } else {
                TlsPolicy::Off
            },
            limits_before: self.limits.before.to_xml(),
            limits_after: self.limits.after.to_xml(),
            negotiation_timeout: self.timeouts.negotiation,
            sasl_attempts: self.limits.sasl_attempts,
            registration_requests: self.limits.registration_requests,
            registration_timeout: self.timeouts.registration,
            close_timeout: self.timeouts.close,
            idle_timeout: self.timeouts.idle,
            ack_timeout: self.timeouts.acknowledge,
            location: self.resume_location.clone(),
            see_other_host: self.see_other_host.clone(),
        }
    }
}

impl StanzaLimits {
    fn to_xml(&self) -> xml::Limits {
        xml::Limits {
            stanza_bytes: self.stanza,
            depth: self.depth,
            attributes: self.attributes,
            name_bytes: self.name,
            elements: self.elements,
        }
    }
}

impl From<StartTls> for TlsPolicy {
    fn from(policy: StartTls) -> Self {
        match policy {
            StartTls::Required => Self::Required,
            StartTls::Optional => Self::Optional,
            StartTls::Off => Self::Off,
        }
    }
}

impl Default for Listeners {
    fn default() -> Self {
        let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        Self {
            c2s: vec![any(5222)],
            c2s_tls: vec![any(5223)],
            component: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            unauthenticated: 10_000,
            per_address: 1_000,
            unauthenticated_per_address: 200,
            sasl_attempts: 3,
            registration_requests: 20,
            before: StanzaLimits {
                stanza: 65_536,
                ..StanzaLimits::default()
            },
            after: StanzaLimits::default(),
        }
    }
}

impl Default for StanzaLimits {
    fn default() -> Self {
        let xml::Limits {
            stanza_bytes,
            depth,
            attributes,
            name_bytes,
            elements,
        } = xml::Limits::default();
        Self {
            stanza: stanza_bytes,
            depth,
            attributes,
            name: name_bytes,
            elements,
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            bytes_before: Rate {
                per_second: 64 << 10,
                burst: 256 << 10,
            },
            bytes: Rate {
                per_second: 1 << 20,
                burst: 4 << 20,
            },
            stanzas: Rate::default(),
            logins: Rate {
                per_second: 2_000,
                burst: 8_000,
            },
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            negotiation: Duration::from_secs(30),
            registration: Duration::from_secs(300),
            close: Duration::from_secs(3),
            write: Duration::from_secs(60),
            idle: Duration::ZERO,
            acknowledge: Duration::from_secs(60),
            keepalive: Duration::from_secs(120),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            starttls: StartTls::Required,
            certificates: Vec::new(),
            development: PathBuf::from("data/dev-ca"),
            clients: None,
            require_extended_master_secret: false,
        }
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            stanzas: 4_000,
            bytes: 16 << 20,
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            sessions_per_second: 500,
            timeout: Duration::from_secs(30),
            see_other_host: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written = toml::to_string(&Config::default()).unwrap();
        assert_eq!(toml::from_str::<Config>(&written).unwrap(), Config::default());
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in [
            "portt = 1",
            "[limits]\nconnection = 1",
            "[tls.clients]\nauthorities = []\nrequire = true",
        ] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_have_units() {
        let config: Config = toml::from_str("[timeouts]\nwrite = \"90s\"\n[outbox]\nbytes = \"2 MiB\"").unwrap();
        assert_eq!(
            (config.timeouts.write, config.outbox.bytes),
            (Duration::from_secs(90), 2 << 20)
        );
    }

    #[test]
    fn without_certificates_starttls_is_not_offered() {
        assert_eq!(Config::default().stream(Vec::new(), false).tls, TlsPolicy::Off);
        assert_eq!(Config::default().stream(Vec::new(), true).tls, TlsPolicy::Required);
    }
}
