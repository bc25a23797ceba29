//! Which slots are served here, and what is in work for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use topology::{SLOTS, Slot};

use crate::gauges;

/// What this router is to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not its home, or not any more: nothing new is taken in.
    Closed,
    /// Its home to be: edges attach their sessions, everything else waits.
    Opening,
    /// Its home.
    Serving,
    /// Its home for the last stanzas: what is in work goes on, and what arrives is taken in, but nothing new begins.
    Closing,
}

/// What this router is to every slot.
pub(crate) struct Slots {
    slots: Vec<Mutex<One>>,
    /// Counts changes that somebody may wait for.
    changes: watch::Sender<u64>,
    /// Longest wait for a slot to open.
    hold: Duration,
    /// Until then this router may act as a home, in milliseconds since `start`.
    until: AtomicU64,
    start: Instant,
}

#[derive(Clone, Copy)]
struct One {
    phase: Phase,
    /// The slot table by which it got that phase.
    table: u64,
    /// Work that somebody here has begun, with all that follows from it.
    begun: u32,
    /// Stanzas that arrive.
    arriving: u32,
}

/// Permission to work on accounts of a slot. A slot that is given away waits until all are returned.
pub(crate) struct Pass {
    slots: Arc<Slots>,
    slot: Slot,
    entry: Entry,
}

/// What somebody wants to do to a slot's accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// Attach a session.
    Attach,
    /// Begin something.
    Begin,
    /// Bring a stanza, or go on with what was begun.
    Arrive,
}

/// This router is not the slot's home.
#[derive(Debug)]
pub(crate) struct NotHome;

impl Slots {
    /// Every slot closed. Stanzas for slots that open wait up to `hold`.
    pub(crate) fn new(hold: Duration) -> Self {
        let one = || {
            Mutex::new(One {
                phase: Phase::Closed,
                table: 0,
                begun: 0,
                arriving: 0,
            })
        };
        Self {
            slots: (0..SLOTS).map(|_| one()).collect(),
            changes: watch::Sender::new(0),
            hold,
            until: AtomicU64::new(u64::MAX),
            start: Instant::now(),
        }
    }

