//! Nodes and their epochs.

use std::fmt;
use std::sync::Arc;

/// A node's name, unique in the cluster, such as `router-1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub Arc<str>);

/// Which life of a node: the revision at which its membership key was created. Higher is later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "see ARCHITECTURE.md")]
pub enum Role {
    Edge,
    Router,
}

/// What a node tells of itself when it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its name.
    pub id: NodeId,
    /// Its role (a process with both joins twice).
    pub role: Role,
    /// Where other nodes reach it (`host:port`); empty for an edge.
    pub address: String,
    /// Its share of slots relative to others; 0 takes none (a router that drains). Default 100.
    pub weight: u32,
    /// Release of the software, `major.minor.patch`.
    pub version: String,
    /// Highest link protocol version it speaks.
    pub protocol: u32,
    /// Whether it is on its way out of service: by itself, or because it is to notice that it was asked to go.
    pub draining: bool,
}

impl From<&str> for NodeId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
