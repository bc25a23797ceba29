//! An account at its home: what hooks see of it, and its sessions. Everything here happens under the account's lock.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{AccountView, Facts, Meters, Outcome, SessionChange, SessionView, View, Way};
use link::{Delivery, EdgeRef, Trace, Waiting};
use sasl::Mark;
use stanza::{ArchiveId, Bare, Full, Jid, SessionId, Stanza, Timestamp};
use store::Version;

use crate::doubts::Doubts;
use crate::gauges;
use crate::hosts::VirtualHost;
use crate::log::{self, Log};
use crate::mirror::Mirror;
use crate::session::{Fate, Former, QueueLimits, Session};
use crate::sessions::Sessions;
use crate::vouch::Proof;

/// Most addresses whose directed presence is remembered for one session.
const DIRECTED: usize = 1_000;

/// An account at its home.
pub(crate) struct Account {
    pub(crate) host: Arc<VirtualHost>,
    /// When it was created.
    created: Timestamp,
    /// Whether nobody could log in to it when it was read.
    disabled: bool,
    /// Stands for the password that it had when it was read.
    pub(crate) mark: Mark,
    /// What hooks see. Handlers keep a snapshot while they await; a change then copies.
    pub(crate) view: Arc<AccountView>,
    pub(crate) sessions: Sessions,
    /// What is known of its archive, once that was looked at; and the version of the record from which it is known.
    pub(crate) log: Option<Log>,
    pub(crate) log_version: Option<Version>,
    /// What was refused although it may have been written.
    pub(crate) doubts: Doubts,
    /// Whether it was noted that the record is to be written.
    pub(crate) marked: bool,
    /// Whether what hooks see may be out of date.
    pub(crate) stale: bool,
    /// Sessions whose record at the edge is out of date.
    dirty: BTreeSet<SessionId>,
    /// Sessions that have more waiting than is allowed.
    overflown: Vec<SessionId>,
}

impl Account {
    pub(crate) fn new(host: Arc<VirtualHost>, created: Timestamp, view: AccountView) -> Self {
        Self {
            host,
            created,
            disabled: false,
            mark: Mark::default(),
            view: Arc::new(view),
            sessions: Sessions::default(),
            log: None,
            log_version: None,
            doubts: Doubts::default(),
            marked: false,
            stale: false,
            dirty: BTreeSet::new(),
            overflown: Vec::new(),
        }
    }

    /// An external component: nobody created it, and no store knows it.
    pub(crate) fn component(jid: Bare, host: Arc<VirtualHost>) -> Self {
        let view = AccountView {
            jid,
            sessions: Vec::new(),
            meters: Meters::default(),
            roster: Arc::default(),
            lent: None,
            away_since: None,
            facts: Facts::default(),
        };
        Self::new(host, Timestamp(i64::MIN), view)
    }

    /// Whether it is an external component: users have names.
    pub(crate) fn is_component(&self) -> bool {
        self.jid().local().is_none()
    }

    pub(crate) fn jid(&self) -> &Bare {
        &self.view.jid
    }

    /// Takes note of what the store holds of it, with the mark of that.
    pub(crate) fn learn(&mut self, stored: &store::Account, mark: Mark) {
        (self.created, self.disabled, self.mark) = (stored.created, stored.disabled, mark);
    }

    /// Whether a session that began at that time is of this account, and not of one of the same name before it, and may still come.
    pub(crate) fn is_of(&self, given: Timestamp) -> bool {
        given >= self.created && !self.disabled
    }

    /// Whether who authenticated did so to this account, by its password of today.
    pub(crate) fn vouched(&self, proof: Proof) -> bool {
        self.is_of(proof.given) && proof.mark == self.mark
    }

