//! A session as its home keeps it: which edge holds it, and what was sent but not yet written to the client.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use link::{Delivery, EdgeRef, Held, Trace, Unwritten, Waiting};
use stanza::{ArchiveId, Bare, ClientId, Counts, Iq, MessageKey, SessionId, Stanza, Timestamp, handled};
use tokio::time::Instant;
use topology::{Epoch, NodeId};

/// What is reached without the account's lock.
pub(crate) struct Handle {
    /// Whose session it is.
    pub(crate) account: Bare,
    /// The edge that holds it, and that edge's life; `None` once that is over.
    pub(crate) edge: Option<(NodeId, Epoch)>,
    /// Held while a stanza of the session is dealt with, so that they are taken in order.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
    /// The highest delivery, and the bytes of those not yet known to be written; for the metrics.
    delivered: AtomicU64,
    bytes: AtomicUsize,
    /// The highest delivery that was written to the client.
    written: AtomicU64,
    /// The delivery after which there is room for what is owed to the session, or held back; 0: nothing is.
    waking: AtomicU64,
}

/// A session, under its account's lock.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) handle: Arc<Handle>,
    pub(crate) edge: EdgeRef,
    /// When it was bound.
    pub(crate) connected: Timestamp,
    /// Which client it is of, if that is known.
    pub(crate) client: Option<ClientId>,
    /// The highest number of the client's stanzas that was taken in.
    pub(crate) accepted: u64,
    /// The highest delivery number.
    pub(crate) delivered: u64,
    /// Once stream management has begun.
    pub(crate) management: Option<Management>,
    /// How often it was resumed, or came back from another edge that had a copy of it: of two records of a session the one that was resumed more often is the later one.
    pub(crate) resumed: u32,
    /// While it has no stream. Boxed: most have one.
    pub(crate) detached: Option<Box<Detached>>,
    /// Its client says that nobody looks at it (XEP-0352).
    pub(crate) inactive: bool,
    /// What waits until somebody does. It comes before whatever is numbered next.
    pub(crate) held: Held,
    queue: VecDeque<Queued>,
    bytes: usize,
    /// Messages in the archive that it is to get when there is room.
    owed: VecDeque<ArchiveId>,
    /// How many of those, the first of them, waited for it when it came: that is not its slowness.
    waited: usize,
    /// Messages of the archive that its client took, until the account's log knows.
    taken: Vec<ArchiveId>,
    read: Read,
}

/// How far a session has read the account's archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// What stands up to here was not for the session.
    pub(crate) since: ArchiveId,
    /// The last message that it got: what stands beyond is still to come.
    pub(crate) last: ArchiveId,
    /// The delivery by which it got that.
    pub(crate) number: u64,
    /// What it got beyond that, before it went back for what is older.
    pub(crate) ahead: BTreeSet<ArchiveId>,
}

/// Stream management of a session (XEP-0198).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Management {
    /// The session's first id, which its SM-ID names.
    pub(crate) id: SessionId,
    /// Where the session stood when it began.
    pub(crate) since: Counts,
    /// For how many seconds it is kept without a stream; 0: not at all.
    pub(crate) max: u32,
}

/// A session without a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Detached {
    /// Since when.
    pub(crate) since: Timestamp,
    /// When it is given up.
    pub(crate) until: Instant,
    /// The edge that had its stream, or brought it, in that edge's life: it may have the session still, whatever this home believes. `None` when it
    /// has given it up.
    pub(crate) own_edge: Option<(NodeId, Epoch)>,
    /// The number of the last delivery that came with it, if an edge brought it from another home.
    pub(crate) came_with: u64,
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
    /// It stands in the archive.
    Archived(ArchiveId),
    /// It is a copy of what stands in the archive: nothing, but whose client takes it has taken that.
    Copy(ArchiveId),
}

/// How much may wait for one client.
#[derive(Clone, Copy)]
pub(crate) struct QueueLimits {
    pub(crate) stanzas: usize,
    pub(crate) bytes: usize,
    /// Stanzas that are held back for a client that nobody looks at, or that has a crowd to take in.
    pub(crate) held: usize,
    /// Deliveries under way that are a crowd; 0: none are.
    pub(crate) crowd: u64,
}

