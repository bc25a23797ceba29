//! One edge's stream as its router sees it: what the edge says becomes calls of [`Home`], in order per session; what the home
//! says to the edge becomes frames.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stanza::{
    BindReply, BindRequest, EnableRequest, RegisterRequest, ResumeReply, ResumeRequest, SaslRequest, SessionId,
    StreamCondition,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use topology::{Slot, Snapshot, Verdict};

use super::handshake::Identity;
use super::metric;
use crate::lanes::{Lanes, Worker};
use crate::outbox::{Batch, Outbox};
use crate::wire::{EdgeFrame, RouterFrame, pb};
use crate::{Attach, CloseReason, Delivery, Edge, EdgeRef, Gone, Home, SessionRef, Submission, Waiting};

/// How long the end of a link waits for what its edge has asked for before.
const FINISH: Duration = Duration::from_secs(5);

/// Frames for the edge; marks are what is done.
pub(super) type ToEdge = Outbox<RouterFrame, SessionId, u64>;

/// Turns a batch into a message: what is done comes first, so that nothing later overtakes it.
pub(super) fn encode(batch: Batch<RouterFrame, SessionId, u64>) -> pb::RouterFrames {
    metric::sent(
        "router",
        batch.frames.len() + usize::from(!batch.marks.is_empty()),
        batch.bytes,
    );
    let done = (!batch.marks.is_empty()).then_some(RouterFrame::Done(batch.marks));
    pb::RouterFrames {
        frames: done.into_iter().chain(batch.frames).map(RouterFrame::encode).collect(),
    }
}

/// Resolves when that life of the node is over.
pub(super) async fn dies(who: &Identity, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    let dead = |snapshot: &Arc<Snapshot>| snapshot.live().judge(&who.id, who.epoch) == Verdict::Dead;
    if snapshots.wait_for(dead).await.is_err() {
        std::future::pending::<()>().await; // nobody can tell any more
    }
}

/// A link that is up.
pub(super) struct EdgeLink {
    pub(super) edge: Identity,
    /// The minor version of the protocol that it speaks.
    pub(super) minor: u32,
    pub(super) home: Arc<dyn Home>,
    pub(super) outbox: Arc<ToEdge>,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) lanes: usize,
    pub(super) stop: CancellationToken,
}

impl EdgeLink {
    /// Serves the edge until its stream ends, its life is over, it is stuck, or the link is stopped.
    pub(super) async fn run(self, inbound: Streaming<pb::EdgeFrames>) {
        let port: Arc<dyn Edge> = Arc::new(Remote {
            outbox: Arc::clone(&self.outbox),
            keeps: self.minor >= 2,
        });
        let edge = EdgeRef {
            id: self.edge.id.clone(),
            epoch: self.edge.epoch,
            edge: port,
        };
        self.home.edge_up(edge.clone()).await;
        let desk = Arc::new(Desk {
            home: Arc::clone(&self.home),
            edge,
            outbox: Arc::clone(&self.outbox),
            sessions: Mutex::default(),
            attaching: Mutex::default(),
        });
        let lanes = Lanes::start(self.lanes, &worker(&desk));
        tokio::select! {
            () = read(inbound, &desk, &lanes) => {}
            () = push_snapshots(self.snapshots.clone(), &self.outbox) => {}
            () = dies(&self.edge, self.snapshots) => {}
            () = self.stop.cancelled() => {}
        }
        self.stop.cancel();
        let _ = tokio::time::timeout(FINISH, lanes.finish()).await;
        self.home.edge_down(&self.edge.id, self.edge.epoch).await;
    }
}

/// The edge as the home sees it. Frames for a link that is down are dropped: the edge attaches again.
struct Remote {
    outbox: Arc<ToEdge>,
    /// Whether it understands that it is to keep a session, or a stanza that waits (protocol 1.2).
    keeps: bool,
}

impl Remote {
    fn send(&self, frame: RouterFrame) {
        self.outbox.push(frame.size(), frame);
    }
}

impl Edge for Remote {
    fn deliver(&self, delivery: Delivery) {
        self.send(RouterFrame::Delivery(delivery));
    }

    fn done(&self, session: SessionId, number: u64) {
        self.outbox.mark(session, number);
    }

    fn mirror(&self, session: SessionId, state: Bytes) {
        self.send(RouterFrame::Mirror(session, state));
    }

    fn hold(&self, session: SessionId, waiting: Waiting) {
        if self.keeps {
            self.send(RouterFrame::Hold(session, waiting));
        }
    }

    fn kick(&self, session: SessionId, condition: StreamCondition) {
        self.send(RouterFrame::Kick(session, condition));
    }

    fn keep(&self, attach: Attach) -> bool {
        if self.keeps {
            self.send(RouterFrame::Keep(Box::new(attach)));
        }
        self.keeps
    }

    fn sealed(&self, table: u64) {
        self.send(RouterFrame::Sealed(table));
    }
}

