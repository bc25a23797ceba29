//! The ports between the tiers. An edge calls [`Router`]; a router calls [`Edge`] and [`Peers`]; [`Home`] and [`PeerHome`]
//! are what a router offers to the links that reach it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stanza::{
    ArchiveId, Bare, BindReply, BindRequest, EnableReply, EnableRequest, Full, Grant, Jid, MessageKey, Peer,
    RegisterReply, RegisterRequest, ResumeReply, ResumeRequest, SaslReply, SaslRequest, SessionId, Stanza,
    StreamCondition,
};
use tokio::sync::watch;
use topology::{Epoch, Lease, NodeId, NodeRecord, Slot, Snapshot};

use crate::held::{Held, Waiting};
use crate::trace::Trace;

/// A session as both tiers name it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRef {
    /// Its id.
    pub id: SessionId,
    /// Its address.
    pub jid: Full,
    /// The slot of its account.
    pub slot: Slot,
}

/// A stanza from a client, numbered by the edge.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Counts this session's stanzas, from 1 without gaps.
    pub number: u64,
    /// The stanza.
    pub said: Said,
    /// Trace context, when the edge chose to sample.
    pub trace: Option<Trace>,
}

/// A client's stanza, as the edge read it.
#[derive(Clone, Debug)]
pub enum Said {
    /// For the home to deal with.
    Stanza(Stanza),
    /// The edge has judged it by itself; the answer, if there is one, only wants its place among the deliveries.
    Answered(Option<Stanza>),
}

/// A stanza for sessions on one edge. One frame whatever their number.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The sessions, each with the number of this delivery in its own count, from 1.
    pub sessions: Vec<(SessionId, u64)>,
    /// The stanza. Each session's edge writes it with its own full address in `to` when `readdress` is set.
    pub stanza: Arc<Stanza>,
    /// Whether `to` is replaced by each session's full address when written.
    pub readdress: bool,
    /// Where it stands in the account's archive, if it does, and in its turn: what stands before it and is for these sessions went
    /// before it.
    pub archived: Option<ArchiveId>,
    /// Whether nobody else is to get it should these sessions end before it was written: it was for them alone, or is answered.
    pub settled: bool,
    /// Trace context, when the edge chose to sample.
    pub trace: Option<Trace>,
}

/// Stanzas between homes: one stanza for recipients that share a home.
#[derive(Clone, Debug)]
pub struct Route {
    /// The recipients; their homes are found by their bare addresses' slots. One for ordinary stanzas; many for
    /// presence broadcasts and probes, where each recipient gets the stanza with its own address in `to`.
    pub to: Vec<Jid>,
    /// The stanza; `from` is set and true.
    pub stanza: Arc<Stanza>,
    /// What makes it known when it comes again; `None` for what no client said.
    pub key: Option<MessageKey>,
    /// Trace context, when the edge chose to sample.
    pub trace: Option<Trace>,
}

/// Everything a new home needs to take over a session from its edge.
#[derive(Clone, Debug)]
pub struct Attach {
    /// The session.
    pub session: SessionRef,
    /// Proof that it authenticated.
    pub grant: Grant,
    /// The connection.
    pub peer: Peer,
    /// The home's own record of the session, as the last home gave it to [`Edge::mirror`]; opaque to the edge.
    pub mirror: Bytes,
    /// The highest delivery number that reached the edge.
    pub delivered: u64,
    /// The highest delivery number that was written to the client.
    pub written: u64,
    /// The highest number of the client's stanzas that a home has reported done.
    pub done: u64,
    /// What was delivered and not written, in order.
    pub unwritten: Vec<Unwritten>,
    /// The last delivery from the account's archive that reached the edge: its number, and where it stands there.
    pub archived: Option<(u64, ArchiveId)>,
    /// Its stream is gone; it is kept for its client to resume.
    pub detached: bool,
    /// Nobody looks at the client (XEP-0352).
    pub inactive: bool,
    /// What waits until somebody does, or the client resumes.
    pub held: Held,
}

/// A delivery that reached the edge and was not written to the client (or acknowledged by it).
#[derive(Clone, Debug)]
pub struct Unwritten {
    /// Its number in the session's count.
    pub number: u64,
    /// The stanza.
    pub stanza: Arc<Stanza>,
    /// As in [`Delivery`].
    pub readdress: bool,
    /// As in [`Delivery`].
    pub archived: Option<ArchiveId>,
    /// As in [`Delivery`], or the client has answered it since.
    pub settled: bool,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client closed the stream or the connection.
    Client,
    /// The edge ended it (stream error, time-out, drain).
    Edge,
    /// The home asked for it ([`Edge::kick`]).
    Kicked,
    /// The connection went away without a closing tag.
    Lost,
}

/// The home does not know the session, or this router is not its home: nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// The home has no such session (it was replaced or fenced off): close it.
    #[error("no such session")]
    Session,
    /// This router is not the home (any more): find the new one and try there.
    #[error("not the home of this slot")]
    Home,
    /// Nobody could be reached within the time allowed.
    #[error("no router reachable")]
    Unreachable,
}

