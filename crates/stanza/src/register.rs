//! What an edge asks a router for a client that has no account yet (XEP-0077, 3.1; XEP-0445). The edge decides nothing of it.

use crate::{Peer, SessionId, StanzaError, Timestamp};

/// One step of a registration, sent to a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterRequest {
    /// The connection that asks.
    pub session: SessionId,
    /// The virtual host.
    pub domain: String,
    /// The invitation that a router has accepted on this stream, if one has.
    pub invited: Option<Invited>,
    /// What the client asks for.
    pub step: RegisterStep,
    /// The connection.
    pub peer: Peer,
}

/// What a client without an account asks for.
#[derive(Clone, PartialEq, Eq)]
pub enum RegisterStep {
    /// What is needed to register (XEP-0077, 3.1).
    Form,
    /// Whether this invitation is good (XEP-0445, `<preauth/>`).
    Present(String),
    /// An account (XEP-0077, 3.1).
    Create {
        /// Its name, unprepared.
        username: String,
        /// Its password.
        password: String,
    },
}

/// An invitation that a router has accepted. Whether its time is over counts at that moment only (XEP-0445, "Pre-Authenticated
/// In-Band Registration"): who takes long to choose a name is not turned away.
#[derive(Clone, PartialEq, Eq)]
pub struct Invited {
    /// The token.
    pub token: String,
    /// When it was accepted, by the router's clock.
    pub at: Timestamp,
}

/// What the router says to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterReply {
    /// A name and a password are needed.
    Form {
        /// For people to read.
        instructions: String,
        /// The name that the invitation is for.
        username: Option<String>,
    },
    /// The invitation is good.
    Accepted(Invited),
    /// The account is there.
    Created,
    /// Nothing was done.
    Refused(StanzaError),
}

impl std::fmt::Debug for RegisterStep {
    /// Never prints a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Form => f.write_str("Form"),
            Self::Present(_) => f.write_str("Present(…)"),
            Self::Create { username, .. } => f
                .debug_struct("Create")
                .field("username", username)
                .finish_non_exhaustive(),
        }
    }
}

impl std::fmt::Debug for Invited {
    /// Never prints the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invited").field("at", &self.at).finish_non_exhaustive()
    }
}
