//! A client's stanza: the way out of its account, and the rest of its walk.

use std::sync::Arc;

use engine::{Outcome, View, Way};
use link::{Gone, Said, SessionRef, Step, Submission};
use stanza::{Condition, Full, IqType, SessionId, Stanza};
use tracing::Instrument;

use crate::account::{Account, Manner};
use crate::arrive::is_request;
use crate::cells::State;
use crate::core::Core;
use crate::errand::{Batch, Errand, Out, Question, Sent};
use crate::gauges;
use crate::load;
use crate::perform::{finish, perform};
use crate::refusal::Refusal;
use crate::refuse::refuse;
use crate::relay;
use crate::session::Fate;
use crate::settle;
use crate::travel::Travel;

/// Does everything that a client's stanza asks for. The caller holds the session's turn and the slot's pass.
pub(crate) async fn submit(core: &Arc<Core>, session: &SessionRef, submission: Submission) -> Result<(), Gone> {
    let Step { span, trace } = Step::next("router.out", submission.said.name(), submission.trace);
    let submission = Submission { trace, ..submission };
    let number = submission.number;
    let work = async {
        let batch = leave(core, session, submission).await?;
        if Travel::carry(core, batch).await {
            return Ok(());
        }
        // What was not carried is not done: the next home is to do it, or this one, should it go on after all.
        give_back(core, session, number).await;
        Err(Gone::Home)
    };
    work.instrument(span).await
}

/// The stanza `number`, which was accepted last, counts as if it had not come.
async fn give_back(core: &Core, session: &SessionRef, number: u64) {
    let Some(cell) = core.cells.find(&session.account()) else {
        return;
    };
    if let State::Loaded(account) = &mut *cell.state.lock().await
        && let Some(session) = account.sessions.get_mut(&session.id)
        && session.accepted == number
    {
        session.accepted = number - 1;
    }
}

/// The way out, under the account's lock.
async fn leave(core: &Core, session: &SessionRef, submission: Submission) -> Result<Option<Batch>, Gone> {
    let cell = core.cells.find(&session.account()).ok_or(Gone::Session)?;
    let mut state = cell.state.lock().await;
    let State::Loaded(account) = &mut *state else {
        return Err(Gone::Session);
    };
    let known = account.sessions.get_mut(&session.id).ok_or(Gone::Session)?;
    if submission.number <= known.accepted {
        return Ok(None);
    }
    known.accepted = submission.number;
    if let Said::Stanza(Stanza::Iq(iq)) = &submission.said {
        known.note_answer(iq);
    }
    let key = known.key(submission.number);
    let jid = account.view.session(session.id).ok_or(Gone::Session)?.jid.clone();
    let mut out = Out::new(submission.trace, 0);
    match submission.said {
        Said::Stanza(stanza) if account.is_component() => {
            let (stanza, key) = (Arc::new(stanza), Some(key));
            relay::leave(account, Sent { stanza, key }, &mut out);
        }
        Said::Stanza(stanza) => {
            let sent = Sent {
                stanza: Arc::new(prepare(stanza, &jid)),
                key: Some(key),
            };
            decide(core, account, session.id, sent, &mut out).await;
        }
        Said::Answered(stanza) => answer(core, account, session.id, stanza, &out),
    }
    Ok(finish(&cell, account, out).await)
}

async fn decide(core: &Core, account: &mut Account, id: SessionId, sent: Sent, out: &mut Out) {
    let (now, Sent { mut stanza, key }) = (core.now(), sent);
    if account.stale && load::afresh(core, account).await.is_err() {
        // Nothing leaves by what may not hold any more.
        gauges::failed("load");
        return answer(core, account, id, refuse(&stanza, &Refusal::Away.into()), out);
    }
    if let Some(left) = account
        .host
        .pipeline
        .strip(&account.look(Way::Out, now, Some(id)), &stanza)
    {
        stanza = Arc::new(left);
    }
    let judge = |account: &Account, archive_id| {
        account.host.pipeline.outgoing(
            &View {
                archive_id,
                ..account.look(Way::Out, now, Some(id))
            },
            &stanza,
        )
    };
    let (decision, settled) = settle::decide(core, account, Way::Out, key, judge).await;
    gauges::stanza(Way::Out, &stanza, outcome_name(&decision.outcome));
    out.note(outcome_name(&decision.outcome));
    perform(core, account, decision.effects, settled, out).await;
    match decision.outcome {
        Outcome::Undecided => out.push(travelling(account, Sent { stanza, key })),
        Outcome::Bounce(error) => answer(core, account, id, refuse(&stanza, &error), out),
        Outcome::Ignore => {
            // Every request gets exactly one answer (RFC 6120, 8.2.3).
            let error = is_request(&stanza).then(|| refuse(&stanza, &Condition::ServiceUnavailable.into()));
            answer(core, account, id, error.flatten(), out);
        }
        Outcome::Handle | Outcome::Nobody | Outcome::Sessions(_) => {}
    }
}

/// The sender is who he is, whatever the client says (RFC 6120, 8.1.2.1); requests without addressee are for his own account
/// (10.3.3), as are messages (10.3.1). Subscription stanzas come from and go to bare addresses (RFC 6121, 3.1.2).
fn prepare(mut stanza: Stanza, jid: &Full) -> Stanza {
    let subscribes = matches!(&stanza, Stanza::Presence(presence) if presence.kind.is_subscription());
    let message = matches!(stanza, Stanza::Message(_));
    let head = stanza.head_mut();
    head.from = Some(jid.clone().into());
    if subscribes {
        head.from = Some(jid.bare().into());
        head.to = head.to.as_ref().map(|to| to.bare().into());
    }
    if message && head.to.is_none() {
        head.to = Some(jid.bare().into());
    }
    stanza
}

/// Where a stanza goes that its account lets go.
fn travelling(account: &Account, sent: Sent) -> Errand {
    match &*sent.stanza {
        Stanza::Iq(iq) if iq.head.to.is_none() && matches!(iq.kind, IqType::Get | IqType::Set) => {
            Errand::Ask(Question::to(account, Arc::new(iq.clone())))
        }
        _ => Errand::Send(sent),
    }
}

/// An error goes back to the session at once.
fn answer(core: &Core, account: &mut Account, id: SessionId, stanza: Option<Stanza>, out: &Out) {
    let Some(stanza) = stanza else { return };
    let manner = Manner {
        readdress: false,
        fate: Fate::Lost,
        limits: core.queue_limits(),
        trace: out.trace,
    };
    let mut stanza = stanza;
    if !account.is_component() {
        // A subscription stanza's sender is the account, but the error is for the session that sent it.
        stanza.head_mut().to = account.view.session(id).map(|session| session.jid.clone().into());
    }
    account.deliver(&[id], &Arc::new(stanza), manner);
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Undecided => "travels",
        Outcome::Handle => "handled",
        Outcome::Ignore => "dropped",
        Outcome::Bounce(_) => "bounced",
        Outcome::Nobody | Outcome::Sessions(_) => "delivered",
    }
}