/// What an edge calls. Implementations find the home by the account's slot; in process there is only one.
#[async_trait]
pub trait Router: Send + Sync {
    /// One SASL step. An unreachable router is `temporary-auth-failure`.
    async fn sasl(&self, request: SaslRequest) -> SaslReply;
    /// One step of a registration. An unreachable router is `resource-constraint`; whether there is an account then is not known.
    async fn register(&self, request: RegisterRequest) -> RegisterReply;
    /// Binds a resource; from here on deliveries for the session may arrive at the [`Edge`].
    async fn bind(&self, request: BindRequest) -> BindReply;
    /// Hands over a client's stanza. Returns when it is accepted in order (in process: done); waiting is back-pressure, the
    /// caller reads no further from the client meanwhile.
    ///
    /// # Errors
    /// [`Gone`] when the session must be closed.
    async fn submit(&self, session: &SessionRef, submission: Submission) -> Result<(), Gone>;
    /// Begins stream management for a session.
    async fn enable(&self, session: &SessionRef, request: EnableRequest) -> EnableReply;
    /// Goes on with a session whose stream is gone, over a new connection; from here on deliveries for it may arrive.
    async fn resume(&self, request: ResumeRequest) -> ResumeReply;
    /// Reports that deliveries up to `number` were written to the client or, under stream management, acknowledged by it.
    fn written(&self, session: &SessionRef, number: u64);
    /// Reports whether somebody looks at the client (XEP-0352). A new or resumed session is looked at.
    async fn look(&self, session: &SessionRef, active: bool);
    /// A session's stream has ended, after everything submitted before. Whether the session ends with it is for the home to say.
    async fn close(&self, session: &SessionRef, reason: CloseReason);
}

/// What a router calls on an edge. None of these blocks or fails: an edge that is away is found out by membership.
pub trait Edge: Send + Sync {
    /// A stanza for sessions here.
    fn deliver(&self, delivery: Delivery);
    /// The session's stanzas up to `number` are done. Called by the link when [`Home::submit`] returns; a home need not.
    fn done(&self, session: SessionId, number: u64);
    /// The home's record of the session, to be given back in [`Attach::mirror`]. Over gRPC the link keeps it, the edge is not
    /// called; in process nobody needs it.
    fn mirror(&self, session: SessionId, state: Bytes);
    /// A stanza that waits at the home until somebody looks at the client: the edge keeps the second copy, by the same rule ([`Held`]). The
    /// session's next delivery says that all of it was let go, and brings what was left of it under numbers. In process nobody needs it.
    fn hold(&self, _session: SessionId, _waiting: Waiting) {}
    /// Close the session's stream with this condition.
    fn kick(&self, session: SessionId, condition: StreamCondition);
    /// Keep a session without a stream whose edge is gone, as if it had been attached from here. Returns whether that was understood:
    /// an edge in the same process has no copy that could outlive the home's.
    fn keep(&self, _attach: Attach) -> bool {
        false
    }
    /// Everything the caller has to say about sessions that the slot table of revision `table` took from it has been said:
    /// they may be attached elsewhere. A router says so for every table it has applied, also when that took nothing from it.
    /// In process there is nothing to do.
    fn sealed(&self, _table: u64) {}
}

/// An edge as a router knows it.
#[derive(Clone)]
pub struct EdgeRef {
    /// Its name.
    pub id: NodeId,
    /// Its life.
    pub epoch: Epoch,
    /// How to reach it.
    pub edge: Arc<dyn Edge>,
}

impl EdgeRef {
    /// Whether both are one link. An edge whose link comes back attaches its sessions one after the other: meanwhile some are reached over the
    /// new one, others only over the old.
    pub fn is_link(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.edge, &other.edge)
    }
}

