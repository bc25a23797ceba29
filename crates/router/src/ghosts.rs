//! Sessions that died together with their home: nobody attached them, so the new home ends them on their behalf. No resource
//! stays online that is not there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use link::{Delivery, Edge, EdgeRef};
use stanza::{Full, SessionId, Stanza, StreamCondition};
use store::{Location, PresenceRecord};
use tokio::time::Instant;
use topology::{Epoch, NodeId, Slot, Verdict};

use crate::core::Core;
use crate::end;
use crate::errand::Out;
use crate::load;
use crate::mirror::Mirror;
use crate::perform::finish;
use crate::session::Session;
use crate::travel::Travel;

/// Slots looked through at a time.
const AT_ONCE: usize = 16;
/// How often an edge that may still attach its sessions is looked at again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session of which records tell.
#[derive(Clone)]
struct Ghost {
    jid: Full,
    edge: NodeId,
    epoch: Epoch,
    session: SessionId,
    presence: Option<Bytes>,
}

/// What is known of a session of which records tell.
enum Fate {
    /// It is here, or another has its resource.
    Here,
    /// Its edge may still attach it.
    Awaited,
    /// It is gone.
    Gone,
}

/// Ends the sessions of `slots` that nobody attached since the slot table `table`.
pub(crate) async fn lay(core: Arc<Core>, slots: Vec<Slot>, table: u64) {
    stream::iter(slots)
        .for_each_concurrent(AT_ONCE, |slot| lay_slot(&core, slot, table))
        .await;
}

async fn lay_slot(core: &Arc<Core>, slot: Slot, table: u64) {
    let deadline = Instant::now() + PATIENCE;
    let Some(mut ghosts) = read(core, slot, deadline).await else {
        return;
    };
    while !ghosts.is_empty() && core.slots.is_home(slot, table) {
        let mut awaited = Vec::new();
        for ghost in ghosts {
            match fate(core, &ghost, table).await {
                Fate::Here => {}
                Fate::Awaited => awaited.push(ghost),
                Fate::Gone => end_one(core, ghost).await,
            }
        }
        if Instant::now() >= deadline {
            return;
        }
        if !awaited.is_empty() {
            tokio::time::sleep(AGAIN).await;
        }
        ghosts = awaited;
    }
}

/// What the stores tell of the slot's sessions; asked again while they are away.
async fn read(core: &Core, slot: Slot, deadline: Instant) -> Option<Vec<Ghost>> {
    loop {
        let (locations, presence) = (
            core.stores.locations.load(slot).await,
            core.stores.presence.load(slot).await,
        );
        if let (Ok(locations), Ok((_, presence))) = (locations, presence) {
            return Some(join(locations, presence));
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// One entry per session; presence of an earlier life of the resource does not count.
fn join(locations: Vec<Location>, presence: Vec<PresenceRecord>) -> Vec<Ghost> {
    let mut ghosts = BTreeMap::new();
    for record in presence {
        let ghost = Ghost {
            jid: record.jid.clone(),
            edge: record.edge,
            epoch: record.epoch,
            session: SessionId(0),
            presence: Some(record.stanza),
        };
        ghosts.insert(record.jid, ghost);
    }
    for record in locations {
        let known: Option<Ghost> = ghosts.remove(&record.jid);
        let ghost = Ghost {
            jid: record.jid.clone(),
            edge: record.edge,
            epoch: record.epoch,
            session: SessionId(record.session),
            presence: known.and_then(|known| known.presence),
        };
        ghosts.insert(record.jid, ghost);
    }
    ghosts.into_values().collect()
}

async fn fate(core: &Core, ghost: &Ghost, table: u64) -> Fate {
    if core.directory.get(ghost.session).is_some() || core.directory.has_ended(ghost.session) {
        return Fate::Here;
    }
    let verdict = core.snapshot.borrow().live().judge(&ghost.edge, ghost.epoch);
    let attached = core
        .edges
        .has_attached(&ghost.edge, ghost.epoch, Slot::of(ghost.jid.bare().as_str()), table);
    match verdict {
        Verdict::Dead => Fate::Gone,
        Verdict::Live if attached => Fate::Gone,
        Verdict::Live | Verdict::Ahead => Fate::Awaited,
    }
}

/// Brings the session back for a moment, to end it as any other.
async fn end_one(core: &Arc<Core>, ghost: Ghost) {
    let Ok(_pass) = core.slots.enter(Slot::of(ghost.jid.bare().as_str())).await else {
        return;
    };
    let jid = ghost.jid.bare();
    let cell = core.cells.get(&jid);
    let mut state = cell.state.lock().await;
    let Ok(Some(account)) = load::account(core, &jid, &mut state).await else {
        return;
    };
    if account.view.resource(ghost.jid.resource()).is_some() {
        return;
    }
    let now = core.now();
    let edge = EdgeRef {
        id: ghost.edge,
        epoch: ghost.epoch,
        edge: Arc::new(Nowhere),
    };
    let mirror = Mirror {
        connected: now,
        since: now,
        presence: ghost.presence.and_then(|bytes| match Stanza::parse(&bytes) {
            Ok(Stanza::Presence(presence)) => Some(Arc::new(presence)),
            _ => None,
        }),
        ..Mirror::default()
    };
    let mut out = Out::default();
    crate::gauges::session(true);
    account.open(Session::new(ghost.session, jid, edge, now), ghost.jid, mirror);
    end::end(core, account, ghost.session, None, &mut out).await;
    let batch = finish(&cell, account, out).await;
    drop(state);
    Travel::carry(core, batch).await;
}

/// The edge of a session that is no more.
struct Nowhere;

impl Edge for Nowhere {
    fn deliver(&self, _: Delivery) {}
    fn done(&self, _: SessionId, _: u64) {}
    fn mirror(&self, _: SessionId, _: Bytes) {}
    fn kick(&self, _: SessionId, _: StreamCondition) {}
}
