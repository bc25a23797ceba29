//! Stream management (XEP-0198): sessions that outlive their streams. A session whose client may resume is *detached* when its
//! stream ends without a closing tag: nothing about it changes for others, what comes for it waits, until its client resumes
//! or its time is over.

use std::sync::Arc;
use std::time::Duration;

use engine::SessionEvent;
use link::{EdgeRef, Gone, SessionRef};
use stanza::{
    Bare, Condition, Counts, EnableReply, EnableRequest, Full, ResumeReply, ResumeRequest, Resumption, SessionId,
    StreamCondition, Timestamp, acknowledged,
};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use topology::{Epoch, NodeId, Slot, Verdict};

use crate::account::Account;
use crate::archive;
use crate::bind::locate;
use crate::cells::State;
use crate::core::Core;
use crate::end;
use crate::entrust::entrust;
use crate::errand::Out;
use crate::gauges;
use crate::load;
use crate::perform::{finish, record_presence};
use crate::refusal::Refusal;
use crate::session::{Detached, Management, Session};
use crate::travel::{Travel, end_session};
use crate::vouch::Proof;

/// How long to wait before a session is looked at again that could not be given up.
const AGAIN: Duration = Duration::from_secs(1);

/// Puts a session under stream management. Asked again, it says the same again. The caller holds the slot's pass; `name` makes the
/// SM-ID.
///
/// # Errors
/// `Gone::Session` when it is not here.
pub(crate) async fn enable(
    core: &Arc<Core>,
    session: &SessionRef,
    request: EnableRequest,
    name: impl FnOnce(SessionId) -> String,
) -> Result<EnableReply, Gone> {
    let cell = core.cells.find(&session.account()).ok_or(Gone::Session)?;
    let mut state = cell.state.lock().await;
    let State::Loaded(account) = &mut *state else {
        return Err(Gone::Session);
    };
    let known = account.sessions.get_mut(&session.id).ok_or(Gone::Session)?;
    // A client that got no answer may ask again later: its counts begin anew.
    let management = Management {
        id: session.id,
        since: request.since,
        max: longest(core, request),
    };
    known.management = Some(management);
    account.touch(session.id);
    let batch = finish(&cell, account, Out::default()).await;
    drop(state);
    Travel::carry(core, batch).await;
    gauges::managed("enabled");
    let resumption = management.is_resumable().then(|| Resumption {
        id: name(management.id),
        max: management.max,
    });
    Ok(EnableReply::Enabled(resumption))
}

/// How long the session is kept without a stream, in seconds: what the client prefers, within what is allowed.
fn longest(core: &Core, request: EnableRequest) -> u32 {
    let limit = core.config.resume_timeout_s;
    if request.resume {
        request.max.unwrap_or(limit).min(limit)
    } else {
        0
    }
}

/// The turn of the session that began as `id`, if it is here: while it is held, no stanza of its old stream is dealt with.
pub(crate) async fn turn(core: &Core, account: &Bare, id: SessionId) -> Option<OwnedMutexGuard<()>> {
    let cell = core.cells.find(account)?;
    let turn = match &*cell.state.lock().await {
        State::Loaded(account) => account.managed(id).map(|session| session.handle.turn.clone()),
        State::Cold | State::Absent(_) => None,
    };
    Some(turn?.lock_owned().await)
}

/// Goes on with the session that began as `id` over a new connection. The caller has checked the grant, which proves that, and holds
/// the slot's pass and the session's turn.
pub(crate) async fn resume(
    core: &Arc<Core>,
    edge: &EdgeRef,
    request: &ResumeRequest,
    id: SessionId,
    proof: Proof,
) -> ResumeReply {
    let Some(cell) = core.cells.find(&request.account) else {
        return not_found(core, id);
    };
    let mut state = cell.state.lock().await;
    let State::Loaded(account) = &mut *state else {
        return not_found(core, id);
    };
    match load::look_again(core, account).await {
        Ok(true) if account.vouched(proof) => {}
        Ok(_) => return not_found(core, id),
        Err(error) => {
            gauges::failed("load");
            tracing::warn!(%error, "looking at an account again");
            return ResumeReply::Refused {
                error: Refusal::Away.into(),
                h: None,
            };
        }
    }
    let reply = go_on(core, account, edge, request, id).await;
    let batch = finish(&cell, account, Out::default()).await;
    drop(state);
    Travel::carry(core, batch).await;
    reply
}

