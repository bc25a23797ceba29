//! An edge's bound sessions: where each is attached, what of it is undone, and when it moves. Pure: links are ports, time is an
//! argument.
//!
//! ```text
//!   bound ──▶ attached ──── table names another home ──▶ leaving: undone is held, the old home still answers and delivers
//!              ▲    │ refused: undone is held, Attach again after a while          │
//!              │    └─────────── link ends ──────▶ homeless ◀── Sealed, link ends, waited enough
//!              └── Attach, all undone again ──────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stanza::{Counts, Grant, Peer, SessionId, Stanza};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use topology::{Epoch, NodeId, SLOTS, Slot, SlotTable};

use crate::courier::{Courier, Item};
use crate::link_id::LinkId;
use crate::received::{Place, Received};
use crate::session::{At, Link, Port, Session, Standing, target};
use crate::wire::EdgeFrame;
use crate::{Attach, CloseReason, Delivery, Gone, Held, Said, SessionRef, Submission, Unwritten, Waiting, Window};

/// Bounds and patience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Undone submissions of one session.
    pub(crate) session: Window,
    /// Undone submissions of all.
    pub(crate) total: Window,
    /// How long a session waits for its old home to say that it is sealed.
    pub(crate) seal: Duration,
}

/// What became of a submission.
pub(crate) enum Submit {
    Taken,
    /// Wait for the notification and try again.
    Full(Box<Submission>, OwnedNotified),
    Gone,
}

/// All sessions of an edge.
pub(crate) struct Sessions<P> {
    limits: Limits,
    table: SlotTable,
    links: BTreeMap<NodeId, Link<P>>,
    sessions: HashMap<SessionId, Session>,
    /// Per slot: the table by which it last changed hands, and its sessions.
    slots: Vec<(u64, BTreeSet<SessionId>)>,
    /// Slots whose sessions are to be looked at: something happened to them, or they wait.
    restless: BTreeSet<Slot>,
    /// Slots that living homes have still to give away, whether they have sessions here or not.
    handing: Vec<Handing>,
    /// Binds that a router has not answered.
    binding: HashMap<SessionId, Binding>,
    load: Window,
    relief: Arc<Notify>,
}

/// Slots that a table took from a home to which there is a link. Until it says that it is sealed, it takes in what comes for them: their next
/// home is not to open them, and read what is kept for their accounts, before that.
struct Handing {
    table: u64,
    from: (NodeId, Epoch),
    slots: BTreeSet<Slot>,
    since: Option<Instant>,
}

/// A bind under way. The home may speak of the session before it answers.
struct Binding {
    slot: Slot,
    slot_epoch: u64,
    link: LinkId,
    /// The table up to which the router had applied tables when it was asked.
    sealed: u64,
    mirror: Bytes,
    received: Received,
}

impl Binding {
    /// Keeps a delivery. The first one to a session that is being resumed follows what its client has, which is not known here.
    fn take(&mut self, delivery: Unwritten) -> bool {
        let is_next = self.received.last == 0 || self.received.place(delivery.number) == Place::Next;
        if is_next {
            self.received.push(delivery);
        }
        is_next
    }
}

