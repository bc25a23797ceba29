//! Binding a resource (RFC 6120, 7).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use engine::{BindCx, SessionEvent};
use futures::FutureExt;
use link::EdgeRef;
use stanza::{
    Bare, BindReply, BindRequest, ClientId, Condition, ErrorType, Full, Payload, ResourceRequest, SessionId,
    StanzaError, StreamCondition,
};
use store::Location;

use crate::account::Account;
use crate::config::{ResourceConflict, ms};
use crate::core::Core;
use crate::end;
use crate::errand::{Batch, Out};
use crate::gauges;
use crate::load;
use crate::mirror::Mirror;
use crate::perform::{finish, perform};
use crate::refusal::Refusal;
use crate::session::Session;
use crate::settle;
use crate::travel::Travel;
use crate::vouch::Proof;

/// Binds a resource for a session whose grant has been checked and proves that; `stable` is what its client is called in tagged
/// resources. The caller holds the slot's pass.
pub(crate) async fn bind(
    core: &Arc<Core>,
    edge: &EdgeRef,
    request: BindRequest,
    stable: Option<String>,
    proof: Proof,
) -> BindReply {
    let (reply, batch) = match open(core, edge, request, stable, proof).await {
        Ok((jid, said, batch)) => (BindReply::Bound(jid, said), batch),
        Err(error) => (BindReply::Refused(error), None),
    };
    Travel::carry(core, batch).await;
    reply
}

async fn open(
    core: &Core,
    edge: &EdgeRef,
    request: BindRequest,
    stable: Option<String>,
    proof: Proof,
) -> Result<(Full, Payload, Option<Batch>), StanzaError> {
    let cell = core.cells.get(&request.account);
    let mut state = cell.state.lock().await;
    let account = load::account_afresh(core, &request.account, &mut state)
        .await
        .map_err(|_| Refusal::Away)?;
    let account = account
        .filter(|account| account.vouched(proof))
        .ok_or(Condition::NotAuthorized)?;
    if account.sessions.contains_key(&request.session) {
        return Err(Condition::NotAllowed.into());
    }
    let mut out = Out::default();
    let jid = match &request.resource {
        ResourceRequest::Any => made(core, account.jid())?,
        ResourceRequest::Named(resource) => choose(core, account, resource, &mut out).await?,
        ResourceRequest::Tagged { tag, client, .. } => {
            end_earlier(core, account, *client, &mut out).await;
            tagged(core, account, tag.as_deref(), stable)?
        }
    };
    let limit = core.config.sessions_per_account as usize;
    if account.sessions.len() >= limit {
        give_up_oldest(core, account, &mut out).await;
    }
    if account.sessions.len() >= limit {
        return Err(StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait));
    }
    let (id, resource) = (request.session, request.resource.clone());
    enter(core, account, edge, request, &jid, &mut out).await;
    let said = match &resource {
        ResourceRequest::Tagged { wishes, .. } => equip(core, account, id, wishes, &mut out).await,
        ResourceRequest::Any | ResourceRequest::Named(_) => Payload::default(),
    };
    Ok((jid, said, finish(&cell, account, out).await))
}

/// Gives a session what its client wants from the beginning (XEP-0386). Returns what the client is told. What a module cannot say now,
/// its client can ask for later.
async fn equip(core: &Core, account: &mut Account, session: SessionId, wishes: &Payload, out: &mut Out) -> Payload {
    let wishes = wishes.children().iter().filter_map(|child| wishes.element(child));
    let cx = BindCx {
        now: core.now(),
        host: account.host.host.clone(),
        account: account.view.clone(),
        session,
        wishes: wishes.collect(),
        stores: core.stores.clone(),
    };
    let mut said = Vec::new();
    for (module, hook) in account.host.pipeline.bind(&cx) {
        let hook = AssertUnwindSafe(hook).catch_unwind();
        match tokio::time::timeout(ms(core.config.query_timeout_ms), hook).await {
            Ok(Ok(Ok(bound))) => {
                said.extend(bound.said);
                match settle::settle(core, account, &bound.effects).await {
                    Ok(settled) => perform(core, account, bound.effects, settled, out).await,
                    Err(refusal) => tracing::warn!(module, ?refusal, "binding a resource"),
                }
            }
            Ok(Ok(Err(error))) => tracing::warn!(module, %error, "binding a resource"),
            Ok(Err(_)) => {
                gauges::panicked(module);
                tracing::error!(module, "a bind hook panicked");
            }
            Err(_) => tracing::warn!(module, "a bind hook took too long"),
        }
    }
    said.into_iter().collect()
}

