//! All routers as an edge reaches them: finds each account's home, follows it when it moves, and holds what is undone meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use stanza::{
    BindReply, BindRequest, Counts, EnableReply, EnableRequest, RegisterReply, RegisterRequest, RegisterStep,
    ResumeReply, ResumeRequest, SaslFailure, SaslReply, SaslRequest, SessionId, StreamCondition,
};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use topology::{Epoch, Member, NodeId, NodeRecord, Slot, Snapshot};

use super::calls::{Call, Calls};
use super::config::Config;
use super::dial::{Talk, frames, supervise};
use super::handshake::{Greeting, Identity, greeted, is_meant};
use super::membership::{Membership, Standing};
use super::metric;
use crate::backoff::Backoff;
use crate::link_id::LinkId;
use crate::local::homeless;
use crate::outbox::{Batch, LINGER, Marks, Outbox};
use crate::session::Port;
use crate::sessions::{Limits, Sessions, Submit};
use crate::wire::pb::router_client::RouterClient;
use crate::wire::{EdgeFrame, RouterFrame, Unreadable, pb};
use crate::{CloseReason, Edge, Gone, Router, SessionRef, Submission, Window};

/// The routers of a cluster, for an edge that reaches them over gRPC. Dropping it ends all links.
pub struct RouterPool {
    pool: Arc<Pool>,
}

type ToRouter = Outbox<EdgeFrame, stanza::SessionId, u64>;

struct Pool {
    config: Arc<Config>,
    membership: Membership,
    edge: std::sync::OnceLock<Arc<dyn Edge>>,
    sessions: Mutex<Sessions<Line>>,
    lines: Mutex<Vec<(NodeId, LinkId, Arc<Line>)>>,
    calls: Calls,
    /// Epoch of this life, 0 while there is none.
    epoch: AtomicU64,
    turn: AtomicUsize,
    /// Something happened that may move sessions.
    stir: Notify,
    /// Sessions were looked at after something happened.
    settled: Notify,
    stop: CancellationToken,
}

/// The way to one router.
struct Line {
    outbox: Arc<ToRouter>,
    /// Whether it knows of slots that are pending (protocol 1.1): if not, it hears of none but the last report.
    knows_pending: bool,
}

impl Port for Line {
    fn send(&self, frame: EdgeFrame) {
        if self.knows_pending || !matches!(&frame, EdgeFrame::Attached(_, pending) if !pending.is_empty()) {
            self.outbox.push(frame.size(), frame);
        }
    }

    fn written(&self, session: stanza::SessionId, number: u64) {
        self.outbox.mark(session, number);
    }
}

impl RouterPool {
    /// For the edge `node`, which finds routers by `seeds` (`host:port`) and lives by a lease of `ttl`. Does nothing before
    /// [`RouterPool::start`].
    pub fn new(node: NodeRecord, seeds: Vec<String>, ttl: Duration, config: Config) -> Self {
        let config = Arc::new(config);
        let limits = Limits {
            session: config.session_window,
            total: config.edge_window,
            seal: config.seal_timeout,
        };
        let membership = Membership {
            config: Arc::clone(&config),
            node,
            seeds,
            ttl,
            clients: Default::default(),
            standing: watch::Sender::new(Standing::Joining),
            snapshots: watch::Sender::new(Arc::new(Snapshot::empty())),
            lease: Mutex::default(),
        };
        let pool = Pool {
            config,
            membership,
            edge: std::sync::OnceLock::new(),
            sessions: Mutex::new(Sessions::new(limits)),
            lines: Mutex::default(),
            calls: Calls::default(),
            epoch: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
            stir: Notify::new(),
            settled: Notify::new(),
            stop: CancellationToken::new(),
        };
        Self { pool: Arc::new(pool) }
    }

