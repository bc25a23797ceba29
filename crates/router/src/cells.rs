//! The accounts held in memory: one cell each, which is there as long as somebody uses it or it has sessions.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stanza::Bare;
use tokio::time::Instant;
use topology::Slot;

use crate::account::Account;
use crate::session::Session;

const SHARDS: usize = 64;

/// An account's place in memory.
pub(crate) struct Cell {
    pub(crate) jid: Bare,
    pub(crate) slot: Slot,
    /// The one lock of the account. Nobody who holds it waits for another account's.
    pub(crate) state: tokio::sync::Mutex<State>,
    /// The order of what leaves the account.
    pub(crate) line: Arc<tokio::sync::Mutex<()>>,
    touched: Mutex<Instant>,
}

/// What a cell holds.
pub(crate) enum State {
    /// Not loaded yet.
    Cold,
    /// There is no such account, as far as is known until then.
    Absent(Instant),
    /// The account.
    Loaded(Box<Account>),
}

/// The cells by account.
pub(crate) struct Cells {
    shards: Vec<Mutex<HashMap<Bare, Arc<Cell>>>>,
    hasher: RandomState,
    /// Most cells without sessions per shard.
    idle: usize,
    idle_for: Duration,
}

impl Cells {
    pub(crate) fn new(idle: usize, idle_for: Duration) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            idle: idle.div_ceil(SHARDS).max(1),
            idle_for,
        }
    }

    /// The account's cell; made if there is none.
    pub(crate) fn get(&self, jid: &Bare) -> Arc<Cell> {
        let mut shard = self.shard(jid).lock();
        if let Some(cell) = shard.get(jid) {
            *cell.touched.lock() = Instant::now();
            return cell.clone();
        }
        let cell = Arc::new(Cell::new(jid.clone()));
        shard.insert(jid.clone(), cell.clone());
        // Now and then is enough: a shard holds at most twice its share of idle cells.
        if shard.len().is_multiple_of(self.idle) {
            self.evict(&mut shard);
        }
        cell
    }

    /// The account's cell, if it is held in memory.
    pub(crate) fn find(&self, jid: &Bare) -> Option<Arc<Cell>> {
        self.shard(jid).lock().get(jid).cloned()
    }

    /// Forgets cells that were idle for too long, and the oldest beyond what is allowed; lets who is not busy rest.
    pub(crate) fn sweep(&self, fresh: Duration) {
        let now = Instant::now();
        for shard in &self.shards {
            let mut shard = shard.lock();
            self.evict(&mut shard);
            shard.values().for_each(|cell| cell.rest(now, fresh));
        }
    }

    /// How many accounts are held in memory.
    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// The cells of the slots that `wanted` chooses, in order of address.
    pub(crate) fn of_slots(&self, wanted: impl Fn(Slot) -> bool) -> Vec<Arc<Cell>> {
        let mut cells: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| {
                shard
                    .lock()
                    .values()
                    .filter(|cell| wanted(cell.slot))
                    .cloned()
                    .collect::<Vec<_>>()
            })
            .collect();
        cells.sort_by(|a, b| a.jid.cmp(&b.jid));
        cells
    }

    /// Forgets the account's cell, if it is this one. Whoever still holds it finds it empty, if its holder emptied it.
    pub(crate) fn remove(&self, cell: &Arc<Cell>) {
        let mut shard = self.shard(&cell.jid).lock();
        if shard.get(&cell.jid).is_some_and(|other| Arc::ptr_eq(other, cell)) {
            shard.remove(&cell.jid);
        }
    }

    fn shard(&self, jid: &Bare) -> &Mutex<HashMap<Bare, Arc<Cell>>> {
        let at = self.hasher.hash_one(jid) as usize % SHARDS;
        &self.shards[at]
    }

    fn evict(&self, shard: &mut HashMap<Bare, Arc<Cell>>) {
        let now = Instant::now();
        let mut idle = Vec::new();
        shard.retain(|_, cell| match cell.idle() {
            Some(Idle::Until(end)) => now < end,
            Some(Idle::Since(since)) if now - since >= self.idle_for => false,
            Some(Idle::Since(since)) => {
                idle.push((since, cell.jid.clone()));
                true
            }
            None => true,
        });
        let excess = idle.len().saturating_sub(self.idle);
        idle.sort();
        for (_, jid) in idle.into_iter().take(excess) {
            shard.remove(&jid);
        }
    }
}

enum Idle {
    Since(Instant),
    Until(Instant),
}

impl Cell {
    fn new(jid: Bare) -> Self {
        Self {
            slot: Slot::of(jid.as_str()),
            jid,
            state: tokio::sync::Mutex::new(State::Cold),
            line: Arc::default(),
            touched: Mutex::new(Instant::now()),
        }
    }

    /// Lets sessions and log rest, if nobody is at work on the account.
    fn rest(&self, now: Instant, fresh: Duration) {
        if let Ok(mut state) = self.state.try_lock()
            && let State::Loaded(account) = &mut *state
        {
            account.sessions.values_mut().for_each(Session::rest);
            if let Some(log) = &mut account.log {
                log.rest(now, fresh);
            }
        }
    }

    /// Whether nobody uses the cell and it has no sessions. Under the shard's lock nobody can come to use it.
    fn idle(self: &Arc<Self>) -> Option<Idle> {
        if Arc::strong_count(self) > 1 || Arc::strong_count(&self.line) > 1 {
            return None;
        }
        match &*self.state.try_lock().ok()? {
            State::Loaded(account) if !account.sessions.is_empty() || account.is_unsaved() => None,
            State::Absent(until) => Some(Idle::Until(*until)),
            State::Loaded(_) | State::Cold => Some(Idle::Since(*self.touched.lock())),
        }
    }
}
