//! Presence and locations, written behind: in batches, newest wins, tried again while a store is away. Nothing on the path of a
//! stanza waits for them.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use stanza::Full;
use store::{Location, PresenceRecord, Stores};
use tokio::sync::Notify;
use topology::Slot;

use crate::gauges;

/// Most records in one batch.
const BATCH: usize = 1_000;

/// What is to be written.
#[derive(Default)]
pub(crate) struct Behind {
    state: Mutex<Pending>,
    due: Notify,
}

#[derive(Default)]
struct Pending {
    /// All presence of the sessions here: what a store that lost its data is filled from.
    presence: BTreeMap<Slot, BTreeMap<Full, PresenceRecord>>,
    changed: BTreeMap<Slot, BTreeSet<Full>>,
    generations: BTreeMap<Slot, u64>,
    locations: BTreeMap<Full, Option<Location>>,
}

impl Behind {
    /// A session's presence is this now, or none.
    pub(crate) fn presence(&self, jid: &Full, record: Option<PresenceRecord>) {
        let slot = Slot::of(jid.bare().as_str());
        let mut state = self.state.lock();
        let known = state.presence.entry(slot).or_default();
        match record {
            Some(record) => known.insert(jid.clone(), record),
            None => known.remove(jid),
        };
        state.changed.entry(slot).or_default().insert(jid.clone());
        self.due.notify_one();
    }

    /// A session is there now, or nowhere.
    pub(crate) fn location(&self, jid: &Full, location: Option<Location>) {
        self.state.lock().locations.insert(jid.clone(), location);
        self.due.notify_one();
    }

    /// Waits until something is to be written.
    pub(crate) async fn due(&self) {
        self.due.notified().await;
    }

    /// The slot has another home: what is not written yet is its business.
    pub(crate) fn forget(&self, slots: &BTreeSet<Slot>) {
        let mut state = self.state.lock();
        for slot in slots {
            state.presence.remove(slot);
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
        let mut all = locations;
        for slot in due {
            // A store that is away is asked once per round, not once per slot.
            all = self.flush_presence(stores, slot).await && all;
            if !all {
                return false;
            }
        }
        all
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

    async fn flush_presence(&self, stores: &Stores, slot: Slot) -> bool {
        let Some(generation) = self.generation_of(stores, slot).await else {
            return false;
        };
        let Some(batch) = self.take_presence(slot) else {
            return true;
        };
        match stores.presence.put(slot, generation, &batch).await {
            Ok(true) => {
                gauges::written_behind("presence", "written", batch.len());
                true
            }
            Ok(false) => {
                gauges::written_behind("presence", "lost", batch.len());
                let mut state = self.state.lock();
                state.generations.remove(&slot);
                let all: BTreeSet<Full> = state
                    .presence
                    .get(&slot)
                    .into_iter()
                    .flat_map(|known| known.keys().cloned())
                    .collect();
                state.changed.entry(slot).or_default().extend(all);
                self.due.notify_one();
                true
            }
            Err(error) => {
                tracing::debug!(%error, "writing presence");
                gauges::written_behind("presence", "failed", batch.len());
                let jids = batch.into_iter().map(|(jid, _)| jid);
                self.state.lock().changed.entry(slot).or_default().extend(jids);
                false
            }
        }
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
    fn take_presence(&self, slot: Slot) -> Option<Vec<(Full, Option<PresenceRecord>)>> {
        let mut state = self.state.lock();
        let changed = state.changed.remove(&slot)?;
        let known = state.presence.get(&slot);
        let record = |jid: &Full| known.and_then(|known| known.get(jid)).cloned();
        let batch = changed.into_iter().map(|jid| (jid.clone(), record(&jid))).collect();
        if known.is_some_and(BTreeMap::is_empty) {
            state.presence.remove(&slot);
        }
        Some(batch)
    }
}