    /// Joins the cluster and links to its routers; what they say goes to `edge`. Call once, inside a tokio runtime.
    pub fn start(&self, edge: Arc<dyn Edge>) {
        if self.pool.edge.set(edge).is_err() {
            return;
        }
        let until_stopped = |work: futures::future::BoxFuture<'static, ()>| {
            let stop = self.pool.stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(work).await })
        };
        let [a, b, c] = [(); 3].map(|()| Arc::clone(&self.pool));
        until_stopped(Box::pin(async move { a.membership.run().await }));
        until_stopped(Box::pin(b.follow_standing()));
        until_stopped(Box::pin(async move { c.settle().await }));
    }

    /// Whether this edge may serve. On [`Standing::Fenced`] it must accept nothing and close every session.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.pool.membership.standing.subscribe()
    }

    /// Membership and slot table as last heard of.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.pool.membership.snapshots.subscribe()
    }

    /// How many routers are linked.
    pub fn links(&self) -> usize {
        self.pool.lines.lock().len()
    }

    /// Sessions, and their undone stanzas.
    pub fn load(&self) -> (usize, Window) {
        self.pool.sessions.lock().load()
    }

    /// Sets the gauges that are read, not kept: call it before metrics are shown.
    pub fn sample(&self) {
        let load = self.load().1;
        metric::held("edge", load.items, load.bytes);
    }

    /// Leaves the cluster, after the sessions were closed: once the homes have dealt with that.
    pub async fn leave(&self) {
        let settled = async {
            loop {
                let unsettled = self.pool.sessions.lock().unsettled();
                match unsettled {
                    Some(change) => change.await,
                    None => return,
                }
            }
        };
        if tokio::time::timeout(self.pool.config.leave_timeout, settled)
            .await
            .is_err()
        {
            tracing::warn!("left before the homes had dealt with every session");
        }
        self.pool.membership.leave().await;
        self.pool.stop.cancel();
    }
}

impl Drop for RouterPool {
    fn drop(&mut self) {
        self.pool.stop.cancel();
    }
}

#[async_trait]
impl Router for RouterPool {
    async fn sasl(&self, request: SaslRequest) -> SaslReply {
        let asked = tokio::time::timeout(self.pool.config.call_timeout, self.pool.sasl(request));
        asked
            .await
            .ok()
            .flatten()
            .unwrap_or(SaslReply::Failure(SaslFailure::TemporaryAuthFailure))
    }

    async fn register(&self, request: RegisterRequest) -> RegisterReply {
        let asked = tokio::time::timeout(self.pool.config.call_timeout, self.pool.register(request));
        let reply = asked.await.ok().flatten();
        reply.unwrap_or_else(|| RegisterReply::Refused(homeless()))
    }

    async fn bind(&self, request: BindRequest) -> BindReply {
        let asked = tokio::time::timeout(self.pool.config.call_timeout, self.pool.bind(request));
        asked.await.unwrap_or_else(|_| BindReply::Refused(homeless()))
    }

    async fn enable(&self, session: &SessionRef, request: EnableRequest) -> EnableReply {
        let asked = tokio::time::timeout(self.pool.config.call_timeout, self.pool.enable(session.id, request));
        asked.await.unwrap_or_else(|_| EnableReply::Refused(homeless()))
    }

    async fn resume(&self, request: ResumeRequest) -> ResumeReply {
        let asked = tokio::time::timeout(self.pool.config.call_timeout, self.pool.resume(request));
        asked.await.unwrap_or_else(|_| ResumeReply::Refused {
            error: homeless(),
            h: None,
        })
    }

    async fn submit(&self, session: &SessionRef, mut submission: Submission) -> Result<(), Gone> {
        let size = submission
            .said
            .stanza()
            .map_or(0, |stanza| stanza.payload().bytes().len())
            + 256;
        let deadline = Instant::now() + self.pool.config.submit_timeout;
        loop {
            let outcome = self.pool.sessions.lock().submit(session.id, submission, size);
            match outcome {
                Submit::Taken => return Ok(()),
                Submit::Gone if self.pool.is_live() => return Err(Gone::Session),
                // Every session was let go with the edge's life: its client may go on elsewhere.
                Submit::Gone => return Err(Gone::Unreachable),
                Submit::Full(back, room) => {
                    submission = *back;
                    metric::waits("edge");
                    tokio::time::timeout_at(deadline, room).await.map_err(|_| {
                        metric::given_up("edge");
                        Gone::Unreachable
                    })?;
                }
            }
        }
    }

    fn written(&self, session: &SessionRef, number: u64) {
        self.pool.sessions.lock().written(session.id, number);
    }

    async fn look(&self, session: &SessionRef, active: bool) {
        self.pool.sessions.lock().look(session.id, active);
    }

    async fn close(&self, session: &SessionRef, reason: CloseReason) {
        self.pool.sessions.lock().close(session.id, reason);
    }
}

impl Pool {
    /// Begins and ends lives: links belong to one.
    async fn follow_standing(self: Arc<Self>) {
        let mut standing = self.membership.standing.subscribe();
        let mut life = self.stop.child_token();
        loop {
            let now = *standing.borrow_and_update();
            match now {
                Standing::Live(epoch) => {
                    life = self.stop.child_token();
                    self.epoch.store(epoch.0, Ordering::Release);
                    let snapshots = self.membership.snapshots.subscribe();
                    let config = Arc::clone(&self.config);
                    tokio::spawn(supervise(Arc::clone(&self), config, snapshots, |_| true, life.clone()));
                }
                Standing::Fenced => {
                    life.cancel();
                    self.sessions.lock().clear();
                }
                Standing::Joining => {}
            }
            if standing.changed().await.is_err() {
                return;
            }
        }
    }

