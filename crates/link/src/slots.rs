//! What a router has for other homes, in order per slot: held while a home moves or is away, kept until it is answered. Pure:
//! links are ports (one of them leads to the home in this process), time is an argument.
//!
//! When the table names another home, the old one goes on getting the slot's stanzas until it gives one back: it takes in what
//! comes until it has finished its own work, and so no two homes wait for each other. A part that is given back brings all after it
//! back, so nothing overtakes. An old home that gives nothing back is left after a while; every part that was sent over a living
//! link is answered, so then the slot moves when all its parts on the way are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stanza::{Jid, MessageKey, Stanza};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use topology::{Epoch, NodeId, Slot, SlotTable};

use crate::courier::{Courier, Item};
use crate::link_id::LinkId;
use crate::wire::{Part, PeerFrame};
use crate::{Trace, Window};

/// Where frames for a router go. Never waits or fails.
pub(crate) trait Port {
    fn send(&self, frame: PeerFrame);
}

/// A stanza and its recipients of one slot. `T` is cloned into each part of a route, and dropped when that part is answered.
#[derive(Clone, Debug)]
pub(crate) struct Parcel<T> {
    pub(crate) to: Vec<Jid>,
    pub(crate) stanza: Arc<Stanza>,
    pub(crate) key: Option<MessageKey>,
    pub(crate) trace: Option<Trace>,
    #[expect(dead_code, reason = "only its end counts")]
    pub(crate) ticket: T,
}

/// All slots, as one router sends to them.
pub(crate) struct Slots<P, T> {
    limits: Limits,
    table: SlotTable,
    links: BTreeMap<NodeId, Link<P>>,
    flows: Vec<Flow<T>>,
    load: Window,
    relief: Arc<Notify>,
}

/// Bounds and patience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// What is kept for one slot.
    pub(crate) slot: Window,
    /// What is kept in all.
    pub(crate) total: Window,
    /// How long a slot's stanzas go to its old home, if that gives none back.
    pub(crate) linger: Duration,
}

struct Link<P> {
    id: LinkId,
    epoch: Epoch,
    port: Arc<P>,
}

struct Flow<T> {
    parcels: Courier<Parcel<T>>,
    /// Number of the last parcel.
    last: u64,
    at: Option<(NodeId, LinkId)>,
    /// Until when it goes to a home that the table does not name any more.
    lingers: Option<Instant>,
    refusal: Option<Refusal>,
}

#[derive(Clone, Copy)]
struct Refusal {
    table: u64,
    times: u32,
    until: Instant,
}

impl<P: Port, T: Clone> Slots<P, T> {
    pub(crate) fn new(limits: Limits) -> Self {
        let flow = |_| Flow {
            parcels: Courier::new(),
            last: 0,
            at: None,
            lingers: None,
            refusal: None,
        };
        Self {
            limits,
            table: SlotTable::empty(),
            links: BTreeMap::new(),
            flows: Slot::all().map(flow).collect(),
            load: Window { items: 0, bytes: 0 },
            relief: Arc::default(),
        }
    }

    /// A newer slot table; an older one is ignored.
    pub(crate) fn publish(&mut self, table: &SlotTable) {
        if table.revision <= self.table.revision {
            return;
        }
        let old = std::mem::replace(&mut self.table, table.clone());
        for (slot, flow) in Slot::all().zip(&mut self.flows) {
            let moves = old.at(slot) != self.table.at(slot);
            if let Some((node, link)) = find(&old, &self.links, slot).filter(|_| moves && flow.is_untouched()) {
                flow.resume(slot, node, link); // its first stanza finds the old home, as those of other slots do
            }
        }
    }

    pub(crate) fn link_up(&mut self, node: NodeId, epoch: Epoch, id: LinkId, port: Arc<P>) {
        self.links.insert(node, Link { id, epoch, port });
    }

    pub(crate) fn link_down(&mut self, id: LinkId) {
        self.links.retain(|_, link| link.id != id);
    }