impl Handle {
    fn new(account: Bare, edge: Option<(NodeId, Epoch)>) -> Self {
        Self {
            account,
            edge,
            turn: Arc::default(),
            delivered: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            waking: AtomicU64::new(0),
        }
    }

    /// The same session's, as reached over `edge`.
    fn renewed(&self, edge: Option<(NodeId, Epoch)>, turn: Arc<tokio::sync::Mutex<()>>) -> Self {
        Self {
            account: self.account.clone(),
            edge,
            turn,
            delivered: AtomicU64::new(self.delivered.load(Ordering::Relaxed)),
            bytes: AtomicUsize::new(self.bytes.load(Ordering::Relaxed)),
            written: AtomicU64::new(self.written()),
            waking: AtomicU64::new(self.waking.load(Ordering::SeqCst)),
        }
    }

    /// Notes that deliveries up to `number` were written; says whether somebody waits for that: either this sees who waits, or who begins to
    /// wait sees this.
    pub(crate) fn note_written(&self, number: u64) -> bool {
        self.written.fetch_max(number, Ordering::SeqCst);
        let mark = self.waking.load(Ordering::SeqCst);
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
        self.written.load(Ordering::SeqCst)
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, account: Bare, edge: EdgeRef, now: Timestamp) -> Self {
        Self {
            id,
            handle: Arc::new(Handle::new(account, Some((edge.id.clone(), edge.epoch)))),
            edge,
            connected: now,
            client: None,
            accepted: 0,
            delivered: 0,
            management: None,
            resumed: 0,
            detached: None,
            inactive: false,
            held: Held::default(),
            queue: VecDeque::new(),
            bytes: 0,
            owed: VecDeque::new(),
            waited: 0,
            taken: Vec::new(),
            read: Read::since(ArchiveId::first_at(now)),
        }
    }