    fn is_live(&self) -> bool {
        matches!(*self.membership.standing.borrow(), Standing::Live(_))
    }

    /// Moves sessions whenever something happened that may move them.
    async fn settle(&self) {
        let mut snapshots = self.membership.snapshots.subscribe();
        loop {
            let table = Arc::clone(&snapshots.borrow_and_update());
            let again = {
                let mut sessions = self.sessions.lock();
                sessions.publish(&table.table);
                sessions.settle(Instant::now().into_std())
            };
            self.settled.notify_waiters();
            let again = again.map_or_else(|| Instant::now() + Duration::from_secs(1), Instant::from_std);
            tokio::select! {
                () = self.stir.notified() => {}
                changed = snapshots.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(again) => {}
            }
        }
    }

    /// An exchange can begin at any router, and again at another when the first one went away; then it goes on where it began.
    async fn sasl(&self, request: SaslRequest) -> Option<SaslReply> {
        match &request {
            SaslRequest::Start { .. } => loop {
                let to = self.any_line().await;
                if let Some(reply) = self.ask_sasl(to, request.clone()).await {
                    return Some(reply);
                }
            },
            SaslRequest::Respond { exchange, .. } | SaslRequest::Abort { exchange } => {
                let to = self.line_to(&exchange.router)?;
                self.ask_sasl(to, request).await
            }
        }
    }

    /// The reply; `None` when the link ended before it came.
    async fn ask_sasl(&self, (link, line): (LinkId, Arc<Line>), request: SaslRequest) -> Option<SaslReply> {
        let (reply, answer) = oneshot::channel();
        let call = self.calls.open(link, Call::Sasl(reply));
        line.send(EdgeFrame::Sasl(call, request));
        answer.await.ok()
    }

    /// Any router will do. An account is asked for once: if the link ends before the answer comes, it may be there.
    async fn register(&self, request: RegisterRequest) -> Option<RegisterReply> {
        loop {
            let (link, line) = self.any_line().await;
            let (reply, answer) = oneshot::channel();
            let call = self.calls.open(link, Call::Register(reply));
            line.send(EdgeFrame::Register(call, Box::new(request.clone())));
            match answer.await {
                Ok(reply) => return Some(reply),
                Err(_) if matches!(request.step, RegisterStep::Create { .. }) => return None,
                Err(_) => {}
            }
        }
    }

    fn line_to(&self, router: &str) -> Option<(LinkId, Arc<Line>)> {
        let lines = self.lines.lock();
        let line = lines.iter().find(|(node, ..)| *node.0 == *router);
        line.map(|(_, link, line)| (*link, Arc::clone(line)))
    }

    /// Routers in turn; waits until there is one.
    async fn any_line(&self) -> (LinkId, Arc<Line>) {
        loop {
            let settled = self.settled.notified();
            {
                let lines = self.lines.lock();
                if !lines.is_empty() {
                    let (_, link, line) = &lines[self.turn.fetch_add(1, Ordering::Relaxed) % lines.len()];
                    return (*link, Arc::clone(line));
                }
            }
            settled.await;
        }
    }

    async fn bind(&self, request: BindRequest) -> BindReply {
        let slot = Slot::of(request.account.as_str());
        self.insist(|reply| {
            let (link, line) = self.home_for(request.session, slot)?;
            let call = self.calls.open(link, Call::Bind(Box::new(request.clone()), reply));
            line.send(EdgeFrame::Bind(call, request.clone()));
            Some(())
        })
        .await
    }

    async fn resume(&self, request: ResumeRequest) -> ResumeReply {
        let slot = Slot::of(request.account.as_str());
        self.insist(|reply| {
            let (link, line) = self.home_for(request.session, slot)?;
            let call = self.calls.open(link, Call::Resume(Box::new(request.clone()), reply));
            line.send(EdgeFrame::Resume(call, request.clone()));
            Some(())
        })
        .await
    }

    async fn enable(&self, session: SessionId, request: EnableRequest) -> EnableReply {
        self.insist(|reply| {
            let (link, line, generation) = self.sessions.lock().attachment(session)?;
            let call = self.calls.open(link, Call::Enable(reply));
            line.send(EdgeFrame::Enable {
                call,
                session,
                generation,
                request,
            });
            Some(())
        })
        .await
    }