    /// Takes in a route of about `size` bytes: per slot its recipients. Returns the number it has in each slot.
    ///
    /// # Errors
    /// When there is no room: wait, then try again.
    pub(crate) fn route(
        &mut self,
        parts: &[(Slot, Vec<Jid>)],
        like: &Parcel<T>,
        size: usize,
        now: Instant,
    ) -> Result<Vec<(Slot, u64)>, OwnedNotified> {
        if !self.has_room(parts) {
            return Err(Arc::clone(&self.relief).notified_owned());
        }
        let mut groups = BTreeMap::<NodeId, Vec<Part>>::new();
        let mut numbers = Vec::with_capacity(parts.len());
        for (n, (slot, to)) in parts.iter().enumerate() {
            let size = if n == 0 { size } else { 64 + 32 * to.len() };
            let (number, sent) = self.push(*slot, to, like, size, now);
            numbers.push((*slot, number));
            if let Some((node, part)) = sent {
                groups.entry(node).or_default().push(part);
            }
        }
        for (node, parts) in groups {
            let frame = PeerFrame {
                parts,
                stanza: Some(Arc::clone(&like.stanza)),
                key: like.key,
                trace: like.trace,
            };
            self.links.get(&node).inspect(|link| link.port.send(frame));
        }
        Ok(numbers)
    }

    /// Parts of `slot` up to `number` were taken in.
    pub(crate) fn taken(&mut self, link: LinkId, slot: Slot, generation: u32, number: u64, now: Instant) {
        let Some(flow) = self.heard(link, slot, generation) else {
            return;
        };
        flow.refusal = None;
        let freed = flow.parcels.ack(number);
        self.free(freed);
        if !self.flow(slot).parcels.is_flowing() {
            self.settle_slot(slot, now);
        }
    }

    /// A part was given back, and all after it will be. Returns when to settle, if nothing happens before.
    pub(crate) fn returned(&mut self, link: LinkId, part: &Part, now: Instant) -> Option<Instant> {
        let table = self.table.revision;
        // An old home was right to give it back: the new one is tried at once.
        let named = find(&self.table, &self.links, part.slot).is_some_and(|(_, home)| home.id == link);
        let flow = self.heard(link, part.slot, part.generation)?;
        if let Some(parcel) = flow.parcels.item_mut(part.number) {
            let left: Vec<_> = parcel.to.iter().filter(|jid| part.to.contains(jid)).cloned().collect();
            if !left.is_empty() {
                parcel.to = left;
            }
        }
        let times = flow.refusal.map_or(0, |refusal| refusal.times);
        let until = now + Duration::from_millis(5) * 2_u32.pow(times.min(8));
        flow.leave();
        flow.refusal = named.then_some(Refusal {
            table,
            times: times + 1,
            until,
        });
        self.settle_slot(part.slot, now)
    }

    /// Gives up on a parcel. Returns whether it was still kept.
    pub(crate) fn withdraw(&mut self, slot: Slot, number: u64) -> bool {
        let freed = self.flow(slot).parcels.withdraw(number);
        freed.inspect(|freed| self.free(*freed)).is_some()
    }

    /// Moves what may move. Returns when to look again, if nothing happens before.
    pub(crate) fn settle(&mut self, now: Instant) -> Option<Instant> {
        Slot::all().filter_map(|slot| self.settle_slot(slot, now)).min()
    }

    /// Whether something is kept for `slot`.
    pub(crate) fn holds(&self, slot: Slot) -> bool {
        self.load.items > 0 && self.flows[usize::from(slot.index())].parcels.load().items > 0
    }

    /// What is kept.
    pub(crate) fn load(&self) -> Window {
        self.load
    }

    /// How many parcels are kept for each home; those of slots without one are nobody's.
    pub(crate) fn loads(&self) -> BTreeMap<NodeId, usize> {
        let mut loads = BTreeMap::new();
        for (slot, flow) in Slot::all().zip(&self.flows) {
            let items = flow.parcels.load().items;
            if let Some((home, ..)) = self.table.at(slot).filter(|_| items > 0) {
                *loads.entry(home.clone()).or_default() += items;
            }
        }
        loads
    }

    fn has_room(&self, parts: &[(Slot, Vec<Jid>)]) -> bool {
        let full = |slot: &Slot| self.flows[usize::from(slot.index())].parcels.is_full(self.limits.slot);
        let room = self.load.items < self.limits.total.items && self.load.bytes < self.limits.total.bytes;
        room && !parts.iter().any(|(slot, _)| full(slot))
    }

