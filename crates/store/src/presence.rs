//! Last presence per session: soft state from which a new home starts.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use stanza::{Bare, Full};
use topology::{Epoch, NodeId, Slot};

use crate::Result;

/// The presence of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRecord {
    /// The session's address.
    pub jid: Full,
    /// The edge that holds it.
    pub edge: NodeId,
    /// That edge's epoch: the reader's fence.
    pub epoch: Epoch,
    /// Priority.
    pub priority: i8,
    /// The presence stanza, canonical.
    pub stanza: Bytes,
}

/// Last presence per session, written behind by the home only.
#[async_trait]
pub trait Presence: Send + Sync {
    /// Writes (`Some`) and removes (`None`) records of `slot` in one batch. `generation` is what [`Presence::load`] said
    /// last; returns whether the store still has it: on `false` it lost data and nothing was kept of the old, the caller
    /// loads again and rewrites the slot from memory.
    async fn put(&self, slot: Slot, generation: u64, records: &[(Full, Option<PresenceRecord>)]) -> Result<bool>;
    /// All records of `slot` and the slot's generation (made at random when the store had none).
    async fn load(&self, slot: Slot) -> Result<(u64, Vec<PresenceRecord>)>;
}

/// The users of `domain` who are available, each with what its sessions last said of themselves, slot by slot in no other order. As
/// many reads as there are slots, with one slot in memory at a time.
///
/// # Errors
/// As [`Presence::load`].
pub async fn available(
    presence: &dyn Presence,
    domain: &str,
    mut each: impl FnMut(Bare, Vec<PresenceRecord>) + Send,
) -> Result<()> {
    for slot in Slot::all() {
        let (_, records) = presence.load(slot).await?;
        let mut users: BTreeMap<Bare, Vec<PresenceRecord>> = BTreeMap::new();
        for record in records.into_iter().filter(|record| record.jid.domain() == domain) {
            users.entry(record.jid.bare()).or_default().push(record);
        }
        users.into_iter().for_each(|(user, records)| each(user, records));
    }
    Ok(())
}
