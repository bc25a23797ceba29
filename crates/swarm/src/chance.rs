//! Chance that can be replayed: the same seed gives the same numbers on every machine and in every version.

use std::ops::Range;
use std::time::Duration;

/// A source of numbers that follow from a seed (the generator splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// All that follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound.max(1) as u64) as usize
    }

    /// A time within `range`, to the millisecond.
    pub fn time(&mut self, range: Range<Duration>) -> Duration {
        let span = range.end.saturating_sub(range.start).as_millis() as usize;
        range.start + Duration::from_millis(self.below(span) as u64)
    }

    /// One of `all`; `None` when there are none.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut chance = Chance::new(seed);
            [chance.draw(), chance.draw(), chance.draw()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut chance = Chance::new(1);
        let range = Duration::from_millis(5)..Duration::from_millis(8);
        for _ in 0..100 {
            assert!(chance.below(3) < 3);
            assert!(range.contains(&chance.time(range.clone())));
        }
        assert_eq!(chance.pick::<u8>(&[]), None);
        assert_eq!(chance.pick(&[4]), Some(&4));
    }
}
