//! A session as its home keeps it: which edge holds it, and what was sent but not yet written to the client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use link::EdgeRef;
use stanza::{Bare, SessionId, Stanza, Timestamp};
use topology::{Epoch, NodeId};

/// What is reached without the account's lock.
pub(crate) struct Handle {
    /// Whose session it is.
    pub(crate) account: Bare,
    /// The edge that holds it, and that edge's life.
    pub(crate) edge: (NodeId, Epoch),
    /// Held while a stanza of the session is dealt with, so that they are taken in order.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
    /// The highest delivery, and the bytes of those not yet known to be written; for the metrics.
    delivered: AtomicU64,
    bytes: AtomicUsize,
    /// The highest delivery that was written to the client.
    written: AtomicU64,
    /// The delivery with which a page of kept messages is through; 0: none is on its way.
    flushing: AtomicU64,
}

/// A session, under its account's lock.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) handle: Arc<Handle>,
    pub(crate) edge: EdgeRef,
    /// When it was bound.
    pub(crate) connected: Timestamp,
    /// The highest number of the client's stanzas that was taken in.
    pub(crate) accepted: u64,
    /// The highest delivery number.
    pub(crate) delivered: u64,
    queue: VecDeque<Queued>,
    bytes: usize,
}

/// A delivery that was sent to the edge but not yet written.
pub(crate) struct Queued {
    pub(crate) number: u64,
    pub(crate) stanza: Arc<Stanza>,
    pub(crate) readdress: bool,
    pub(crate) fate: Fate,
}

/// What becomes of a delivery when its session ends before it was written.
#[derive(Clone)]
pub(crate) enum Fate {
    /// Nothing: the account or its modules made it for this session alone.
    Lost,
    /// It goes the account's way in again, unless another session that got it has taken it (shared by all that got it).
    Again(Arc<AtomicBool>),
    /// It is still in the log of kept messages.
    Kept,
}

/// How much may wait for one client.
#[derive(Clone, Copy)]
pub(crate) struct QueueLimits {
    pub(crate) stanzas: usize,
    pub(crate) bytes: usize,
}

impl Handle {
    fn new(account: Bare, edge: (NodeId, Epoch)) -> Self {
        Self {
            account,
            edge,
            turn: Arc::default(),
            delivered: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            flushing: AtomicU64::new(0),
        }
    }

    /// Notes that deliveries up to `number` were written; says whether a page of kept messages is through with that.
    pub(crate) fn note_written(&self, number: u64) -> bool {
        self.written.fetch_max(number, Ordering::AcqRel);
        let mark = self.flushing.load(Ordering::Acquire);
        mark != 0 && number >= mark
    }

    /// Deliveries that are not written, and their bytes as last counted.
    pub(crate) fn unwritten(&self) -> (u64, usize) {
        match self.delivered.load(Ordering::Relaxed).saturating_sub(self.written()) {
            0 => (0, 0),
            deliveries => (deliveries, self.bytes.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Sets the delivery with which a page of kept messages is through; 0: none.
    pub(crate) fn set_flushing(&self, mark: u64) {
        self.flushing.store(mark, Ordering::Release);
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, account: Bare, edge: EdgeRef, now: Timestamp) -> Self {
        Self {
            id,
            handle: Arc::new(Handle::new(account, (edge.id.clone(), edge.epoch))),
            edge,
            connected: now,
            accepted: 0,
            delivered: 0,
            queue: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Numbers a delivery and keeps it until it is written.
    pub(crate) fn push(&mut self, stanza: &Arc<Stanza>, readdress: bool, fate: Fate) -> u64 {
        self.settle_written();
        self.delivered += 1;
        self.bytes += size(stanza);
        self.queue.push_back(Queued {
            number: self.delivered,
            stanza: stanza.clone(),
            readdress,
            fate,
        });
        self.handle.delivered.store(self.delivered, Ordering::Relaxed);
        self.handle.bytes.store(self.bytes, Ordering::Relaxed);
        self.delivered
    }

    /// Whether more waits than is allowed.
    pub(crate) fn is_over(&self, limits: QueueLimits) -> bool {
        self.queue.len() > limits.stanzas || self.bytes > limits.bytes
    }

    /// Whether less than half of what is allowed waits.
    pub(crate) fn has_room(&self, limits: QueueLimits) -> bool {
        self.queue.len() < limits.stanzas / 2 && self.bytes < limits.bytes / 2
    }

    /// Forgets what has been written.
    pub(crate) fn settle_written(&mut self) {
        let written = self.handle.written();
        while let Some(first) = self.queue.pop_front_if(|first| first.number <= written) {
            self.bytes -= size(&first.stanza);
            if let Fate::Again(taken) = first.fate {
                taken.store(true, Ordering::Release);
            }
        }
    }

    /// What was sent but not written, in order.
    pub(crate) fn unwritten(&mut self) -> impl Iterator<Item = &Queued> {
        self.settle_written();
        self.queue.iter()
    }

    /// Takes out everything that was sent but not written, in order.
    pub(crate) fn take_unwritten(&mut self) -> VecDeque<Queued> {
        self.settle_written();
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }
}

impl Queued {
    /// The stanza, if it must find its way to somebody else now that its session ends: nobody took it, nobody else still may.
    pub(crate) fn orphan(self) -> Option<Arc<Stanza>> {
        match self.fate {
            Fate::Again(taken) if !taken.load(Ordering::Acquire) && Arc::strong_count(&taken) == 1 => Some(self.stanza),
            _ => None,
        }
    }
}

/// What a delivery costs, in bytes; the share of head and bookkeeping is an estimate.
fn size(stanza: &Stanza) -> usize {
    stanza.payload().bytes().len() + 256
}
