//! The clients that log in to an account by tokens, as its owner may know them.

use async_trait::async_trait;
use stanza::{Bare, ClientId, Timestamp};

/// A client that can log in without a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Which installation it is.
    pub id: ClientId,
    /// The software's name, as the client gave it.
    pub software: Option<String>,
    /// The device's name, as the client gave it.
    pub device: Option<String>,
    /// When it was given its newest token.
    pub seen: Timestamp,
}

/// Knows them.
#[async_trait]
pub trait Clients: Send + Sync {
    /// Those of `account` whose tokens are good at `now`, in order of their ids.
    async fn of(&self, account: &Bare, now: Timestamp) -> store::Result<Vec<Client>>;
}
