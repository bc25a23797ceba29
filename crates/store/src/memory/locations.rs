//! Session to edge, in an ordered map.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use stanza::Full;
use topology::Slot;

use crate::{Location, Result};

/// Session to edge.
#[derive(Default)]
pub struct Locations {
    records: Mutex<BTreeMap<Slot, BTreeMap<Full, Location>>>,
}

#[async_trait]
impl crate::Locations for Locations {
    async fn put(&self, records: &[(Full, Option<Location>)]) -> Result<()> {
        let mut slots = self.records.lock();
        for (jid, record) in records {
            let kept = slots.entry(Slot::of(jid.bare().as_str())).or_default();
            match record {
                Some(record) => kept.insert(jid.clone(), record.clone()),
                None => kept.remove(jid),
            };
        }
        Ok(())
    }

    async fn load(&self, slot: Slot) -> Result<Vec<Location>> {
        Ok(self
            .records
            .lock()
            .get(&slot)
            .map(|kept| kept.values().cloned().collect())
            .unwrap_or_default())
    }
}