    /// Keeps a part. Returns its number, and what is to be sent to whom if its slot flows already.
    fn push(
        &mut self,
        slot: Slot,
        to: &[Jid],
        like: &Parcel<T>,
        size: usize,
        now: Instant,
    ) -> (u64, Option<(NodeId, Part)>) {
        self.load.items += 1;
        self.load.bytes += size;
        let flow = self.flow(slot);
        flow.last += 1;
        let (number, to) = (flow.last, to.to_vec());
        let flows = flow.parcels.push(Item {
            number,
            size,
            value: Parcel {
                to: to.clone(),
                ..like.clone()
            },
        });
        if !flows {
            self.settle_slot(slot, now);
            return (number, None);
        }
        let (generation, node) = (
            flow.parcels.generation(),
            flow.at.as_ref().map(|(node, _)| node.clone()),
        );
        (
            number,
            node.map(|node| {
                (
                    node,
                    Part {
                        slot,
                        generation,
                        number,
                        to,
                    },
                )
            }),
        )
    }

    fn settle_slot(&mut self, slot: Slot, now: Instant) -> Option<Instant> {
        let flow = &mut self.flows[usize::from(slot.index())];
        let target = find(&self.table, &self.links, slot);
        if let Some((node, id)) = &flow.at {
            let up = self.links.get(node).is_some_and(|link| link.id == *id);
            if flow.parcels.is_flowing() && target.is_some_and(|(_, link)| link.id == *id) {
                flow.lingers = None;
                return None;
            }
            let until = *flow.lingers.get_or_insert(now + self.limits.linger);
            if flow.parcels.is_flowing() && up && now < until {
                return Some(until);
            }
            flow.parcels.pause();
            if flow.parcels.in_flight() > 0 && up {
                return None; // answers come, or the link ends
            }
            flow.leave();
        }
        if flow.parcels.load().items == 0 {
            return None;
        }
        if let Some(refusal) = flow
            .refusal
            .filter(|refusal| refusal.table == self.table.revision && now < refusal.until)
        {
            return Some(refusal.until);
        }
        let (node, link) = target?;
        flow.resume(slot, node, link);
        None
    }

    /// The flow of `slot`, if `link` may speak for its current generation: what others say is void.
    fn heard(&mut self, link: LinkId, slot: Slot, generation: u32) -> Option<&mut Flow<T>> {
        let flow = self.flow(slot);
        let speaks = flow.at.as_ref().is_some_and(|(_, at)| *at == link) && flow.parcels.generation() == generation;
        speaks.then_some(flow)
    }

    fn flow(&mut self, slot: Slot) -> &mut Flow<T> {
        &mut self.flows[usize::from(slot.index())]
    }

    fn free(&mut self, freed: Window) {
        self.load.items -= freed.items;
        self.load.bytes -= freed.bytes;
        self.relief.notify_waiters();
    }
}

impl<T> Flow<T> {
    fn resume<P: Port>(&mut self, slot: Slot, node: &NodeId, link: &Link<P>) {
        self.at = Some((node.clone(), link.id));
        let generation = self.parcels.generation() + 1;
        for item in self.parcels.resume() {
            let part = Part {
                slot,
                generation,
                number: item.number,
                to: item.value.to.clone(),
            };
            let Parcel { stanza, key, trace, .. } = &item.value;
            link.port.send(PeerFrame {
                parts: vec![part],
                stanza: Some(Arc::clone(stanza)),
                key: *key,
                trace: *trace,
            });
        }
    }

    /// Whether nothing was ever sent, or is to be.
    fn is_untouched(&self) -> bool {
        self.at.is_none() && self.refusal.is_none() && self.parcels.load().items == 0
    }

    fn leave(&mut self) {
        self.at = None;
        self.lingers = None;
        self.parcels.reset();
    }
}

/// The home of `slot` and the link to it, if that is up.
fn find<'a, P>(
    table: &'a SlotTable,
    links: &'a BTreeMap<NodeId, Link<P>>,
    slot: Slot,
) -> Option<(&'a NodeId, &'a Link<P>)> {
    let (node, epoch, _) = table.at(slot)?;
    let link = links.get(node).filter(|link| link.epoch == epoch)?;
    Some((node, link))
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
