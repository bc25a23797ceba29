//! Edges that died: their sessions end, and everybody is told.

use std::sync::Arc;

use futures::{StreamExt, stream};
use stanza::{Bare, SessionId};
use topology::{Epoch, NodeId, Verdict};

use crate::config::ms;
use crate::core::Core;
use crate::gauges;
use crate::resume;
use crate::travel::{Travel, end_session};

/// Sessions ended at a time.
const AT_ONCE: usize = 32;

/// The link to an edge broke: unless it comes back in time, its sessions end.
pub(crate) async fn link_broke(core: Arc<Core>, edge: NodeId, epoch: Epoch) {
    tokio::time::sleep(ms(core.config.cluster.edge_grace_ms)).await;
    if !core.edges.is_up(&edge, epoch) {
        end_all(&core, &edge, epoch).await;
    }
}

/// Ends the sessions of edges that are dead by what is known of membership now.
pub(crate) async fn bury(core: Arc<Core>) {
    let live = core.snapshot.borrow().live();
    for (edge, epoch) in core.directory.edges() {
        if !core.edges.is_local(&edge, epoch) && live.judge(&edge, epoch) == Verdict::Dead {
            end_all(&core, &edge, epoch).await;
        }
    }
}

/// Ends every session that `edge` held in that life, unless its client may resume it elsewhere.
pub(crate) async fn end_all(core: &Arc<Core>, edge: &NodeId, epoch: Epoch) {
    let sessions = core.directory.of_edge(edge, epoch);
    if sessions.is_empty() {
        return;
    }
    tracing::info!(%edge, sessions = sessions.len(), "an edge is gone");
    stream::iter(sessions)
        .for_each_concurrent(AT_ONCE, |(id, account)| end_one(core, edge, epoch, id, account))
        .await;
}

async fn end_one(core: &Arc<Core>, edge: &NodeId, epoch: Epoch, id: SessionId, account: Bare) {
    let slot = topology::Slot::of(account.as_str());
    let Ok(_pass) = core.slots.enter(slot).await else {
        return;
    };
    if resume::stream_lost(core, &account, id, Some((edge, epoch))).await {
        return;
    }
    gauges::kicked("edge");
    // If it lives after all, it learns that the session is over.
    let condition = stanza::StreamCondition::ConnectionTimeout;
    let batch = end_session(core, &account, id, Some(condition), 0).await;
    Travel::carry(core, batch).await;
}
