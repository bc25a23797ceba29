//! One client connection from its first byte to its last: the loop between a socket, the stream machine and a router.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use link::{CloseReason, Gone, Said, SessionRef, Step, Submission};
use stanza::{
    Bare, BindReply, BindRequest, Condition, EnableRequest, Full, Grant, Peer, RegisterRequest, ResourceRequest,
    ResumeReply, ResumeRequest, SaslFailure, SaslRequest, SessionId, StreamCondition,
};
use stream::{Closed, Dialect, Event, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::Instrument;
use tracing::instrument::Instrumented;

use crate::admission::Place;
use crate::alarm::Alarm;
use crate::gate::Class;
use crate::handshake::handshake;
use crate::meters::{Counted, mechanism};
use crate::outbox::{Item, Next, Order};
use crate::sessions::Entry;
use crate::shaper::Shaper;
use crate::shared::{Shared, now};
use crate::socket::Socket;
use crate::tls::Way;
use crate::wire::Wire;

/// Deliveries are gathered until there is this much to write, in bytes.
const COALESCED: usize = 16 << 10;

/// With this much still to be written, in bytes, nothing more is read.
const MOST_UNWRITTEN: usize = 64 << 10;

/// What a client may still send after a stream error before the connection is cut, in bytes.
const LINGERING: usize = 256 << 10;

/// Serves `socket`, on which `dialect` is spoken, until the connection ends.
pub(crate) fn serve<T>(
    shared: Arc<Shared>,
    dialect: Dialect,
    socket: Socket<T>,
    peer: Peer,
    place: Place,
) -> impl Future<Output = ()> + Send + 'static
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let id = SessionId(rand::random());
    // Below INFO, so that a million sessions do not each keep a span by default.
    let span = tracing::debug_span!("session", %id);
    // Boxed at once: what is moved through a future counts twice in its size.
    live(Box::new(Session::new(shared, dialect, socket, id, peer, place))).instrument(span)
}

/// Runs a session to its end. Whatever happens, the home is told.
async fn live<T: AsyncRead + AsyncWrite + Unpin + Send>(mut session: Box<Session<T>>) {
    let closed = match AssertUnwindSafe(session.run()).catch_unwind().await {
        Ok(closed) => closed,
        Err(_) => session.failed(),
    };
    tracing::debug!(?closed, "stream ended");
    session.shared.meters().closed(&closed);
    Box::pin(session.finish(&closed)).await;
}

/// A connection and all that belongs to it.
struct Session<T> {
    shared: Arc<Shared>,
    id: SessionId,
    stream: Stream,
    wire: Wire<T>,
    entry: Entry,
    place: Place,
    _counted: Counted,
    /// Until a resource is bound.
    peer: Option<Box<Peer>>,
    mechanism: Option<&'static str>,
    bound: Option<Bound>,
    /// The highest delivery reported as written or acknowledged.
    reported: u64,
    bytes: Shaper,
    stanzas: Shaper,
    /// Read no more before.
    rests_until: Option<Instant>,
    alarm: Alarm,
    /// Why the session is being closed, if not by the client.
    reason: Option<CloseReason>,
    /// The connection is of no use any more.
    lost: bool,
    /// The edge is fenced, or the home gone: nothing more is submitted.
    mute: bool,
}

/// A session with a resource.
struct Bound {
    session: SessionRef,
    _counted: Counted,
}

/// What came of looking at the machine.
enum Begun<'a> {
    Nothing,
    Submission(Instrumented<BoxFuture<'a, Result<(), Gone>>>),
    Login(Box<Event>),
    Closed(Closed),
    /// The machine asks for nothing.
    Rest,
}