/// What is done in order per session.
enum Job {
    Sasl(u64, SaslRequest),
    Register(u64, Box<RegisterRequest>),
    Bind(u64, BindRequest),
    Enable(u64, SessionId, u32, EnableRequest),
    Resume(u64, ResumeRequest),
    /// With a token that is dropped when it is done.
    Attach(u32, Box<Attach>, mpsc::Sender<()>),
    /// After all attachments before it.
    Attached(u64, BTreeSet<Slot>, mpsc::Receiver<()>),
    Submit(SessionId, u32, Submission),
    Unreadable(SessionId, u64),
    Look(SessionId, bool),
    Close(SessionId, u32, CloseReason),
}

struct Desk {
    home: Arc<dyn Home>,
    edge: EdgeRef,
    outbox: Arc<ToEdge>,
    /// Sessions that are attached over this link, with the generation of the attachment.
    sessions: Mutex<HashMap<SessionId, (u32, SessionRef)>>,
    /// Attachments under way, by their generation, and what the edge has said to be written meanwhile.
    attaching: Mutex<HashMap<SessionId, (u32, u64)>>,
}

async fn push_snapshots(mut snapshots: watch::Receiver<Arc<Snapshot>>, outbox: &ToEdge) {
    loop {
        let frame = RouterFrame::Snapshot(Arc::clone(&snapshots.borrow_and_update()));
        outbox.push(frame.size(), frame);
        if snapshots.changed().await.is_err() {
            return std::future::pending().await; // the registry is gone; the link may live on
        }
    }
}

async fn read(mut inbound: Streaming<pb::EdgeFrames>, desk: &Arc<Desk>, lanes: &Lanes<SessionId, Job>) {
    let mut attaching = mpsc::channel(1);
    while let Ok(Some(batch)) = inbound.message().await {
        let together = batch.frames.len();
        metric::received("edge", together);
        for frame in batch.frames {
            match EdgeFrame::decode(frame) {
                Ok(frame) => {
                    if let Some((key, job)) = desk.sort(frame, &mut attaching) {
                        lanes.give(key, job, together).await;
                    }
                }
                Err(error) => {
                    metric::malformed("edge");
                    tracing::warn!(edge = %desk.edge.id, %error, "frame passed over");
                }
            }
        }
    }
}

fn worker(desk: &Arc<Desk>) -> Worker<Job> {
    let desk = Arc::clone(desk);
    Arc::new(move |job| {
        let desk = Arc::clone(&desk);
        Box::pin(async move { desk.work(job).await })
    })
}

impl Desk {
    /// Whose turn a frame waits for; what needs no turn is done.
    fn sort(
        &self,
        frame: EdgeFrame,
        attaching: &mut (mpsc::Sender<()>, mpsc::Receiver<()>),
    ) -> Option<(SessionId, Job)> {
        Some(match frame {
            EdgeFrame::Sasl(call, request) => (turn(&request), Job::Sasl(call, request)),
            EdgeFrame::Register(call, request) => (request.session, Job::Register(call, request)),
            EdgeFrame::Bind(call, request) => (request.session, Job::Bind(call, request)),
            EdgeFrame::Enable {
                call,
                session,
                generation,
                request,
            } => (session, Job::Enable(call, session, generation, request)),
            EdgeFrame::Resume(call, request) => (request.session, Job::Resume(call, request)),
            EdgeFrame::Attach { generation, attach } => {
                self.attaching.lock().entry(attach.session.id).or_default().0 = generation;
                (attach.session.id, Job::Attach(generation, attach, attaching.0.clone()))
            }
            EdgeFrame::Attached(table, pending) => {
                let (_, before) = std::mem::replace(attaching, mpsc::channel(1));
                (SessionId(u128::MAX), Job::Attached(table, pending, before))
            }
            EdgeFrame::Submit {
                session,
                generation,
                submission,
            } => (session, Job::Submit(session, generation, submission)),
            EdgeFrame::Unreadable { session, number, .. } => {
                tracing::warn!(edge = %self.edge.id, %session, number, "unreadable stanza passed over");
                (session, Job::Unreadable(session, number))
            }
            EdgeFrame::Written { session, number } => {
                self.written(session, number);
                return None;
            }
            EdgeFrame::Look { session, active } => (session, Job::Look(session, active)),
            EdgeFrame::Close {
                session,
                generation,
                reason,
            } => (session, Job::Close(session, generation, reason)),
        })
    }

    /// It waits for no turn: it would hold up what waits for it. A home that takes the session over meanwhile is told again.
    fn written(&self, id: SessionId, number: u64) {
        if let Some((_, written)) = self.attaching.lock().get_mut(&id) {
            *written = number.max(*written);
        }
        if let Some((_, session)) = self.sessions.lock().get(&id).cloned() {
            self.home.written(&session, number);
        }
    }

