//! A stanza arrives at an account: the way in.

use std::sync::Arc;

use engine::{Outcome, View, Way};
use link::{Step, Trace};
use stanza::{Bare, Condition, IqType, MessageType, Presence, PresenceType, SessionId, Stanza};
use tracing::Instrument;

use crate::account::{Account, Manner};
use crate::archive::{self, Archived};
use crate::core::Core;
use crate::errand::{Batch, Errand, Out, Question, Sent};
use crate::gauges;
use crate::load;
use crate::perform::{finish, perform, refresh_loan};
use crate::refusal::Refusal;
use crate::refuse::refuse;
use crate::relay;
use crate::session::Fate;
use crate::settle;

/// Takes a stanza in at the account it is addressed to, which is at home here. Returns what follows from it.
pub(crate) async fn arrive(core: &Core, to: &Bare, sent: Sent, trace: Option<Trace>, depth: u32) -> Option<Batch> {
    let Step { span, trace } = Step::next("router.in", sent.stanza.name(), trace);
    take_in(core, to, sent, Out::new(trace, depth)).instrument(span).await
}

async fn take_in(core: &Core, to: &Bare, sent: Sent, mut out: Out) -> Option<Batch> {
    let cell = core.cells.get(to);
    let mut state = cell.state.lock().await;
    match load::account(core, to, &mut state).await {
        Ok(Some(account)) => {
            place(core, account, sent, &mut out).await;
            finish(&cell, account, out).await
        }
        Ok(None) => {
            gauges::stanza(Way::In, &sent.stanza, "nobody");
            out.note("nobody");
            out.send(nobody(&sent.stanza));
            out.free()
        }
        Err(error) => {
            gauges::failed("load");
            tracing::warn!(%error, "loading an account");
            out.send(refuse(&sent.stanza, &Refusal::Away.into()));
            out.free()
        }
    }
}

/// The way in at an account whose lock is held.
pub(crate) async fn place(core: &Core, account: &mut Account, sent: Sent, out: &mut Out) {
    if account.is_component() {
        return relay::arrive(core, account, sent, out);
    }
    let (now, Sent { mut stanza, key }) = (core.now(), sent);
    refresh_loan(core, account, &stanza, out).await;
    if let Some(left) = account.host.pipeline.strip(&account.look(Way::In, now, None), &stanza) {
        stanza = Arc::new(left);
    }
    let judge = |account: &Account, archive_id| {
        account.host.pipeline.incoming(
            &View {
                archive_id,
                ..account.look(Way::In, now, None)
            },
            &stanza,
        )
    };
    let (decision, settled) = settle::decide(core, account, Way::In, key, judge).await;
    gauges::stanza(Way::In, &stanza, outcome_name(&decision.outcome));
    out.note(outcome_name(&decision.outcome));
    match &decision.outcome {
        Outcome::Sessions(sessions) => {
            let own = decision.own.map_or_else(|| stanza.clone(), Arc::new);
            hand_over(core, account, sessions, &own, settled.archived, out).await;
        }
        Outcome::Handle => {
            if let Stanza::Iq(iq) = &*stanza {
                out.push(Errand::Ask(Question::to(account, Arc::new(iq.clone()))));
            }
        }
        Outcome::Bounce(error) => out.send(refuse(&stanza, error)),
        Outcome::Ignore => out.send(unanswered(&stanza)),
        Outcome::Nobody => {
            settled
                .archived
                .inspect(|archived| archive::leave(account, *archived, stanza.to()));
        }
        Outcome::Undecided => {}
    }
    perform(core, account, decision.effects, settled, out).await;
}

async fn hand_over(
    core: &Core,
    account: &mut Account,
    sessions: &[SessionId],
    stanza: &Arc<Stanza>,
    archived: Option<Archived>,
    out: &Out,
) {
    if let Some(archived) = archived {
        archive::deliver(core, account, sessions, stanza, archived, out.trace);
        return archive::feed_all(core, account, out.trace).await;
    }
    let manner = Manner {
        readdress: false,
        fate: Fate::alone(stanza),
        limits: core.queue_limits(),
        trace: out.trace,
    };
    account.deliver(sessions, stanza, manner);
}

/// A request that a guard dropped is answered all the same: every request gets exactly one answer (RFC 6120, 8.2.3), and one
/// that says no more than that nobody is there.
fn unanswered(stanza: &Stanza) -> Option<Stanza> {
    match stanza {
        Stanza::Iq(_) => refuse(stanza, &Condition::ServiceUnavailable.into()),
        Stanza::Message(_) | Stanza::Presence(_) => None,
    }
}

/// RFC 6121, 8.5.1: there is no such account.
fn nobody(stanza: &Stanza) -> Option<Stanza> {
    match stanza {
        Stanza::Presence(presence) if presence.kind == PresenceType::Probe => Some(unsubscribed(presence)),
        Stanza::Presence(_) => None,
        // As at an account that is there and away (RFC 6121, table 1).
        Stanza::Message(message) if message.kind == MessageType::Headline => None,
        Stanza::Message(_) | Stanza::Iq(_) => refuse(stanza, &Condition::ServiceUnavailable.into()),
    }
}

/// RFC 6121, 4.3.2: who probes an account that is gone learns that the subscription is, too.
fn unsubscribed(probe: &Presence) -> Stanza {
    let mut answer = Presence {
        head: stanza::Head::default(),
        kind: PresenceType::Unsubscribed,
        payload: stanza::Payload::default(),
    };
    answer.head.id.clone_from(&probe.head.id);
    answer.head.to = probe.head.from.as_ref().map(|from| from.bare().into());
    answer.head.from = probe.head.to.as_ref().map(|to| to.bare().into());
    answer.into()
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Undecided => "undecided",
        Outcome::Sessions(_) => "delivered",
        Outcome::Nobody => "kept",
        Outcome::Handle => "handled",
        Outcome::Ignore => "ignored",
        Outcome::Bounce(_) => "bounced",
    }
}

/// Whether a stanza is a request.
pub(crate) fn is_request(stanza: &Stanza) -> bool {
    matches!(stanza, Stanza::Iq(iq) if matches!(iq.kind, IqType::Get | IqType::Set))
}
