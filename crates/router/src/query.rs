//! Requests to accounts and to the server: handlers run without the account's lock, on a snapshot.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use engine::{AccountView, Answer, Cx, Effects, Facts, Reply};
use futures::FutureExt;
use link::Trace;
use stanza::{Condition, Iq, Stanza, StanzaError};
use topology::Slot;

use crate::account::{Account, Manner};
use crate::cells::{Cell, State};
use crate::config::ms;
use crate::core::{Core, Whose};
use crate::errand::{Batch, Errand, Out, Question};
use crate::gauges;
use crate::load;
use crate::password;
use crate::perform::{finish, perform};
use crate::refusal::Refusal;
use crate::refuse::refuse;
use crate::session::Fate;
use crate::settle::{self, ATTEMPTS, Settled};

/// Answers a request. Returns what follows from it.
pub(crate) async fn answer(core: &Core, question: Question, trace: Option<Trace>, depth: u32) -> Option<Batch> {
    let ours = matches!(core.whose(question.account.jid()), Whose::User);
    let pass = if ours {
        core.slots.arrive(Slot::of(question.account.as_str())).await.ok()
    } else {
        None
    };
    let cell = pass.is_some().then(|| core.cells.get(&question.account));
    let mut answer = Err(StanzaError::from(Refusal::Conflict));
    // The reply for which a password was kept: that is done once, and cannot be taken back, so that the answer says it whatever follows.
    let mut kept = None;
    for attempt in 1..=ATTEMPTS {
        let ran = match snapshot(core, cell.as_deref(), &question).await {
            Ok(account) => run(core, &question, account).await,
            Err(error) => {
                gauges::failed("load");
                tracing::warn!(%error, "loading an account");
                Err(Refusal::Away.into())
            }
        };
        answer = match &kept {
            None => password::keep(core, &question.account, ran, &mut kept).await,
            Some(first) => Ok(ran.unwrap_or_else(|_| Reply::clone(first))),
        };
        let reply = answer.as_ref().cloned().unwrap_or_default();
        let Some(cell) = &cell else { break };
        let mut state = cell.state.lock().await;
        let State::Loaded(account) = &mut *state else { break };
        let settled = match settle::settle(core, account, &reply.effects).await {
            Ok(settled) => settled,
            Err(Refusal::Conflict) if attempt < ATTEMPTS && load::afresh(core, account).await.is_ok() => continue,
            Err(refusal) if kept.is_some() => {
                too_late(refusal);
                Settled::default()
            }
            Err(refusal) => {
                answer = Err(refusal.into());
                break;
            }
        };
        let mut out = Out::new(trace, depth);
        perform(core, account, reply.effects, settled, &mut out).await;
        let asked = repeatable(&question, &answer);
        send(core, account, &asked, &answer, &mut out);
        follow(core, account, reply.after, &mut out).await;
        return finish(cell, account, out).await;
    }
    let asked = repeatable(&question, &answer);
    elsewhere(core, cell.as_deref(), &asked, &answer, Out::new(trace, depth)).await
}

/// The request as far as its answer may repeat it.
fn repeatable(question: &Question, answer: &Answer) -> Arc<Iq> {
    match answer.is_err() && question.host.pipeline.is_secret(question.at, &question.request) {
        true => Arc::new(Iq {
            payload: stanza::Payload::default(),
            ..Iq::clone(&question.request)
        }),
        false => question.request.clone(),
    }
}

/// What the handler sees of the account; an empty one when it is not at home here.
async fn snapshot(core: &Core, cell: Option<&Cell>, question: &Question) -> store::Result<Arc<AccountView>> {
    if let Some(cell) = cell {
        let mut state = cell.state.lock().await;
        if let Some(account) = load::account(core, &question.account, &mut state).await? {
            return Ok(account.view.clone());
        }
    }
    Ok(Arc::new(AccountView {
        jid: question.account.clone(),
        sessions: Vec::new(),
        roster: Arc::default(),
        meters: engine::Meters::default(),
        lent: None,
        away_since: None,
        facts: Facts::default(),
    }))
}

/// Runs the handler: it may fail, panic or take too long, and is answered for in each case.
async fn run(core: &Core, question: &Question, account: Arc<AccountView>) -> Answer {
    let query = question.host.pipeline.query(question.at, &question.request)?;
    let module = query.module;
    let from = question.request.head.from.as_ref();
    let session = account
        .sessions
        .iter()
        .find(|session| from == Some(session.jid.jid()))
        .map(|session| session.id);
    let cx = Cx {
        now: core.now(),
        host: question.host.host.clone(),
        at: question.at,
        account,
        session,
        request: question.request.clone(),
        stores: core.stores.clone(),
        clients: core.holders.clone(),
        invites: core.inviter.clone(),
        commands: question.host.pipeline.commands(),
    };
    let work = AssertUnwindSafe(async move { query.run(cx).await }).catch_unwind();
    match tokio::time::timeout(ms(core.config.query_timeout_ms), work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            gauges::panicked(module);
            tracing::error!(module, "a handler panicked");
            Err(Condition::InternalServerError.into())
        }
        Err(_) => {
            gauges::failed("query");
            Err(Condition::RemoteServerTimeout.into())
        }
    }
}

/// Answers: at once when the account itself asked, else by the way of a stanza.
fn send(core: &Core, account: &mut Account, request: &Iq, answer: &Answer, out: &mut Out) {
    let Some(stanza) = stanza_of(request, answer) else {
        return;
    };
    let asking = account
        .view
        .sessions
        .iter()
        .find(|session| stanza.to() == Some(session.jid.jid()));
    let Some(id) = asking.map(|session| session.id) else {
        return out.push(Errand::Send(stanza.into()));
    };
    let manner = Manner {
        readdress: false,
        fate: Fate::Lost,
        limits: core.queue_limits(),
        trace: out.trace,
    };
    account.deliver(&[id], &Arc::new(stanza), manner);
}

/// Performs what was to follow the answer. It is too late to refuse: what cannot be done is counted.
async fn follow(core: &Core, account: &mut Account, after: Effects, out: &mut Out) {
    match settle::settle(core, account, &after).await {
        Ok(settled) => perform(core, account, after, settled, out).await,
        Err(refusal) => too_late(refusal),
    }
}

fn too_late(refusal: Refusal) {
    gauges::failed("after");
    tracing::warn!(?refusal, "an effect after an answer");
}

/// The answer when there is no account here to perform effects on, or when they were refused.
async fn elsewhere(core: &Core, cell: Option<&Cell>, request: &Iq, answer: &Answer, mut out: Out) -> Option<Batch> {
    if let Some(cell) = cell
        && let State::Loaded(account) = &mut *cell.state.lock().await
    {
        send(core, account, request, answer, &mut out);
        return finish(cell, account, out).await;
    }
    out.send(stanza_of(request, answer));
    out.free()
}

fn stanza_of(request: &Iq, answer: &Answer) -> Option<Stanza> {
    match answer {
        Ok(Reply { payload, .. }) => {
            let payload = payload.iter().cloned().collect::<stanza::Payload>();
            Some(request.result(payload).into())
        }
        Err(error) => refuse(&request.clone().into(), error),
    }
}
