//! Stanzas from other homes.

use std::sync::Arc;

use link::Route;
use stanza::{Jid, Stanza};
use topology::Slot;

use crate::arrive::arrive;
use crate::core::Core;
use crate::errand::Sent;
use crate::travel::{Travel, addressed, came_late};

/// Takes in a stanza for recipients that are at home here; gives back those that are not. What follows from it goes on after
/// this returns, so that two homes never wait for each other; its order is kept.
pub(crate) async fn receive(core: &Arc<Core>, route: Route) -> Vec<Jid> {
    let mut back = Vec::new();
    let mut travel = Travel::new(core.clone());
    let single = route.to.len() == 1;
    for to in route.to {
        let Some(home) = core.home_of(&to) else {
            // A peer with other virtual hosts: nothing here to deliver to, and sending it back would not end.
            continue;
        };
        let slot = Slot::of(home.as_str());
        let Ok(_pass) = core.slots.arrive(slot).await else {
            back.push(to);
            continue;
        };
        let sent = Sent {
            stanza: own(&route.stanza, &to, single),
            key: route.key,
        };
        let batch = arrive(core, &home, sent, route.trace, 0).await;
        if came_late(core, &home, &route.stanza) {
            back.push(to);
        } else {
            travel.add(batch);
        }
    }
    let trail = Trail::begin(core.clone());
    tokio::spawn(async move {
        travel.finish().await;
        drop(trail);
    });
    back
}

/// Counts as a trail until dropped.
struct Trail(Arc<Core>);

impl Trail {
    fn begin(core: Arc<Core>) -> Self {
        core.trails.send_modify(|n| *n += 1);
        Self(core)
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.0.trails.send_modify(|n| *n = n.saturating_sub(1));
    }
}

fn own(stanza: &Arc<Stanza>, to: &Jid, single: bool) -> Arc<Stanza> {
    if single && stanza.to() == Some(to) {
        return stanza.clone();
    }
    Arc::new(addressed(stanza, to.clone()))
}
