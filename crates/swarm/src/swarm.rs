//! All clients of a swarm and their common ledger.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::ledger::Ledger;
use crate::report::Report;
use crate::shared::{Habits, Manner, Persona, Phase, Shared};
use crate::talker::Talker;

/// How often to look how far the swarm is.
const LOOK: Duration = Duration::from_millis(50);
/// How long after one client the next one connects.
const STAGGER: Duration = Duration::from_millis(15);

/// Clients that talk.
pub struct Swarm {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    clients: JoinSet<()>,
}

impl Swarm {
    /// Lets all clients connect, one soon after the other. Their chance follows from `seed`.
    pub fn start(personas: Vec<Persona>, habits: Habits, seed: u64) -> Self {
        let count = personas.len();
        let shared = Arc::new(Shared::new(personas, habits));
        let (phase, watched) = watch::channel(Phase::Gathering);
        let mut clients = JoinSet::new();
        for at in 0..count {
            let talker = Talker::new(at, shared.clone(), watched.clone(), seed);
            clients.spawn(async move {
                sleep(STAGGER * at as u32).await;
                talker.run().await;
            });
        }
        Self { shared, phase, clients }
    }

    /// Waits until every client that is to be there has a session.
    ///
    /// # Errors
    /// When that takes longer than `patience`.
    pub async fn gather(&self, patience: Duration) -> Result<()> {
        let gathered = timeout(patience, async {
            let mut look = interval(LOOK);
            while self.online() < self.expected() {
                look.tick().await;
            }
        });
        let is_complete = gathered.await.is_ok();
        ensure!(
            is_complete,
            "{} of {} clients have a session after {patience:?}\n{}",
            self.online(),
            self.expected(),
            Report::of(&self.ledger(), Duration::ZERO)
        );
        Ok(())
    }

    fn expected(&self) -> usize {
        let is_early = matches!(*self.phase.borrow(), Phase::Gathering | Phase::Talking);
        let personas = self.shared.personas.iter();
        personas
            .filter(|persona| !(is_early && persona.manner == Manner::Away))
            .count()
    }

    /// How many clients have a session and a connection.
    pub fn online(&self) -> usize {
        self.shared.online.load(Relaxed)
    }

    /// Has the clients talk from now on.
    pub fn talk(&self) {
        self.phase.send_replace(Phase::Talking);
    }

    /// Has the clients begin nothing new, and waits until what was begun has ended: everything is acknowledged and received, and for
    /// `quiet` nothing more happens. Gives up when nothing at all happens for `patience`, or after four times that.
    pub async fn settle(&self, quiet: Duration, patience: Duration) {
        self.phase.send_replace(Phase::Settling);
        self.rest(quiet, patience).await;
    }

    /// Has the clients log in anew, for what had been kept for them and not delivered. Waits until all have a session, or nothing
    /// happens for `patience`; then as [`Swarm::settle`] does.
    pub async fn collect(&self, quiet: Duration, patience: Duration) {
        self.ledger().collecting(self.now());
        self.phase.send_replace(Phase::Collecting);
        // Those that do not get a session stand in the report.
        let _ = self.gather(patience).await;
        self.rest(quiet, patience).await;
    }

    async fn rest(&self, quiet: Duration, patience: Duration) {
        let (began, mut last, mut since) = (Instant::now(), 0, Instant::now());
        let mut look = interval(LOOK);
        while began.elapsed() < patience * 4 {
            look.tick().await;
            let (entries, is_settled) = {
                let ledger = self.ledger();
                (ledger.entries(), ledger.is_settled())
            };
            if entries != last {
                (last, since) = (entries, Instant::now());
            }
            if since.elapsed() >= if is_settled { quiet } else { patience } {
                return;
            }
        }
        self.ledger().complain(format!("no rest within {:.0?}", patience * 4));
    }

    /// Has the clients log out, and waits for them.
    pub async fn leave(mut self) -> Ledger {
        self.phase.send_replace(Phase::Leaving);
        while self.clients.join_next().await.is_some() {}
        self.shared.ledger().clone()
    }

    /// What became of every message so far.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger()
    }

    /// The time of the ledger.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// Replaces where clients connect from now on.
    pub fn set_edges(&self, edges: Vec<SocketAddr>) {
        *self.shared.habits.edges.lock().expect("not poisoned") = edges;
    }
}
