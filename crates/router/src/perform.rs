//! Performing effects, in order, under the account's lock, once what must be durable is.

use std::sync::Arc;

use engine::{Effect, Effects, LOAN_WINDOW, RosterChange, SessionChange, loan_change, roster_pushes};
use stanza::{Iq, IqType, SessionId, Stanza, StreamCondition};
use store::PresenceRecord;

use crate::account::{Account, Manner};
use crate::archive;
use crate::bury;
use crate::cells::Cell;
use crate::core::Core;
use crate::errand::{Batch, Errand, Out, Question, Ticket};
use crate::gauges;
use crate::load;
use crate::mirror::canonical;
use crate::session::Fate;
use crate::settle::Settled;

/// Performs `effects`, of which `settled` is durable already. What concerns others goes to `out`.
pub(crate) async fn perform(core: &Core, account: &mut Account, effects: Effects, mut settled: Settled, out: &mut Out) {
    for effect in effects.0 {
        match effect {
            Effect::Deliver { to, stanza, readdress } => {
                let manner = Manner {
                    readdress,
                    fate: Fate::Lost,
                    limits: core.queue_limits(),
                    trace: out.trace,
                };
                account.deliver(&to, &stanza, manner);
            }
            Effect::Copy { to, stanza } => {
                let fate = settled.archived.map_or(Fate::Lost, |archived| Fate::Copy(archived.id));
                copy(core, account, &to, &stanza, fate, out);
            }
            Effect::Send(stanza) => {
                let bars = |to| is_own(account, &stanza) && account.bars(to);
                if !stanza.to().is_some_and(bars) {
                    out.push(to_own_account(account, &stanza).unwrap_or_else(|| Errand::Send(stanza.into())));
                }
            }
            Effect::Broadcast { mut to, stanza } => {
                if is_own(account, &stanza) {
                    to.retain(|jid| !account.bars(jid));
                }
                if !to.is_empty() {
                    out.push(Errand::Broadcast { to, stanza });
                }
            }
            Effect::Roster(_) => {
                // All changes of one decision were written in one step.
                if let Some((change, version)) = settled.roster.take() {
                    show_roster(core, account, &change, version, out);
                }
            }
            Effect::Put(_) => {
                if let Some(facts) = settled.facts.take() {
                    account.view_mut().facts = facts;
                }
            }
            Effect::End { sessions, condition } => end(account, sessions, &condition, out),
            Effect::EndAll { but, condition } => {
                let all = account.view.sessions.iter().map(|session| session.id);
                end(account, all.filter(|id| but != Some(*id)), &condition, out);
            }
            Effect::Retract(retraction) => bury::bury(core, account, &retraction).await,
            Effect::Meter { name, window } => {
                let now = core.now();
                account.view_mut().meters.count(name, now, window);
            }
            Effect::Session(id, change) => change_session(core, account, id, &change),
            Effect::Archive { .. } | Effect::Password(_) | Effect::Account(_) | Effect::Retire => {} // settled
            Effect::Flush { to, reads_archive } => {
                if reads_archive {
                    archive::leave_to_read(core, account, to).await;
                }
                archive::flush(core, account, to, out.trace).await;
            }
        }
    }
}

/// Delivers a copy. Of what stands in the archive, each session that gets one is a holder.
fn copy(core: &Core, account: &mut Account, to: &[SessionId], stanza: &Arc<Stanza>, fate: Fate, out: &Out) {
    if let (Some(log), Fate::Copy(id)) = (&mut account.log, &fate) {
        let here = to.iter().filter(|session| account.sessions.contains_key(session));
        here.for_each(|_| log.hold(*id));
    }
    let manner = Manner {
        readdress: true,
        fate,
        limits: core.queue_limits(),
        trace: out.trace,
    };
    account.deliver(to, stanza, manner);
}

fn end(account: &Account, sessions: impl IntoIterator<Item = SessionId>, condition: &StreamCondition, out: &mut Out) {
    let end = |session| Errand::End {
        account: account.jid().clone(),
        session,
        condition: condition.clone(),
    };
    out.errands.extend(sessions.into_iter().map(end));
}

/// Whether the account speaks for itself, and not one of its users for the host.
fn is_own(account: &Account, stanza: &Stanza) -> bool {
    stanza.from().is_none_or(|from| from.bare() == *account.jid())
}

