//! The stores of a world: those in memory, behind a gate per node that can be shut and takes its time; and membership with leases by
//! the world's clock, which each node sees through a window of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use stanza::{Bare, Full, Jid};
use store::{
    Account, Append, Contact, Entry, EntryId, Error, Location, Page, PageRequest, PresenceRecord, Result, Roster,
    Stores, memory,
};
use tokio::sync::watch;
use topology::{Epoch, Lease, Member, NodeId, NodeRecord, Slot, SlotTable, Snapshot};

use crate::chance::Chance;
use crate::pulse::{Pulse, Seat};

/// The cluster's secret.
pub(crate) const SECRET: [u8; 32] = [7; 32];
/// How long a call takes at most, in milliseconds.
const DELAY: u64 = 4;

/// What is stored of a client's account.
pub(crate) fn stored(jid: Bare) -> Account {
    Account {
        jid,
        created: stanza::Timestamp(0),
        verifiers: Vec::new(),
        last_seen: None,
        disabled: false,
    }
}

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    /// Accounts, rosters and logs (PostgreSQL).
    Durable,
    /// Presence (Redis).
    Presence,
    /// Membership and locations (etcd).
    Membership,
}

/// All stores.
#[derive(Clone)]
pub(crate) struct Shelf {
    real: Stores,
    state: Arc<Mutex<State>>,
    pulse: Arc<Pulse>,
}

struct State {
    chance: Chance,
    /// Who cannot reach which.
    shut: BTreeMap<(Seat, Which), ()>,
    revision: u64,
    nodes: BTreeMap<NodeId, Life>,
    table: SlotTable,
    windows: BTreeMap<Seat, watch::Sender<Snapshot>>,
}

struct Life {
    member: Member,
    lease: Lease,
    ttl: u64,
    ends: u64,
}

/// One node's way to a store.
struct Gate {
    shelf: Shelf,
    seat: Seat,
    which: Which,
}

impl Shelf {
    pub(crate) fn new(pulse: Arc<Pulse>, chance: Chance) -> Self {
        let state = State {
            chance,
            shut: BTreeMap::new(),
            revision: 0,
            nodes: BTreeMap::new(),
            table: SlotTable::empty(),
            windows: BTreeMap::new(),
        };
        Self {
            real: memory::stores(),
            state: Arc::new(Mutex::new(state)),
            pulse,
        }
    }

    /// The stores themselves.
    pub(crate) fn real(&self) -> &Stores {
        &self.real
    }

    /// The stores as the node at `seat` reaches them.
    pub(crate) fn seen_from(&self, seat: Seat) -> Stores {
        let gate = |which| Gate {
            shelf: self.clone(),
            seat,
            which,
        };
        Stores {
            rosters: Arc::new(gate(Which::Durable)),
            archive: Arc::new(gate(Which::Durable)),
            presence: Arc::new(gate(Which::Presence)),
            locations: Arc::new(gate(Which::Membership)),
            members: Arc::new(gate(Which::Membership)),
            ..self.real.clone()
        }
    }

    /// The node cannot reach the store, or can again.
    pub(crate) fn shut(&self, seat: Seat, which: Which, shut: bool) {
        let mut state = self.state.lock();
        if shut {
            state.shut.insert((seat, which), ());
        } else {
            state.shut.remove(&(seat, which));
        }
        self.show(&state);
    }

    /// Ends the leases whose time is over.
    pub(crate) fn expire(&self) {
        let now = self.pulse.now();
        let state = &mut *self.state.lock();
        let before = state.nodes.len();
        state.nodes.retain(|_, life| life.ends > now);
        if state.nodes.len() < before {
            self.tell(state);
        }
    }

    fn tell(&self, state: &mut State) {
        state.revision += 1;
        self.show(state);
    }

    fn show(&self, state: &State) {
        let snapshot = state.snapshot();
        for (seat, window) in &state.windows {
            let open = !state.shut.contains_key(&(*seat, Which::Membership));
            let news = |seen: &mut Snapshot| {
                let newer = open && seen.revision < snapshot.revision;
                if newer {
                    seen.clone_from(&snapshot);
                }
                newer
            };
            if window.send_if_modified(news) {
                self.pulse.stir(*seat);
            }
        }
    }

