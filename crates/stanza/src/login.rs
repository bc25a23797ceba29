//! What an edge asks a router on behalf of a stream that is not established yet: SASL steps and resource binding.
//! The edge holds no verifier: every SASL step is decided by a router.

use std::net::IpAddr;

use bytes::Bytes;

use crate::{Bare, ClientId, Full, Payload, Sasl2, StanzaError, Token};

/// A session's id: 128 random bits, made by the edge for each connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u128);

/// What is known of the connection that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The client's address, if known.
    pub address: Option<IpAddr>,
    /// The TLS layer, if there is one.
    pub tls: Option<TlsFacts>,
}

/// What SASL needs to know of the TLS layer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// Protocol version, such as `TLSv1.3`.
    pub version: String,
    /// Cipher suite name.
    pub cipher: String,
    /// `tls-exporter` channel binding (RFC 9266), when the connection can give it.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` channel binding (RFC 5929, 4), when the certificate's signature hash is known.
    pub server_end_point: Option<Vec<u8>>,
    /// Addresses in a *verified* client certificate (XEP-0178: `id-on-xmppAddr`), unprepared.
    pub certificate_addresses: Vec<String>,
}

/// One step of a SASL exchange, sent to a router.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "one for each step of a login, and gone at once"
)]
pub enum SaslRequest {
    /// `<auth/>`, or `<authenticate/>` (XEP-0388).
    Start {
        /// The session that authenticates.
        session: SessionId,
        /// The virtual host.
        domain: String,
        /// Mechanism name as the client sent it.
        mechanism: String,
        /// The mechanisms that were offered on this stream, exactly those beside this one (RFC 5802: a lost -PLUS is a
        /// downgrade; XEP-0474).
        offered: Vec<String>,
        /// The channel-binding types that were announced (XEP-0440); none when nothing was said of them.
        bindings: Vec<String>,
        /// Initial response; `None` when there was none, `Some("")` for `=`.
        initial: Option<Bytes>,
        /// What came with it under SASL2; `None` under the profile of RFC 6120.
        sasl2: Option<Box<Sasl2>>,
        /// The connection.
        peer: Peer,
    },
    /// `<response/>`
    Respond {
        /// From the last reply.
        exchange: Exchange,
        /// The client's response.
        response: Bytes,
    },
    /// `<abort/>`, or the connection went away.
    Abort {
        /// From the last reply.
        exchange: Exchange,
    },
}

/// Names an exchange that waits for the client, and the router that holds it (opaque to the edge).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The router that holds it.
    pub router: String,
    /// Its number there.
    pub number: u64,
}

/// What the router says to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaslReply {
    /// `<challenge/>`
    Challenge {
        /// To be named in the next step.
        exchange: Exchange,
        /// Data for the client.
        data: Bytes,
    },
    /// `<success/>`
    Success {
        /// Who it is.
        account: Bare,
        /// Additional data with success, if any.
        data: Option<Bytes>,
        /// Proof to any home that this session authenticated as `account`.
        grant: Grant,
        /// A token for the client's next login (XEP-0484).
        token: Option<Token>,
    },
    /// `<failure/>`
    Failure(SaslFailure),
}

/// Proof, made by a router with the cluster's secret, that a session authenticated as an account (opaque to the edge).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Grant(pub Bytes);

/// SASL error conditions, in the order of RFC 6120, 6.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is its section's title in RFC 6120, 6.5")]
pub enum SaslFailure {
    Aborted,
    AccountDisabled,
    CredentialsExpired,
    EncryptionRequired,
    IncorrectEncoding,
    InvalidAuthzid,
    InvalidMechanism,
    MalformedRequest,
    MechanismTooWeak,
    NotAuthorized,
    TemporaryAuthFailure,
}

/// A request to bind a resource (RFC 6120, 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindRequest {
    /// The session.
    pub session: SessionId,
    /// The authenticated account.
    pub account: Bare,
    /// From [`SaslReply::Success`].
    pub grant: Grant,
    /// Which resource.
    pub resource: ResourceRequest,
    /// The connection.
    pub peer: Peer,
}

/// Which resource a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResourceRequest {
    /// Any that the server makes (RFC 6120, 7.6).
    #[default]
    Any,
    /// This one, unprepared (RFC 6120, 7.7).
    Named(String),
    /// One that the server makes of a client's tag, the same for the same client and tag (XEP-0386, `<tag/>`). What else the
    /// client still has bound is over.
    Tagged {
        /// Unprepared.
        tag: Option<String>,
        /// Which client, if it says so.
        client: Option<ClientId>,
        /// What it wants to have enabled for the session: elements of features that were announced for that.
        wishes: Payload,
    },
}

/// The home's answer to [`BindRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindReply {
    /// Bound, and what the client is told beside (XEP-0386, `<bound/>`).
    Bound(Full, Payload),
    /// Refused (RFC 6120, 7.6.2 and 7.7.2).
    Refused(StanzaError),
}

impl ResourceRequest {
    /// The resource that is asked for by name.
    pub fn named(&self) -> Option<&str> {
        match self {
            Self::Named(resource) => Some(resource),
            Self::Any | Self::Tagged { .. } => None,
        }
    }
}

impl From<Option<String>> for ResourceRequest {
    fn from(resource: Option<String>) -> Self {
        resource.map_or(Self::Any, Self::Named)
    }
}

impl SaslFailure {
    /// The element name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsExpired => "credentials-expired",
            Self::EncryptionRequired => "encryption-required",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::MechanismTooWeak => "mechanism-too-weak",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::fmt::Debug for Grant {
    /// Never prints the proof.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Grant(…)")
    }
}

impl std::fmt::Debug for TlsFacts {
    /// Never prints keying material.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsFacts")
            .field("version", &self.version)
            .field("cipher", &self.cipher)
            .finish_non_exhaustive()
    }
}