    /// Asks a home, wherever it is, until it answers.
    async fn insist<T>(&self, mut ask: impl FnMut(oneshot::Sender<Result<T, Gone>>) -> Option<()>) -> T {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
        loop {
            let settled = self.settled.notified();
            let (reply, answer) = oneshot::channel();
            if ask(reply).is_some()
                && let Ok(Ok(reply)) = answer.await
            {
                return reply;
            }
            let _ = tokio::time::timeout(backoff.next((self.config.jitter)()), settled).await;
        }
    }

    /// The way to the home of `slot`, noted as that of a new session.
    fn home_for(&self, session: SessionId, slot: Slot) -> Option<(LinkId, Arc<Line>)> {
        let mut sessions = self.sessions.lock();
        let (link, line) = sessions.home(slot).map(|(link, line)| (link, Arc::clone(line)))?;
        sessions.bind(session, slot, link);
        Some((link, line))
    }

    /// Takes in what a router says.
    fn hear(&self, link: LinkId, edge: &dyn Edge, frame: RouterFrame) {
        match frame {
            RouterFrame::Snapshot(snapshot) => self.membership.learn(snapshot),
            RouterFrame::Sasl(call, reply) => {
                if let Some(Call::Sasl(waiting)) = self.calls.answered(link, call) {
                    let _ = waiting.send(reply);
                }
            }
            RouterFrame::Register(call, reply) => {
                if let Some(Call::Register(waiting)) = self.calls.answered(link, call) {
                    let _ = waiting.send(reply);
                }
            }
            RouterFrame::Bind(call, reply) => self.hear_bind(link, call, reply),
            RouterFrame::Enable(call, reply) => {
                if let Some(Call::Enable(waiting)) = self.calls.answered(link, call) {
                    let _ = waiting.send(reply);
                }
            }
            RouterFrame::Resume(call, reply) => self.hear_resume(link, call, reply),
            RouterFrame::Delivery(mut delivery) => {
                let lacking = self
                    .sessions
                    .lock()
                    .delivery(link, &mut delivery, Instant::now().into_std());
                if lacking > 0 {
                    metric::gaps(lacking);
                    self.stir.notify_one();
                }
                if !delivery.sessions.is_empty() {
                    edge.deliver(delivery);
                }
            }
            RouterFrame::Done(done) => {
                let news: Vec<_> = {
                    let mut sessions = self.sessions.lock();
                    done.into_iter()
                        .filter(|(id, number)| sessions.done(link, *id, *number))
                        .collect()
                };
                news.into_iter().for_each(|(id, number)| edge.done(id, number));
            }
            RouterFrame::Mirror(id, state) => self.sessions.lock().mirror(link, id, state),
            RouterFrame::Hold(id, waiting) => self.sessions.lock().hold(link, id, waiting),
            RouterFrame::Kick(id, condition) => {
                if self.sessions.lock().kicked(link, id) {
                    edge.kick(id, condition);
                }
            }
            RouterFrame::Keep(attach) => {
                self.sessions.lock().keep(link, *attach, Instant::now().into_std());
                self.stir.notify_one();
            }
            RouterFrame::Refused {
                session,
                generation,
                why,
            } => {
                let now = Instant::now().into_std();
                if self.sessions.lock().refused(link, session, generation, why, now) {
                    edge.kick(session, StreamCondition::Reset);
                }
                self.stir.notify_one();
            }
            RouterFrame::Closed { session, kept } => self.sessions.lock().closed(link, session, kept),
            RouterFrame::Sealed(table) => {
                self.sessions.lock().sealed(link, table);
                self.stir.notify_one();
            }
        }
    }

    fn hear_bind(&self, link: LinkId, call: u64, reply: Result<BindReply, Gone>) {
        let Some(Call::Bind(request, waiting)) = self.calls.answered(link, call) else {
            return;
        };
        let id = request.session;
        let mut sessions = self.sessions.lock();
        match &reply {
            Ok(BindReply::Bound(jid, _)) => {
                let session = SessionRef::new(id, jid.clone());
                sessions.bound(link, session, request.grant, request.peer, Counts::default());
            }
            _ => sessions.unbound(id),
        }
        // The home may have moved meanwhile, and waits to hear that all is attached.
        self.stir.notify_one();
        if waiting.send(reply).is_err() {
            sessions.close(id, CloseReason::Edge); // nobody waits for it any more
        }
    }