    fn write<T>(&self, change: impl FnOnce(&mut State, u64) -> Result<T>) -> Result<T> {
        self.expire();
        let mut state = self.state.lock();
        let answer = change(&mut state, self.pulse.now())?;
        self.tell(&mut state);
        Ok(answer)
    }
}

impl State {
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            revision: self.revision,
            members: self.nodes.values().map(|life| life.member.clone()).collect(),
            table: self.table.clone(),
        }
    }
}

impl Gate {
    /// Takes its time, on the way there.
    async fn there(&self) -> Result<()> {
        self.wait().await;
        self.look()
    }

    /// Takes its time on the way back: by then it is done, whether that is heard or not.
    async fn back<T>(&self, answer: Result<T>) -> Result<T> {
        self.wait().await;
        self.look()?;
        answer
    }

    fn look(&self) -> Result<()> {
        match self.shelf.state.lock().shut.contains_key(&(self.seat, self.which)) {
            true => Err(Error::Unavailable("cut off".into())),
            false => Ok(()),
        }
    }

    async fn wait(&self) {
        let delay = self.shelf.state.lock().chance.within(0..=DELAY);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }
}

#[async_trait]
impl store::Rosters for Gate {
    async fn load(&self, owner: &Bare) -> Result<Roster> {
        self.there().await?;
        self.shelf.real.rosters.load(owner).await
    }

    async fn change(&self, owner: &Bare, seen: u64, put: &[Contact], remove: &[Jid]) -> Result<u64> {
        self.there().await?;
        let changed = self.shelf.real.rosters.change(owner, seen, put, remove).await;
        self.back(changed).await
    }
}

#[async_trait]
impl store::Archive for Gate {
    async fn append(&self, entries: &[Append]) -> Result<Vec<EntryId>> {
        self.there().await?;
        let appended = self.shelf.real.archive.append(entries).await;
        self.back(appended).await
    }

    async fn page(&self, owner: &Bare, log: &str, request: &PageRequest) -> Result<Page> {
        self.there().await?;
        self.shelf.real.archive.page(owner, log, request).await
    }

    async fn count(&self, owner: &Bare, log: &str) -> Result<u64> {
        self.there().await?;
        self.shelf.real.archive.count(owner, log).await
    }

    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<u64> {
        self.there().await?;
        let removed = self.shelf.real.archive.remove(owner, log, ids).await;
        self.back(removed).await
    }

    async fn trim(&self, owner: &Bare, log: &str, last: EntryId, most: u32) -> Result<u64> {
        self.there().await?;
        let trimmed = self.shelf.real.archive.trim(owner, log, last, most).await;
        self.back(trimmed).await
    }

    async fn entries(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<Vec<Entry>> {
        self.there().await?;
        self.shelf.real.archive.entries(owner, log, ids).await
    }

    async fn logs(&self, owner: &Bare) -> Result<Vec<String>> {
        self.there().await?;
        self.shelf.real.archive.logs(owner).await
    }

    async fn count_found(&self, owner: &Bare, log: &str, request: &PageRequest, most: u32) -> Result<Option<u32>> {
        self.there().await?;
        self.shelf.real.archive.count_found(owner, log, request, most).await
    }

    async fn excess(&self, owner: &Bare, log: &str, keep: u32) -> Result<Option<EntryId>> {
        self.there().await?;
        self.shelf.real.archive.excess(owner, log, keep).await
    }

    async fn replace(&self, owner: &Bare, log: &str, id: EntryId, stanza: Bytes) -> Result<bool> {
        self.there().await?;
        let replaced = self.shelf.real.archive.replace(owner, log, id, stanza).await;
        self.back(replaced).await
    }

    async fn index(&self, owner: &Bare, log: &str, most: u32) -> Result<bool> {
        self.there().await?;
        let indexed = self.shelf.real.archive.index(owner, log, most).await;
        self.back(indexed).await
    }
}

#[async_trait]
impl store::Presence for Gate {
    async fn put(&self, slot: Slot, generation: u64, records: &[(Full, Option<PresenceRecord>)]) -> Result<bool> {
        self.there().await?;
        self.shelf.real.presence.put(slot, generation, records).await
    }

