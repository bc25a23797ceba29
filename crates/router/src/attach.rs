//! An edge hands a session over whose home moved here, or whose link broke for a moment.

use std::sync::Arc;
use std::time::Duration;

use link::{Attach, EdgeRef, Gone, Waiting};
use stanza::{SessionId, StreamCondition, Timestamp};
use tokio::sync::MutexGuard;
use topology::{LiveNodes, Verdict};

use crate::account::{Account, Manner};
use crate::archive;
use crate::bind::{locate, replace};
use crate::cells::{Cell, State};
use crate::core::Core;
use crate::end;
use crate::errand::Out;
use crate::gauges;
use crate::load;
use crate::mirror::Mirror;
use crate::perform::{finish, record_presence};
use crate::resume;
use crate::session::{Fate, Management, Session};
use crate::slots::Phase;
use crate::travel::Travel;

/// How long to wait before the store is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// Takes over a session whose grant has been checked and was `given` then. The caller holds the slot's pass.
///
/// # Errors
/// `Gone::Session` when it has ended, or another took its resource.
pub(crate) async fn attach(core: &Arc<Core>, edge: &EdgeRef, attach: Attach, given: Timestamp) -> Result<(), Gone> {
    if core.directory.has_ended(attach.session.id) || is_dead(core, edge) {
        return Err(Gone::Session);
    }
    let jid = attach.session.account();
    let cell = core.cells.get(&jid);
    let mut state = loaded(core, &cell).await?;
    let account = match &mut *state {
        State::Loaded(account) => Some(account),
        State::Absent(_) | State::Cold => None,
    };
    let Some(account) = account.filter(|account| account.is_of(given)) else {
        // Removed while its session was between two homes (XEP-0077, 3.2).
        edge.edge.kick(attach.session.id, StreamCondition::NotAuthorized);
        return Err(Gone::Session);
    };
    let mut out = Out::default();
    let taken = if is_outlived(account, edge, &attach) {
        Err(Gone::Session)
    } else if is_left_behind(account, &attach) {
        go_past(core, account, edge, attach, &mut out).await
    } else if account.sessions.contains_key(&attach.session.id) {
        if relink(core, account, edge, &attach) {
            archive::feed_all(core, account, None).await;
        }
        Ok(())
    } else {
        take_over(core, account, edge, attach, &mut out).await
    };
    let batch = finish(&cell, account, out).await;
    drop(state);
    Travel::carry(core, batch).await;
    taken
}

