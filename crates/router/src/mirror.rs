//! The home's own record of a session as bytes, which the session's edge keeps for the next home.
//!
//! Layout, numbers little-endian: format (1); connected, since (i64 each); flags (1: interested, 2: available); when available, length
//! (u32) and bytes of the presence stanza; number (u32) of directed addresses, each as length (u16) and text. What was written by
//! an edge is not trusted: what cannot be read is an empty record.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use engine::SessionView;
use stanza::{Jid, Presence, Stanza, Timestamp};

const FORMAT: u8 = 1;
const INTERESTED: u8 = 1;
const AVAILABLE: u8 = 2;

/// What the next home must know of a session beyond its address.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mirror {
    pub(crate) connected: Timestamp,
    pub(crate) since: Timestamp,
    pub(crate) interested: bool,
    pub(crate) presence: Option<Arc<Presence>>,
    pub(crate) directed: BTreeSet<Jid>,
}

impl Mirror {
    pub(crate) fn of(view: &SessionView, connected: Timestamp) -> Self {
        Self {
            connected,
            since: view.since,
            interested: view.interested,
            presence: view.presence.clone(),
            directed: view.directed.clone(),
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(256);
        let available = self
            .presence
            .as_ref()
            .map(|presence| canonical(&(**presence).clone().into()));
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.put_u8(FORMAT);
        out.put_i64_le(self.connected.0);
        out.put_i64_le(self.since.0);
        out.put_u8(flag(self.interested, INTERESTED) | flag(available.is_some(), AVAILABLE));
        if let Some(presence) = available {
            out.put_u32_le(u32::try_from(presence.len()).unwrap_or(u32::MAX));
            out.extend_from_slice(&presence);
        }
        out.put_u32_le(u32::try_from(self.directed.len()).unwrap_or(u32::MAX));
        for jid in &self.directed {
            // An address is three parts of 1,023 bytes at most, so its length fits.
            out.put_u16_le(u16::try_from(jid.as_str().len()).unwrap_or(u16::MAX));
            out.extend_from_slice(jid.as_str().as_bytes());
        }
        out.into()
    }

    /// `None` when the bytes are no record of a format known here.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        let bytes = &mut bytes;
        if bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let connected = Timestamp(bytes.try_get_i64_le().ok()?);
        let since = Timestamp(bytes.try_get_i64_le().ok()?);
        let flags = bytes.try_get_u8().ok()?;
        let presence = if flags & AVAILABLE == 0 {
            None
        } else {
            Some(presence(bytes)?)
        };
        let mut directed = BTreeSet::new();
        for _ in 0..bytes.try_get_u32_le().ok()? {
            let length = usize::from(bytes.try_get_u16_le().ok()?);
            directed.insert(Jid::parse(std::str::from_utf8(&take(bytes, length)?).ok()?).ok()?);
        }
        Some(Self {
            connected,
            since,
            interested: flags & INTERESTED != 0,
            presence,
            directed,
        })
    }
}

/// A stanza as canonical bytes.
pub(crate) fn canonical(stanza: &Stanza) -> Bytes {
    let mut out = Vec::with_capacity(stanza.payload().bytes().len() + 256);
    stanza.write(&mut out);
    out.into()
}

fn presence(bytes: &mut Bytes) -> Option<Arc<Presence>> {
    let length = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
    match Stanza::parse(&take(bytes, length)?).ok()? {
        Stanza::Presence(presence) => Some(Arc::new(presence)),
        _ => None,
    }
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror() -> Mirror {
        let presence = b"<presence from='a@b.example/c'><show>away</show></presence>";
        let Ok(Stanza::Presence(presence)) = Stanza::parse(&Bytes::from_static(presence)) else {
            panic!("no presence")
        };
        Mirror {
            connected: Timestamp(5),
            since: Timestamp(7),
            interested: true,
            presence: Some(Arc::new(presence)),
            directed: ["x.example", "y@x.example/z"]
                .iter()
                .map(|jid| Jid::parse(jid).unwrap())
                .collect(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for mirror in [Mirror::default(), mirror()] {
            assert_eq!(Mirror::decode(mirror.encode()), Some(mirror));
        }
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        let bytes = mirror().encode();
        assert!((0..bytes.len()).all(|end| Mirror::decode(bytes.slice(..end)).is_none()));
    }
}
