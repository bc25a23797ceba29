//! The sessions of an edge by id, and through them what a router may ask of the edge.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use link::{Delivery, Step};
use parking_lot::RwLock;
use stanza::{SessionId, StreamCondition};

use crate::config;
use crate::meters::{Meters, Waiting};
use crate::outbox::{Item, Order, Outbox, Pushed};

/// How many locks the table is spread over.
const SHARDS: usize = 32;

/// The table. Made before the edge, because the link to the routers needs it first.
pub struct Sessions {
    shards: [RwLock<HashMap<SessionId, Arc<Outbox>>>; SHARDS],
    limits: config::Outbox,
    pub(crate) meters: Meters,
}

/// A session's entry, removed when dropped.
pub(crate) struct Entry {
    table: Arc<Sessions>,
    id: SessionId,
    outbox: Arc<Outbox>,
}

impl Sessions {
    /// An empty table. Metrics go to the recorder that is installed now.
    pub fn new(limits: config::Outbox) -> Arc<Self> {
        Arc::new(Self {
            shards: Default::default(),
            limits,
            meters: Meters::new(),
        })
    }

    /// How many connections have an entry (bound or not).
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets the gauges that are read, not kept: call it before metrics are shown. Looks at every session, a share at a time.
    pub fn sample(&self) {
        let mut waiting = Waiting::default();
        for shard in &self.shards {
            shard.read().values().for_each(|outbox| waiting.add(outbox.load()));
        }
        Meters::outboxes(&waiting);
    }

    /// Enters a new connection.
    pub(crate) fn enter(self: &Arc<Self>, id: SessionId) -> Entry {
        let outbox = Arc::new(Outbox::default());
        self.shard(id).write().insert(id, outbox.clone());
        Entry {
            table: self.clone(),
            id,
            outbox,
        }
    }

    /// All that are here now.
    pub(crate) fn ids(&self) -> Vec<SessionId> {
        self.shards
            .iter()
            .flat_map(|shard| shard.read().keys().copied().collect::<Vec<_>>())
            .collect()
    }

    /// Gives one session an order.
    pub(crate) fn order(&self, id: SessionId, order: Order) {
        if let Some(outbox) = self.find(id) {
            outbox.order(order);
        }
    }

    /// Gives all sessions the same order.
    pub(crate) fn order_all(&self, order: &Order) {
        for shard in &self.shards {
            shard.read().values().for_each(|outbox| outbox.order(order.clone()));
        }
    }

    fn find(&self, id: SessionId) -> Option<Arc<Outbox>> {
        self.shard(id).read().get(&id).cloned()
    }

    /// Ids are random, so any part of them spreads evenly.
    fn shard(&self, id: SessionId) -> &RwLock<HashMap<SessionId, Arc<Outbox>>> {
        &self.shards[usize::from(id.0.to_le_bytes()[0]) % SHARDS]
    }
}

impl link::Edge for Sessions {
    fn deliver(&self, delivery: Delivery) {
        let Delivery {
            sessions,
            stanza,
            readdress,
            trace,
            ..
        } = delivery;
        for (id, number) in sessions {
            let Some(outbox) = self.find(id) else {
                self.meters.strayed.increment(1);
                continue;
            };
            let step = Step::next("edge.deliver", stanza.name(), trace);
            let item = Item {
                number,
                stanza: stanza.clone(),
                readdress,
                span: step.trace.map(|_| Box::new(step.span.clone())),
            };
            let outcome = match outbox.push(item, &self.limits) {
                Pushed::Queued => continue,
                Pushed::Closing => "closing",
                Pushed::Repeated => {
                    self.meters.repeated.increment(1);
                    "repeated"
                }
                Pushed::Overflowed => {
                    self.meters.overflows.increment(1);
                    "overflow"
                }
            };
            step.span.record("outcome", outcome);
        }
    }

    fn done(&self, session: SessionId, number: u64) {
        if let Some(outbox) = self.find(session) {
            outbox.note_done(number);
        }
    }

    /// In process nobody needs it: the home lives as long as this edge.
    fn mirror(&self, _session: SessionId, _state: Bytes) {}

    fn kick(&self, session: SessionId, condition: StreamCondition) {
        self.order(session, Order::Kick(condition));
    }
}

impl std::ops::Deref for Entry {
    type Target = Outbox;
    fn deref(&self) -> &Outbox {
        &self.outbox
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.table.shard(self.id).write().remove(&self.id);
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
