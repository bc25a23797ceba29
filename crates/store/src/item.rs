//! Small versioned values: owner, space and name to bytes, with compare and swap.

use async_trait::async_trait;
use bytes::Bytes;
use stanza::Bare;

use crate::Result;

/// Counts writes of one item, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// Where an item stands under its owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The space, such as `vcard` or `blocklist`.
    pub space: String,
    /// The name within the space.
    pub name: String,
}

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it stands.
    pub key: Key,
    /// Its version.
    pub version: Version,
    /// The value.
    pub value: Bytes,
}

/// Small versioned values.
#[async_trait]
pub trait Items: Send + Sync {
    /// The item, if there is one.
    async fn get(&self, owner: &Bare, key: &Key) -> Result<Option<Item>>;
    /// All items of a space, in order of name.
    async fn list(&self, owner: &Bare, space: &str) -> Result<Vec<Item>>;
    /// Up to `limit` items of all spaces in the store's order, those after `after`.
    async fn page(&self, owner: &Bare, after: Option<&Key>, limit: u32) -> Result<Vec<Item>>;
    /// Writes only if the stored version is `seen` (`None`: only if there is none).
    ///
    /// # Errors
    /// `Conflict` otherwise.
    async fn put(&self, owner: &Bare, key: &Key, value: Bytes, seen: Option<Version>) -> Result<Version>;
    /// Removes only if the stored version is `seen`.
    ///
    /// # Errors
    /// `Conflict` otherwise.
    async fn remove(&self, owner: &Bare, key: &Key, seen: Version) -> Result<()>;
}
