//! Slots: the unit in which homes are given out and moved.

/// How many slots there are. Part of the contract between nodes: never changes within a cluster.
pub const SLOTS: u16 = 4096;

/// A slot, below [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a bare address in prepared form. FNV-1a, 64 bits, folded: stable across releases and platforms.
    pub fn of(bare: &str) -> Self {
        let hash = bare.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let folded = hash ^ (hash >> 32);
        Self((folded % u64::from(SLOTS)) as u16)
    }

    /// The slot numbered `index`, if there is one.
    pub fn new(index: u16) -> Option<Self> {
        (index < SLOTS).then_some(Self(index))
    }

    /// Its number.
    pub fn index(self) -> u16 {
        self.0
    }

    /// Every slot in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These must never change: nodes of different releases share a cluster.
    #[test]
    fn slots_are_stable() {
        let table = [
            ("", 4033),
            ("juliet@capulet.example", 3938),
            ("romeo@montague.example", 3787),
            ("capulet.example", 3222),
            ("balcony@conference.capulet.example", 3138),
            ("jos\u{e9}@\u{4f8b}\u{3048}.example", 1444),
        ];
        let got: Vec<_> = table.iter().map(|(bare, _)| (*bare, Slot::of(bare).index())).collect();
        assert_eq!(got, table);
    }

    #[test]
    fn slots_end_below_their_number() {
        assert_eq!(Slot::new(SLOTS), None);
        assert_eq!(Slot::new(SLOTS - 1).map(Slot::index), Some(4095));
        assert_eq!(Slot::all().count(), usize::from(SLOTS));
    }

    #[test]
    fn addresses_spread_evenly() {
        let mut load = vec![0_u32; usize::from(SLOTS)];
        (0..409_600).for_each(|n| load[usize::from(Slot::of(&format!("user{n}@example.com")).index())] += 1);
        assert!(
            load.iter().all(|n| (50..=160).contains(n)),
            "{:?} to {:?}",
            load.iter().min(),
            load.iter().max()
        );
    }
}