/// What a router offers to edges.
#[async_trait]
pub trait Home: Send + Sync {
    /// An edge's link is up (again). It attaches its sessions next.
    async fn edge_up(&self, edge: EdgeRef);
    /// An edge's link broke.
    async fn edge_down(&self, edge: &NodeId, epoch: Epoch);
    /// Decides a SASL step.
    async fn sasl(&self, request: SaslRequest) -> SaslReply;
    /// Decides a step of a registration.
    async fn register(&self, request: RegisterRequest) -> RegisterReply;
    /// Binds a resource.
    ///
    /// # Errors
    /// `Gone::Home` when this router is not the account's home.
    async fn bind(&self, edge: &EdgeRef, request: BindRequest) -> Result<BindReply, Gone>;
    /// Takes over a session whose home moved here, or whose link came back.
    ///
    /// # Errors
    /// As [`Gone`].
    async fn attach(&self, edge: &EdgeRef, attach: Attach) -> Result<(), Gone>;
    /// The edge has attached all its sessions that are at home here by the slot table of `table` (a revision), except those of
    /// the slots in `pending`: they still wait for their old home, or for a bind that may succeed there. Said again whenever
    /// that set has shrunk. An edge in the same process says so once, for [`u64::MAX`]: its sessions are always attached.
    async fn attached(&self, edge: &EdgeRef, table: u64, pending: BTreeSet<Slot>);
    /// Does what a client's stanza asks for; returns when it is done. A number that was done before comes again when a link
    /// broke or a slot moved before the edge heard so: it must do nothing, and succeed.
    ///
    /// # Errors
    /// As [`Gone`].
    async fn submit(&self, session: &SessionRef, submission: Submission) -> Result<(), Gone>;
    /// Begins stream management for a session; the same again when it is asked again.
    ///
    /// # Errors
    /// As [`Gone`].
    async fn enable(&self, session: &SessionRef, request: EnableRequest) -> Result<EnableReply, Gone>;
    /// Goes on with a session whose stream is gone, over a new connection.
    ///
    /// # Errors
    /// `Gone::Home` when this router is not the account's home.
    async fn resume(&self, edge: &EdgeRef, request: ResumeRequest) -> Result<ResumeReply, Gone>;
    /// Deliveries up to `number` were written to the client or, under stream management, acknowledged by it.
    fn written(&self, session: &SessionRef, number: u64);
    /// Whether somebody looks at the client (XEP-0352).
    ///
    /// # Errors
    /// `Gone::Home` when this router is not the account's home (any more): the session's attachment is to say so.
    async fn look(&self, session: &SessionRef, active: bool) -> Result<(), Gone>;
    /// A session's stream has ended. Returns whether the session is kept for its client to resume: then its edge keeps what it has
    /// of it, until it is kicked.
    ///
    /// # Errors
    /// `Gone::Home` when this router is not the account's home (any more): the next home is to be told.
    async fn close(&self, session: &SessionRef, reason: CloseReason) -> Result<bool, Gone>;
}

/// What a router offers to its peers.
#[async_trait]
pub trait PeerHome: Send + Sync {
    /// Takes in a stanza for recipients that are at home here. Recipients that are not are given back, for the peer to
    /// send again by a newer table.
    async fn route(&self, from: &NodeId, route: Route) -> Vec<Jid>;
    /// Nothing listens any more where `router` was reached in that life, though it counts as alive: its process has died. Said again
    /// for as long as that is so.
    fn found_dead(&self, _router: &NodeId, _epoch: Epoch) {}
}

/// What a router calls to reach other homes.
#[async_trait]
pub trait Peers: Send + Sync {
    /// Hands a stanza over to the home of `slot`, in order per slot: queued when first polled, resolved when that home has
    /// taken it in. Holds it (bounded) while that home moves or is away. With several recipients each goes by the slot of its
    /// own bare address, and `slot` is not looked at. Dropping the future does not take the stanza back.
    ///
    /// # Errors
    /// `Gone::Unreachable` when it could not be handed over within the time allowed.
    async fn route(&self, slot: Slot, route: Route) -> Result<(), Gone>;
    /// Whether something for `slot` is held or on its way: what follows must not be taken in here past it.
    fn holds(&self, _slot: Slot) -> bool {
        false
    }
    /// Has other routers renew this router's own `lease`, because it does not reach the membership store itself. All are asked at once and
    /// have `patience` to answer; the first that could ask the store gives the answer. `Blind` when all of them answered that they
    /// cannot (those whose process has died aside); `Unknown` when one that might know is silent. With it comes a snapshot, if one is newer
    /// than this router's own.
    async fn keep_alive(&self, _lease: Lease, _patience: Duration) -> (Renewal, Option<Arc<Snapshot>>) {
        (Renewal::Unknown, None)
    }
}

/// Membership as routers offer it to edges, which do not reach etcd themselves, and to routers that do not at the moment.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Joins `node` under a lease of `ttl`; `None` while it cannot be (store away, or its last life still has its key).
    async fn join(&self, node: NodeRecord, ttl: Duration) -> Option<(Epoch, Lease)>;
    /// Renews a lease.
    async fn keep_alive(&self, lease: Lease) -> Renewal;
    /// Leaves at once.
    async fn leave(&self, node: &NodeId, lease: Lease);
    /// The current snapshot and its changes.
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>>;
}

/// What became of a lease that was to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It goes on.
    Renewed,
    /// It has ended: the node must fence itself.
    Ended,
    /// The store could not be asked.
    Unknown,
    /// The store could not be asked, and who was to ask it goes on serving all the same.
    Blind,
}

impl Said {
    /// The stanza to be carried, if there is one.
    pub fn stanza(&self) -> Option<&Stanza> {
        match self {
            Self::Stanza(stanza) => Some(stanza),
            Self::Answered(answer) => answer.as_ref(),
        }
    }

    /// What it is, such as `message`; `nothing` when it only counts.
    pub fn name(&self) -> &'static str {
        self.stanza().map_or("nothing", Stanza::name)
    }
}

impl SessionRef {
    /// The session `id` at `jid`.
    pub fn new(id: SessionId, jid: Full) -> Self {
        let slot = Slot::of(jid.bare().as_str());
        Self { id, jid, slot }
    }

    /// Its account.
    pub fn account(&self) -> Bare {
        self.jid.bare()
    }
}
