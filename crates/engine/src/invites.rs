//! Invitations that users make, as modules ask for them.

use async_trait::async_trait;
use stanza::{Bare, StanzaError, Timestamp};

use crate::host::Host;

/// What an invitation is to be good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To become a contact of who invites, with an account to be made if there is none (XEP-0401, 5.1).
    Contact,
    /// To make an account (XEP-0401, 5.4).
    Account {
        /// Its name; chosen by who is invited if there is none.
        user: Option<String>,
        /// Whether it becomes a contact of who invites.
        befriend: bool,
    },
}

/// An invitation as it is given to who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The link for clients (`xmpp:`).
    pub uri: String,
    /// The link for people without a client.
    pub landing_url: Option<String>,
    /// When it is no longer good.
    pub expires: Timestamp,
}

/// Makes them.
#[async_trait]
pub trait Invites: Send + Sync {
    /// An invitation to `host` by one of its users, who may invite. Each call makes another.
    ///
    /// # Errors
    /// `conflict` when the name is taken or kept, `not-acceptable` when it does not do, `resource-constraint` when the user has made too many
    /// or the store is away.
    async fn invite(&self, host: &Host, by: &Bare, wish: Wish, now: Timestamp) -> Result<Invitation, StanzaError>;
}
