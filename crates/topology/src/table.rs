//! The slot table: which router is home of which slot, at which slot epoch.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Epoch, NodeId, SLOTS, Slot, rendezvous};

/// Where a slot lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The router.
    pub router: NodeId,
    /// The router's epoch when the slot was given to it.
    pub epoch: Epoch,
    /// Counts the slot's moves; a frame with a lower one is void.
    pub slot_epoch: u64,
}

/// The whole table: an immutable snapshot. Finding a home is an array read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTable {
    /// Counts published tables, from 1; 0 is the empty table before the first.
    pub revision: u64,
    routers: Vec<(NodeId, Epoch)>,
    /// Per slot: index into `routers`, and slot epoch. Empty in the empty table.
    slots: Vec<(u16, u64)>,
}

impl SlotTable {
    /// The table before any router has joined.
    pub fn empty() -> Self {
        Self {
            revision: 0,
            routers: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// A table from its parts, as [`SlotTable::decode`] reads them: `None` unless there is an entry per slot (or none
    /// at all) and every index is one of a router.
    pub(crate) fn from_parts(revision: u64, routers: Vec<(NodeId, Epoch)>, slots: Vec<(u16, u64)>) -> Option<Self> {
        let whole = slots.is_empty() || slots.len() == usize::from(SLOTS);
        let known = slots.iter().all(|(router, _)| usize::from(*router) < routers.len());
        (whole && known).then_some(Self {
            revision,
            routers,
            slots,
        })
    }

    /// The home of `slot`, if the table has one.
    pub fn home(&self, slot: Slot) -> Option<Home> {
        let (router, epoch, slot_epoch) = self.at(slot)?;
        Some(Home {
            router: router.clone(),
            epoch,
            slot_epoch,
        })
    }

    /// What [`SlotTable::home`] gives, without a clone: router, its epoch, slot epoch.
    pub fn at(&self, slot: Slot) -> Option<(&NodeId, Epoch, u64)> {
        let (router, slot_epoch) = *self.slots.get(usize::from(slot.index()))?;
        let (id, epoch) = self.routers.get(usize::from(router))?;
        Some((id, *epoch, slot_epoch))
    }

    /// The routers that have slots, each with the epoch it got them in.
    pub fn routers(&self) -> &[(NodeId, Epoch)] {
        &self.routers
    }

    /// Per slot in order: index into [`SlotTable::routers`], and slot epoch. Empty in the empty table.
    pub(crate) fn entries(&self) -> &[(u16, u64)] {
        &self.slots
    }

    /// The table that follows this one for the live `routers` (name, epoch, weight), in any order: weighted rendezvous
    /// in integer arithmetic, so that every node computes the same. Returns `None` if nothing changes.
    ///
    /// Only slots of routers that left, came or changed weight move; a moved slot's epoch rises by one. A router whose
    /// epoch changed is another router: it gets the same slots, at the next slot epoch. At most `max_moves` slots move
    /// away from routers that stay; the caller steps again until nothing changes. Slots of a router that is gone, or
    /// that drains (weight 0), move at once whatever their number. When all routers drain, those that have slots
    /// keep them, and share those of the dead evenly. Without routers the table stays as it is.
    #[must_use]
    pub fn next(&self, routers: &[(NodeId, Epoch, u32)], max_moves: usize) -> Option<Self> {
        let live = Live::new(routers)?;
        let mut moves_left = max_moves;
        let homes: Vec<_> = Slot::all()
            .map(|slot| self.place(slot, &live, &mut moves_left))
            .collect();
        let moved = homes
            .iter()
            .zip(Slot::all())
            .any(|((id, epoch, slot_epoch), slot)| self.at(slot) != Some((id, *epoch, *slot_epoch)));
        moved.then(|| Self::build(self.revision + 1, &homes))
    }

    /// Where `slot` lives in the next table.
    fn place<'a>(&'a self, slot: Slot, live: &'a Live, moves_left: &mut usize) -> (&'a NodeId, Epoch, u64) {
        let (best, epoch) = live.best(slot);
        let Some((id, old, slot_epoch)) = self.at(slot) else {
            return (best, epoch, 1);
        };
        if (id, old) == (best, epoch) || live.keeps(id, old, moves_left) {
            return (id, old, slot_epoch);
        }
        (best, epoch, slot_epoch + 1)
    }

    fn build(revision: u64, homes: &[(&NodeId, Epoch, u64)]) -> Self {
        let used: BTreeSet<_> = homes.iter().map(|(id, epoch, _)| (*id, *epoch)).collect();
        let index: BTreeMap<_, _> = used
            .iter()
            .zip(0_u16..)
            .map(|(router, index)| (*router, index))
            .collect();
        let slots = homes
            .iter()
            .map(|(id, epoch, slot_epoch)| (index[&(*id, *epoch)], *slot_epoch))
            .collect();
        Self {
            revision,
            routers: used.into_iter().map(|(id, epoch)| (id.clone(), epoch)).collect(),
            slots,
        }
    }

    /// Slots whose home is `router` in `epoch`.
    pub fn slots_of(&self, router: &NodeId, epoch: Epoch) -> Vec<Slot> {
        let wanted = self.routers.iter().position(|(id, at)| id == router && *at == epoch);
        let Some(wanted) = wanted else { return Vec::new() };
        Slot::all()
            .zip(&self.slots)
            .filter(|(_, (index, _))| usize::from(*index) == wanted)
            .map(|(slot, _)| slot)
            .collect()
    }
}

/// The live routers, as the next table needs them.
struct Live {
    /// Epoch and weight by name; the later life wins.
    routers: BTreeMap<NodeId, (Epoch, u32)>,
    /// Those that slots may be given to, with the hash of the name.
    takers: Vec<(NodeId, Epoch, u32, u64)>,
    /// No router wants slots: nothing moves that need not.
    all_drain: bool,
}

impl Live {
    /// `None` without routers.
    fn new(routers: &[(NodeId, Epoch, u32)]) -> Option<Self> {
        let mut by_name = BTreeMap::<NodeId, (Epoch, u32)>::new();
        for (id, epoch, weight) in routers {
            let entry = by_name.entry(id.clone()).or_insert((*epoch, *weight));
            if entry.0 < *epoch {
                *entry = (*epoch, *weight);
            }
        }
        let all_drain = by_name.values().all(|(_, weight)| *weight == 0);
        let takers = by_name
            .iter()
            .filter(|(_, (_, weight))| all_drain || *weight > 0)
            .map(|(id, (epoch, weight))| (id.clone(), *epoch, (*weight).max(1), rendezvous::name_hash(&id.0)))
            .collect();
        (!by_name.is_empty()).then_some(Self {
            routers: by_name,
            takers,
            all_drain,
        })
    }

    /// The router that wins `slot`; the lesser name on a draw.
    fn best(&self, slot: Slot) -> (&NodeId, Epoch) {
        let scored = self
            .takers
            .iter()
            .map(|taker| (taker, rendezvous::score(taker.3, slot, taker.2)));
        let best = scored.reduce(|best, other| if other.1.beats(&best.1) { other } else { best });
        // `takers` is never empty: `new` gives none without routers, and takes all if all drain.
        best.map_or_else(
            || (&self.takers[0].0, self.takers[0].1),
            |((id, epoch, ..), _)| (id, *epoch),
        )
    }

    /// Whether `id` in `epoch` keeps a slot that another router would win. Counts the moves it has to allow.
    fn keeps(&self, id: &NodeId, epoch: Epoch, moves_left: &mut usize) -> bool {
        match self.routers.get(id) {
            Some((live, _)) if *live != epoch => false,
            Some(_) if self.all_drain => true,
            Some((_, weight)) if *weight > 0 => {
                let keeps = *moves_left == 0;
                *moves_left = moves_left.saturating_sub(1);
                keeps
            }
            _ => false,
        }
    }
}
