//! Last presence per session, in an ordered map.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use stanza::Full;
use topology::Slot;

use crate::{BySlot, PresenceRecord, Result};

/// Last presence per session.
#[derive(Default)]
pub struct Presence(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    generations: BTreeMap<Slot, u64>,
    records: BySlot<PresenceRecord>,
}

impl Presence {
    /// Loses everything, as a cache that was restarted empty does.
    pub fn forget(&self) {
        *self.0.lock() = Kept::default();
    }
}

#[async_trait]
impl crate::Presence for Presence {
    async fn put(&self, slot: Slot, generation: u64, records: &[(Full, Option<PresenceRecord>)]) -> Result<bool> {
        let mut kept = self.0.lock();
        if kept.generations.get(&slot) != Some(&generation) {
            return Ok(false);
        }
        for (jid, record) in records {
            match record {
                Some(record) => kept.records.insert(slot, jid.clone(), record.clone()),
                None => kept.records.remove(slot, jid),
            }
        }
        Ok(true)
    }

    async fn load(&self, slot: Slot) -> Result<(u64, Vec<PresenceRecord>)> {
        let mut kept = self.0.lock();
        let generation = *kept.generations.entry(slot).or_insert_with(rand::random);
        Ok((
            generation,
            kept.records.of(slot).map(|(_, record)| record.clone()).collect(),
        ))
    }
}
