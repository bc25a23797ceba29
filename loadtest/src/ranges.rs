//! Sets of numbers that mostly follow each other, in the room of their gaps.

use serde::{Deserialize, Serialize};

/// A set of numbers, as ranges `first..=last` in ascending order, never touching.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Adds a number. False when it was there.
    pub fn insert(&mut self, number: u32) -> bool {
        // Numbers mostly come in order.
        if let Some(last) = self.0.last_mut()
            && last.1.checked_add(1) == Some(number)
        {
            last.1 = number;
            return true;
        }
        let at = self.0.partition_point(|(first, _)| *first <= number);
        if at > 0 && self.0[at - 1].1 >= number {
            return false;
        }
        let joins_left = at > 0 && self.0[at - 1].1 + 1 == number;
        let joins_right = self.0.get(at).is_some_and(|(first, _)| *first == number + 1);
        match (joins_left, joins_right) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = number,
            (false, true) => self.0[at].0 = number,
            (false, false) => self.0.insert(at, (number, number)),
        }
        true
    }

    /// How many numbers there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all: Vec<(u32, u32)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match joined.last_mut() {
                Some(before) if before.1.checked_add(1).is_none_or(|next| first <= next) => {
                    before.1 = before.1.max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    /// How many are in both.
    pub fn common(&self, other: &Self) -> u64 {
        self.len() + other.len() - self.union(other).len()
    }
}

impl FromIterator<u32> for Ranges {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut ranges = Self::default();
        for number in numbers {
            ranges.insert(number);
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use swarm::chance::Chance;

    use super::*;

    #[test]
    fn is_the_same_set_as_the_obvious_one_whatever_the_order() {
        let mut chance = Chance::new(3);
        for _ in 0..200 {
            let (mut ranges, mut plain) = (Ranges::default(), BTreeSet::new());
            for _ in 0..60 {
                let number = chance.below(40) as u32;
                assert_eq!(ranges.insert(number), plain.insert(number));
            }
            assert_eq!(ranges.len(), plain.len() as u64);
            assert!(ranges.0.windows(2).all(|two| two[0].1 + 1 < two[1].0), "{ranges:?}");
        }
    }

    #[test]
    fn unites_and_compares() {
        let (a, b): (Ranges, Ranges) = ([1, 2, 3, 9].into_iter().collect(), [3, 4, 10, 20].into_iter().collect());
        assert_eq!(a.union(&b), [1, 2, 3, 4, 9, 10, 20].into_iter().collect());
        assert_eq!(a.common(&b), 1);
        assert_eq!(a.union(&Ranges::default()), a);
    }

    #[test]
    fn holds_the_largest_number() {
        let mut ranges = Ranges::default();
        assert!(ranges.insert(u32::MAX));
        assert!(!ranges.insert(u32::MAX));
        assert!(ranges.insert(u32::MAX - 1));
        assert_eq!(ranges.union(&ranges.clone()).len(), 2);
    }
}