/// The cell with what the store knows of its account. While its slot opens, a store that is away is asked again: what comes for the session waits
/// until then, and would find nobody in a slot that opened without it.
async fn loaded<'a>(core: &Core, cell: &'a Cell) -> Result<MutexGuard<'a, State>, Gone> {
    loop {
        let mut state = cell.state.lock().await;
        match load::account(core, &cell.jid, &mut state).await {
            Ok(_) => return Ok(state),
            Err(store::Error::Unavailable(_)) => {}
            // It does not pass, and must not hold up everybody else.
            Err(_) => return Err(Gone::Unreachable),
        }
        drop(state);
        if core.slots.phase(cell.slot) != Phase::Opening {
            return Err(Gone::Unreachable);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether the edge is known to be dead in that life.
fn is_dead(core: &Core, edge: &EdgeRef) -> bool {
    let live: LiveNodes = core.snapshot.borrow().live();
    live.revision > 0 && !core.edges.is_local(&edge.id, edge.epoch) && live.judge(&edge.id, edge.epoch) == Verdict::Dead
}

/// Whether the edge has a copy, entrusted to it while the session's own edge was out of reach, of a session that is there after all, and went on.
fn is_outlived(account: &Account, edge: &EdgeRef, attach: &Attach) -> bool {
    account.sessions.get(&attach.session.id).is_some_and(|session| {
        let is_there = || session.detached.is_none() || resumed(attach) < session.resumed;
        let is_older = attach.detached && is_elsewhere(session, edge) && is_there();
        session.is_away_from(edge) && (is_older || attach.delivered < session.handle.written())
    })
}

fn resumed(attach: &Attach) -> u32 {
    Mirror::decode(attach.mirror.clone()).map_or(0, |mirror| mirror.resumed)
}

fn is_elsewhere(session: &Session, edge: &EdgeRef) -> bool {
    session.handle.edge.is_some() && session.is_away_from(edge)
}

/// Whether the session went on at its edge, at another home, where what is here did not: this was entrusted to an edge that hands it on, though
/// the session's own edge came back meanwhile. From there on its numbers mean something else.
fn is_left_behind(account: &Account, attach: &Attach) -> bool {
    let session = account.sessions.get(&attach.session.id);
    session.is_some_and(|session| attach.delivered > session.delivered || resumed(attach) > session.resumed)
}

/// Takes over a session of which a copy is here that was left behind. What came here for that goes to the session itself.
async fn go_past(
    core: &Core,
    account: &mut Account,
    edge: &EdgeRef,
    attach: Attach,
    out: &mut Out,
) -> Result<(), Gone> {
    let id = attach.session.id;
    let Some(copy) = put_aside(core, account, id) else {
        return Err(Gone::Session);
    };
    if is_elsewhere(&copy, edge) {
        copy.edge.edge.kick(id, StreamCondition::Conflict);
    }
    take_over(core, account, edge, attach, out).await?;
    hand_on(core, account, id, copy);
    Ok(())
}

/// What came for a copy goes to the session `id`. What stands in the archive is owed to it by now; what came with the copy it has had.
fn hand_on(core: &Core, account: &mut Account, id: SessionId, mut copy: Session) {
    let manner = |readdress, fate| Manner {
        readdress,
        fate,
        limits: core.queue_limits(),
        trace: None,
    };
    let came_with = copy.detached.as_ref().map_or(0, |detached| detached.came_with);
    for queued in copy.take_unwritten() {
        if queued.number > came_with && queued.fate.archived().is_none() {
            account.deliver(&[id], &queued.stanza, manner(queued.readdress, queued.fate));
        }
    }
    for Waiting { stanza, readdress } in copy.held.release() {
        account.deliver(&[id], &stanza, manner(readdress, Fate::Lost));
    }
}

/// The link came back: what did not reach the edge is sent again, under its old numbers. Returns whether a page of kept messages is
/// through.
fn relink(core: &Core, account: &mut Account, edge: &EdgeRef, attach: &Attach) -> bool {
    let id = attach.session.id;
    let Some(session) = account.sessions.get_mut(&id) else {
        return false;
    };
    let is_through = session.handle.note_written(attach.written);
    if is_elsewhere(session, edge) {
        session.edge.edge.kick(id, StreamCondition::Conflict); // the copy that was entrusted there is not needed any more
    }
    if session.is_away_from(edge) {
        session.resumed = session.resumed.saturating_add(1); // should that edge not hear it, its copy is the older one
        locate(core, id, &attach.session.jid, edge);
    }
    core.directory.insert(id, session.set_edge(Some(edge)));
    session.detached = session.detached.take().filter(|_| attach.detached);
    if let Some(detached) = &mut session.detached {
        detached.own_edge = Some((edge.id.clone(), edge.epoch));
    }
    session.redeliver(attach.delivered);
    session.inactive = attach.inactive;
    session.hold_again();
    if attach.detached {
        resume::detach(core, account, id, core.now());
    }
    account.attend(id, core.queue_limits());
    account.touch(id);
    is_through
}

async fn take_over(
    core: &Core,
    account: &mut Account,
    edge: &EdgeRef,
    attach: Attach,
    out: &mut Out,
) -> Result<(), Gone> {
    let (id, jid) = (attach.session.id, attach.session.jid);
    let mut mirror = Mirror::decode(attach.mirror).unwrap_or_default();
    let other = account.view.resource(jid.resource()).map(|other| other.id);
    if let Some(other) = other.and_then(|other| account.sessions.get(&other)) {
        // Two sessions with one resource, bound or resumed at two homes: the later one wins, as it would have at one.
        if (other.connected, other.resumed) >= (mirror.connected, mirror.resumed) {
            edge.edge.kick(id, StreamCondition::Conflict);
            return Err(Gone::Session);
        }
        let (other, is_same) = (other.id, is_same(other.management, mirror.management));
        if is_same {
            supersede(core, account, other);
        } else {
            replace(core, account, other, out).await;
        }
    }
    let mut session = Session::new(id, jid.bare(), edge.clone(), mirror.connected);
    session.accepted = attach.done;
    session.delivered = attach.delivered;
    (session.management, session.resumed) = (mirror.management, mirror.resumed);
    session.set_read(mirror.read.take(), attach.archived);
    session.client = mirror.client;
    (session.inactive, session.held) = (attach.inactive, attach.held);
    session.restore(attach.unwritten);
    session.handle.note_written(attach.written);
    core.directory.insert(id, session.handle.clone());
    locate(core, id, &jid, edge);
    gauges::session(true);
    let since = mirror.detached.unwrap_or_else(|| core.now());
    account.open(session, jid, mirror);
    record_presence(core, account, id);
    let may_read = account.log.is_some() || core.slots.phase(attach.session.slot) == Phase::Serving;
    if may_read && !account.is_component() {
        archive::welcome(core, account, id).await;
    }
    if attach.detached && !resume::detach(core, account, id, since) {
        end::end(core, account, id, Some(StreamCondition::ConnectionTimeout), out).await;
    }
    if let Some(detached) = account
        .sessions
        .get_mut(&id)
        .and_then(|session| session.detached.as_mut())
    {
        detached.came_with = attach.delivered;
    }
    account.attend(id, core.queue_limits());
    Ok(())
}

/// Whether two records are of one session under stream management.
fn is_same(one: Option<Management>, other: Option<Management>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.id == other.id)
}

/// An older copy of the session, from before it was resumed, gives way to the one that comes: nobody hears of it.
fn supersede(core: &Core, account: &mut Account, older: SessionId) {
    if let Some(session) = put_aside(core, account, older) {
        session.edge.edge.kick(older, StreamCondition::Conflict);
        core.directory.end(older, &session.handle);
    }
}

/// Takes a session out whose place another record of it takes: nobody hears of it.
fn put_aside(core: &Core, account: &mut Account, id: SessionId) -> Option<Session> {
    let (mut session, _) = account.forget(id, core.now())?;
    gauges::session(false);
    core.directory.remove(id, &session.handle);
    account.let_go(&mut session);
    Some(session)
}