    /// Numbers a delivery and keeps it until it is written.
    pub(crate) fn push(&mut self, stanza: &Arc<Stanza>, readdress: bool, fate: Fate) -> u64 {
        self.settle_written();
        self.delivered += 1;
        self.bytes += size(stanza);
        if let Fate::Archived(id) = fate {
            (self.read.last, self.read.number) = (id, self.delivered);
            self.read.ahead.retain(|ahead| *ahead > id);
        }
        if self.queue.is_empty() {
            self.queue.reserve_exact(1); // most often it is one that waits
        }
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

    /// Whether nobody sees what is delivered now: what can wait is better held back.
    pub(crate) fn is_unattended(&self) -> bool {
        self.inactive || self.detached.is_some()
    }

    /// Whether so much is on its way to its client that what can wait is better held back, too.
    pub(crate) fn is_crowded(&self, limits: QueueLimits) -> bool {
        limits.crowd > 0 && self.delivered.saturating_sub(self.handle.written()) >= limits.crowd
    }

    /// Whether something is held back although the crowd is over.
    pub(crate) fn has_caught_up(&self, limits: QueueLimits) -> bool {
        self.holds_for_crowd() && !self.is_crowded(limits)
    }

    /// Whether something is held back although somebody looks at its client.
    fn holds_for_crowd(&self) -> bool {
        !self.held.is_empty() && !self.is_unattended()
    }

    /// Holds a stanza back, at its edge too. Returns whether it took the place of an older one.
    pub(crate) fn hold(&mut self, waiting: Waiting) -> bool {
        if self.handle.edge.is_some() {
            self.edge.edge.hold(self.id, waiting.clone());
        }
        self.held.hold(waiting)
    }

    /// Whether more is held back than is allowed; in bytes, a share of what may wait at all.
    pub(crate) fn holds_enough(&self, limits: QueueLimits) -> bool {
        self.held.len() > limits.held || self.held.bytes() > limits.bytes / 4
    }

    /// Delivers what was held back; nobody else needs it, should this session end before.
    pub(crate) fn release(&mut self, trace: Option<Trace>) {
        if self.held.is_empty() {
            return;
        }
        for Waiting { stanza, readdress } in self.held.release() {
            let number = self.push(&stanza, readdress, Fate::Lost);
            if self.handle.edge.is_some() {
                self.edge.edge.deliver(Delivery {
                    sessions: vec![(self.id, number)],
                    stanza,
                    readdress,
                    archived: None,
                    settled: true,
                    trace,
                });
            }
        }
        self.wake_when_written();
    }

    /// Its edge may have missed what is held back.
    pub(crate) fn hold_again(&self) {
        for waiting in self.held.iter() {
            self.edge.edge.hold(self.id, waiting.clone());
        }
    }

    /// What an edge kept of deliveries that were not written: they find their way as before, but nobody knows any more who else
    /// got them.
    pub(crate) fn restore(&mut self, unwritten: Vec<Unwritten>) {
        for unwritten in unwritten {
            self.bytes += size(&unwritten.stanza);
            self.queue.push_back(Queued {
                number: unwritten.number,
                fate: match unwritten.archived {
                    Some(id) => Fate::Archived(id),
                    None if unwritten.settled => Fate::Lost,
                    None => Fate::alone(&unwritten.stanza),
                },
                stanza: unwritten.stanza,
                readdress: unwritten.readdress,
            });
        }
        self.handle.delivered.store(self.delivered, Ordering::Relaxed);
        self.handle.bytes.store(self.bytes, Ordering::Relaxed);
    }

    /// Sends what was delivered after `number` and not written again, under its old numbers.
    pub(crate) fn redeliver(&mut self, number: u64) {
        self.settle_written();
        for queued in self.queue.iter().filter(|queued| queued.number > number) {
            self.edge.edge.deliver(Delivery {
                sessions: vec![(self.id, queued.number)],
                stanza: queued.stanza.clone(),
                readdress: queued.readdress,
                archived: queued.fate.archived(),
                settled: queued.fate.is_settled(),
                trace: None,
            });
        }
    }

    /// Whether messages were sent that are not known to be seen.
    pub(crate) fn has_unseen(&self) -> bool {
        let written = self.handle.written();
        let mut left = self.queue.iter().filter(|queued| queued.number > written);
        !self.owed.is_empty() || left.any(|queued| matches!(*queued.stanza, Stanza::Message(_)))
    }

    /// What was sent and not written, in order.
    pub(crate) fn unwritten(&self) -> impl Iterator<Item = Unwritten> {
        self.queue.iter().map(|queued| Unwritten {
            number: queued.number,
            stanza: queued.stanza.clone(),
            readdress: queued.readdress,
            archived: queued.fate.archived(),
            settled: queued.fate.is_settled(),
        })
    }

    /// Goes by another id, over another edge. Returns how it was reached before.
    pub(crate) fn rename(&mut self, id: SessionId, edge: &EdgeRef) -> Former {
        let handle = self.handle.renewed(Some((edge.id.clone(), edge.epoch)), Arc::default());
        let former = Former {
            handle: std::mem::replace(&mut self.handle, Arc::new(handle)),
            edge: std::mem::replace(&mut self.edge, edge.clone()),
        };
        (self.id, self.detached, self.inactive) = (id, None, false);
        self.resumed = self.resumed.saturating_add(1);
        former
    }

    /// Whether another edge has it, in this edge's life, or none.
    pub(crate) fn is_away_from(&self, edge: &EdgeRef) -> bool {
        let at = self.handle.edge.as_ref();
        at.is_none_or(|(id, epoch)| *id != edge.id || *epoch != edge.epoch)
    }

    /// Its edge is gone (`None`), or is this one again. Returns the handle it has from now on.
    pub(crate) fn set_edge(&mut self, edge: Option<&EdgeRef>) -> Arc<Handle> {
        let at = edge.map(|edge| (edge.id.clone(), edge.epoch));
        if let Some(edge) = edge {
            self.edge = edge.clone();
        }
        if self.handle.edge != at {
            self.handle = Arc::new(self.handle.renewed(at, self.handle.turn.clone()));
        }
        self.handle.clone()
    }

    /// What names a stanza of this session for good.
    pub(crate) fn key(&self, number: u64) -> MessageKey {
        let session = self.management.map_or(self.id, |management| management.id);
        MessageKey { session, number }
    }

    /// How many of the client's stanzas were handled, as the client counts.
    pub(crate) fn handled(&self) -> Option<(SessionId, u32)> {
        self.management
            .map(|management| (management.id, handled(self.accepted, management.since.received)))
    }

    /// Whether more waits than is allowed.
    pub(crate) fn is_over(&self, limits: QueueLimits) -> bool {
        self.queue.len() > limits.stanzas || self.bytes > limits.bytes
    }

    /// It is to get this message of the archive when there is room. Returns whether that is news.
    pub(crate) fn owe(&mut self, id: ArchiveId) -> bool {
        let at = self.owed.partition_point(|owed| *owed < id);
        let is_new = self.owed.get(at) != Some(&id);
        if is_new {
            self.owed.insert(at, id);
            self.wake_when_written();
        }
        is_new
    }

    /// As [`Self::owe`], a message that waited for it.
    pub(crate) fn owe_waiting(&mut self, id: ArchiveId) {
        self.waited += usize::from(self.owe(id));
    }

    /// How many of them came since it is here.
    pub(crate) fn owed_since_it_came(&self) -> usize {
        self.owed.len() - self.waited
    }

    /// The first message of the archive that it is to get.
    pub(crate) fn owed(&self) -> Option<ArchiveId> {
        self.owed.front().copied()
    }

    pub(crate) fn pop_owed(&mut self) {
        self.owed.pop_front();
        self.waited = self.waited.saturating_sub(1); // they are the oldest
    }

    /// Whether messages that stand in the archive come to it from there: in their turn, when there is room.
    pub(crate) fn reads(&self, limits: QueueLimits) -> bool {
        !self.owed.is_empty() || !self.has_room(limits)
    }

    /// Lets it be known when there is room for what is owed, or held back. It may be there before that: look again.
    pub(crate) fn wake_when_written(&self) {
        let waits = !self.owed.is_empty() || self.holds_for_crowd();
        let mark = if waits { self.delivered.max(1) } else { 0 };
        self.handle.waking.store(mark, Ordering::SeqCst);
    }

    /// What stands in the archive from there is still to come.
    pub(crate) fn read_from(&mut self, first: ArchiveId) {
        let before = ArchiveId(first.0.saturating_sub(1));
        let unwritten = self.queue.iter().filter_map(|queued| queued.fate.archived());
        let mut ahead: BTreeSet<ArchiveId> = unwritten.filter(|id| *id > before).collect();
        ahead.append(&mut self.read.ahead);
        self.read = Read {
            since: self.read.since.min(before),
            last: before,
            number: self.delivered,
            ahead,
        };
    }

    /// How far it has read the archive.
    pub(crate) fn read(&self) -> &Read {
        &self.read
    }

    /// How far it has read the archive by what its former home knew, and by the last delivery from there that reached its edge.
    pub(crate) fn set_read(&mut self, mirrored: Option<Read>, reached: Option<(u64, ArchiveId)>) {
        if let Some(mirrored) = mirrored {
            self.read = mirrored;
        }
        if let Some((number, last)) = reached.filter(|(number, _)| *number > self.read.number) {
            (self.read.number, self.read.last) = (number, last);
        }
    }

    /// Whether it has that message of the archive, or is to get it.
    pub(crate) fn has(&self, id: ArchiveId) -> bool {
        let mut queued = self.queue.iter().filter_map(|queued| queued.fate.archived());
        self.owed.binary_search(&id).is_ok() || queued.any(|other| other == id)
    }

    /// Whether its client took that message of the archive, as far as the account's log does not know yet.
    pub(crate) fn has_taken(&self, id: ArchiveId) -> bool {
        self.taken.contains(&id)
    }

    /// The messages of the archive that it has, or is to get.
    pub(crate) fn archived(&self) -> impl Iterator<Item = ArchiveId> {
        let queued = self.queue.iter().filter_map(|queued| queued.fate.archived());
        queued.chain(self.owed.iter().copied())
    }

    /// The messages of the archive that it has copies of.
    pub(crate) fn copied(&self) -> impl Iterator<Item = ArchiveId> {
        self.queue.iter().filter_map(|queued| match queued.fate {
            Fate::Copy(id) => Some(id),
            _ => None,
        })
    }

    /// What its client took of the archive, once.
    pub(crate) fn take_taken(&mut self) -> Vec<ArchiveId> {
        self.settle_written();
        std::mem::take(&mut self.taken)
    }

    /// Whether less than half of what is allowed waits.
    pub(crate) fn has_room(&self, limits: QueueLimits) -> bool {
        self.room(limits) > 0
    }

    /// How many stanzas more make half of what is allowed; 0 when half of the bytes are there. When nothing waits there is room for one.
    pub(crate) fn room(&self, limits: QueueLimits) -> usize {
        if self.queue.is_empty() {
            return (limits.stanzas / 2).max(1);
        }
        match self.bytes < limits.bytes / 2 {
            true => (limits.stanzas / 2).saturating_sub(self.queue.len()),
            false => 0,
        }
    }

    /// Whether all that was sent is known to be written.
    pub(crate) fn is_settled(&self) -> bool {
        self.queue.is_empty()
    }

    /// Forgets what has been written.
    pub(crate) fn settle_written(&mut self) {
        let written = self.handle.written();
        while let Some(first) = self.queue.pop_front_if(|first| first.number <= written) {
            self.bytes -= size(&first.stanza);
            match first.fate {
                Fate::Again(taken) => taken.store(true, Ordering::Release),
                Fate::Archived(id) | Fate::Copy(id) => self.taken.push(id),
                Fate::Lost => {}
            }
        }
    }

    /// Nothing is under way, perhaps for long: keeps no room for what may come.
    pub(crate) fn rest(&mut self) {
        self.settle_written();
        self.queue.shrink_to_fit();
    }

    /// The client answers a request: whatever it acknowledges, nobody else is to answer it.
    pub(crate) fn note_answer(&mut self, answer: &Iq) {
        let mut queue = self.queue.iter_mut();
        if let Some(queued) = queue.find(|queued| answer.answers(&queued.stanza)) {
            queued.fate = Fate::Lost;
        }
    }

    /// Takes out everything that was sent but not written, in order.
    pub(crate) fn take_unwritten(&mut self) -> VecDeque<Queued> {
        self.settle_written();
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }
}

impl Read {
    /// Of a session that was not there before.
    fn since(since: ArchiveId) -> Self {
        Self {
            since,
            last: since,
            ..Self::default()
        }
    }