    /// From `until` on nothing is taken in unless this is said again: the membership lease may have ended by then, even if
    /// the process slept through it.
    pub(crate) fn permit_until(&self, until: Instant) {
        let was_permitted = self.is_permitted();
        let until = until.saturating_duration_since(self.start).as_millis();
        self.until
            .store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Release);
        if !was_permitted {
            self.changes.send_modify(|n| *n += 1);
        }
    }

    /// Whether this router may act as a home now.
    pub(crate) fn is_permitted(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        until == u64::MAX || self.start.elapsed().as_millis() < u128::from(until)
    }

    pub(crate) fn phase(&self, slot: Slot) -> Phase {
        self.one(slot).lock().phase
    }

    /// The slot table by which an edge must have attached its sessions of the slot to have none that this router does not know: that by which
    /// the slot is here. When it is being given away already, any.
    pub(crate) fn since(&self, slot: Slot) -> u64 {
        let one = self.one(slot).lock();
        match one.phase {
            Phase::Opening | Phase::Serving => one.table,
            Phase::Closing | Phase::Closed => 0,
        }
    }

    /// Permission to begin something on the slot's accounts; waits while it opens.
    pub(crate) async fn enter(self: &Arc<Self>, slot: Slot) -> Result<Pass, NotHome> {
        self.wait_open(slot, Entry::Begin).await
    }

    /// Permission to bring a stanza to the slot's accounts, or to go on with what was begun: as [`Slots::enter`], but also while
    /// the slot closes.
    pub(crate) async fn arrive(self: &Arc<Self>, slot: Slot) -> Result<Pass, NotHome> {
        self.wait_open(slot, Entry::Arrive).await
    }

    /// As [`Slots::arrive`], without waiting. Who has begun something must not wait here for a slot to open: that may wait
    /// for the slot's old home, and so in the end for him.
    pub(crate) fn arrive_now(self: &Arc<Self>, slot: Slot) -> Result<Pass, NotHome> {
        self.try_enter(slot, Entry::Arrive).map_err(|_| NotHome)
    }

    async fn wait_open(self: &Arc<Self>, slot: Slot, entry: Entry) -> Result<Pass, NotHome> {
        match self.try_enter(slot, entry) {
            Ok(pass) => Ok(pass),
            Err(Phase::Opening) => {
                self.wait_for(slot, self.hold, entry, |phase| phase == Phase::Opening)
                    .await
            }
            Err(_) => Err(NotHome),
        }
    }

    /// Permission to attach sessions: as [`Slots::enter`], but already while the slot opens. An edge may hear of a slot table
    /// before this router does: it waits a little.
    pub(crate) async fn enter_opening(self: &Arc<Self>, slot: Slot, wait: Duration) -> Result<Pass, NotHome> {
        self.wait_for(slot, wait, Entry::Attach, |_| true).await
    }

    /// Permission to change something of a session that is attached, without waiting.
    pub(crate) fn attach_now(self: &Arc<Self>, slot: Slot) -> Result<Pass, NotHome> {
        self.try_enter(slot, Entry::Attach).map_err(|_| NotHome)
    }

    /// Changes what this router is to `slots` by the slot table `table`.
    pub(crate) fn set(&self, slots: &[Slot], phase: Phase, table: u64) {
        for slot in slots {
            let mut one = self.one(*slot).lock();
            (one.phase, one.table) = (phase, table);
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Lets nothing new begin in `slots`, which the table `table` has taken away. What has not opened yet is closed.
    pub(crate) fn close(&self, slots: &[Slot], table: u64) {
        for slot in slots {
            let mut one = self.one(*slot).lock();
            one.phase = match one.phase {
                Phase::Serving | Phase::Closing => Phase::Closing,
                Phase::Opening | Phase::Closed => Phase::Closed,
            };
            one.table = table;
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Takes nothing in any more for those of `slots` that close.
    pub(crate) fn shut(&self, slots: &[Slot]) {
        for slot in slots {
            let mut one = self.one(*slot).lock();
            if one.phase == Phase::Closing {
                one.phase = Phase::Closed;
            }
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Lets sessions of `slots` be attached, unless a newer table than `table` has taken them away again.
    pub(crate) fn open(&self, slots: &[Slot], table: u64) {
        for slot in slots {
            let mut one = self.one(*slot).lock();
            if one.table <= table {
                (one.phase, one.table) = (Phase::Opening, table);
            }
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Opens those of `slots` that still wait for it by the slot table `table`.
    pub(crate) fn serve(&self, slots: &[Slot], table: u64) {
        for slot in slots {
            let mut one = self.one(*slot).lock();
            if one.phase == Phase::Opening && one.table == table {
                one.phase = Phase::Serving;
            }
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Whether this router is the slot's home by the slot table `table`.
    pub(crate) fn is_home(&self, slot: Slot, table: u64) -> bool {
        let one = self.one(slot).lock();
        one.phase != Phase::Closed && one.table == table
    }

    /// The slots this router is or is about to be the home of.
    pub(crate) fn held(&self) -> Vec<Slot> {
        Slot::all().filter(|slot| self.phase(*slot) != Phase::Closed).collect()
    }

    /// Waits until nothing that was begun in `slots` is in work; `false` when that lasts beyond `until`.
    pub(crate) async fn finished(&self, slots: &[Slot], until: Instant) -> bool {
        self.quiet(slots, until, |one| one.begun == 0).await
    }

    /// Waits until nobody works on `slots`; `false` when that lasts beyond `until`.
    pub(crate) async fn idle(&self, slots: &[Slot], until: Instant) -> bool {
        self.quiet(slots, until, |one| one.begun + one.arriving == 0).await
    }

    async fn quiet(&self, slots: &[Slot], until: Instant, is_quiet: impl Fn(&One) -> bool) -> bool {
        let mut changes = self.changes.subscribe();
        let quiet = async {
            while !slots.iter().all(|slot| is_quiet(&self.one(*slot).lock())) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout_at(until, quiet).await.is_ok()
    }

    /// How many slots are served, and how many open.
    pub(crate) fn count(&self) -> (usize, usize) {
        let count = |phase| self.slots.iter().filter(|one| one.lock().phase == phase).count();
        (count(Phase::Serving), count(Phase::Opening))
    }

    /// Waits for permission, at most `limit`, and only in phases that are `worth` it.
    async fn wait_for(
        self: &Arc<Self>,
        slot: Slot,
        limit: Duration,
        entry: Entry,
        worth: impl Fn(Phase) -> bool,
    ) -> Result<Pass, NotHome> {
        let deadline = Instant::now() + limit;
        let mut changes = self.changes.subscribe();
        let mut waits = None;
        loop {
            match self.try_enter(slot, entry) {
                Ok(pass) => return Ok(pass),
                Err(phase) if worth(phase) => waits.get_or_insert_with(Waits::begin),
                Err(_) => return Err(NotHome),
            };
            let Ok(changed) = tokio::time::timeout_at(deadline, changes.changed()).await else {
                gauges::slot_given_up();
                return Err(NotHome);
            };
            changed.map_err(|_| NotHome)?;
        }
    }

    fn try_enter(self: &Arc<Self>, slot: Slot, entry: Entry) -> Result<Pass, Phase> {
        if !self.is_permitted() {
            return Err(Phase::Closed);
        }
        let mut one = self.one(slot).lock();
        let may = match one.phase {
            Phase::Closed => false,
            Phase::Opening => entry == Entry::Attach,
            Phase::Serving => true,
            Phase::Closing => entry == Entry::Arrive,
        };
        if !may {
            return Err(one.phase);
        }
        *one.count(entry) += 1;
        Ok(Pass {
            slots: self.clone(),
            slot,
            entry,
        })
    }

    fn one(&self, slot: Slot) -> &Mutex<One> {
        &self.slots[usize::from(slot.index())]
    }
}

impl One {
    fn count(&mut self, entry: Entry) -> &mut u32 {
        match entry {
            Entry::Attach | Entry::Begin => &mut self.begun,
            Entry::Arrive => &mut self.arriving,
        }
    }
}

/// Somebody waits for a slot, for as long as this lives.
struct Waits;

impl Waits {
    fn begin() -> Self {
        gauges::slot_wait(true);
        Self
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        gauges::slot_wait(false);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut one = self.slots.one(self.slot).lock();
        let count = one.count(self.entry);
        *count = count.saturating_sub(1);
        let waited_for = *count == 0 && matches!(one.phase, Phase::Closing | Phase::Closed);
        drop(one);
        if waited_for {
            self.slots.changes.send_modify(|n| *n += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(10);

    fn slot() -> Slot {
        Slot::of("juliet@capulet.example")
    }

    fn slots(phase: Phase) -> Arc<Slots> {
        let slots = Slots::new(HOLD);
        slots.set(&[slot()], phase, 1);
        Arc::new(slots)
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_while_a_slot_opens_waits() {
        let slots = slots(Phase::Opening);
        assert!(slots.enter_opening(slot(), HOLD).await.is_ok());
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.enter(slot()).await.is_ok() }
        });
        tokio::task::yield_now().await;
        slots.serve(&[slot()], 0);
        assert_eq!(slots.phase(slot()), Phase::Opening, "an older table opens nothing");
        slots.serve(&[slot()], 1);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_wait_for_ever() {
        let slots = slots(Phase::Opening);
        assert!(slots.enter(slot()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_closes_takes_in_what_arrives_but_nothing_begins() {
        let slots = slots(Phase::Serving);
        let soon = || Instant::now() + Duration::from_secs(1);
        let begun = slots.enter(slot()).await.unwrap();
        slots.close(&[slot()], 2);
        assert!(slots.enter(slot()).await.is_err() && slots.enter_opening(slot(), HOLD).await.is_err());
        let arrived = slots.arrive(slot()).await.unwrap();
        assert!(!slots.finished(&[slot()], soon()).await);
        drop(begun);
        assert!(slots.finished(&[slot()], soon()).await && !slots.idle(&[slot()], soon()).await);
        slots.shut(&[slot()]);
        assert!(slots.arrive(slot()).await.is_err());
        drop(arrived);
        assert!(slots.idle(&[slot()], soon()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_is_taken_away_before_it_opened_is_closed() {
        let slots = slots(Phase::Opening);
        assert!(slots.arrive_now(slot()).is_err(), "nobody waits here who must not");
        slots.close(&[slot()], 2);
        assert_eq!(slots.phase(slot()), Phase::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_in_once_the_lease_may_have_ended() {
        let slots = slots(Phase::Serving);
        slots.permit_until(Instant::now() + Duration::from_secs(4));
        assert!(slots.enter(slot()).await.is_ok());
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(slots.enter(slot()).await.is_err());
    }
}
