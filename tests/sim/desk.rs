//! An edge between its clients' connections and the real link: it numbers, submits, delivers and acknowledges as the edge's sessions do
//! (XEP-0198), without bytes and XML streams.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use link::grpc::RouterPool;
use link::{CloseReason, Delivery, Edge, Router, Said, SessionRef, Submission};
use parking_lot::Mutex;
use stanza::{
    BindReply, BindRequest, Counts, EnableReply, EnableRequest, Grant, Peer, ResumeReply, ResumeRequest, SessionId,
    Stanza, StreamCondition, Timestamp, acknowledged, handled,
};

use crate::line::{Hear, Line, Say};
use crate::stores::{SECRET, stored};

/// The sessions of an edge by id.
#[derive(Default)]
pub(crate) struct Desk {
    posts: Mutex<BTreeMap<SessionId, Arc<Post>>>,
}

/// What others leave for a session.
struct Post {
    line: Arc<Line>,
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    outbox: VecDeque<(u64, Arc<Stanza>)>,
    /// The highest delivery that came.
    came: u64,
    /// The highest number of the client's stanzas that is done.
    done: u64,
    order: Option<Order>,
}

/// Why the session is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Kick,
    Leave,
    Fence,
}

impl Desk {
    /// Takes a connection; the future serves it to its end.
    pub(crate) fn accept(
        self: &Arc<Self>,
        pool: &Arc<RouterPool>,
        line: &Arc<Line>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let post = Arc::new(Post {
            line: line.clone(),
            state: Mutex::default(),
        });
        self.posts.lock().insert(line.id, post.clone());
        let session = Session::new(pool.clone(), post);
        let (desk, id) = (self.clone(), line.id);
        async move {
            session.live().await;
            desk.posts.lock().remove(&id);
        }
    }

    /// Ends all sessions so that their clients go on elsewhere.
    pub(crate) fn leave(&self) {
        self.order_all(Order::Leave);
    }

    /// This life of the edge is over.
    pub(crate) fn fence(&self) {
        self.order_all(Order::Fence);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.posts.lock().is_empty()
    }

    /// All connections, in order.
    pub(crate) fn lines(&self) -> Vec<Arc<Line>> {
        self.posts.lock().values().map(|post| post.line.clone()).collect()
    }

    fn order_all(&self, order: Order) {
        for post in self.posts.lock().values() {
            post.order(order);
        }
    }

    fn post(&self, id: SessionId) -> Option<Arc<Post>> {
        self.posts.lock().get(&id).cloned()
    }
}

impl Edge for Desk {
    fn deliver(&self, delivery: Delivery) {
        for (id, number) in delivery.sessions {
            let Some(post) = self.post(id) else { continue };
            let mut state = post.state.lock();
            if number > state.came {
                state.came = number;
                state.outbox.push_back((number, delivery.stanza.clone()));
            }
            drop(state);
            post.line.stir();
        }
    }

    fn done(&self, session: SessionId, number: u64) {
        if let Some(post) = self.post(session) {
            let mut state = post.state.lock();
            state.done = state.done.max(number);
            drop(state);
            post.line.stir();
        }
    }

    fn mirror(&self, _: SessionId, _: Bytes) {}

    fn kick(&self, session: SessionId, _: StreamCondition) {
        if let Some(post) = self.post(session) {
            post.order(Order::Kick);
        }
    }
}

impl Post {
    fn order(&self, order: Order) {
        let mut state = self.state.lock();
        if state.order.is_none() || order == Order::Fence {
            state.order = Some(order);
        }
        drop(state);
        self.line.stir();
    }
}

/// One connection's session.
struct Session {
    pool: Arc<RouterPool>,
    post: Arc<Post>,
    bound: Option<SessionRef>,
    /// Where it stood when stream management began.
    since: Option<Counts>,
    /// The client's stanzas.
    number: u64,
    /// Deliveries that were written, and those of which the home knows so.
    written: u64,
    reported: u64,
    /// While deliveries may be written.
    takes: bool,
    /// The client waits to hear that this is done.
    owed: Option<u64>,
}

impl Session {
    fn new(pool: Arc<RouterPool>, post: Arc<Post>) -> Self {
        Self {
            pool,
            post,
            bound: None,
            since: None,
            number: 0,
            written: 0,
            reported: 0,
            takes: false,
            owed: None,
        }
    }

    async fn live(mut self) {
        let reason = self.run().await;
        if let Some(session) = self.bound.take() {
            self.pool.close(&session, reason).await;
        }
        self.post.line.end();
    }

    async fn run(&mut self) -> CloseReason {
        loop {
            self.turn();
            let order = self.post.state.lock().order;
            if let Some(order) = order {
                return self.obey(order);
            }
            match self.post.line.next() {
                Some(say) => {
                    if let Some(reason) = self.heed(say).await {
                        return reason;
                    }
                }
                None if self.post.line.is_hung_up() => return CloseReason::Lost,
                None => self.post.line.woken().await,
            }
        }
    }

    fn obey(&mut self, order: Order) -> CloseReason {
        if order != Order::Fence {
            self.answer();
        }
        match order {
            Order::Kick => CloseReason::Kicked,
            Order::Leave | Order::Fence => CloseReason::Edge,
        }
    }