    /// Whether that message was for the session, and came before the last that it got.
    pub(crate) fn is_past(&self, id: ArchiveId) -> bool {
        (id <= self.last && id > self.since) || self.ahead.contains(&id)
    }

    /// Whether that message, if it is for the session, is still to come.
    pub(crate) fn is_to_come(&self, id: ArchiveId) -> bool {
        id > self.last && !self.ahead.contains(&id)
    }
}

/// How a session was reached before it was resumed.
pub(crate) struct Former {
    pub(crate) handle: Arc<Handle>,
    pub(crate) edge: EdgeRef,
}

impl Management {
    pub(crate) fn is_resumable(&self) -> bool {
        self.max > 0
    }
}

impl Fate {
    /// Where it stands in the archive.
    pub(crate) fn archived(&self) -> Option<ArchiveId> {
        match self {
            Self::Archived(id) => Some(*id),
            Self::Lost | Self::Again(_) | Self::Copy(_) => None,
        }
    }

    /// Whether nobody else is to get it.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self, Self::Lost | Self::Copy(_))
    }

    /// The fate of a stanza that only this session got.
    pub(crate) fn alone(stanza: &Stanza) -> Self {
        match stanza {
            Stanza::Message(_) | Stanza::Iq(_) => Self::Again(Arc::new(AtomicBool::new(false))),
            Stanza::Presence(_) => Self::Lost,
        }
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
