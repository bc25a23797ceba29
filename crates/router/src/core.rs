//! What every part of a router works with. A context of values and ports, no behaviour.

use std::sync::Arc;
use std::time::Duration;

use link::Peers;
use stanza::{Bare, Jid, Timestamp};
use store::Stores;
use tokio::sync::watch;
use topology::{NodeId, Snapshot};

use crate::behind::Behind;
use crate::cells::Cells;
use crate::clock::{Clock, Entropy};
use crate::components::Components;
use crate::config::Config;
use crate::directory::Directory;
use crate::edges::Edges;
use crate::expiry::Expiry;
use crate::hasher::Hasher;
use crate::hosts::{Hosts, VirtualHost};
use crate::inviter::Inviter;
use crate::marks::Marks;
use crate::session::QueueLimits;
use crate::slots::Slots;
use crate::token_holders::Holders;
use crate::vouch::Voucher;

/// How long a message may come again at least.
const FRESH: Duration = Duration::from_mins(10);

/// What every part of a router works with.
pub(crate) struct Core {
    pub(crate) node: NodeId,
    pub(crate) config: Config,
    pub(crate) stores: Stores,
    pub(crate) hosts: Hosts,
    pub(crate) components: Components,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) hasher: Hasher,
    /// Knows which clients have tokens.
    pub(crate) holders: Arc<Holders>,
    /// Makes invitations for users.
    pub(crate) inviter: Arc<Inviter>,
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

/// Whose address it is.
pub(crate) enum Whose<'a> {
    /// A user's of a virtual host.
    User,
    /// A virtual host's own.
    Server(&'a Arc<VirtualHost>),
    /// An external component's, or anybody's at its domain, which is at home as this.
    Component(Bare),
    /// Somebody else's.
    Remote,
}

impl Core {
    /// Whose address `jid` is.
    pub(crate) fn whose(&self, jid: &Jid) -> Whose<'_> {
        match self.hosts.get(jid.domain()) {
            Some(_) if jid.local().is_some() => Whose::User,
            Some(host) => Whose::Server(host),
            None if self.components.get(jid.domain()).is_none() => Whose::Remote,
            None => Bare::parse(jid.domain()).map_or(Whose::Remote, Whose::Component),
        }
    }

    /// The account that takes in what comes for `jid`, if one does.
    pub(crate) fn home_of(&self, jid: &Jid) -> Option<Bare> {
        match self.whose(jid) {
            Whose::User => Some(jid.bare()),
            Whose::Component(home) => Some(home),
            Whose::Server(_) | Whose::Remote => None,
        }
    }

    /// How long a message may come again, and is to be recognised: once its home has died, or when its sender resumes.
    pub(crate) fn fresh(&self) -> Duration {
        FRESH.max(Duration::from_secs(self.config.resume_timeout_s.into()))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            stanzas: self.config.queue_stanzas as usize,
            bytes: self.config.queue_bytes as usize,
            held: self.config.held as usize,
            crowd: u64::from(self.config.crowd),
        }
    }
}
