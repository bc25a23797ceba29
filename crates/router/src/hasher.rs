//! Passwords are hashed on threads that may block, a few at a time, and not too many wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use sasl::InvalidPassword;
use store::Verifier;
use tokio::sync::Semaphore;

use crate::config::SaslConfig;
use crate::gauges;

/// Passwords that may wait to be hashed, for each that is.
const WAITING: usize = 64;

/// Where passwords are hashed.
pub(crate) struct Hasher {
    hashing: Semaphore,
    /// Passwords being hashed or waiting for it.
    hashes: AtomicUsize,
    most: usize,
    iterations: u32,
}

impl Hasher {
    pub(crate) fn new(config: &SaslConfig) -> Self {
        let hashing = config.hashing.max(1) as usize;
        Self {
            hashing: Semaphore::new(hashing),
            hashes: AtomicUsize::new(0),
            most: hashing * WAITING,
            iterations: config.iterations,
        }
    }

    /// Runs `work` when its turn comes; `None` when too much waits already.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _counted = Counted::new(&self.hashes);
        if self.hashes.load(Ordering::Relaxed) > self.most {
            gauges::dropped("password");
            return None;
        }
        let _permit = self.hashing.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// What is to be kept of a password; `salt` is new randomness.
    pub(crate) async fn verifiers(
        &self,
        password: String,
        salt: u128,
    ) -> Option<Result<Vec<Verifier>, InvalidPassword>> {
        let iterations = self.iterations;
        self.run(move || sasl::verifiers(&password, iterations, &salt.to_be_bytes()))
            .await
    }
}

/// One more, for as long as it is held.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