/// What a turn came to.
enum Turn {
    /// The machine has something to say.
    Changed,
    /// The connection went away, or is given up.
    Lost,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Session<T> {
    fn new(shared: Arc<Shared>, dialect: Dialect, socket: Socket<T>, id: SessionId, peer: Peer, place: Place) -> Self {
        let entry = shared.sessions.enter(id);
        // Entered first: whoever fences or stops the edge later finds the entry.
        if *shared.fenced.borrow() {
            entry.order(Order::Fence);
        }
        if shared.stopping.is_cancelled() {
            entry.order(Order::Leave(shared.config.drain.condition()));
        }
        Self {
            stream: Stream::of(dialect, shared.stream.clone(), id, peer.clone(), rand::random(), now()),
            wire: Wire::new(socket),
            entry,
            place,
            _counted: Counted::new(&shared.meters().connections),
            peer: Some(Box::new(peer)),
            mechanism: None,
            bound: None,
            reported: 0,
            bytes: Shaper::default(),
            stanzas: Shaper::default(),
            rests_until: None,
            alarm: Alarm::default(),
            reason: None,
            lost: false,
            mute: false,
            shared,
            id,
        }
    }

    /// The loop panicked.
    fn failed(&mut self) -> Closed {
        tracing::error!("session failed");
        self.lost = true;
        self.reason = Some(CloseReason::Edge);
        Closed::Error(StreamCondition::InternalServerError)
    }

    async fn run(&mut self) -> Closed {
        let shared = self.shared.clone();
        loop {
            let session = self.bound.as_ref().map(|bound| bound.session.clone());
            match self.begin_next(&shared, session.as_ref()) {
                Begun::Nothing => {}
                Begun::Submission(answer) => {
                    let answer = self.ask(pin!(answer)).await;
                    self.submitted(answer);
                }
                // Boxed, so that an idle session does not keep room for what happens once.
                Begun::Login(event) => Box::pin(self.perform(*event)).await,
                Begun::Closed(closed) => return closed,
                Begun::Rest if self.lost => self.stream.hang_up(),
                Begun::Rest => self.lost = matches!(poll_fn(|cx| self.poll_turn(cx, false)).await, Turn::Lost),
            }
        }
    }

    /// Begins what the machine asks for next. Apart from the loop, so that this does not keep room for an event.
    fn begin_next<'a>(&mut self, shared: &'a Shared, session: Option<&'a SessionRef>) -> Begun<'a> {
        match self.stream.poll() {
            Some(event) => self.begin(event, shared, session),
            None => Begun::Rest,
        }
    }

    /// Begins what an event asks for.
    fn begin<'a>(&mut self, event: Event, shared: &'a Shared, session: Option<&'a SessionRef>) -> Begun<'a> {
        match (event, session) {
            (Event::Stanza(number, stanza), Some(session)) if !self.mute => {
                self.submit(number, Said::Stanza(stanza), shared, session)
            }
            (Event::Answered(number, answer), Some(session)) if !self.mute => {
                self.submit(number, Said::Answered(answer), shared, session)
            }
            (Event::Stanza(..) | Event::Answered(..), _) => Begun::Nothing,
            (Event::Refused(condition), _) => self.refused(&condition),
            (Event::Rejected(failure), _) => self.rejected(failure),
            (Event::Closed(closed), _) => Begun::Closed(closed),
            (event, _) => Begun::Login(Box::new(event)),
        }
    }

    fn refused<'a>(&self, condition: &Condition) -> Begun<'a> {
        self.shared.meters().refused_stanza(condition);
        Begun::Nothing
    }

    fn rejected<'a>(&self, failure: SaslFailure) -> Begun<'a> {
        self.shared.meters().sasl_failure("none", failure);
        Begun::Nothing
    }

    fn submit<'a>(&mut self, number: u64, said: Said, shared: &'a Shared, session: &'a SessionRef) -> Begun<'a> {
        shared.meters().stanzas_in.increment(1);
        let rest = self.stanzas.take(1, &shared.config.rates.stanzas, now());
        self.rests_until = self.rests_until.max(rest);
        let Step { span, trace } = Step::first("edge.submit", said.name(), shared.config.trace_ratio);
        let submission = Submission { number, said, trace };
        Begun::Submission(shared.router.submit(session, submission).instrument(span))
    }

    /// The home's answer to a submission; when the home is gone, so is the session.
    fn submitted(&mut self, answer: Result<(), Gone>) {
        let condition = match answer {
            Ok(()) => return,
            Err(Gone::Session) => StreamCondition::Conflict,
            Err(Gone::Home | Gone::Unreachable) => StreamCondition::RemoteConnectionFailed,
        };
        self.mute = true;
        self.close(CloseReason::Edge, condition);
    }

    /// What happens once in a session.
    async fn perform(&mut self, event: Event) {
        match event {
            Event::StartTls => self.secure().await,
            Event::Sasl(request) => self.sasl(request).await,
            Event::Register(request) => self.register(*request).await,
            Event::Bind {
                account,
                grant,
                resource,
            } => self.bind(account, grant, resource).await,
            Event::Resume { account, grant, id, h } => self.resume(account, grant, id, h).await,
            Event::Enable(request) => self.enable(request).await,
            Event::Active(active) => self.look(active).await,
            // Not reached: begun elsewhere.
            Event::Stanza(..) | Event::Answered(..) | Event::Refused(_) | Event::Rejected(_) | Event::Closed(_) => {}
        }
    }

    async fn secure(&mut self) {
        self.lost |= !self.flush().await;
        let socket = std::mem::replace(&mut self.wire.socket, Socket::Gone);
        let (Socket::Plain(io), false) = (socket, self.lost) else {
            self.lost = true;
            return;
        };
        let Some((io, facts)) = handshake(&self.shared, io, Way::StartTls).await else {
            self.lost = true;
            return;
        };
        self.wire = Wire::new(Socket::Tls(io));
        if let Some(peer) = &mut self.peer {
            peer.tls = Some(facts.clone());
        }
        self.stream.secured(facts, now());
    }

    async fn sasl(&mut self, request: SaslRequest) {
        let shared = self.shared.clone();
        self.mechanism = mechanism(&request).or(self.mechanism);
        let abort = matches!(request, SaslRequest::Abort { .. });
        let refused = Class::of(&request).filter(|class| !shared.gate.admits(*class, now()));
        let mechanism = self.mechanism.unwrap_or("other");
        if let Some(class) = refused {
            shared.meters().refused_login(class.name());
            shared
                .meters()
                .sasl_failure(mechanism, SaslFailure::TemporaryAuthFailure);
            return self.stream.overloaded(now());
        }
        let reply = self.ask(shared.router.sasl(request)).await;
        if abort {
            return;
        }
        shared.meters().sasl(mechanism, &reply);
        self.stream.sasl(reply, now());
    }

    async fn register(&mut self, request: RegisterRequest) {
        let shared = self.shared.clone();
        if !shared.gate.admits(Class::Registration, now()) {
            shared.meters().refused_login(Class::Registration.name());
            return self.stream.overloaded(now());
        }
        let reply = self.ask(shared.router.register(request)).await;
        self.stream.registered(reply, now());
    }

    async fn bind(&mut self, account: Bare, grant: Grant, resource: ResourceRequest) {
        let shared = self.shared.clone();
        let peer = self.peer.as_deref().cloned().unwrap_or_default();
        let request = BindRequest {
            session: self.id,
            account,
            grant,
            resource,
            peer,
        };
        let reply = self.ask(shared.router.bind(request)).await;
        if let BindReply::Bound(jid, _) = &reply {
            self.established(jid.clone());
        }
        self.stream.bound(reply, now());
    }

    async fn resume(&mut self, account: Bare, grant: Grant, id: String, h: u32) {
        let shared = self.shared.clone();
        let request = ResumeRequest {
            session: self.id,
            account,
            grant,
            id,
            h,
            peer: self.peer.as_deref().cloned().unwrap_or_default(),
        };
        let reply = self.ask(shared.router.resume(request)).await;
        if let ResumeReply::Resumed { jid, now, .. } = &reply {
            self.established(jid.clone());
            self.reported = now.sent;
        }
        self.stream.resumed(reply, now());
    }

    async fn enable(&mut self, request: EnableRequest) {
        let shared = self.shared.clone();
        let Some(session) = self.bound.as_ref().map(|bound| bound.session.clone()) else {
            return; // not reached: only the established come here
        };
        let reply = self.ask(shared.router.enable(&session, request)).await;
        self.stream.enabled(&reply, now());
    }

    async fn look(&mut self, active: bool) {
        let shared = self.shared.clone();
        if let Some(session) = self.bound.as_ref().map(|bound| bound.session.clone()) {
            self.ask(shared.router.look(&session, active)).await;
        }
    }

    /// The session has its address.
    fn established(&mut self, jid: Full) {
        self.bound = Some(Bound {
            session: SessionRef::new(self.id, jid),
            _counted: Counted::new(&self.shared.meters().sessions),
        });
        self.peer = None;
        self.place.established();
        self.bytes = Shaper::default();
    }

    fn close(&mut self, reason: CloseReason, condition: StreamCondition) {
        self.reason = self.reason.or(Some(reason));
        self.stream.done(self.entry.done_now(), now());
        self.stream.close(Some(condition), now());
    }

    /// Waits for a router's answer, however long; writes meanwhile, but reads nothing from the client.
    async fn ask<A>(&mut self, answer: impl Future<Output = A>) -> A {
        let mut answer = pin!(answer);
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            while !self.lost {
                match self.poll_turn(cx, true) {
                    Poll::Pending => break,
                    Poll::Ready(Turn::Changed) => {}
                    Poll::Ready(Turn::Lost) => self.lost = true,
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Does all that can be done without a router: writes, gathers deliveries, obeys orders, reads (unless `asking`), keeps
    /// time. Ready when the machine must be looked at.
    fn poll_turn(&mut self, cx: &mut Context<'_>, asking: bool) -> Poll<Turn> {
        if self.stream.owes() {
            self.stream.done(self.entry.done(cx), now());
        }
        loop {
            let blocked = match self.poll_write(cx) {
                Poll::Ready(true) => false,
                Poll::Ready(false) => return Poll::Ready(Turn::Lost),
                Poll::Pending => true,
            };
            match self.gather(cx, blocked) {
                ControlFlow::Break(turn) => return Poll::Ready(turn),
                ControlFlow::Continue(gathered) if gathered && !blocked => {}
                ControlFlow::Continue(_) => break,
            }
        }
        if !asking && let Poll::Ready(turn) = self.poll_read(cx) {
            return Poll::Ready(turn);
        }
        self.poll_alarm(cx, asking)
    }

    /// Ready with true when all output has left, with false when none will.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut sent = 0;
        self.stream.before_write(now());
        let outcome = self
            .wire
            .poll_write(self.stream.output(), self.shared.config.timeouts.write, &mut sent, cx);
        if sent > 0 {
            self.shared.meters().bytes_out.increment(sent);
        }
        outcome.map(|outcome| {
            if outcome.is_ok() {
                self.report();
            }
            outcome.is_ok()
        })
    }

    /// Everything delivered so far has been written: tells the home what it need not keep any more.
    fn report(&mut self) {
        let released = self.stream.released();
        if let Some(bound) = self.bound.as_ref().filter(|_| released > self.reported) {
            self.reported = released;
            self.shared.router.written(&bound.session, released);
        }
    }

    /// Takes what others left in the outbox, as much as is written at once. Continues with whether there was anything.
    fn gather(&mut self, cx: &mut Context<'_>, blocked: bool) -> ControlFlow<Turn, bool> {
        let mut gathered = false;
        loop {
            let room = self.stream.output().len() < COALESCED;
            if !room && !blocked {
                return ControlFlow::Continue(gathered); // write first
            }
            match self.entry.next(room && self.stream.takes_deliveries(), cx) {
                Some(Next::Deliver(item)) => self.deliver(&item),
                Some(Next::Close(order)) => return ControlFlow::Break(self.obey(order)),
                None => return ControlFlow::Continue(gathered),
            }
            gathered = true;
        }
    }

    fn deliver(&mut self, item: &Item) {
        let to = self
            .bound
            .as_ref()
            .filter(|_| item.readdress)
            .map(|bound| bound.session.jid.jid());
        self.stream.deliver(item.number, &item.stanza, to);
        if let Some(span) = &item.span {
            span.record("outcome", "written");
        }
        self.shared.meters().stanzas_out.increment(1);
    }

    fn obey(&mut self, order: Order) -> Turn {
        match order {
            Order::Kick(condition) => self.close(CloseReason::Kicked, condition),
            Order::Leave(condition) => self.close(CloseReason::Edge, condition),
            Order::Overflow => self.close(CloseReason::Edge, StreamCondition::PolicyViolation),
            Order::Fence => {
                self.mute = true;
                self.close(CloseReason::Edge, StreamCondition::SystemShutdown);
            }
            Order::Abort => {
                self.reason = self.reason.or(Some(CloseReason::Edge));
                return Turn::Lost;
            }
        }
        Turn::Changed
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let full = self.stream.output().len() >= MOST_UNWRITTEN;
        if full || self.rests_until.is_some() || !self.stream.wants_input() {
            return Poll::Pending;
        }
        let stream = &mut self.stream;
        match self.wire.socket.poll_receive(cx, |bytes| stream.receive(bytes, now())) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(read)) if read > 0 => {
                self.count(read as u64);
                Poll::Ready(Turn::Changed)
            }
            Poll::Ready(_) => Poll::Ready(Turn::Lost),
        }
    }

    fn count(&mut self, read: u64) {
        self.shared.meters().bytes_in.increment(read);
        let rates = &self.shared.config.rates;
        let rate = if self.bound.is_some() {
            &rates.bytes
        } else {
            &rates.bytes_before
        };
        self.rests_until = self.bytes.take(read, rate, now());
    }

    /// While a router is asked, the stream's own deadline waits for the answer.
    fn poll_alarm(&mut self, cx: &mut Context<'_>, asking: bool) -> Poll<Turn> {
        let deadline = self.stream.deadline().filter(|_| !asking);
        let stalled = self.wire.stalled_until();
        let Some(due) = [deadline, stalled, self.rests_until].into_iter().flatten().min() else {
            self.alarm.clear();
            return Poll::Pending;
        };
        std::task::ready!(self.alarm.poll(due, cx));
        if stalled == Some(due) {
            self.reason = self.reason.or(Some(CloseReason::Edge));
            return Poll::Ready(Turn::Lost);
        }
        if self.rests_until == Some(due) {
            self.rests_until = None;
        } else {
            self.stream.tick(now());
        }
        Poll::Ready(Turn::Changed)
    }

    /// Writes what is left, reports, tells the home, and lets the client read the last words.
    async fn finish(&mut self, closed: &Closed) {
        let limit = self.shared.config.timeouts.close;
        if !self.lost {
            self.lost = !tokio::time::timeout(limit, self.flush()).await.unwrap_or(false);
        }
        if self.stream.is_acknowledged() {
            self.report();
        }
        if let Some(bound) = self.bound.take() {
            let reason = match closed {
                Closed::Clean => CloseReason::Client,
                Closed::HungUp | Closed::PeerError => CloseReason::Lost,
                Closed::Error(_) | Closed::TimedOut => CloseReason::Edge,
            };
            self.shared
                .router
                .close(&bound.session, self.reason.unwrap_or(reason))
                .await;
        }
        if !self.lost {
            let _ = tokio::time::timeout(limit, self.part(closed)).await;
        }
    }

    async fn flush(&mut self) -> bool {
        poll_fn(|cx| self.poll_write(cx)).await
    }

    /// Ends our direction. After a stream error, what still comes is thrown away for a while: unread input would make the
    /// kernel reset the connection, and the client would never see the error.
    async fn part(&mut self, closed: &Closed) {
        let socket = &mut self.wire.socket;
        let shut = poll_fn(|cx| socket.poll_shutdown(cx)).await;
        if shut.is_err() || !matches!(closed, Closed::Error(_)) {
            return;
        }
        let mut left = LINGERING;
        while let Ok(read) = poll_fn(|cx| socket.poll_receive(cx, |_| ())).await {
            left = left.saturating_sub(read);
            if read == 0 || left == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each idle session keeps, beside the socket and TLS: change the limits knowingly.
    #[test]
    fn a_session_stays_small() {
        type Io = tokio::net::TcpStream;
        fn future_size<F>(_: fn(Arc<Shared>, Dialect, Socket<Io>, Peer, Place) -> F) -> usize {
            size_of::<F>()
        }
        let (task, session, machine) = (future_size(serve::<Io>), size_of::<Session<Io>>(), size_of::<Stream>());
        println!("task {task}, session {session}, of it stream machine {machine} bytes");
        assert!(
            task <= 384 && session <= 896,
            "task {task}, session {session}, machine {machine}"
        );
    }
}
