//! Sessions without a stream whose edge is gone are entrusted to another edge, which keeps the second copy from then on: they
//! outlive this home like any other.

use std::sync::Arc;

use link::{Attach, SessionRef};
use stanza::{Bare, Peer, SessionId};
use topology::Slot;

use crate::account::Account;
use crate::cells::State;
use crate::core::Core;
use crate::mirror::Mirror;
use crate::session::Session;

/// Entrusts a session to another edge. Returns whether there is one that understands; if not, the session is here alone.
///
/// An edge that has still to attach sessions of this slot may have this one, with its client: over its link nothing may be said of the session
/// before that, or it would take what is new and believe that it has what did not reach it over the link before.
pub(crate) fn entrust(core: &Core, account: &mut Account, id: SessionId) -> bool {
    let Some((attach, gone)) = account.sessions.get_mut(&id).and_then(|session| {
        session.settle_written();
        let view = account.view.session(id)?;
        let grant = core.voucher.vouch(id, &account.view.jid, account.mark, core.now());
        let attach = Attach {
            session: SessionRef::new(id, view.jid.clone()),
            grant,
            peer: Peer::default(),
            mirror: Mirror::of(view, session).encode(),
            delivered: session.delivered,
            written: session.handle.written(),
            done: session.accepted,
            unwritten: session.unwritten().collect(),
            archived: None,
            detached: true,
            inactive: false,
            held: session.held.clone(),
        };
        Some((attach, session.edge.clone()))
    }) else {
        return false;
    };
    let slot = Slot::of(account.jid().as_str());
    let here = (slot, core.slots.since(slot));
    let mut others = core.edges.others(&gone.id, id, here).into_iter();
    let Some(edge) = others.find(|edge| edge.edge.keep(attach.clone())) else {
        return false;
    };
    if let Some(session) = account.sessions.get_mut(&id) {
        core.directory.insert(id, session.set_edge(Some(&edge)));
    }
    account.touch(id);
    true
}

/// Entrusts a session to another edge than the one it has, which gives it up. Returns whether there is one.
pub(crate) async fn entrust_one(core: &Core, account: &Bare, id: SessionId) -> bool {
    let Some(cell) = core.cells.find(account) else {
        return false;
    };
    let mut state = cell.state.lock().await;
    let State::Loaded(account) = &mut *state else {
        return false;
    };
    let entrusted = entrust(core, account, id);
    let session = account.sessions.get_mut(&id).filter(|_| entrusted);
    if let Some(detached) = session.and_then(|session| session.detached.as_mut()) {
        detached.own_edge = None;
    }
    account.mirror();
    entrusted
}

/// Entrusts the sessions of the `wanted` slots that no edge has.
pub(crate) async fn entrust_lone(core: &Arc<Core>, wanted: impl Fn(Slot) -> bool) {
    for cell in core.cells.of_slots(wanted) {
        if let State::Loaded(account) = &mut *cell.state.lock().await {
            let is_lone = |session: &&Session| {
                let at = session.handle.edge.as_ref();
                session.detached.is_some() && at.is_none_or(|(edge, epoch)| !core.edges.is_up(edge, *epoch))
            };
            let lone: Vec<SessionId> = account.sessions.values().filter(is_lone).map(|s| s.id).collect();
            for id in lone {
                entrust(core, account, id);
            }
            account.mirror();
        }
    }
}