    async fn work(&self, job: Job) {
        match job {
            Job::Sasl(call, request) => {
                let reply = self.home.sasl(request).await;
                self.send(RouterFrame::Sasl(call, reply));
            }
            Job::Register(call, request) => {
                let reply = self.home.register(*request).await;
                self.send(RouterFrame::Register(call, reply));
            }
            Job::Bind(call, request) => self.bind(call, request).await,
            Job::Enable(call, session, generation, request) => self.enable(call, session, generation, request).await,
            Job::Resume(call, request) => self.resume(call, request).await,
            Job::Attach(generation, attach, _token) => self.attach(generation, *attach).await,
            Job::Attached(table, pending, mut before) => {
                let _ = before.recv().await; // ends when the last token is dropped
                self.home.attached(&self.edge, table, pending).await;
            }
            Job::Submit(session, generation, submission) => self.submit(session, generation, submission).await,
            Job::Unreadable(session, number) => self.outbox.mark(session, number),
            Job::Look(session, active) => self.look(session, active).await,
            Job::Close(session, generation, reason) => self.close(session, generation, reason).await,
        }
    }

    async fn bind(&self, call: u64, request: BindRequest) {
        let id = request.session;
        let reply = self.home.bind(&self.edge, request).await;
        if let Ok(BindReply::Bound(jid, _)) = &reply {
            self.sessions.lock().insert(id, (0, SessionRef::new(id, jid.clone())));
        }
        self.send(RouterFrame::Bind(call, reply));
    }

    async fn enable(&self, call: u64, id: SessionId, generation: u32, request: EnableRequest) {
        let reply = match self.attached(id, generation) {
            Some(session) => self.home.enable(&session, request).await,
            None => Err(Gone::Session),
        };
        self.send(RouterFrame::Enable(call, reply));
    }

    async fn resume(&self, call: u64, request: ResumeRequest) {
        let id = request.session;
        let reply = self.home.resume(&self.edge, request).await;
        if let Ok(ResumeReply::Resumed { jid, .. }) = &reply {
            self.sessions.lock().insert(id, (0, SessionRef::new(id, jid.clone())));
        }
        self.send(RouterFrame::Resume(call, reply));
    }

    async fn attach(&self, generation: u32, attach: Attach) {
        let (session, without_stream) = (attach.session.clone(), attach.detached);
        let attached = self.home.attach(&self.edge, attach).await;
        match attached {
            Ok(()) if without_stream => {} // nothing will come from it
            Ok(()) => drop(self.sessions.lock().insert(session.id, (generation, session.clone()))),
            Err(why) => self.refuse(session.id, generation, why),
        }
        let written = self.end_attaching(session.id, generation);
        if let Some(number) = written.filter(|_| attached.is_ok()) {
            self.home.written(&session, number);
        }
    }

    /// That attachment is through. What was written meanwhile, if it is the last one.
    fn end_attaching(&self, id: SessionId, generation: u32) -> Option<u64> {
        let mut attaching = self.attaching.lock();
        attaching.get(&id).filter(|(last, _)| *last == generation)?;
        let (_, written) = attaching.remove(&id)?;
        (written > 0).then_some(written)
    }

    async fn submit(&self, id: SessionId, generation: u32, submission: Submission) {
        let Some(session) = self.attached(id, generation) else {
            return;
        };
        let number = submission.number;
        match self.home.submit(&session, submission).await {
            Ok(()) => self.outbox.mark(id, number),
            // A home that has lost sight of the session may take it again: only an attachment can be refused for good.
            Err(_) => self.refuse(id, generation, Gone::Home),
        }
    }

    async fn look(&self, id: SessionId, active: bool) {
        let attached = self.sessions.lock().get(&id).cloned();
        if let Some((generation, session)) = attached
            && self.home.look(&session, active).await.is_err()
        {
            self.refuse(id, generation, Gone::Home);
        }
    }

    async fn close(&self, id: SessionId, generation: u32, reason: CloseReason) {
        let Some(session) = self.attached(id, generation) else {
            return;
        };
        match self.home.close(&session, reason).await {
            Ok(kept) => {
                self.sessions.lock().remove(&id);
                self.send(RouterFrame::Closed { session: id, kept });
            }
            Err(_) => self.refuse(id, generation, Gone::Home),
        }
    }

    /// The session, if that attachment of it stands. If not, the edge has been told.
    fn attached(&self, id: SessionId, generation: u32) -> Option<SessionRef> {
        let sessions = self.sessions.lock();
        sessions
            .get(&id)
            .filter(|(current, _)| *current == generation)
            .map(|(_, session)| session.clone())
    }

    fn refuse(&self, session: SessionId, generation: u32, why: Gone) {
        self.sessions.lock().remove(&session);
        self.send(RouterFrame::Refused {
            session,
            generation,
            why,
        });
    }

    fn send(&self, frame: RouterFrame) {
        self.outbox.push(frame.size(), frame);
    }
}

/// Steps of one exchange keep their order.
fn turn(request: &SaslRequest) -> SessionId {
    match request {
        SaslRequest::Start { session, .. } => *session,
        SaslRequest::Respond { exchange, .. } | SaslRequest::Abort { exchange } => SessionId(exchange.number.into()),
    }
}
