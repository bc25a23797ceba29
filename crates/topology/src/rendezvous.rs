//! Weighted rendezvous in integers: the router with the highest `weight / -log2(hash)` wins a slot. No floating point, so
//! that every platform and release computes the same; the vectors in the tests pin it.

use crate::Slot;

/// How strongly a router pulls a slot: `weight / distance`, compared without dividing.
pub(crate) struct Score {
    weight: u32,
    /// `-log2` of the hash as a fraction of 2^64, 32 fractional bits; at least 1.
    distance: u64,
}

impl Score {
    /// Whether this pulls more strongly than `other`.
    pub(crate) fn beats(&self, other: &Self) -> bool {
        u128::from(self.weight) * u128::from(other.distance) > u128::from(other.weight) * u128::from(self.distance)
    }
}

/// FNV-1a of a router's name, 64 bits.
pub(crate) fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The pull of the router named by `name_hash` on `slot`.
pub(crate) fn score(name_hash: u64, slot: Slot, weight: u32) -> Score {
    let hash = mix(name_hash ^ mix(u64::from(slot.index()) + 1));
    Score {
        weight,
        distance: (64 << 32) - log2(hash.max(1)),
    }
}

/// The finisher of `SplitMix64`.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// `log2(value)` for `value >= 1`, rounded down to 32 fractional bits: squaring the mantissa yields one bit a time.
fn log2(value: u64) -> u64 {
    let whole = u64::from(63 - value.leading_zeros());
    let mut mantissa = value << value.leading_zeros(); // in [1, 2), 63 fractional bits
    let mut fraction = 0_u64;
    for _ in 0..32 {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63; // in [1, 4)
        let carry = square >> 64 != 0;
        fraction = (fraction << 1) | u64::from(carry);
        mantissa = if carry { (square >> 1) as u64 } else { square as u64 };
    }
    (whole << 32) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log2_is_right_at_known_points() {
        let table = [
            (1, 0),
            (2, 1 << 32),
            (3, 0x1_95c0_1a39),
            (1 << 63, 63 << 32),
            (u64::MAX, (64 << 32) - 1),
        ];
        for (value, want) in table {
            assert_eq!(log2(value), want, "{value}");
        }
    }

    #[test]
    fn distance_never_reaches_zero() {
        assert_eq!((64_u64 << 32) - log2(u64::MAX), 1);
    }
}