    /// Everything a hook may know.
    pub(crate) fn look(&self, way: Way, now: Timestamp, session: Option<SessionId>) -> View<'_> {
        View {
            way,
            now,
            host: &self.host.host,
            account: &self.view,
            session: session.and_then(|id| self.view.session(id)),
            outcome: &Outcome::Undecided,
            archive_id: ArchiveId::default(),
        }
    }

    /// An id for the next message in the archive, as far as that is known.
    pub(crate) fn next_id(&self, now: Timestamp, chance: u128) -> ArchiveId {
        match &self.log {
            Some(log) => log.next(now, chance),
            None => log::fresh(now, chance),
        }
    }

    /// Whether the account has nothing to do with that address.
    pub(crate) fn bars(&self, jid: &Jid) -> bool {
        self.host.pipeline.bars(&self.view, jid)
    }

    /// Lets hooks see whether somebody looks at the sessions' clients.
    pub(crate) fn note_attention(&mut self) {
        let differs = |view: &SessionView| {
            let session = self.sessions.get(&view.id);
            session.is_some_and(|session| session.is_unattended() != view.unattended)
        };
        if !self.view.sessions.iter().any(differs) {
            return;
        }
        for view in &mut Arc::make_mut(&mut self.view).sessions {
            view.unattended = self.sessions.get(&view.id).is_some_and(Session::is_unattended);
        }
    }

    /// The view, to change.
    pub(crate) fn view_mut(&mut self) -> &mut AccountView {
        Arc::make_mut(&mut self.view)
    }

    /// Takes in a session.
    pub(crate) fn open(&mut self, session: Session, jid: Full, mirror: Mirror) {
        let (id, client) = (session.id, session.client);
        self.sessions.insert(session);
        self.dirty.insert(id);
        let views = &mut self.view_mut().sessions;
        // Without room to spare: most accounts have one or two.
        views.reserve_exact(1);
        views.push(SessionView {
            id,
            jid,
            client,
            presence: mirror.presence,
            since: mirror.since,
            interested: mirror.interested,
            directed: mirror.directed,
            flags: mirror.flags,
            unattended: false,
        });
    }

    /// Forgets a session, which ended at `now`.
    pub(crate) fn forget(&mut self, id: SessionId, now: Timestamp) -> Option<(Session, SessionView)> {
        self.dirty.remove(&id);
        let session = self.sessions.remove(&id)?;
        let view = self.view_mut();
        let at = view.sessions.iter().position(|session| session.id == id)?;
        let gone = view.sessions.remove(at);
        if gone.presence.is_some() {
            self.note_away(now);
        }
        Some((session, gone))
    }

    /// A session became unavailable: perhaps it was the last.
    fn note_away(&mut self, now: Timestamp) {
        let view = self.view_mut();
        if view.available().next().is_none() {
            view.away_since = Some(now);
        }
    }

    /// The session that began as `id` under stream management.
    pub(crate) fn managed(&self, id: SessionId) -> Option<&Session> {
        let began = |session: &&Session| session.management.is_some_and(|management| management.id == id);
        self.sessions.values().find(began)
    }

    /// Sessions that no edge has.
    pub(crate) fn lone(&self) -> impl Iterator<Item = &Session> {
        let sessions = self.sessions.values();
        sessions.filter(|session| session.handle.edge.is_none())
    }

    /// A session goes by another id, over another edge. Returns how it was reached before.
    pub(crate) fn rename(&mut self, before: SessionId, id: SessionId, edge: &EdgeRef) -> Option<Former> {
        let mut session = self.sessions.remove(&before)?;
        let former = session.rename(id, edge);
        self.sessions.insert(session);
        if let Some(view) = self.view_mut().sessions.iter_mut().find(|view| view.id == before) {
            view.id = id;
        }
        self.dirty.remove(&before);
        self.dirty.insert(id);
        Some(former)
    }

    /// Changes what is known of a session.
    pub(crate) fn change(&mut self, id: SessionId, change: &SessionChange, now: Timestamp) {
        let Some(session) = self.view_mut().sessions.iter_mut().find(|session| session.id == id) else {
            return;
        };
        match change {
            SessionChange::Available(presence) => {
                session.presence = Some(presence.clone());
                session.since = now;
            }
            SessionChange::Unavailable => {
                session.directed.clear();
                if session.presence.take().is_some() {
                    session.since = now;
                    self.note_away(now);
                }
            }
            SessionChange::Interested => session.interested = true,
            SessionChange::Flag(flag, true) => {
                session.flags.insert((*flag).into());
            }
            SessionChange::Flag(flag, false) => {
                session.flags.remove(*flag);
            }
            SessionChange::DirectedAvailable(jid) => remember(&mut session.directed, jid),
            SessionChange::DirectedUnavailable(jid) => {
                session.directed.remove(jid);
            }
        }
        self.dirty.insert(id);
    }

    /// Delivers to those of `to` that are still here: one frame per link. For a session whose client nobody looks at, or that has a crowd to
    /// take in, what can wait is held back; what cannot brings that with it.
    pub(crate) fn deliver(&mut self, to: &[SessionId], stanza: &Arc<Stanza>, delivery: Manner) {
        let mut frames: Vec<(EdgeRef, Vec<(SessionId, u64)>)> = Vec::new();
        let (pipeline, mut waits) = (&self.host.pipeline, None);
        for id in to {
            let Some(session) = self.sessions.get_mut(id) else {
                continue;
            };
            // What stands in the archive has its turn there.
            let is_better_held = session.is_unattended() || session.is_crowded(delivery.limits);
            let may_wait = is_better_held && delivery.limits.held > 0 && delivery.fate.archived().is_none();
            if may_wait && *waits.get_or_insert_with(|| pipeline.can_wait(stanza)) {
                gauges::held(session.hold(Waiting {
                    stanza: stanza.clone(),
                    readdress: delivery.readdress,
                }));
                session.wake_when_written();
                if session.holds_enough(delivery.limits) || session.has_caught_up(delivery.limits) {
                    session.release(delivery.trace);
                }
                continue;
            }
            session.release(delivery.trace);
            let number = session.push(stanza, delivery.readdress, delivery.fate.clone());
            if session.is_over(delivery.limits) && !self.overflown.contains(id) {
                self.overflown.push(*id);
            }
            if session.handle.edge.is_none() {
                continue; // it waits here alone
            }
            match frames.iter_mut().find(|(edge, _)| edge.is_link(&session.edge)) {
                Some((_, sessions)) => sessions.push((*id, number)),
                None => frames.push((session.edge.clone(), vec![(*id, number)])),
            }
        }
        for (edge, sessions) in frames {
            edge.edge.deliver(Delivery {
                sessions,
                stanza: stanza.clone(),
                readdress: delivery.readdress,
                archived: delivery.fate.archived(),
                settled: delivery.fate.is_settled(),
                trace: delivery.trace,
            });
        }
    }

    /// Delivers what was held back for a session, if somebody looks at its client now.
    pub(crate) fn attend(&mut self, id: SessionId, limits: QueueLimits) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.is_unattended()) else {
            return;
        };
        session.release(None);
        if session.is_over(limits) {
            self.overflows(id);
        }
    }

    /// Delivers what was held back in a crowd that is over.
    pub(crate) fn catch_up(&mut self, limits: QueueLimits) {
        let done = self.sessions.values().filter(|session| session.has_caught_up(limits));
        let done: Vec<SessionId> = done.map(|session| session.id).collect();
        done.into_iter().for_each(|id| self.attend(id, limits));
    }

    /// The session is to get this message of the archive, which came just now, when there is room. One to which more than `most` such are
    /// owed is over.
    pub(crate) fn owe(&mut self, id: SessionId, message: ArchiveId, most: usize) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.owe(message);
            if session.owed_since_it_came() > most {
                self.overflows(id);
            }
        }
    }

    /// The session is to get this message of the archive, which waited for one, when there is room.
    pub(crate) fn owe_waiting(&mut self, id: SessionId, message: ArchiveId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.owe_waiting(message);
        }
    }

    /// More waits for the session than is allowed: it is to be ended.
    fn overflows(&mut self, id: SessionId) {
        if !self.overflown.contains(&id) {
            self.overflown.push(id);
        }
    }

    /// A session is over: lets the log know what its client took, and that it has nothing any more. Returns whether it had something
    /// that stands in the archive.
    pub(crate) fn let_go(&mut self, session: &mut Session) -> bool {
        let taken = session.take_taken();
        let mut left = session.archived().chain(session.copied()).peekable();
        let any = left.peek().is_some();
        if let Some(log) = &mut self.log {
            taken.into_iter().for_each(|id| log.take(id));
            left.for_each(|id| log.release(id));
        }
        any
    }

    /// Whether it is still to be written what of its archive was taken, or to be looked whether what was refused stands there.
    pub(crate) fn is_unsaved(&self) -> bool {
        match self.log {
            Some(_) => self.marked,
            None => !self.doubts.is_empty(),
        }
    }

    /// Lets the log know what clients took.
    pub(crate) fn note_taken(&mut self) {
        let Some(log) = &mut self.log else { return };
        for session in self.sessions.values_mut() {
            session.take_taken().into_iter().for_each(|id| log.take(id));
        }
    }

    /// The session's record at its edge is out of date.
    pub(crate) fn touch(&mut self, id: SessionId) {
        self.dirty.insert(id);
    }

    /// Gives the edges their new records of sessions that changed.
    pub(crate) fn mirror(&mut self) {
        for id in std::mem::take(&mut self.dirty) {
            if let (Some(session), Some(view)) = (self.sessions.get(&id), self.view.session(id)) {
                session.edge.edge.mirror(id, Mirror::of(view, session).encode());
            }
        }
    }

    /// Sessions that have more waiting than is allowed, once.
    pub(crate) fn take_overflown(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.overflown)
    }
}

/// How a stanza is delivered.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) readdress: bool,
    pub(crate) fate: Fate,
    pub(crate) limits: QueueLimits,
    pub(crate) trace: Option<Trace>,
}

/// A session that directs presence at everybody loses the oldest address in order, never memory.
fn remember(directed: &mut BTreeSet<Jid>, jid: &Jid) {
    directed.insert(jid.clone());
    if directed.len() > DIRECTED {
        directed.pop_first();
    }
}
