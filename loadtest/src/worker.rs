//! A worker: some of the users, on a few threads of their own, each with one runtime.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::board::{Board, Order};
use crate::ledger::Ledger;
use crate::tally::{Pulse, Tally};
use crate::user::{Crew, User};
use crate::world::World;

/// Which of all users are a worker's: those whose number leaves `index` when divided by `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The worker, from 0.
    pub index: u32,
    /// How many workers there are.
    pub of: u32,
}

/// Users at work.
pub struct Worker {
    threads: Vec<Thread>,
}

struct Thread {
    crew: Arc<Crew>,
    users: JoinHandle<Ledger>,
}

impl Share {
    /// All users.
    pub const ALL: Self = Self { index: 0, of: 1 };

    /// The users of one of `threads`.
    fn users(self, users: u32, thread: u32, threads: u32) -> impl Iterator<Item = u32> {
        let step = (self.of * threads).max(1) as usize;
        (self.index + thread * self.of..users).step_by(step)
    }
}

impl Worker {
    /// Starts the users of `share` on so many threads; they wait for orders. The run begins at `epoch`.
    ///
    /// # Errors
    /// When the system has no more threads or descriptors.
    pub fn start(world: Arc<World>, share: Share, threads: u32, epoch: Instant) -> io::Result<Self> {
        let start = |thread| {
            let users: Vec<u32> = share.users(world.scenario.users, thread, threads).collect();
            Thread::start(world.clone(), users, epoch)
        };
        let threads = (0..threads.max(1)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { threads })
    }

    /// Tells all users.
    pub fn order(&self, order: Order) {
        // What is counted for a phase must find it on every thread.
        if let Order::Phase(at, began) = order {
            for thread in &self.threads {
                thread.crew.tally.lock().begin(at, began);
            }
        }
        for thread in &self.threads {
            thread.crew.board.order(order);
        }
    }

    /// What happened since the last time.
    pub fn pulse(&self) -> Pulse {
        let mut pulse = Pulse::default();
        for thread in &self.threads {
            let taken = thread.crew.tally.lock().take();
            pulse.merge(taken);
        }
        pulse
    }

    /// Waits until all users have ended, as they were told. Blocks.
    ///
    /// # Errors
    /// When a thread panicked.
    pub fn finish(self) -> io::Result<(Ledger, Pulse)> {
        let last = self
            .threads
            .iter()
            .map(|thread| thread.crew.clone())
            .collect::<Vec<_>>();
        let mut ledger = Ledger::default();
        for thread in self.threads {
            let part = thread.users.join();
            ledger.merge(part.map_err(|_| io::Error::other("a thread of users panicked"))?);
        }
        let mut pulse = Pulse::default();
        for crew in last {
            pulse.merge(crew.tally.lock().take());
        }
        Ok((ledger, pulse))
    }
}

impl Thread {
    fn start(world: Arc<World>, users: Vec<u32>, epoch: Instant) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (tell, told) = mpsc::sync_channel(1);
        let users = std::thread::Builder::new().name("users".to_owned()).spawn(move || {
            runtime.block_on(async {
                let made = Board::new(epoch, users.len()).map(|board| {
                    Arc::new(Crew {
                        world,
                        board,
                        tally: Mutex::new(Tally::default()),
                    })
                });
                match made {
                    Ok(crew) => {
                        let _ = tell.send(Ok(crew.clone()));
                        live(crew, users).await
                    }
                    Err(error) => {
                        let _ = tell.send(Err(error));
                        Ledger::default()
                    }
                }
            })
        })?;
        let crew = told.recv().map_err(io::Error::other)??;
        Ok(Self { crew, users })
    }
}

/// Has all users of a thread live, until they end.
async fn live(crew: Arc<Crew>, users: Vec<u32>) -> Ledger {
    let ring = tokio::spawn({
        let crew = crew.clone();
        async move { crew.board.ring(|late| crew.tally.lock().late(late)).await }
    });
    let mut living = JoinSet::new();
    for (slot, user) in (0..).zip(users) {
        living.spawn(User::new(user, slot, crew.clone()).live());
    }
    let mut ledger = Ledger::default();
    while let Some(ended) = living.join_next().await {
        if let Ok((user, book)) = ended {
            ledger.add(user, book);
        }
    }
    ring.abort();
    ledger
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_user_is_of_one_worker_and_one_thread() {
        let mut all = Vec::new();
        for index in 0..3 {
            for thread in 0..2 {
                all.extend(Share { index, of: 3 }.users(100, thread, 2));
            }
        }
        assert_eq!((all.len(), all.into_iter().collect::<BTreeSet<_>>().len()), (100, 100));
    }
}
