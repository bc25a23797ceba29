//! What is known of a client while its stream is negotiated. Dropped when the session is established.

use std::sync::Arc;
use std::time::Instant;

use stanza::{Bare, Grant, Peer, SessionId};

use crate::config::{Config, HostConfig, TlsPolicy};

/// The facts of a negotiation, carried from state to state.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) session: SessionId,
    pub(crate) peer: Peer,
    /// Which of the configured hosts the client speaks to; known once there was a good header.
    pub(crate) host: usize,
    /// `xml:lang` of the client's last header.
    pub(crate) lang: Option<Arc<str>>,
    /// The SASL mechanisms that were last offered.
    pub(crate) offered: Vec<String>,
    /// Failed attempts, of SASL and then of resource binding.
    pub(crate) attempts: u32,
    /// When patience ends.
    pub(crate) until: Instant,
    /// Who authenticated, and the proof.
    pub(crate) account: Option<(Bare, Grant)>,
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
