//! The slot table as bytes, for the membership store and the links: about 8 to 16 KB. Reads trust nothing.
//!
//! Layout, all numbers LEB128 except the first byte: format (1), revision, number of routers, per router length of name, name,
//! epoch; number of slots (0 or 4096), per slot index of router, slot epoch.

use crate::{Epoch, NodeId, SLOTS, SlotTable};

/// The format written.
const FORMAT: u8 = 1;
/// Longest node name, in bytes.
const NAME_MAX: u64 = 255;

/// Why bytes are not a slot table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTable {
    /// Written by a release with another format.
    #[error("slot table in unknown format {0}")]
    Format(u8),
    /// Cut short, over-long or inconsistent.
    #[error("malformed slot table")]
    Malformed,
}

impl SlotTable {
    /// The table as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 * 1024);
        out.push(FORMAT);
        put(&mut out, self.revision);
        put(&mut out, self.routers().len() as u64);
        for (id, epoch) in self.routers() {
            put(&mut out, id.0.len() as u64);
            out.extend_from_slice(id.0.as_bytes());
            put(&mut out, epoch.0);
        }
        put(&mut out, self.entries().len() as u64);
        for (router, slot_epoch) in self.entries() {
            put(&mut out, u64::from(*router));
            put(&mut out, *slot_epoch);
        }
        out
    }

    /// Reads what [`SlotTable::encode`] wrote, here or on another node.
    ///
    /// # Errors
    /// As [`InvalidTable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidTable> {
        let (format, rest) = bytes.split_first().ok_or(InvalidTable::Malformed)?;
        if *format != FORMAT {
            return Err(InvalidTable::Format(*format));
        }
        read(&mut Reader(rest)).ok_or(InvalidTable::Malformed)
    }
}

fn read(from: &mut Reader<'_>) -> Option<SlotTable> {
    let revision = from.number()?;
    let routers = from.count(u64::from(SLOTS))?;
    let routers = (0..routers).map(|_| from.router()).collect::<Option<Vec<_>>>()?;
    let slots = from.count(u64::from(SLOTS))?;
    let slots = (0..slots).map(|_| from.entry()).collect::<Option<Vec<_>>>()?;
    from.0
        .is_empty()
        .then(|| SlotTable::from_parts(revision, routers, slots))
        .flatten()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn count(&mut self, most: u64) -> Option<u64> {
        self.number().filter(|count| *count <= most)
    }

    fn router(&mut self) -> Option<(NodeId, Epoch)> {
        let length = usize::try_from(self.count(NAME_MAX)?).ok()?;
        let (name, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let name = std::str::from_utf8(name).ok()?;
        Some((NodeId::from(name), Epoch(self.number()?)))
    }

    fn entry(&mut self) -> Option<(u16, u64)> {
        let router = u16::try_from(self.number()?).ok()?;
        Some((router, self.number()?))
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SlotTable {
        let routers = [("router-1".into(), Epoch(7), 100), ("router-2".into(), Epoch(300), 50)];
        SlotTable::empty().next(&routers, 0).unwrap()
    }

    #[test]
    fn decode_reads_what_encode_wrote() {
        for table in [SlotTable::empty(), table()] {
            assert_eq!(SlotTable::decode(&table.encode()), Ok(table));
        }
    }

    #[test]
    fn the_table_is_compact() {
        assert!(table().encode().len() < 9_000, "{}", table().encode().len());
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_refused_or_read_without_panic() {
        let bytes = table().encode();
        for end in 0..bytes.len() {
            assert!(SlotTable::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..64 {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] ^= flip;
                let _ = SlotTable::decode(&bad);
            }
        }
    }

    #[test]
    fn lies_about_counts_are_refused() {
        let check = |bytes: &[u8], want| assert_eq!(SlotTable::decode(bytes), Err(want), "{bytes:?}");
        check(&[], InvalidTable::Malformed);
        check(&[2, 0, 0, 0], InvalidTable::Format(2));
        check(&[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f], InvalidTable::Malformed); // four thousand million routers
        check(&[1, 0, 0, 1, 0, 1], InvalidTable::Malformed); // one slot
        check(&[1, 0, 0, 0, 9], InvalidTable::Malformed); // more behind the end
        check(
            &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0],
            InvalidTable::Malformed,
        ); // over 64 bits
    }
}
