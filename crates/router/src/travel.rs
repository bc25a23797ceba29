//! Carrying errands: each batch when its turn comes, and what follows from it in turn. No recursion, and no end of steps.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use engine::At;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use link::{Route, Trace};
use stanza::{Bare, Condition, Iq, Jid, PresenceType, SessionId, Stanza, StreamCondition};
use topology::Slot;
use tracing::Instrument;

use crate::arrive::{self, arrive};
use crate::cells::State;
use crate::core::{Core, Whose};
use crate::end;
use crate::errand::{Batch, Errand, Out, Question, Sent, Ticket};
use crate::gauges;
use crate::hosts::VirtualHost;
use crate::perform::finish;
use crate::query;
use crate::refuse::{refuse, unreachable};
use crate::slots::Pass;

/// Longest chain of errands that lead to errands.
const DEPTH: u32 = 16;

type Later = Pin<Box<dyn Future<Output = Option<Batch>> + Send>>;

/// Errands under way.
pub(crate) struct Travel {
    core: Arc<Core>,
    /// Batches whose turn it is.
    ready: VecDeque<Batch>,
    /// Batches that wait for their turn, answers in the making, stanzas on their way to peers. While a batch is carried nobody polls these, so
    /// none of them may hold what a step waits for.
    later: FuturesUnordered<Later>,
    steps: u32,
    /// Whether something was dropped as this life is over.
    cut: bool,
}

impl Travel {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            ready: VecDeque::new(),
            later: FuturesUnordered::new(),
            steps: 0,
            cut: false,
        }
    }

    /// Carries `batch` and all that follows from it, to the end. `false` when this life was over before that.
    pub(crate) async fn carry(core: &Arc<Core>, batch: Option<Batch>) -> bool {
        let mut travel = Self::new(core.clone());
        travel.add(batch);
        travel.finish().await
    }

    pub(crate) fn add(&mut self, batch: Option<Batch>) {
        let Some(batch) = batch else { return };
        if batch.out.depth > DEPTH {
            gauges::dropped("depth");
            return;
        }
        match batch.ticket {
            Ticket::Waiting(turn) => {
                let out = batch.out;
                self.later.push(Box::pin(async move {
                    let ticket = Ticket::Held { _turn: turn.await };
                    Some(Batch { ticket, out })
                }));
            }
            Ticket::Free | Ticket::Held { .. } => self.ready.push_back(batch),
        }
    }

    /// Carries everything to the end. A batch whose turn it is never waits for another's turn, so this ends.
    pub(crate) async fn finish(mut self) -> bool {
        loop {
            while let Some(Batch { ticket, out }) = self.ready.pop_front() {
                for errand in out.errands {
                    self.step(errand, out.trace, out.depth + 1).await;
                }
                drop(ticket);
            }
            match self.later.next().await {
                Some(batch) => self.add(batch),
                None => return !self.cut,
            }
        }
    }

    async fn step(&mut self, errand: Errand, trace: Option<Trace>, depth: u32) {
        if !self.core.slots.is_permitted() {
            // This life is over: what follows from it is void, and others go on where it was.
            self.cut = true;
            return gauges::dropped("fenced");
        }
        match errand {
            Errand::Send(sent) => self.send(sent, trace, depth).await,
            Errand::Broadcast { to, stanza } => self.broadcast(to, stanza, trace, depth).await,
            Errand::Ask(question) => self.ask(question, trace, depth),
            Errand::End {
                account,
                session,
                condition,
            } => {
                let batch = end_session(&self.core, &account, session, Some(condition), depth).await;
                self.add(batch);
            }
        }
    }

    /// Whether another step may be taken for the stanza that set all this off.
    fn may_step(&mut self) -> bool {
        self.steps += 1;
        let may = self.steps <= self.core.config.steps;
        if !may {
            gauges::dropped("steps");
        }
        may
    }

    async fn send(&mut self, sent: Sent, trace: Option<Trace>, depth: u32) {
        if !self.may_step() {
            return;
        }
        let core = self.core.clone();
        let Some(to) = sent.stanza.to().cloned() else { return };
        match core.whose(&to) {
            Whose::User => self.carry_home(to.bare(), sent, trace, depth).await,
            Whose::Component(home) => self.carry_home(home, sent, trace, depth).await,
            Whose::Server(host) => self.carry_to_server(host, &sent.stanza, trace, depth),
            Whose::Remote => self.bounce(remote(&sent.stanza), trace, depth),
        }
    }

    /// To the account that takes it in.
    async fn carry_home(&mut self, home: Bare, sent: Sent, trace: Option<Trace>, depth: u32) {
        let slot = Slot::of(home.as_str());
        let Sent { stanza, key } = sent;
        if let Some(_pass) = self.arrive_now(slot) {
            let sent = Sent {
                stanza: stanza.clone(),
                key,
            };
            let batch = arrive(&self.core, &home, sent, trace, depth).await;
            if !came_late(&self.core, &home, &stanza) {
                return self.add(batch);
            }
        }
        let route = Route {
            to: stanza.to().cloned().into_iter().collect(),
            stanza,
            key,
            trace,
        };
        self.carry_to_peers(slot, route, depth).await;
    }

    /// Permission to take a stanza in here at once. What is held for the slot since before it came here goes first.
    fn arrive_now(&self, slot: Slot) -> Option<Pass> {
        let pass = self.core.slots.arrive_now(slot).ok()?;
        (!self.core.peers.holds(slot)).then_some(pass)
    }

    /// RFC 6120, 10.5.1 and 10.5.2 (RFC 6121, 8.4): stanzas to a domain that is hosted here.
    fn carry_to_server(&mut self, host: &Arc<VirtualHost>, stanza: &Stanza, trace: Option<Trace>, depth: u32) {
        let bare = stanza.to().is_some_and(Jid::is_bare);
        match stanza {
            Stanza::Iq(iq) if bare && arrive::is_request(stanza) => {
                if let Some(question) = question(host, iq) {
                    self.ask(question, trace, depth);
                }
            }
            Stanza::Presence(_) => {}
            Stanza::Message(_) | Stanza::Iq(_) => {
                self.bounce(refuse(stanza, &Condition::ServiceUnavailable.into()), trace, depth);
            }
        }
    }

    async fn broadcast(&mut self, to: Vec<Jid>, stanza: Arc<Stanza>, trace: Option<Trace>, depth: u32) {
        let mut away: Option<(Slot, Vec<Jid>)> = None;
        for jid in to {
            let user = matches!(self.core.whose(&jid), Whose::User);
            let slot = Slot::of(jid.bare().as_str());
            let own = |jid: &Jid| addressed(&stanza, jid.clone());
            if !user {
                self.send(own(&jid).into(), trace, depth).await;
            } else if !self.may_step() {
                return;
            } else if let Some(_pass) = self.arrive_now(slot) {
                let batch = arrive(&self.core, &jid.bare(), own(&jid).into(), trace, depth).await;
                self.add(batch);
            } else {
                away.get_or_insert_with(|| (slot, Vec::new())).1.push(jid);
            }
        }
        if let Some((slot, to)) = away {
            let route = Route {
                to,
                stanza,
                key: None,
                trace,
            };
            self.carry_to_peers(slot, route, depth).await;
        }
    }

    /// Hands a stanza over to other homes. It is queued there before this returns; whether it arrived is known later.
    async fn carry_to_peers(&mut self, slot: Slot, route: Route, depth: u32) {
        let peers = self.core.peers.clone();
        let mut later: Later = Box::pin(async move {
            let (stanza, trace) = (route.stanza.clone(), route.trace);
            let lost = peers.route(slot, route).await.is_err();
            let mut out = Out::new(trace, depth);
            if lost {
                gauges::failed("route");
                out.send(unreachable(&stanza));
            }
            out.free()
        });
        // The first poll queues it, in order.
        match futures::poll!(&mut later) {
            std::task::Poll::Ready(batch) => self.add(batch),
            std::task::Poll::Pending => self.later.push(later),
        }
    }

    /// Has a request answered, in a task of its own: under the account's lock it writes to the stores, and goes on while another step is
    /// taken here that waits for that lock.
    fn ask(&mut self, question: Question, trace: Option<Trace>, depth: u32) {
        let core = self.core.clone();
        let answer = async move { query::answer(&core, question, trace, depth).await };
        let answer = tokio::spawn(answer.in_current_span());
        self.later.push(Box::pin(async move {
            answer.await.unwrap_or_else(|_| {
                gauges::panicked("router");
                tracing::error!("answering a request panicked");
                None
            })
        }));
    }

    fn bounce(&mut self, error: Option<Stanza>, trace: Option<Trace>, depth: u32) {
        let mut out = Out::new(trace, depth);
        out.send(error);
        self.add(out.free());
    }
}

