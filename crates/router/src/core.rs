//! What every part of a router works with. A context of values and ports, no behaviour.

use std::sync::Arc;

use link::Peers;
use stanza::Timestamp;
use store::Stores;
use tokio::sync::watch;
use topology::{NodeId, Snapshot};

use crate::behind::Behind;
use crate::cells::Cells;
use crate::clock::{Clock, Entropy};
use crate::config::Config;
use crate::directory::Directory;
use crate::edges::Edges;
use crate::expiry::Expiry;
use crate::hasher::Hasher;
use crate::hosts::Hosts;
use crate::marks::Marks;
use crate::session::QueueLimits;
use crate::slots::Slots;
use crate::token_holders::Holders;
use crate::vouch::Voucher;

/// What every part of a router works with.
pub(crate) struct Core {
    pub(crate) node: NodeId,
    pub(crate) config: Config,
    pub(crate) stores: Stores,
    pub(crate) hosts: Hosts,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) hasher: Hasher,
    /// Knows which clients have tokens.
    pub(crate) holders: Arc<Holders>,
    pub(crate) cells: Cells,
    pub(crate) directory: Directory,
    pub(crate) slots: Arc<Slots>,
    pub(crate) edges: Edges,
    pub(crate) behind: Behind,
    pub(crate) expiry: Expiry,
    pub(crate) marks: Marks,
    pub(crate) voucher: Voucher,
    /// Membership and slot table, as last seen; the empty one on a single node.
    pub(crate) snapshot: watch::Sender<Arc<Snapshot>>,
    /// The slot table up to which slots that were lost have been given away.
    pub(crate) sealed: watch::Sender<u64>,
    /// How many arrivals whose sender has been answered still have something to follow.
    pub(crate) trails: watch::Sender<usize>,
}

impl Core {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            stanzas: self.config.queue_stanzas as usize,
            bytes: self.config.queue_bytes as usize,
            held: self.config.held as usize,
        }
    }
}
