//! Time of day and chance, as parameters: tests choose both.

use std::time::{SystemTime, UNIX_EPOCH};

use stanza::Timestamp;

/// Tells the time of day. Deadlines run by tokio's clock, which tests can pause.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Makes what must not be guessed or repeated.
pub trait Entropy: Send + Sync {
    /// 128 random bits.
    fn bits(&self) -> u128;
}

/// The system's clock and generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Clock for System {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

impl Entropy for System {
    fn bits(&self) -> u128 {
        rand::random()
    }
}
