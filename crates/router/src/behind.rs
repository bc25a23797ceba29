//! Presence and locations, written behind: in batches, newest wins, tried again while a store is away. Nothing on the path of a
//! stanza waits for them.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use parking_lot::Mutex;
use stanza::Full;
use store::{BySlot, Location, PresenceRecord, Stores};
use tokio::sync::Notify;
use topology::Slot;

use crate::gauges;

/// Slots whose presence is written at a time.
const AT_ONCE: usize = 16;
/// Most records in one batch.
const BATCH: usize = 1_000;

/// What is to be written.
#[derive(Default)]
pub(crate) struct Behind {
    state: Mutex<Pending>,
    due: Notify,
}

/// A session's presence, or that it has none any more.
type Record = (Full, Option<PresenceRecord>);

#[derive(Default)]
struct Pending {
    /// All presence of the sessions here: what a store that lost its data is filled from.
    presence: BySlot<PresenceRecord>,
    changed: BTreeMap<Slot, BTreeSet<Full>>,
    generations: BTreeMap<Slot, u64>,
    locations: BTreeMap<Full, Option<Location>>,
}

impl Behind {
    /// A session's presence is this now, or none.
    pub(crate) fn presence(&self, jid: &Full, record: Option<PresenceRecord>) {
        let slot = Slot::of(jid.bare().as_str());
        let mut state = self.state.lock();
        match record {
            Some(record) => state.presence.insert(slot, jid.clone(), record),
            None => state.presence.remove(slot, jid),
        }
        state.changed.entry(slot).or_default().insert(jid.clone());
        self.due.notify_one();
    }

    /// A session is there now, or nowhere.
    pub(crate) fn location(&self, jid: &Full, location: Option<Location>) {
        self.state.lock().locations.insert(jid.clone(), location);
        self.due.notify_one();
    }

    /// How many presence records and locations wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.changed.values().map(BTreeSet::len).sum(), state.locations.len())
    }

    /// Waits until something is to be written.
    pub(crate) async fn due(&self) {
        self.due.notified().await;
    }

    /// The slot has another home: what is not written yet is its business.
    pub(crate) fn forget(&self, slots: &BTreeSet<Slot>) {
        let mut state = self.state.lock();
        for slot in slots {
            state.presence.forget(*slot);
            state.changed.remove(slot);
            state.generations.remove(slot);
        }
        state
            .locations
            .retain(|jid, _| !slots.contains(&Slot::of(jid.bare().as_str())));
    }

    /// Writes everything that is due. Returns whether both stores took it.
    pub(crate) async fn flush(&self, stores: &Stores) -> bool {
        let locations = self.flush_locations(stores).await;
        let due: Vec<Slot> = self.state.lock().changed.keys().copied().collect();
        let mut written = stream::iter(due)
            .map(|slot| self.flush_presence(stores, slot))
            .buffer_unordered(AT_ONCE);
        // A store that is away is not asked for every slot.
        while let Some(taken) = written.next().await {
            if !taken {
                return false;
            }
        }
        locations
    }

    async fn flush_locations(&self, stores: &Stores) -> bool {
        loop {
            let batch: Vec<_> = {
                let state = self.state.lock();
                state
                    .locations
                    .iter()
                    .take(BATCH)
                    .map(|(jid, location)| (jid.clone(), location.clone()))
                    .collect()
            };
            if batch.is_empty() {
                return true;
            }
            if let Err(error) = stores.locations.put(&batch).await {
                tracing::debug!(%error, "writing locations");
                gauges::written_behind("locations", "failed", batch.len());
                return false;
            }
            gauges::written_behind("locations", "written", batch.len());
            let mut state = self.state.lock();
            for (jid, location) in batch {
                // Unless it changed meanwhile.
                if state.locations.get(&jid) == Some(&location) {
                    state.locations.remove(&jid);
                }
            }
        }
    }

    /// What is due stays due until the store has taken it: this may be given up at any point.
    async fn flush_presence(&self, stores: &Stores, slot: Slot) -> bool {
        let Some(generation) = self.generation_of(stores, slot).await else {
            return false;
        };
        let Some(batch) = self.due_presence(slot) else {
            return true;
        };
        match stores.presence.put(slot, generation, &batch).await {
            Ok(true) => {
                gauges::written_behind("presence", "written", batch.len());
                self.state.lock().written(slot, &batch);
            }
            Ok(false) => {
                gauges::written_behind("presence", "lost", batch.len());
                self.state.lock().lost(slot);
                self.due.notify_one();
            }
            Err(error) => {
                tracing::debug!(%error, "writing presence");
                gauges::written_behind("presence", "failed", batch.len());
                return false;
            }
        }
        true
    }

    async fn generation_of(&self, stores: &Stores, slot: Slot) -> Option<u64> {
        let known = self.state.lock().generations.get(&slot).copied();
        if known.is_some() {
            return known;
        }
        let (generation, _) = stores.presence.load(slot).await.ok()?;
        self.state.lock().generations.insert(slot, generation);
        Some(generation)
    }

    /// The records of `slot` that are due, newest.
    fn due_presence(&self, slot: Slot) -> Option<Vec<Record>> {
        let state = self.state.lock();
        let changed = state.changed.get(&slot)?;
        Some(
            changed
                .iter()
                .map(|jid| (jid.clone(), state.presence.get(slot, jid).cloned()))
                .collect(),
        )
    }
}

impl Pending {
    /// The store took `batch`: what did not change meanwhile is not due any more.
    fn written(&mut self, slot: Slot, batch: &[Record]) {
        for (jid, record) in batch {
            if self.presence.get(slot, jid) == record.as_ref()
                && let Some(changed) = self.changed.get_mut(&slot)
            {
                changed.remove(jid);
            }
        }
        if self.changed.get(&slot).is_some_and(BTreeSet::is_empty) {
            self.changed.remove(&slot);
        }
    }

    /// The store lost the slot: everything is due.
    fn lost(&mut self, slot: Slot) {
        self.generations.remove(&slot);
        let all = self.presence.of(slot).map(|(jid, _)| jid.clone());
        self.changed.entry(slot).or_default().extend(all);
    }
}
