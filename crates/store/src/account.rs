//! User accounts and their SCRAM verifiers.

use async_trait::async_trait;
use stanza::{Bare, Timestamp};

use crate::Result;

/// Hash functions of the SCRAM family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "names of hash functions")]
pub enum HashName {
    Sha1,
    Sha256,
    Sha512,
}

/// What is kept instead of a password (RFC 5802, 3): enough to check, not enough to log in elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// The hash function.
    pub hash: HashName,
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// The salt.
    pub salt: Vec<u8>,
    /// `H(ClientKey)`.
    pub stored_key: Vec<u8>,
    /// `HMAC(SaltedPassword, "Server Key")`.
    pub server_key: Vec<u8>,
}

/// A user account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its address.
    pub jid: Bare,
    /// When it was created.
    pub created: Timestamp,
    /// One verifier per hash function; none when it can only log in by certificate.
    pub verifiers: Vec<Verifier>,
    /// When its last session ended, for last activity (XEP-0012).
    pub last_seen: Option<Timestamp>,
    /// Whether nobody may log in to it for now.
    pub disabled: bool,
}

/// User accounts: one record per user.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// The account, if it exists.
    async fn get(&self, jid: &Bare) -> Result<Option<Account>>;
    /// Creates accounts in one durable step: all or none. Each begins with nothing: what was left under its address is removed.
    ///
    /// # Errors
    /// `Precondition` when one of them exists, a retired one among them.
    async fn create(&self, accounts: &[Account]) -> Result<()>;
    /// Replaces the verifiers.
    ///
    /// # Errors
    /// `Precondition` when the account does not exist.
    async fn set_verifiers(&self, jid: &Bare, verifiers: &[Verifier]) -> Result<()>;
    /// Remembers when the last session ended. Does nothing when the account does not exist.
    async fn set_last_seen(&self, jid: &Bare, at: Timestamp) -> Result<()>;
    /// Says whether nobody may log in for now. Returns whether there is such an account.
    async fn set_disabled(&self, jid: &Bare, disabled: bool) -> Result<bool>;
    /// Retires the account: from now on there is none to get, change or list, but its address is taken and what it owned is kept,
    /// until it is removed. Returns whether there was one to retire.
    async fn retire(&self, jid: &Bare) -> Result<bool>;
    /// Up to `limit` retired accounts in the store's order, those after `after`.
    async fn retired(&self, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>>;
    /// Removes a retired account with its roster, items and logs. Returns whether there was one; an account that is not retired
    /// stays as it is.
    async fn remove(&self, jid: &Bare) -> Result<bool>;
    /// Removes the roster, items and logs that are left under an address that is no account's.
    ///
    /// # Errors
    /// `Precondition` when there is an account, a retired one among them.
    async fn clear(&self, jid: &Bare) -> Result<()>;
    /// Up to `limit` accounts of `domain` in order of address, those after `after`.
    async fn list(&self, domain: &str, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>>;
}

impl std::fmt::Debug for Verifier {
    /// Never prints keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}
