//! Session to edge: the durable hint from which a new home starts.

use async_trait::async_trait;
use stanza::Full;
use topology::{Epoch, NodeId, Slot};

use crate::Result;

/// Where one session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The session's address.
    pub jid: Full,
    /// The edge that holds it.
    pub edge: NodeId,
    /// That edge's epoch: the reader's fence.
    pub epoch: Epoch,
    /// The session's id.
    pub session: u128,
}

/// Session to edge. No leases on records: the edge's epoch is the fence.
#[async_trait]
pub trait Locations: Send + Sync {
    /// Writes (`Some`) and removes (`None`) records; group-committed by the back-end. Later calls win over earlier ones.
    async fn put(&self, records: &[(Full, Option<Location>)]) -> Result<()>;
    /// All records of `slot`.
    async fn load(&self, slot: Slot) -> Result<Vec<Location>>;
}