/// A request to the account itself is asked here: on its way to a home that waits for this work to end it would wait for itself.
fn to_own_account(account: &Account, stanza: &Stanza) -> Option<Errand> {
    let Stanza::Iq(iq) = stanza else { return None };
    let is_own = iq.head.to.as_ref() == Some(account.jid().jid()) && matches!(iq.kind, IqType::Get | IqType::Set);
    is_own.then(|| Errand::Ask(Question::to(account, Arc::new(iq.clone()))))
}

/// Ends work under the account's lock: tells the edges what changed, and takes a place in the order for `out`.
pub(crate) async fn finish(cell: &Cell, account: &mut Account, mut out: Out) -> Option<Batch> {
    account.mirror();
    for session in account.take_overflown() {
        gauges::kicked("overflow");
        out.push(Errand::End {
            account: account.jid().clone(),
            session,
            condition: StreamCondition::ResourceConstraint,
        });
    }
    if out.errands.is_empty() {
        return None;
    }
    let ticket = Ticket::take(&cell.line).await;
    Some(Batch { ticket, out })
}

/// Writes behind what a session's presence is now.
pub(crate) fn record_presence(core: &Core, account: &Account, id: SessionId) {
    let (Some(view), Some(session)) = (account.view.session(id), account.sessions.get(&id)) else {
        return;
    };
    let record = view.presence.as_ref().map(|presence| PresenceRecord {
        jid: view.jid.clone(),
        edge: session.edge.id.clone(),
        epoch: session.edge.epoch,
        priority: presence.priority(),
        stanza: canonical(&(**presence).clone().into()),
    });
    core.behind.presence(&view.jid, record);
}

fn change_session(core: &Core, account: &mut Account, id: SessionId, change: &SessionChange) {
    account.change(id, change, core.now());
    if matches!(change, SessionChange::Available(_) | SessionChange::Unavailable) {
        record_presence(core, account, id);
    }
}

/// The roster has changed: hooks see it from now on, and interested sessions are told (RFC 6121, 2.1.6).
fn show_roster(core: &Core, account: &mut Account, change: &RosterChange, version: u64, out: &Out) {
    let view = &account.view;
    let versions = [view.roster.version, version].map(|version| view.roster_version(version));
    let pushes = roster_pushes(account.jid(), &view.roster, change, versions);
    let lent = view.lent.as_ref().map(|lent| {
        let kept: Vec<_> = change.put.iter().map(|shown| lent.keep(shown)).collect();
        Arc::new(lent.after(&kept, &change.remove))
    });
    let view = account.view_mut();
    Arc::make_mut(&mut view.roster).apply(&change.put, &change.remove);
    view.lent = lent;
    push(core, account, pushes, out);
}

/// Reads the roster anew when a stanza shows that what is lent to the account has changed, and tells interested sessions what did.
pub(crate) async fn refresh_loan(core: &Core, account: &mut Account, stanza: &Stanza, out: &Out) {
    let now = core.now();
    let Some(what) = account.view.outdates_loan(stanza, now) else {
        return;
    };
    account.view_mut().meters.count(what, now, LOAN_WINDOW);
    let before = account.view.clone();
    if let Err(error) = load::afresh(core, account).await {
        gauges::failed("load");
        return tracing::warn!(%error, "loading what is lent to an account");
    }
    let after = &account.view;
    let change = loan_change(
        (&before.roster, before.lent.as_deref()),
        (&after.roster, after.lent.as_deref()),
    );
    let versions = [&before, after].map(|view| view.roster_version(view.roster.version));
    let pushes = roster_pushes(account.jid(), &before.roster, &change, versions);
    push(core, account, pushes, out);
}

/// Sends roster pushes to interested sessions.
fn push(core: &Core, account: &mut Account, pushes: Vec<Iq>, out: &Out) {
    let interested: Vec<_> = account.view.interested().map(|session| session.id).collect();
    for push in pushes {
        let manner = Manner {
            readdress: true,
            fate: Fate::Lost,
            limits: core.queue_limits(),
            trace: out.trace,
        };
        account.deliver(&interested, &Arc::new(push.into()), manner);
    }
}
