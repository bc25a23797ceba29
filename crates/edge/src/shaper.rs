//! How fast a client may send: a token bucket as a pure decision. It never refuses; it says when to read again.

use std::time::{Duration, Instant};

use crate::config::Rate;

/// One bucket. Kept as the time at which it would be full again (the generic cell rate algorithm), so that it costs
/// nothing while nobody sends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shaper {
    full_at: Option<Instant>,
}

impl Shaper {
    /// Takes `amount` tokens, into debt if need be. `Some(at)`: take no more before `at`.
    pub(crate) fn take(&mut self, amount: u64, rate: &Rate, now: Instant) -> Option<Instant> {
        if rate.per_second == 0 {
            return None;
        }
        let cost = time_for(amount, rate.per_second);
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + cost;
        self.full_at = Some(full_at);
        let allowed = now + time_for(rate.burst.max(1), rate.per_second);
        (full_at > allowed).then(|| now + (full_at - allowed))
    }
}

/// How long `amount` takes at `per_second`; at most an hour, so that a mistaken configuration cannot overflow the clock.
fn time_for(amount: u64, per_second: u64) -> Duration {
    const LONGEST: u128 = 3_600_000_000_000;
    let nanos = (u128::from(amount) * 1_000_000_000 / u128::from(per_second)).min(LONGEST);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at the given milliseconds and compares the waits (milliseconds, 0: none).
    fn check(rate: Rate, takes: &[(u64, u64, u64)]) {
        let start = Instant::now();
        let mut shaper = Shaper::default();
        for (at, amount, wait) in takes {
            let now = start + Duration::from_millis(*at);
            let until = shaper
                .take(*amount, &rate, now)
                .map_or(0, |until| (until - now).as_millis());
            assert_eq!(until, u128::from(*wait), "take {amount} at {at} ms of {rate:?}");
        }
    }

    #[test]
    fn a_burst_passes_and_the_excess_waits() {
        let rate = Rate {
            per_second: 1_000,
            burst: 4_000,
        };
        check(
            rate,
            &[
                (0, 4_000, 0),
                (0, 1_000, 1_000),
                (1_000, 500, 500),
                (9_000, 4_000, 0),
                (9_000, 1, 1),
            ],
        );
    }

    #[test]
    fn idle_time_fills_no_more_than_the_burst() {
        check(
            Rate {
                per_second: 10,
                burst: 10,
            },
            &[(0, 10, 0), (1_000_000, 11, 100)],
        );
    }

    #[test]
    fn zero_is_no_limit() {
        check(
            Rate {
                per_second: 0,
                burst: 0,
            },
            &[(0, u64::MAX, 0), (0, u64::MAX, 0)],
        );
    }

    #[test]
    fn absurd_amounts_do_not_overflow() {
        let rate = Rate {
            per_second: 1,
            burst: u64::MAX,
        };
        check(rate, &[(0, u64::MAX, 0), (0, u64::MAX, 3_600_000)]);
    }
}
