//! Who is alive: nodes with leases, and the published slot table.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use topology::{Epoch, Lease, NodeId, NodeRecord, SlotTable, Snapshot};

use crate::Result;

/// Who is alive.
#[async_trait]
pub trait Members: Send + Sync {
    /// Creates the node's key, only if absent, under a new lease of `ttl`; the epoch is the key's create revision.
    ///
    /// # Errors
    /// `Conflict` while another life of the same node still has its key.
    async fn join(&self, node: &NodeRecord, ttl: Duration) -> Result<(Epoch, Lease)>;
    /// Renews the lease.
    ///
    /// # Errors
    /// `Precondition` when it has ended: the node must fence itself.
    async fn keep_alive(&self, lease: Lease) -> Result<()>;
    /// Replaces what a live node told of itself (such as its weight when it drains); the epoch stays.
    ///
    /// # Errors
    /// `Conflict` when that life is over.
    async fn update(&self, node: &NodeRecord, epoch: Epoch, lease: Lease) -> Result<()>;
    /// Asks a live node to drain: marks its record, which it is to notice. Returns whether there is such a node. Does nothing that its
    /// lease would notice, and nothing when it drains already.
    ///
    /// # Errors
    /// `Conflict` when the node changed its record at the same time: ask again.
    async fn drain(&self, node: &NodeId) -> Result<bool>;
    /// Ends the node's life at once, if `lease` is its lease.
    async fn leave(&self, node: &NodeId, lease: Lease) -> Result<()>;
    /// Ends a life that is known to be over, before its lease does: removes the key if it is still that life's. Returns whether it was.
    async fn bury(&self, node: &NodeId, epoch: Epoch) -> Result<bool>;
    /// Publishes `table` if the published one has revision `table.revision - 1`.
    ///
    /// # Errors
    /// `Conflict` when somebody else published first.
    async fn publish(&self, table: &SlotTable) -> Result<()>;
    /// The current snapshot and its changes. Reconnects by itself; keeps the last snapshot while the store is away.
    async fn watch(&self) -> Result<watch::Receiver<Snapshot>>;
    /// A secret of the whole cluster, 32 random bytes, created once.
    async fn secret(&self) -> Result<[u8; 32]>;
}