async fn go_on(
    core: &Core,
    account: &mut Account,
    edge: &EdgeRef,
    request: &ResumeRequest,
    id: SessionId,
) -> ResumeReply {
    let Some(session) = account.managed(id) else {
        return not_found(core, id);
    };
    let Some(management) = session.management.filter(Management::is_resumable) else {
        return not_found(core, id);
    };
    // Who knows the SM-ID has read all that came before it.
    let known = session.handle.written().max(management.since.sent);
    let written = acknowledged(request.h, management.since.sent, known, session.delivered);
    let number = match written {
        Ok(number) => number,
        Err(numbers) => return ResumeReply::TooHigh(numbers),
    };
    let has_room = session.handle.note_written(number);
    let (before, accepted) = (session.id, session.accepted);
    let jid = move_over(core, account, before, edge, request.session);
    account.attend(request.session, core.queue_limits());
    if has_room {
        archive::feed_all(core, account, None).await;
    }
    gauges::managed("resumed");
    match jid {
        Some(jid) => ResumeReply::Resumed {
            jid,
            since: management.since,
            now: Counts {
                received: accepted,
                sent: number,
            },
        },
        None => not_found(core, id),
    }
}

/// The session goes by its new id, over its new edge, which gets what was not acknowledged. Its old stream, if there still is
/// one, is closed (XEP-0198, 5).
fn move_over(core: &Core, account: &mut Account, before: SessionId, edge: &EdgeRef, id: SessionId) -> Option<Full> {
    let jid = account.view.session(before)?.jid.clone();
    if before != id {
        let old = account.rename(before, id, edge)?;
        old.edge.edge.kick(before, StreamCondition::Conflict);
        core.directory.end(before, &old.handle);
    }
    account.touch(id);
    let session = account.sessions.get_mut(&id)?;
    // Asked again, by an edge whose link came back or that had given up waiting: the session is this connection's now.
    (session.detached, session.inactive) = (None, false);
    core.directory.insert(id, session.set_edge(Some(edge)));
    session.redeliver(0);
    locate(core, id, &jid, edge);
    record_presence(core, account, id);
    Some(jid)
}

/// There is no such session (any more); if it was here lately, it is known how much of it was handled.
fn not_found(core: &Core, id: SessionId) -> ResumeReply {
    gauges::managed("not_found");
    ResumeReply::Refused {
        error: Condition::ItemNotFound.into(),
        h: core.directory.handled(id),
    }
}

/// The session's stream is gone, and with it perhaps the life of an edge. Returns whether the session goes on without; or with
/// an edge that has it after all.
pub(crate) async fn stream_lost(
    core: &Arc<Core>,
    account: &Bare,
    id: SessionId,
    edge: Option<(&NodeId, Epoch)>,
) -> bool {
    let Some(cell) = core.cells.find(account) else {
        return false;
    };
    let mut state = cell.state.lock().await;
    let State::Loaded(account) = &mut *state else {
        return false;
    };
    if let Some((node, epoch)) = edge
        && has_edge(core, account, id, node, epoch)
    {
        return true;
    }
    let goes_on = detach(core, account, id, core.now());
    if let Some(session) = account.sessions.get_mut(&id).filter(|_| goes_on) {
        // An edge in this process has no copy that could outlive this one.
        if edge.is_some() || core.edges.is_local(&session.edge.id, session.edge.epoch) {
            core.directory.insert(id, session.set_edge(None));
        }
    }
    if goes_on && edge.is_some() {
        entrust(core, account, id);
    }
    let mut out = Out::default();
    if goes_on {
        let unseen = account.sessions.get(&id).is_some_and(Session::has_unseen);
        end::event(core, account, id, SessionEvent::Detached { unseen }, &mut out).await;
    }
    let batch = finish(&cell, account, out).await;
    drop(state);
    Travel::carry(core, batch).await;
    goes_on
}