async fn enter(core: &Core, account: &mut Account, edge: &EdgeRef, request: BindRequest, jid: &Full, out: &mut Out) {
    let (id, now) = (request.session, core.now());
    let mut session = Session::new(id, request.account, edge.clone(), now);
    if let ResourceRequest::Tagged { client, .. } = request.resource {
        session.client = client;
    }
    core.directory.insert(id, session.handle.clone());
    locate(core, id, jid, edge);
    gauges::session(true);
    let mirror = Mirror {
        connected: now,
        since: now,
        ..Mirror::default()
    };
    account.open(session, jid.clone(), mirror);
    end::event(core, account, id, SessionEvent::Opened, out).await;
}

/// Makes room by ending the session that has been without a stream for longest: who comes again and again under new resources is
/// not kept out by what was left behind.
async fn give_up_oldest(core: &Core, account: &mut Account, out: &mut Out) {
    let detached = account
        .sessions
        .values()
        .filter_map(|session| Some((session.detached.as_ref()?.since, session.id)));
    if let Some((_, oldest)) = detached.min() {
        replace(core, account, oldest, out).await;
    }
}

/// Writes behind where a session is.
pub(crate) fn locate(core: &Core, id: SessionId, jid: &Full, edge: &EdgeRef) {
    let location = Location {
        jid: jid.clone(),
        edge: edge.id.clone(),
        epoch: edge.epoch,
        session: id.0,
    };
    core.behind.location(jid, Some(location));
}

/// A client that binds anew has no use for what it bound before (XEP-0386, "Performing the bind").
async fn end_earlier(core: &Core, account: &mut Account, client: Option<ClientId>, out: &mut Out) {
    let Some(client) = client else { return };
    let is_its = |session: &&Session| session.client == Some(client);
    let earlier: Vec<SessionId> = account
        .sessions
        .values()
        .filter(is_its)
        .map(|session| session.id)
        .collect();
    for session in earlier {
        replace(core, account, session, out).await;
    }
}

/// `TAG/LETTERS`, with letters that are the client's own if they are free. A tag that cannot stand in a resource is left out
/// (XEP-0386, "Resource identifier generation").
fn tagged(core: &Core, account: &Account, tag: Option<&str>, stable: Option<String>) -> Result<Full, StanzaError> {
    let random = sasl::letters(core.entropy.bits(), 16);
    let with = |letters: &str| {
        let whole = tag.and_then(|tag| account.jid().with_resource(&format!("{tag}/{letters}")).ok());
        whole.or_else(|| account.jid().with_resource(letters).ok())
    };
    let is_free = |jid: &Full| account.view.resource(jid.resource()).is_none();
    let stable = stable.and_then(|letters| with(&letters)).filter(is_free);
    stable
        .or_else(|| with(&random))
        .ok_or_else(|| Condition::InternalServerError.into())
}

/// The address to bind (RFC 6120, 7.7). Makes room for it when the new session wins.
async fn choose(core: &Core, account: &mut Account, asked: &str, out: &mut Out) -> Result<Full, StanzaError> {
    let jid = account.jid().with_resource(asked).map_err(|_| Condition::BadRequest)?;
    let Some(other) = account.view.resource(jid.resource()).map(|session| session.id) else {
        return Ok(jid);
    };
    match core.config.resource_conflict {
        ResourceConflict::Refuse => Err(Condition::Conflict.into()),
        ResourceConflict::Rename => made(core, account.jid()),
        ResourceConflict::Replace => {
            replace(core, account, other, out).await;
            Ok(jid)
        }
    }
}

/// Ends a session in favour of a new one (RFC 6120, 7.7.2.2).
pub(crate) async fn replace(core: &Core, account: &mut Account, other: SessionId, out: &mut Out) {
    gauges::kicked("conflict");
    end::end(core, account, other, Some(StreamCondition::Conflict), out).await;
}

/// A resource made by the server: 26 characters that nobody can guess.
fn made(core: &Core, account: &Bare) -> Result<Full, StanzaError> {
    account
        .with_resource(&sasl::letters(core.entropy.bits(), 26))
        .map_err(|_| Condition::InternalServerError.into())
}