impl<P: Port> Sessions<P> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            table: SlotTable::empty(),
            links: BTreeMap::new(),
            sessions: HashMap::new(),
            slots: vec![(0, BTreeSet::new()); usize::from(SLOTS)],
            restless: BTreeSet::new(),
            handing: Vec::new(),
            binding: HashMap::new(),
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
        self.note_handing(&old);
        for slot in Slot::all().filter(|slot| old.at(*slot) != table.at(*slot)) {
            let (since, sessions) = &mut self.slots[usize::from(slot.index())];
            *since = table.revision;
            if !sessions.is_empty() {
                self.restless.insert(slot);
            }
        }
    }

    fn note_handing(&mut self, old: &SlotTable) {
        let mut taken = BTreeMap::<(NodeId, Epoch), BTreeSet<Slot>>::new();
        for slot in Slot::all() {
            let (Some((node, epoch, _)), Some((next, next_epoch, _))) = (old.at(slot), self.table.at(slot)) else {
                continue;
            };
            if (node, epoch) != (next, next_epoch) {
                taken.entry((node.clone(), epoch)).or_default().insert(slot);
            }
        }
        let table = self.table.revision;
        self.handing.extend(taken.into_iter().map(|(from, slots)| Handing {
            table,
            from,
            slots,
            since: None,
        }));
    }

    pub(crate) fn link_up(&mut self, node: NodeId, epoch: Epoch, id: LinkId, port: Arc<P>) {
        self.stir(&node);
        self.links.insert(
            node,
            Link {
                id,
                epoch,
                port,
                sealed: None,
                told: None,
            },
        );
    }

    pub(crate) fn link_down(&mut self, id: LinkId) {
        let ended = self.links.iter().find(|(_, link)| link.id == id);
        if let Some(node) = ended.map(|(node, _)| node.clone()) {
            self.stir(&node);
            self.links.remove(&node);
        }
        self.binding.retain(|_, binding| binding.link != id);
    }

    /// The router has said all about sessions that `table` took from it.
    pub(crate) fn sealed(&mut self, id: LinkId, table: u64) {
        for link in self.links.values_mut().filter(|link| link.id == id) {
            link.sealed = link.sealed.max(Some(table));
        }
    }

    /// The link to the home of `slot`, if it is up.
    pub(crate) fn home(&self, slot: Slot) -> Option<(LinkId, &Arc<P>)> {
        target(&self.table, 0, &self.links, slot).map(|target| (target.link.id, &target.link.port))
    }

    /// A request to bind or resume `session`, of an account in `slot`, goes to `link`.
    pub(crate) fn bind(&mut self, session: SessionId, slot: Slot, link: LinkId) {
        let slot_epoch = self.table.at(slot).map_or(0, |(_, _, slot_epoch)| slot_epoch);
        let asked = self.links.values().find(|up| up.id == link);
        let sealed = asked.and_then(|up| up.sealed).unwrap_or(0);
        let binding = Binding {
            slot,
            slot_epoch,
            link,
            sealed,
            mirror: Bytes::new(),
            received: Received::default(),
        };
        self.binding.insert(session, binding);
    }

    /// The request for `session` was refused, or given up.
    pub(crate) fn unbound(&mut self, session: SessionId) {
        self.binding.remove(&session);
    }

    /// A router has bound a session, or resumed one that stands at `counts`.
    pub(crate) fn bound(&mut self, link: LinkId, session: SessionRef, grant: Grant, peer: Peer, counts: Counts) {
        self.forget(session.id); // the request was repeated
        let early = self.binding.remove(&session.id).filter(|binding| binding.link == link);
        let (slot_epoch, sealed) = early.as_ref().map_or((0, 0), |early| (early.slot_epoch, early.sealed));
        let (mirror, mut received) = early.map(|early| (early.mirror, early.received)).unwrap_or_default();
        received.last = received.last.max(counts.sent);
        let up = self.links.iter().find(|(_, up)| up.id == link);
        let at = up.map(|(node, _)| At {
            node: node.clone(),
            link,
            slot_epoch,
            sealed,
        });
        let undone = if at.is_some() {
            Courier::flowing()
        } else {
            Courier::new()
        };
        let session = Session {
            session,
            grant: Grant(owned(&grant.0)),
            peer,
            mirror,
            written: counts.sent,
            done: counts.received,
            undone,
            received,
            closing: None,
            detached: false,
            inactive: false,
            held: Held::default(),
            at,
            leaving: None,
            refusal: None,
            lacks: false,
            room: None,
        };
        let SessionRef { id, slot, .. } = session.session;
        self.slots[usize::from(slot.index())].1.insert(id);
        self.restless.insert(slot);
        self.sessions.insert(id, session);
    }

    /// A router has entrusted a session to this edge whose own is gone; it is attached there.
    pub(crate) fn keep(&mut self, link: LinkId, attach: Attach, now: Instant) {
        let Some((node, up)) = self.links.iter().find(|(_, up)| up.id == link) else {
            return;
        };
        let SessionRef { id, slot, .. } = attach.session;
        if self.sessions.contains_key(&id) {
            if self.heard(link, id).is_some() {
                self.lacks(id, now); // its home does not know that
            }
            return;
        }
        let at = At {
            node: node.clone(),
            link,
            slot_epoch: self.table.at(slot).map_or(0, |(_, _, slot_epoch)| slot_epoch),
            sealed: up.sealed.unwrap_or(0),
        };
        let session = Session {
            session: attach.session,
            grant: attach.grant,
            peer: attach.peer,
            mirror: attach.mirror,
            written: attach.written,
            done: attach.done,
            undone: Courier::flowing(),
            received: Received {
                last: attach.delivered,
                archived: attach.archived,
                unwritten: attach.unwritten.into(),
            },
            closing: None,
            detached: true,
            inactive: attach.inactive,
            held: attach.held,
            at: Some(at),
            leaving: None,
            refusal: None,
            lacks: false,
            room: None,
        };
        self.slots[usize::from(slot.index())].1.insert(id);
        self.restless.insert(slot);
        self.sessions.insert(id, session);
    }

    /// A client's stanza of about `size` bytes.
    pub(crate) fn submit(&mut self, id: SessionId, submission: Submission, size: usize) -> Submit {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.closing.is_none()) else {
            return Submit::Gone;
        };
        if session.undone.is_full(self.limits.session) {
            return Submit::Full(
                Box::new(submission),
                Arc::clone(session.room.get_or_insert_default()).notified_owned(),
            );
        }
        if self.load.items >= self.limits.total.items || self.load.bytes >= self.limits.total.bytes {
            return Submit::Full(Box::new(submission), Arc::clone(&self.relief).notified_owned());
        }
        if let Said::Stanza(Stanza::Iq(answer)) = &submission.said {
            session.note_answer(answer);
        }
        self.load.items += 1;
        self.load.bytes += size;
        let flows = session.undone.push(Item {
            number: submission.number,
            size,
            value: submission.clone(),
        });
        if flows {
            let generation = session.undone.generation();
            let frame = EdgeFrame::Submit {
                session: id,
                generation,
                submission,
            };
            session.port(&self.links).inspect(|port| port.send(frame));
        }
        Submit::Taken
    }

    /// Deliveries up to `number` were written to the client.
    pub(crate) fn written(&mut self, id: SessionId, number: u64) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.written = session.written.max(number);
        session.received.written(number);
        session.port(&self.links).inspect(|port| port.written(id, number));
    }

    /// Somebody looks at the client, or nobody does.
    pub(crate) fn look(&mut self, id: SessionId, active: bool) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.inactive = !active;
        let frame = EdgeFrame::Look { session: id, active };
        session.port(&self.links).inspect(|port| port.send(frame));
    }

    /// The client's stream has ended: once all is done and the home has said so, the session is forgotten, or kept without it.
    pub(crate) fn close(&mut self, id: SessionId, reason: CloseReason) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.closing.is_none()) else {
            return;
        };
        session.closing = Some(reason);
        if session.undone.is_flowing() {
            let frame = EdgeFrame::Close {
                session: id,
                generation: session.undone.generation(),
                reason,
            };
            session.port(&self.links).inspect(|port| port.send(frame));
        }
    }

    /// Keeps a delivery for sessions that `link` may speak for and to which it is the next, and leaves of it those that have a client. Returns
    /// to how many sessions it is beyond the next: their home does not know what they lack, or has not read it yet. They attach again, which
    /// tells it.
    pub(crate) fn delivery(&mut self, link: LinkId, delivery: &mut Delivery, now: Instant) -> usize {
        let mut lacking = Vec::new();
        let mut sessions = std::mem::take(&mut delivery.sessions);
        sessions.retain(|(id, number)| {
            let unwritten = Unwritten {
                number: *number,
                stanza: Arc::clone(&delivery.stanza),
                readdress: delivery.readdress,
                archived: delivery.archived,
                settled: delivery.settled,
            };
            match (self.sessions.get_mut(id), self.binding.get_mut(id)) {
                (Some(session), _) if session.hears(link) => {
                    let place = session.take(unwritten);
                    lacking.extend((place == Place::Beyond).then_some(*id));
                    place == Place::Next && !session.detached
                }
                (None, Some(early)) if early.link == link => early.take(unwritten),
                _ => false,
            }
        });
        delivery.sessions = sessions;
        lacking.iter().for_each(|id| self.lacks(*id, now));
        lacking.len()
    }

    /// What was delivered cannot be read, and never will: what follows it does not wait for it.
    pub(crate) fn pass_over(&mut self, link: LinkId, sessions: &[(SessionId, u64)]) {
        for (id, number) in sessions {
            if let Some(session) = self.heard(link, *id) {
                session.received.pass_over(*number);
            } else if let Some(early) = self.binding.get_mut(id).filter(|early| early.link == link) {
                early.received.pass_over(*number);
            }
        }
    }

    /// Something that was delivered did not come, or may not have: until it has, what the home says of the session is beyond it.
    fn lacks(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.lacks = true;
        if session.undone.is_flowing() {
            session.refuse(self.table.revision, now);
            self.restless.insert(session.session.slot);
        }
    }

    /// Submissions up to `number` are done. Returns whether that is news.
    pub(crate) fn done(&mut self, link: LinkId, id: SessionId, number: u64) -> bool {
        let Some(session) = self.heard(link, id).filter(|session| session.done < number) else {
            return false;
        };
        session.done = number;
        session.refusal = None;
        let freed = session.undone.ack(number);
        session.room.take().inspect(|room| room.notify_one());
        self.free(freed);
        true
    }

    /// The home's record of the session.
    pub(crate) fn mirror(&mut self, link: LinkId, id: SessionId, state: Bytes) {
        if let Some(session) = self.heard(link, id) {
            if !session.lacks {
                session.mirror = owned(&state);
            }
        } else if let Some(early) = self.binding.get_mut(&id).filter(|early| early.link == link) {
            early.mirror = owned(&state);
        }
    }

    /// A stanza waits at the home until somebody looks at the client.
    pub(crate) fn hold(&mut self, link: LinkId, id: SessionId, waiting: Waiting) {
        if let Some(session) = self.heard(link, id).filter(|session| !session.lacks) {
            session.held.hold(waiting);
        }
    }

    /// The home wants the session gone. Returns whether there is a stream to be closed.
    pub(crate) fn kicked(&mut self, link: LinkId, id: SessionId) -> bool {
        if self.binding.get(&id).is_some_and(|binding| binding.link == link) {
            return true;
        }
        let without = self
            .heard(link, id)
            .map(|session| session.detached || session.closing.is_some());
        if without == Some(true) {
            self.forget(id);
        }
        without == Some(false)
    }

    /// An attachment was refused. Returns whether the session is gone and its stream to be closed.
    pub(crate) fn refused(&mut self, link: LinkId, id: SessionId, generation: u32, why: Gone, now: Instant) -> bool {
        let table = self.table.revision;
        let Some(session) = self
            .heard(link, id)
            .filter(|session| session.undone.generation() == generation)
        else {
            return false;
        };
        if why == Gone::Session {
            let open = session.closing.is_none() && !session.detached;
            self.forget(id);
            return open;
        }
        session.refuse(table, now);
        let slot = session.session.slot;
        self.restless.insert(slot);
        false
    }

    /// The home has dealt with the end of the session's stream: the session is over, or `kept` without it.
    pub(crate) fn closed(&mut self, link: LinkId, id: SessionId, kept: bool) {
        let Some(session) = self.heard(link, id).filter(|session| session.closing.is_some()) else {
            return;
        };
        if kept {
            (session.closing, session.detached) = (None, true);
            self.relief.notify_waiters();
        } else {
            self.forget(id);
        }
    }

    /// The attachment under which the session's frames go to its home now, and the way there.
    pub(crate) fn attachment(&self, id: SessionId) -> Option<(LinkId, Arc<P>, u32)> {
        let session = self.sessions.get(&id)?;
        let at = session.at.as_ref().filter(|_| session.undone.is_flowing())?;
        let link = self.links.get(&at.node).filter(|link| link.id == at.link)?;
        Some((link.id, Arc::clone(&link.port), session.undone.generation()))
    }

    /// Forgets everything but the table: this life of the edge is over.
    pub(crate) fn clear(&mut self) -> Vec<SessionId> {
        self.links.clear();
        self.handing.clear();
        self.binding.clear();
        let mut ids: Vec<_> = self.sessions.keys().copied().collect();
        ids.sort_unstable(); // whoever waits is woken in the same order in every run
        ids.iter().for_each(|id| self.forget(*id));
        ids
    }

    /// Looks at the sessions that something happened to, and moves those that may; tells routers which slots still wait for sessions. Returns when to look
    /// again, if nothing happens before.
    pub(crate) fn settle(&mut self, now: Instant) -> Option<Instant> {
        let mut waiting = BTreeSet::new();
        let mut again = None::<Instant>;
        for slot in std::mem::take(&mut self.restless) {
            let (since, sessions) = &self.slots[usize::from(slot.index())];
            let target = target(&self.table, *since, &self.links, slot);
            for id in sessions {
                let Some(session) = self.sessions.get_mut(id) else {
                    continue;
                };
                match session.settle(&self.table, &self.links, target.as_ref(), self.limits.seal, now) {
                    Standing::Attached => {}
                    Standing::Early => drop(self.restless.insert(slot)),
                    Standing::Waiting(until) => {
                        again = again.into_iter().chain(until).min();
                        waiting.insert(slot);
                        self.restless.insert(slot);
                    }
                }
            }
        }
        again = again.into_iter().chain(self.hand_over(&mut waiting, now)).min();
        self.tell_attached(&waiting);
        again
    }

    /// Adds the slots that homes have still to give away to `waiting`. Returns when the first of them has taken too long.
    fn hand_over(&mut self, waiting: &mut BTreeSet<Slot>, now: Instant) -> Option<Instant> {
        let (links, patience) = (&self.links, self.limits.seal);
        let until = |handing: &Handing| handing.since.map_or(now, |since| since + patience);
        self.handing.retain_mut(|handing| {
            handing.since.get_or_insert(now);
            let link = links.get(&handing.from.0).filter(|link| link.epoch == handing.from.1);
            link.is_some_and(|link| link.sealed.is_none_or(|sealed| sealed < handing.table)) && now < until(handing)
        });
        waiting.extend(self.handing.iter().flat_map(|handing| handing.slots.iter().copied()));
        self.handing.iter().map(until).min()
    }

    /// What to wait for, then ask again, while something of a client is undone, or a home has not said what becomes of a session whose
    /// stream has ended.
    pub(crate) fn unsettled(&self) -> Option<OwnedNotified> {
        let closing = || self.sessions.values().any(|session| session.closing.is_some());
        (self.load.items > 0 || closing()).then(|| Arc::clone(&self.relief).notified_owned())
    }

    /// How many sessions, undone submissions and their bytes.
    pub(crate) fn load(&self) -> (usize, Window) {
        (self.sessions.len(), self.load)
    }

    /// Tells each router once per table which of its slots are pending, and again when that are fewer. A slot that was not
    /// pending may be open by now, so it never is again by the same table.
    fn tell_attached(&mut self, waiting: &BTreeSet<Slot>) {
        let revision = self.table.revision;
        for (node, link) in &mut self.links {
            let at_home = |slot: &Slot| self.table.at(*slot).is_some_and(|(home, ..)| home == node);
            let elsewhere = self.binding.values().filter(|bind| bind.link != link.id);
            let slots = waiting.iter().copied().chain(elsewhere.map(|bind| bind.slot));
            let mut pending: BTreeSet<Slot> = slots.filter(at_home).collect();
            if let Some((_, told)) = link.told.as_ref().filter(|(table, _)| *table == revision) {
                pending.retain(|slot| told.contains(slot));
                if pending.len() == told.len() {
                    continue;
                }
            }
            link.told = Some((revision, pending.clone()));
            link.port.send(EdgeFrame::Attached(revision, pending));
        }
    }

    /// Something happened to the link to `node`: looks at the sessions that are or should be there. Others wait already.
    fn stir(&mut self, node: &NodeId) {
        let at_home = |slot: &Slot| self.table.at(*slot).is_some_and(|(home, ..)| home == node);
        let inhabited = |slot: &Slot| !self.slots[usize::from(slot.index())].1.is_empty();
        let slots = Slot::all().filter(at_home).filter(inhabited);
        self.restless.extend(slots);
    }

    /// The session, if it is attached to `link` or leaving it: what others say of it is void.
    fn heard(&mut self, link: LinkId, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id).filter(|session| session.hears(link))
    }

    fn forget(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.slots[usize::from(session.session.slot.index())].1.remove(&id);
            session.room.inspect(|room| room.notify_one());
            self.free(session.undone.load());
        }
    }

    fn free(&mut self, freed: Window) {
        self.load.items -= freed.items;
        self.load.bytes -= freed.bytes;
        self.relief.notify_waiters();
    }
}

/// What is kept for long, out of the frame that it came in: a part of that would keep all of it.
fn owned(part: &Bytes) -> Bytes {
    Bytes::copy_from_slice(part)
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