    async fn load(&self, slot: Slot) -> Result<(u64, Vec<PresenceRecord>)> {
        self.there().await?;
        self.shelf.real.presence.load(slot).await
    }
}

#[async_trait]
impl store::Locations for Gate {
    async fn put(&self, records: &[(Full, Option<Location>)]) -> Result<()> {
        self.there().await?;
        self.shelf.real.locations.put(records).await
    }

    async fn load(&self, slot: Slot) -> Result<Vec<Location>> {
        self.there().await?;
        self.shelf.real.locations.load(slot).await
    }
}

#[async_trait]
impl store::Members for Gate {
    async fn join(&self, node: &NodeRecord, ttl: Duration) -> Result<(Epoch, Lease)> {
        self.there().await?;
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let joined = self.shelf.write(|state, now| {
            if state.nodes.contains_key(&node.id) {
                return Err(Error::Conflict);
            }
            let (epoch, lease) = (Epoch(state.revision + 1), Lease(state.revision.cast_signed() + 1));
            let member = Member {
                record: node.clone(),
                epoch,
            };
            let life = Life {
                member,
                lease,
                ttl,
                ends: now + ttl,
            };
            state.nodes.insert(node.id.clone(), life);
            Ok((epoch, lease))
        });
        self.back(joined).await
    }

    async fn keep_alive(&self, lease: Lease) -> Result<()> {
        self.there().await?;
        self.shelf.expire();
        let now = self.shelf.pulse.now();
        let renewed = {
            let mut state = self.shelf.state.lock();
            let life = state.nodes.values_mut().find(|life| life.lease == lease);
            life.map(|life| life.ends = now + life.ttl)
        };
        self.back(renewed.ok_or(Error::Precondition("the lease has ended")))
            .await
    }

    async fn update(&self, node: &NodeRecord, epoch: Epoch, lease: Lease) -> Result<()> {
        self.there().await?;
        let updated = self.shelf.write(|state, _| {
            let life = state.nodes.get_mut(&node.id);
            let life = life.filter(|life| life.member.epoch == epoch && life.lease == lease);
            life.ok_or(Error::Conflict)?.member.record = node.clone();
            Ok(())
        });
        self.back(updated).await
    }

    async fn drain(&self, node: &NodeId) -> Result<bool> {
        self.there().await?;
        let marked = self.shelf.write(|state, _| {
            let life = state.nodes.get_mut(node);
            Ok(life.map(|life| life.member.record.draining = true).is_some())
        });
        self.back(marked).await
    }

    async fn bury(&self, node: &NodeId, epoch: Epoch) -> Result<bool> {
        self.there().await?;
        let buried = self.shelf.write(|state, _| {
            let is_it = state.nodes.get(node).is_some_and(|life| life.member.epoch == epoch);
            if is_it {
                state.nodes.remove(node);
            }
            Ok(is_it)
        });
        self.back(buried).await
    }

    async fn leave(&self, node: &NodeId, lease: Lease) -> Result<()> {
        self.there().await?;
        let left = self.shelf.write(|state, _| {
            if state.nodes.get(node).is_some_and(|life| life.lease == lease) {
                state.nodes.remove(node);
            }
            Ok(())
        });
        self.back(left).await
    }

    async fn publish(&self, table: &SlotTable) -> Result<()> {
        self.there().await?;
        let published = self.shelf.write(|state, _| {
            if state.table.revision.checked_add(1) != Some(table.revision) {
                return Err(Error::Conflict);
            }
            state.table = table.clone();
            Ok(())
        });
        self.back(published).await
    }

    async fn watch(&self) -> Result<watch::Receiver<Snapshot>> {
        self.there().await?;
        let mut state = self.shelf.state.lock();
        let snapshot = state.snapshot();
        let window = state
            .windows
            .entry(self.seat)
            .or_insert_with(|| watch::Sender::new(snapshot));
        Ok(window.subscribe())
    }

    async fn secret(&self) -> Result<[u8; 32]> {
        Ok(SECRET)
    }
}