/// Ends a session; its edge is told when there is something to tell.
pub(crate) async fn end_session(
    core: &Core,
    account: &Bare,
    session: SessionId,
    condition: Option<StreamCondition>,
    depth: u32,
) -> Option<Batch> {
    let cell = core.cells.find(account)?;
    let mut state = cell.state.lock().await;
    let State::Loaded(account) = &mut *state else {
        return None;
    };
    let mut out = Out::new(None, depth);
    if !end::end(core, account, session, condition, &mut out).await {
        return None;
    }
    finish(&cell, account, out).await
}

/// Whether a message may have been written to the archive after the slot's next home has looked there. That home is to be told of
/// it: it recognises what it knows by the key. A component has no archive.
pub(crate) fn came_late(core: &Core, home: &Bare, stanza: &Stanza) -> bool {
    let is_archived = matches!(stanza, Stanza::Message(_)) && home.local().is_some();
    is_archived && core.slots.arrive_now(Slot::of(home.as_str())).is_err()
}

/// `stanza` with its own addressee.
pub(crate) fn addressed(stanza: &Stanza, to: Jid) -> Stanza {
    let mut own = stanza.clone();
    own.head_mut().to = Some(to);
    own
}

fn question(host: &Arc<VirtualHost>, iq: &Iq) -> Option<Question> {
    Some(Question {
        at: At::Server,
        host: host.clone(),
        account: iq.head.from.as_ref()?.bare(),
        request: Arc::new(iq.clone()),
    })
}

/// A domain that is not hosted here (RFC 6120, 10.4). Presence goes nowhere in silence, as nobody could act on an error; a request
/// for it does not (RFC 6121, 3.1.2).
fn remote(stanza: &Stanza) -> Option<Stanza> {
    match stanza {
        Stanza::Presence(presence) if presence.kind != PresenceType::Subscribe => None,
        _ => refuse(stanza, &Condition::RemoteServerNotFound.into()),
    }
}