    /// Writes what there is room for, reports, and answers.
    fn turn(&mut self) {
        while self.takes && self.post.line.has_room() {
            let Some((number, stanza)) = self.post.state.lock().outbox.pop_front() else {
                break;
            };
            if number > self.written {
                self.written = number;
                self.post.line.tell(Hear::Stanza(stanza));
            }
        }
        if self.since.is_none() {
            self.report(self.written);
        }
        let done = self.post.state.lock().done;
        if self.owed.take_if(|owed| done >= *owed).is_some() {
            self.answer();
        }
    }

    fn report(&mut self, number: u64) {
        if let Some(session) = self.bound.as_ref().filter(|_| number > self.reported) {
            self.reported = number;
            self.pool.written(session, number);
        }
    }

    fn answer(&self) {
        if let Some(since) = self.since {
            let done = self.post.state.lock().done;
            self.post.line.tell(Hear::Handled(handled(done, since.received)));
        }
    }

    /// Does what the client asks for; says why the session is over if it is.
    async fn heed(&mut self, say: Say) -> Option<CloseReason> {
        match say {
            Say::Bind => self.bind().await,
            Say::Resume { id, h } => self.resume(id, h).await,
            Say::Enable { max } => self.enable(max).await,
            Say::Stanza(stanza) => return self.submit(*stanza).await,
            Say::Acknowledge(h) => return self.acknowledge(h),
            Say::Ask => self.owed = Some(self.number),
            Say::Close => return Some(CloseReason::Client),
        }
        None
    }

    async fn bind(&mut self) {
        let line = self.post.line.clone();
        let request = BindRequest {
            session: line.id,
            account: line.account.clone(),
            grant: self.grant(),
            resource: Some(line.resource.clone()).into(),
            peer: Peer::default(),
        };
        let pool = self.pool.clone();
        match self.ask(pool.bind(request)).await {
            BindReply::Bound(jid, _) => {
                self.bound = Some(SessionRef::new(line.id, jid));
                self.takes = true;
                line.tell(Hear::Bound);
            }
            BindReply::Refused(_) => line.tell(Hear::NotBound),
        }
    }

    async fn resume(&mut self, id: String, h: u32) {
        let line = self.post.line.clone();
        let request = ResumeRequest {
            session: line.id,
            account: line.account.clone(),
            grant: self.grant(),
            id,
            h,
            peer: Peer::default(),
        };
        let pool = self.pool.clone();
        match self.ask(pool.resume(request)).await {
            ResumeReply::Resumed { jid, since, now } => {
                self.bound = Some(SessionRef::new(line.id, jid));
                (self.since, self.number) = (Some(since), now.received);
                (self.written, self.reported) = (now.sent, now.sent);
                let mut state = self.post.state.lock();
                state.done = state.done.max(now.received);
                drop(state);
                line.tell(Hear::Resumed(handled(now.received, since.received)));
                self.takes = true;
            }
            ResumeReply::Refused { h, .. } => line.tell(Hear::NotResumed(h)),
            ResumeReply::TooHigh(_) => line.tell(Hear::NotResumed(None)),
        }
    }

    async fn enable(&mut self, max: u32) {
        let Some(session) = self.bound.clone() else { return };
        self.takes = false;
        let since = Counts {
            received: self.number,
            sent: self.written,
        };
        let request = EnableRequest {
            since,
            resume: true,
            max: Some(max),
        };
        let pool = self.pool.clone();
        match self.ask(pool.enable(&session, request)).await {
            EnableReply::Enabled(resumption) => {
                self.since = Some(since);
                let id = resumption.map(|resumption| resumption.id);
                self.post.line.tell(Hear::Enabled(id));
            }
            EnableReply::Refused(_) => self.post.line.tell(Hear::NotEnabled),
        }
        self.takes = true;
    }

    async fn submit(&mut self, stanza: Stanza) -> Option<CloseReason> {
        let session = self.bound.clone()?;
        self.number += 1;
        let submission = Submission {
            number: self.number,
            said: Said::Stanza(stanza),
            trace: None,
        };
        let pool = self.pool.clone();
        let taken = self.ask(pool.submit(&session, submission)).await;
        taken.is_err().then(|| {
            self.answer();
            CloseReason::Edge
        })
    }

    fn acknowledge(&mut self, h: u32) -> Option<CloseReason> {
        let since = self.since?;
        match acknowledged(h, since.sent, self.reported, self.written) {
            Ok(number) => {
                self.report(number);
                None
            }
            Err(_) => Some(CloseReason::Edge),
        }
    }

    /// Waits for a router's answer; writes meanwhile, but reads nothing.
    async fn ask<A>(&mut self, answer: impl Future<Output = A>) -> A {
        let mut answer = pin!(answer);
        let line = self.post.line.clone();
        loop {
            let mut woken = pin!(line.woken());
            let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending => woken.as_mut().poll(cx).map(|()| None),
            });
            if let Some(answer) = answered.await {
                return answer;
            }
            self.turn();
        }
    }

    fn grant(&self) -> Grant {
        let (id, account) = (self.post.line.id, &self.post.line.account);
        let mark = sasl::mark(&SECRET, &stored(account.clone()));
        sasl::seal(&SECRET, id, account, mark, Timestamp(i64::MAX))
    }
}
