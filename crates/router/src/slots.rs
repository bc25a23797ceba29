//! Which slots are served here, and what is in work for each.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use topology::{SLOTS, Slot};

/// What this router is to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not its home, or not any more: nothing new is taken in.
    Closed,
    /// Its home to be: edges attach their sessions, everything else waits.
    Opening,
    /// Its home.
    Serving,
}

/// What this router is to every slot.
pub(crate) struct Slots {
    slots: Vec<Mutex<One>>,
    /// Counts changes that somebody may wait for.
    changes: watch::Sender<u64>,
    /// Longest wait for a slot to open.
    hold: Duration,
}

#[derive(Clone, Copy)]
struct One {
    phase: Phase,
    working: u32,
}

/// Permission to work on accounts of a slot. A slot that is given away waits until all are returned.
pub(crate) struct Pass {
    slots: Arc<Slots>,
    slot: Slot,
}

/// This router is not the slot's home.
#[derive(Debug)]
pub(crate) struct NotHome;

impl Slots {
    /// Every slot in `phase`. Stanzas for slots that open wait up to `hold`.
    pub(crate) fn new(phase: Phase, hold: Duration) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Mutex::new(One { phase, working: 0 })).collect(),
            changes: watch::Sender::new(0),
            hold,
        }
    }

    pub(crate) fn phase(&self, slot: Slot) -> Phase {
        self.one(slot).lock().phase
    }

    /// Permission to work on the slot's accounts; waits while it opens.
    pub(crate) async fn enter(self: &Arc<Self>, slot: Slot) -> Result<Pass, NotHome> {
        match self.try_enter(slot, false) {
            Ok(pass) => Ok(pass),
            Err(Phase::Opening) => self.enter_opened(slot).await,
            Err(_) => Err(NotHome),
        }
    }

    /// Permission to attach sessions: as [`Slots::enter`], but already while the slot opens.
    pub(crate) fn enter_opening(self: &Arc<Self>, slot: Slot) -> Result<Pass, NotHome> {
        self.try_enter(slot, true).map_err(|_| NotHome)
    }

    pub(crate) fn set(&self, slots: &[Slot], phase: Phase) {
        for slot in slots {
            self.one(*slot).lock().phase = phase;
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Opens those of `slots` that still wait for it.
    pub(crate) fn serve(&self, slots: &[Slot]) {
        for slot in slots {
            let mut one = self.one(*slot).lock();
            if one.phase == Phase::Opening {
                one.phase = Phase::Serving;
            }
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Waits until nothing is in work for `slots`; `false` when that took longer than `limit`.
    pub(crate) async fn quiet(&self, slots: &[Slot], limit: Duration) -> bool {
        let mut changes = self.changes.subscribe();
        let quiet = async {
            while slots.iter().any(|slot| self.one(*slot).lock().working > 0) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, quiet).await.is_ok()
    }

    /// How many slots are served, and how many open.
    pub(crate) fn count(&self) -> (usize, usize) {
        let count = |phase| self.slots.iter().filter(|one| one.lock().phase == phase).count();
        (count(Phase::Serving), count(Phase::Opening))
    }

    async fn enter_opened(self: &Arc<Self>, slot: Slot) -> Result<Pass, NotHome> {
        let deadline = Instant::now() + self.hold;
        let mut changes = self.changes.subscribe();
        loop {
            match self.try_enter(slot, false) {
                Ok(pass) => return Ok(pass),
                Err(Phase::Opening) => {}
                Err(_) => return Err(NotHome),
            }
            let changed = tokio::time::timeout_at(deadline, changes.changed()).await;
            changed.map_err(|_| NotHome)?.map_err(|_| NotHome)?;
        }
    }

    fn try_enter(self: &Arc<Self>, slot: Slot, opening: bool) -> Result<Pass, Phase> {
        let mut one = self.one(slot).lock();
        if one.phase == Phase::Serving || (opening && one.phase == Phase::Opening) {
            one.working += 1;
            return Ok(Pass {
                slots: self.clone(),
                slot,
            });
        }
        Err(one.phase)
    }

    fn one(&self, slot: Slot) -> &Mutex<One> {
        &self.slots[usize::from(slot.index())]
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut one = self.slots.one(self.slot).lock();
        one.working = one.working.saturating_sub(1);
        let waited_for = one.working == 0 && one.phase == Phase::Closed;
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

    #[tokio::test(start_paused = true)]
    async fn what_comes_while_a_slot_opens_waits() {
        let slots = Arc::new(Slots::new(Phase::Opening, HOLD));
        assert!(slots.enter_opening(slot()).is_ok());
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.enter(slot()).await.is_ok() }
        });
        tokio::task::yield_now().await;
        slots.serve(&[slot()]);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_wait_for_ever() {
        let slots = Arc::new(Slots::new(Phase::Opening, HOLD));
        assert!(slots.enter(slot()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_slot_is_quiet_once_every_pass_is_returned() {
        let slots = Arc::new(Slots::new(Phase::Serving, HOLD));
        let pass = slots.enter(slot()).await.unwrap();
        slots.set(&[slot()], Phase::Closed);
        assert!(slots.enter(slot()).await.is_err());
        assert!(!slots.quiet(&[slot()], Duration::from_secs(1)).await);
        drop(pass);
        assert!(slots.quiet(&[slot()], Duration::from_secs(1)).await);
    }
}