    fn hear_resume(&self, link: LinkId, call: u64, reply: Result<ResumeReply, Gone>) {
        let Some(Call::Resume(request, waiting)) = self.calls.answered(link, call) else {
            return;
        };
        let id = request.session;
        let mut sessions = self.sessions.lock();
        match &reply {
            Ok(ResumeReply::Resumed { jid, now, .. }) => {
                let session = SessionRef::new(id, jid.clone());
                sessions.bound(link, session, request.grant, request.peer, *now);
            }
            _ => sessions.unbound(id),
        }
        self.stir.notify_one();
        if waiting.send(reply).is_err() {
            sessions.close(id, CloseReason::Lost); // its client may try once more
        }
    }

    async fn greet(
        &self,
        router: &Member,
        client: &mut RouterClient<Channel>,
        outbox: &Arc<ToRouter>,
    ) -> Result<(Greeting, Streaming<pb::RouterFrames>), Status> {
        let epoch = Epoch(self.epoch.load(Ordering::Acquire));
        let NodeRecord { id, version, .. } = &self.membership.node;
        let me = Identity {
            id: id.clone(),
            epoch,
            release: version.clone(),
        };
        let table = self.membership.snapshots.borrow().table.revision;
        let hello = pb::edge_frame::Frame::Hello(me.hello(table));
        let hello = pb::EdgeFrames {
            frames: vec![pb::EdgeFrame { frame: Some(hello) }],
        };
        let mut inbound = client
            .attach(frames(hello, Arc::clone(outbox), encode))
            .await?
            .into_inner();
        let first = inbound
            .message()
            .await?
            .and_then(|batch| batch.frames.into_iter().next());
        let hello = first.and_then(|frame| match frame.frame {
            Some(pb::router_frame::Frame::Hello(hello)) => Some(hello),
            _ => None,
        });
        let greeting = greeted(hello)?;
        is_meant(&greeting.who, &router.record.id, router.epoch)?;
        Ok((greeting, inbound))
    }
}

/// A link that is up; taken down when dropped.
struct Up<'a>(&'a Pool, LinkId);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        let Self(pool, link) = self;
        pool.lines.lock().retain(|(_, up, _)| up != link);
        pool.membership.clients.remove(*link);
        pool.sessions.lock().link_down(*link);
        pool.calls.lost(*link);
        pool.stir.notify_one();
        metric::up("router", false);
    }
}

#[async_trait]
impl Talk for Pool {
    const NAME: &'static str = "router";

    async fn talk(
        &self,
        router: &Member,
        mut client: RouterClient<Channel>,
        stop: &CancellationToken,
    ) -> Result<(), Status> {
        let Some(edge) = self.edge.get() else { return Ok(()) };
        let closed = stop.child_token();
        let _close = closed.clone().drop_guard();
        // Bounded by the sessions' windows and the connections that log in.
        let limit = Window {
            items: usize::MAX,
            bytes: usize::MAX,
        };
        let outbox = Arc::new(Outbox::new("edge", limit, Marks::After, LINGER, closed));
        let greeting = self.greet(router, &mut client, &outbox);
        let late = |_| Err(Status::deadline_exceeded("greeting took too long"));
        let (greeting, mut inbound) = tokio::time::timeout(self.config.connect_timeout, greeting)
            .await
            .unwrap_or_else(late)?;
        let (link, node) = (LinkId::fresh(), &router.record.id);
        let line = Arc::new(Line {
            outbox,
            knows_pending: greeting.minor >= 1,
        });
        tracing::info!(router = %node, "link up");
        self.membership.clients.add(link, client);
        self.lines.lock().push((node.clone(), link, Arc::clone(&line)));
        self.sessions.lock().link_up(node.clone(), router.epoch, link, line);
        metric::up("router", true);
        let _up = Up(self, link);
        self.stir.notify_one();
        while let Some(batch) = inbound.message().await? {
            metric::received("router", batch.frames.len());
            for frame in batch.frames {
                match RouterFrame::decode(frame) {
                    Ok(frame) => self.hear(link, &**edge, frame),
                    Err(Unreadable { why, sessions }) => {
                        metric::malformed("router");
                        tracing::warn!(router = %node, error = %why, "frame passed over");
                        self.sessions.lock().pass_over(link, &sessions);
                    }
                }
            }
        }
        Err(Status::unavailable("the router ended the link"))
    }
}

/// Turns a batch into a message: what was written comes last, after what attached the sessions.
fn encode(batch: Batch<EdgeFrame, stanza::SessionId, u64>) -> pb::EdgeFrames {
    metric::sent("edge", batch.frames.len() + batch.marks.len(), batch.bytes);
    let written = batch
        .marks
        .into_iter()
        .map(|(session, number)| EdgeFrame::Written { session, number });
    pb::EdgeFrames {
        frames: batch.frames.into_iter().chain(written).map(EdgeFrame::encode).collect(),
    }
}