/// Whether the session is at an edge after all: another, or this one, whose link has come back.
fn has_edge(core: &Core, account: &Account, id: SessionId, node: &NodeId, epoch: Epoch) -> bool {
    let Some(session) = account.sessions.get(&id) else {
        return false;
    };
    let is_other = |at: &(NodeId, Epoch)| at.0 != *node || at.1 != epoch;
    session.handle.edge.as_ref().is_some_and(is_other) || core.edges.is_up(node, epoch)
}

/// Keeps a session that has no stream since then for its client, if the client may resume it. Returns whether it does.
pub(crate) fn detach(core: &Core, account: &mut Account, id: SessionId, since: Timestamp) -> bool {
    let owner = account.jid().clone();
    let Some(session) = account.sessions.get_mut(&id) else {
        return false;
    };
    let Some(management) = session.management.filter(Management::is_resumable) else {
        return false;
    };
    if session.detached.is_none() {
        let until = until(core, since, management);
        let own_edge = Some((session.edge.id.clone(), session.edge.epoch));
        session.detached = Some(Box::new(Detached {
            since,
            until,
            own_edge,
            came_with: 0,
        }));
        core.expiry.add(until, id, owner);
        gauges::managed("detached");
    }
    account.touch(id);
    true
}

/// Ends the sessions of the `wanted` slots that are here alone: no edge has a copy to hand on, so what waits for them must find
/// its way now. One that was last seen at an edge that lives, out of reach of this home, is there: its next home will hear of it.
pub(crate) async fn end_lone(core: &Arc<Core>, wanted: impl Fn(Slot) -> bool) {
    for cell in core.cells.of_slots(wanted) {
        let lone: Vec<SessionId> = match &*cell.state.lock().await {
            State::Loaded(account) => account
                .lone()
                .filter(|session| !may_live(core, session))
                .map(|s| s.id)
                .collect(),
            State::Cold | State::Absent(_) => Vec::new(),
        };
        for id in lone {
            gauges::managed("expired");
            let batch = end_session(core, &cell.jid, id, None, 0).await;
            Travel::carry(core, batch).await;
        }
    }
}

/// Whether its own edge, if that is no part of this process, may have the session.
fn may_live(core: &Core, session: &Session) -> bool {
    let live = core.snapshot.borrow().live();
    let own = session
        .detached
        .as_ref()
        .and_then(|detached| detached.own_edge.as_ref());
    own.is_some_and(|(edge, epoch)| {
        !core.edges.is_local(edge, *epoch) && live.revision > 0 && live.judge(edge, *epoch) != Verdict::Dead
    })
}

/// When a detached session is given up.
fn until(core: &Core, since: Timestamp, management: Management) -> Instant {
    let passed = core.now().0.saturating_sub(since.0).max(0).unsigned_abs();
    Instant::now() + Duration::from_secs(management.max.into()).saturating_sub(Duration::from_micros(passed))
}

/// Ends a session that is still detached at the end of its time.
pub(crate) async fn give_up(core: &Arc<Core>, account: &Bare, id: SessionId, until: Instant) {
    let Ok(_pass) = core.slots.enter(Slot::of(account.as_str())).await else {
        // Not now; if the session is still here when this is the home again, it is still due.
        if core.directory.get(id).is_some() {
            core.expiry.postpone(Instant::now() + AGAIN, until, id, account.clone());
        }
        return;
    };
    let due = match core.cells.find(account) {
        Some(cell) => match &*cell.state.lock().await {
            State::Loaded(account) => account.sessions.get(&id).is_some_and(|session| {
                session
                    .detached
                    .as_ref()
                    .is_some_and(|detached| detached.until == until)
            }),
            State::Cold | State::Absent(_) => false,
        },
        None => false,
    };
    if due {
        gauges::managed("expired");
        let batch = end_session(core, account, id, Some(StreamCondition::ConnectionTimeout), 0).await;
        Travel::carry(core, batch).await;
    }
}
