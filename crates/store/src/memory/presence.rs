//! Last presence per session, in ordered maps.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use stanza::Full;
use topology::Slot;

use crate::{PresenceRecord, Result};

/// Last presence per session.
#[derive(Default)]
pub struct Presence {
    slots: Mutex<BTreeMap<Slot, Kept>>,
}

struct Kept {
    generation: u64,
    records: BTreeMap<Full, PresenceRecord>,
}

impl Presence {
    /// Loses everything, as a cache that was restarted empty does.
    pub fn forget(&self) {
        self.slots.lock().clear();
    }
}

#[async_trait]
impl crate::Presence for Presence {
    async fn put(&self, slot: Slot, generation: u64, records: &[(Full, Option<PresenceRecord>)]) -> Result<bool> {
        let mut slots = self.slots.lock();
        let Some(kept) = slots.get_mut(&slot).filter(|kept| kept.generation == generation) else {
            return Ok(false);
        };
        for (jid, record) in records {
            match record {
                Some(record) => kept.records.insert(jid.clone(), record.clone()),
                None => kept.records.remove(jid),
            };
        }
        Ok(true)
    }

    async fn load(&self, slot: Slot) -> Result<(u64, Vec<PresenceRecord>)> {
        let mut slots = self.slots.lock();
        let fresh = || Kept {
            generation: rand::random(),
            records: BTreeMap::new(),
        };
        let kept = slots.entry(slot).or_insert_with(fresh);
        Ok((kept.generation, kept.records.values().cloned().collect()))
    }
}
