//! What the clients of a swarm share: who they are, how they live, what they are at, and their ledger.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::ledger::Ledger;

/// Who a client is.
#[derive(Clone, Debug)]
pub struct Persona {
    /// The local part of its address.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The client that it talks to, by its place in the swarm; itself: it talks to nobody.
    pub peer: usize,
    /// How it reads.
    pub manner: Manner,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// What comes is read at once.
    Prompt,
    /// Every so often nothing is read for a while.
    Pausing {
        /// From the beginning of one pause to that of the next.
        every: Duration,
        /// How long one lasts.
        pause: Duration,
    },
    /// Nothing is read, and nothing said, as long as the others talk. Then it comes back and reads what it has missed.
    Deaf,
    /// Not there as long as the others talk. Then it comes.
    Away,
}

/// What the swarm is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Clients connect.
    Gathering,
    /// They talk.
    Talking,
    /// They begin nothing new; what was begun comes to its end.
    Settling,
    /// They log in anew, for what had been kept for them, and wait.
    Collecting,
    /// They log out.
    Leaving,
}

/// What all clients of a swarm do alike.
pub struct Habits {
    /// Where they connect; each begins at another of these, and goes on to the next when its connection ends.
    pub edges: Mutex<Vec<SocketAddr>>,
    /// Direct TLS, if that is to be spoken.
    pub tls: Option<TlsConnector>,
    /// The domain of their accounts.
    pub domain: String,
    /// The resource they bind.
    pub resource: String,
    /// How often each of them says something.
    pub every: Duration,
    /// How long the server may take for an answer before a client looks for another edge.
    pub patience: Duration,
}

/// What the clients share.
pub(crate) struct Shared {
    pub(crate) personas: Vec<Persona>,
    pub(crate) habits: Habits,
    pub(crate) online: AtomicUsize,
    /// What the ids of this swarm's messages begin with.
    pub(crate) name: String,
    ledger: Mutex<Ledger>,
    epoch: Instant,
}

impl Shared {
    pub(crate) fn new(personas: Vec<Persona>, habits: Habits) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(personas.len())),
            personas,
            habits,
            online: AtomicUsize::new(0),
            name: name(),
            epoch: Instant::now(),
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("not poisoned")
    }

    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(crate) fn since_epoch(&self, time: Instant) -> Duration {
        time.saturating_duration_since(self.epoch)
    }
}

/// A name that no other swarm has had.
fn name() -> String {
    let time = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{:x}-{:x}", time.as_micros(), std::process::id())
}
