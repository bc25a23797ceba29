//! How fast sessions are closed when the edge stops, so that they do not all come back at once.

use std::time::Duration;

use stanza::StreamCondition;

use crate::config::Drain;

/// Sessions are closed in batches this far apart.
pub(crate) const TICK: Duration = Duration::from_millis(20);

impl Drain {
    /// What clients are told (RFC 6120, 4.9.3.19 and 4.9.3.21).
    pub(crate) fn condition(&self) -> StreamCondition {
        match &self.see_other_host {
            Some(host) => StreamCondition::SeeOtherHost(host.clone()),
            None => StreamCondition::SystemShutdown,
        }
    }
}

/// How many sessions to close in one tick, of `count` in all. `luck` is from 0 to 1; half of it makes, on average, the
/// configured rate, or what is needed to be done in half the time allowed.
pub(crate) fn batch(count: usize, drain: &Drain, luck: f64) -> usize {
    let needed = count as f64 / (drain.timeout.as_secs_f64() / 2.0).max(TICK.as_secs_f64());
    let rate = needed.max(f64::from(drain.sessions_per_second));
    let mean = rate * TICK.as_secs_f64();
    ((mean * (0.5 + luck)).round() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_follow_the_rate_or_the_time() {
        let drain = |sessions_per_second, seconds| Drain {
            sessions_per_second,
            timeout: Duration::from_secs(seconds),
            see_other_host: None,
        };
        for (count, rate, seconds, luck, expected) in [
            (1_000, 500, 30, 0.5, 10),
            (1_000, 500, 30, 0.0, 5),
            (1_000, 500, 30, 1.0, 15),
            (150_000, 500, 30, 0.5, 200),
            (1_000, 0, 0, 0.5, 1_000),
            (5, 1, 600, 0.5, 1),
        ] {
            assert_eq!(
                batch(count, &drain(rate, seconds), luck),
                expected,
                "{count} at {rate}/s in {seconds} s"
            );
        }
    }
}
