//! What is known of a client while its stream is negotiated. Dropped when the session is established.

use std::sync::Arc;
use std::time::Instant;

use stanza::{Bare, ClientId, Grant, Invited, Peer, SessionId};

use crate::config::{Config, HostConfig, TlsPolicy};
use crate::feature::inline::Wishes;

/// The facts of a negotiation, carried from state to state.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) session: SessionId,
    pub(crate) peer: Peer,
    /// Which of the configured hosts the client speaks to; known once there was a good header.
    pub(crate) host: usize,
    /// `xml:lang` of the client's last header.
    pub(crate) lang: Option<Arc<str>>,
    /// Whom the client called itself in its last header; a component's name.
    pub(crate) from: Option<Bare>,
    /// What was last offered for authentication.
    pub(crate) offer: Offer,
    /// By which profile of SASL the client authenticates.
    pub(crate) profile: Profile,
    /// Failed attempts, of SASL and then of resource binding.
    pub(crate) attempts: u32,
    /// The invitation that a router has accepted.
    pub(crate) invited: Option<Invited>,
    /// Whether the client has been given an account.
    pub(crate) registered: bool,
    /// Requests to register.
    pub(crate) requests: u32,
    /// Whether a router has been asked about one.
    pub(crate) asked: bool,
    /// When patience ends.
    pub(crate) until: Instant,
    /// Who authenticated, and the proof.
    pub(crate) account: Option<(Bare, Grant)>,
}

/// What is offered for authentication on a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    /// Mechanisms by the profile of RFC 6120, 6.
    pub(crate) sasl: Vec<String>,
    /// Mechanisms by SASL2 (XEP-0388).
    pub(crate) sasl2: Vec<String>,
    /// Mechanisms for tokens (XEP-0484).
    pub(crate) fast: Vec<String>,
    /// Channel-binding types (XEP-0440).
    pub(crate) bindings: Vec<String>,
    /// What the home can enable while a resource is bound (XEP-0386).
    pub(crate) inline: Vec<String>,
    /// The version of the features (XEP-0509).
    pub(crate) version: Option<String>,
}

/// A profile of SASL: how an exchange is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Profile {
    /// RFC 6120, 6.
    #[default]
    Sasl,
    /// XEP-0388, with what is wished for beside authentication.
    Sasl2(Box<Asked>),
}

/// What a client asked for beside authentication, kept until it is who it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) client: Option<ClientId>,
    pub(crate) wishes: Wishes,
}

impl Login {
    /// Whether STARTTLS can be negotiated now.
    pub(crate) fn may_start_tls(&self, config: &Config) -> bool {
        self.peer.tls.is_none() && config.tls != TlsPolicy::Off
    }

    /// Whether STARTTLS must be negotiated before anything else.
    pub(crate) fn must_start_tls(&self, config: &Config) -> bool {
        self.peer.tls.is_none() && config.tls == TlsPolicy::Required
    }

    /// The settings of the host that the client speaks to.
    pub(crate) fn host<'a>(&self, config: &'a Config) -> Option<&'a HostConfig> {
        config.hosts.get(self.host)
    }
}
