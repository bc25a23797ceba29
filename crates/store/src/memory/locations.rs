//! Session to edge, in an ordered map.

use async_trait::async_trait;
use parking_lot::Mutex;
use stanza::Full;
use topology::Slot;

use crate::{BySlot, Location, Result};

/// Session to edge.
#[derive(Default)]
pub struct Locations(Mutex<BySlot<Location>>);

#[async_trait]
impl crate::Locations for Locations {
    async fn put(&self, records: &[(Full, Option<Location>)]) -> Result<()> {
        let mut kept = self.0.lock();
        for (jid, record) in records {
            let slot = Slot::of(jid.bare().as_str());
            match record {
                Some(record) => kept.insert(slot, jid.clone(), record.clone()),
                None => kept.remove(slot, jid),
            }
        }
        Ok(())
    }

    async fn load(&self, slot: Slot) -> Result<Vec<Location>> {
        Ok(self.0.lock().of(slot).map(|(_, record)| record.clone()).collect())
    }
}
