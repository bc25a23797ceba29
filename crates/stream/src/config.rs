//! What the machine must know before the first byte.

use std::time::Duration;

use xml::{Element, Limits};

/// Settings of one listener.
#[derive(Clone, Debug)]
pub struct Config {
    /// The virtual hosts served; a stream to another is `host-unknown`.
    pub hosts: Vec<HostConfig>,
    /// What TLS is demanded.
    pub tls: TlsPolicy,
    /// Limits before authentication.
    pub limits_before: Limits,
    /// Limits after authentication.
    pub limits_after: Limits,
    /// From connection to bound resource, at most. Default 30 s.
    pub negotiation_timeout: Duration,
    /// Failed SASL attempts before the stream is closed. Default 3.
    pub sasl_attempts: u32,
    /// How often a client without an account may ask about registration. Default 20.
    pub registration_requests: u32,
    /// From its first question about registration to bound resource, at most. Default 5 min.
    pub registration_timeout: Duration,
    /// How long the peer may take to answer our closing tag. Default 3 s.
    pub close_timeout: Duration,
    /// Largest idle time after which we close a stream that sends nothing (0: never). Announced by XEP-0478.
    pub idle_timeout: Duration,
    /// How long a client under stream management may be silent once it was asked to acknowledge, before its connection counts
    /// as broken (0: for ever). Default 60 s.
    pub ack_timeout: Duration,
    /// Where clients should try first to resume, if they are told (XEP-0198, 3: `host:port`).
    pub location: Option<String>,
    /// Where to send clients instead (`see-other-host`), if anywhere; they are told only once the stream is as secure as
    /// `tls` demands.
    pub see_other_host: Option<String>,
}

/// One virtual host as a stream sees it.
#[derive(Clone, Debug, Default)]
pub struct HostConfig {
    /// Its domain, prepared.
    pub domain: String,
    /// SASL mechanisms offered under TLS, in order of preference, without the -PLUS forms that follow from the TLS layer.
    pub mechanisms: Vec<String>,
    /// Mechanisms for tokens (XEP-0484), in order of preference; of those bound to the channel, what the TLS layer can give is
    /// offered. None: no tokens.
    pub tokens: Vec<String>,
    /// Whether PLAIN may be offered without TLS. Default false.
    pub plain_without_tls: bool,
    /// Whether clients without an account may ask for one (XEP-0077): offered where PLAIN could be. Default false.
    pub registration: bool,
    /// Further stream features announced after authentication, such as entity capabilities (XEP-0115, 6.3).
    pub features: Vec<Element>,
    /// Features of the session that the home can enable while a resource is bound (XEP-0386), by their names.
    pub bind_features: Vec<String>,
}

/// What TLS is demanded of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPolicy {
    /// STARTTLS is offered and required (RFC 7590).
    Required,
    /// STARTTLS is offered; authentication without it is allowed.
    Optional,
    /// No STARTTLS (load tests on loopback, or TLS ended in front of us).
    Off,
}

impl Default for Config {
    /// No hosts, TLS required, and the documented default of each limit; a stream may idle for ever.
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            tls: TlsPolicy::Required,
            limits_before: Limits::default(),
            limits_after: Limits::default(),
            negotiation_timeout: Duration::from_secs(30),
            sasl_attempts: 3,
            registration_requests: 20,
            registration_timeout: Duration::from_secs(300),
            close_timeout: Duration::from_secs(3),
            idle_timeout: Duration::ZERO,
            ack_timeout: Duration::from_secs(60),
            location: None,
            see_other_host: None,
        }
    }
}
