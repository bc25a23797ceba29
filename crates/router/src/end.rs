//! The end of a session, for whatever reason: others are told, and what it did not get finds its way.

use engine::{Decision, Outcome, SessionEvent, View, Way};
use stanza::{MessageType, SessionId, Stanza, StreamCondition};

use crate::account::Account;
use crate::archive;
use crate::arrive;
use crate::core::Core;
use crate::errand::Out;
use crate::gauges;
use crate::perform::perform;
use crate::settle;

/// Ends the session under its account's lock; if its stream may still be there, its edge is to close it with the condition `why`. Returns
/// whether there was such a session.
pub(crate) async fn end(
    core: &Core,
    account: &mut Account,
    id: SessionId,
    why: Option<StreamCondition>,
    out: &mut Out,
) -> bool {
    if !account.sessions.contains_key(&id) {
        return false;
    }
    let now = core.now();
    event(core, account, id, SessionEvent::Closed, out).await;
    let Some((mut session, view)) = account.forget(id, now) else {
        return false;
    };
    gauges::session(false);
    if let Some(condition) = why {
        // First of all: what its client says from now on is refused, which tells its edge less.
        session.edge.edge.kick(id, condition);
    }
    core.directory.end(id, &session.handle);
    if let Some((first, h)) = session.handled() {
        core.directory.note_handled(first, h);
    }
    core.behind.presence(&view.jid, None);
    core.behind.location(&view.jid, None);
    let left = account.let_go(&mut session);
    for queued in session.take_unwritten() {
        if let Some(stanza) = queued
            .orphan()
            .filter(|stanza| account.is_component() || goes_again(stanza))
        {
            arrive::place(core, account, Stanza::clone(&stanza).into(), out).await;
        }
    }
    if left {
        flush_to_another(core, account, out).await;
    }
    if !account.sessions.is_empty() || account.is_component() {
        return true;
    }
    archive::save(core, account).await;
    if let Err(error) = core.stores.accounts.set_last_seen(account.jid(), now).await {
        gauges::failed("last_seen");
        tracing::debug!(%error, "remembering when an account was last seen");
    }
    true
}

/// Lets the modules know that a session opened or closed.
pub(crate) async fn event(core: &Core, account: &mut Account, id: SessionId, event: SessionEvent, out: &mut Out) {
    let now = core.now();
    let judge = |account: &Account, archive_id| Decision {
        outcome: Outcome::Undecided,
        own: None,
        effects: account.host.pipeline.session(
            &View {
                archive_id,
                ..account.look(Way::Out, now, Some(id))
            },
            event,
        ),
        panicked: None,
    };
    let (decision, settled) = settle::decide(core, account, Way::Out, None, judge).await;
    perform(core, account, decision.effects, settled, out).await;
}

/// Whether a stanza that was not written goes the account's way in again, as if the resource had gone before it came (RFC
/// 6121, 8.5.3.2): a message is delivered elsewhere, kept or bounced, a request is answered.
fn goes_again(stanza: &Stanza) -> bool {
    match stanza {
        Stanza::Message(message) => matches!(message.kind, MessageType::Chat | MessageType::Normal),
        Stanza::Iq(_) => arrive::is_request(stanza),
        Stanza::Presence(_) => false,
    }
}

/// What a session that ended did not take of the archive goes to another that takes messages.
async fn flush_to_another(core: &Core, account: &mut Account, out: &Out) {
    let best = account
        .view
        .available()
        .filter(|session| session.priority() >= Some(0))
        .max_by_key(|s| s.priority());
    if let Some(id) = best.map(|session| session.id) {
        archive::flush(core, account, id, out.trace).await;
    }
}
