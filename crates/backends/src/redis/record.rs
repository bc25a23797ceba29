//! A presence record as bytes: format (1), epoch (8), priority (1), length of the edge's name (2), the name, the stanza.

use bytes::Bytes;
use stanza::Full;
use store::PresenceRecord;
use topology::{Epoch, NodeId};

/// The format written.
const FORMAT: u8 = 1;

/// The record as bytes; its address is not in them.
pub(super) fn encode(record: &PresenceRecord) -> Vec<u8> {
    let edge = record.edge.0.as_bytes();
    let edge = &edge[..edge.len().min(usize::from(u16::MAX))];
    let mut out = Vec::with_capacity(12 + edge.len() + record.stanza.len());
    out.push(FORMAT);
    out.extend(record.epoch.0.to_be_bytes());
    out.extend(record.priority.to_be_bytes());
    out.extend((edge.len() as u16).to_be_bytes());
    out.extend(edge);
    out.extend(&record.stanza[..]);
    out
}

/// Reads what [`encode`] wrote, if it can be understood.
pub(super) fn decode(jid: Full, bytes: &[u8]) -> Option<PresenceRecord> {
    let (&[FORMAT], rest) = bytes.split_first_chunk()? else {
        return None;
    };
    let (epoch, rest) = rest.split_first_chunk()?;
    let (priority, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (edge, stanza) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some(PresenceRecord {
        jid,
        edge: NodeId::from(std::str::from_utf8(edge).ok()?),
        epoch: Epoch(u64::from_be_bytes(*epoch)),
        priority: i8::from_be_bytes(*priority),
        stanza: Bytes::copy_from_slice(stanza),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_and_foreign_bytes_are_not_understood() {
        let jid = Full::parse("romeo@montague.example/orchard").unwrap();
        let record = PresenceRecord {
            jid: jid.clone(),
            edge: "edge-1".into(),
            epoch: Epoch(3),
            priority: -1,
            stanza: "".into(),
        };
        let bytes = encode(&record);
        assert_eq!(decode(jid.clone(), &bytes), Some(record));
        for end in 0..bytes.len() {
            assert_eq!(decode(jid.clone(), &bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(decode(jid, &[&[9], &bytes[1..]].concat()), None);
    }
}
