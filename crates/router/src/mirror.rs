//! The home's own record of a session as bytes, which the session's edge keeps for the next home.
//!
//! Layout, numbers little-endian: format (3); connected, since (i64 each); how often resumed (u32); flags (1: interested, 2: available, 4:
//! managed, 8: detached, 16: of a known client); when managed, first id (u128), both counts at the beginning (u64 each), time to resume
//! (u32); when detached, since when (i64); when available, length (u32) and bytes of the presence stanza; number (u32) of directed
//! addresses, each as length (u16) and text; how far it has read the archive: since and last (u128 each), number (u64), how many ahead (u32) and
//! which (u128 each); the client's id (u128), when known; number (u32) of what modules noted, each as length (u16) and text, which the release
//! before neither writes nor reads. What was written by an edge is not trusted: what cannot be read is an empty record.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use engine::SessionView;
use stanza::{ArchiveId, ClientId, Counts, Jid, Presence, SessionId, Stanza, Timestamp};

use crate::session::{Management, Read, Session};

const FORMAT: u8 = 3;
const INTERESTED: u8 = 1;
const AVAILABLE: u8 = 2;
const MANAGED: u8 = 4;
const DETACHED: u8 = 8;
const CLIENT: u8 = 16;

/// What the next home must know of a session beyond its address.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mirror {
    pub(crate) connected: Timestamp,
    pub(crate) since: Timestamp,
    pub(crate) resumed: u32,
    pub(crate) management: Option<Management>,
    pub(crate) detached: Option<Timestamp>,
    pub(crate) interested: bool,
    pub(crate) presence: Option<Arc<Presence>>,
    pub(crate) directed: BTreeSet<Jid>,
    pub(crate) read: Option<Read>,
    pub(crate) client: Option<ClientId>,
    pub(crate) flags: BTreeSet<Cow<'static, str>>,
}

impl Mirror {
    pub(crate) fn of(view: &SessionView, session: &Session) -> Self {
        Self {
            connected: session.connected,
            resumed: session.resumed,
            management: session.management,
            detached: session.detached.as_ref().map(|detached| detached.since),
            since: view.since,
            interested: view.interested,
            presence: view.presence.clone(),
            directed: view.directed.clone(),
            read: Some(session.read().clone()),
            client: session.client,
            flags: view.flags.clone(),
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
        out.put_u32_le(self.resumed);
        out.put_u8(
            flag(self.interested, INTERESTED)
                | flag(available.is_some(), AVAILABLE)
                | flag(self.management.is_some(), MANAGED)
                | flag(self.detached.is_some(), DETACHED)
                | flag(self.client.is_some(), CLIENT),
        );
        if let Some(management) = &self.management {
            out.put_u128_le(management.id.0);
            out.put_u64_le(management.since.received);
            out.put_u64_le(management.since.sent);
            out.put_u32_le(management.max);
        }
        if let Some(since) = self.detached {
            out.put_i64_le(since.0);
        }
        if let Some(presence) = available {
            out.put_u32_le(u32::try_from(presence.len()).unwrap_or(u32::MAX));
            out.extend_from_slice(&presence);
        }
        out.put_u32_le(u32::try_from(self.directed.len()).unwrap_or(u32::MAX));
        for jid in &self.directed {
            // An address is three parts of 1,023 bytes at most, so its length fits.
            put_text(&mut out, jid.as_str());
        }
        let read = self.read.clone().unwrap_or_default();
        out.put_u128_le(read.since.0);
        out.put_u128_le(read.last.0);
        out.put_u64_le(read.number);
        out.put_u32_le(u32::try_from(read.ahead.len()).unwrap_or(u32::MAX));
        read.ahead.iter().for_each(|id| out.put_u128_le(id.0));
        if let Some(client) = self.client {
            out.put_u128_le(client.bits());
        }
        out.put_u32_le(u32::try_from(self.flags.len()).unwrap_or(u32::MAX));
        self.flags.iter().for_each(|flag| put_text(&mut out, flag));
        out.into()
    }

    /// `None` when the bytes are no record of a format known here.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        let bytes = &mut bytes;
        let format = bytes.try_get_u8().ok()?;
        if format != FORMAT {
            return None;
        }
        let connected = Timestamp(bytes.try_get_i64_le().ok()?);
        let since = Timestamp(bytes.try_get_i64_le().ok()?);
        let resumed = bytes.try_get_u32_le().ok()?;
        let flags = bytes.try_get_u8().ok()?;
        let management = if flags & MANAGED == 0 {
            None
        } else {
            Some(management(bytes)?)
        };
        let detached = if flags & DETACHED == 0 {
            None
        } else {
            Some(Timestamp(bytes.try_get_i64_le().ok()?))
        };
        let presence = if flags & AVAILABLE == 0 {
            None
        } else {
            Some(presence(bytes)?)
        };
        let mut directed = BTreeSet::new();
        for _ in 0..bytes.try_get_u32_le().ok()? {
            directed.insert(Jid::parse(&text(bytes)?).ok()?);
        }
        let read = Some(read(bytes)?);
        let client = if flags & CLIENT == 0 {
            None
        } else {
            Some(ClientId::from_bits(bytes.try_get_u128_le().ok()?)?)
        };
        let mut noted = BTreeSet::new();
        let count = if bytes.has_remaining() {
            bytes.try_get_u32_le().ok()?
        } else {
            0
        };
        for _ in 0..count {
            noted.insert(Cow::Owned(text(bytes)?));
        }
        Some(Self {
            connected,
            since,
            resumed,
            management,
            detached,
            interested: flags & INTERESTED != 0,
            presence,
            directed,
            read,
            client,
            flags: noted,
        })
    }
}

/// A stanza as canonical bytes.
pub(crate) fn canonical(stanza: &Stanza) -> Bytes {
    let mut out = Vec::with_capacity(stanza.payload().bytes().len() + 256);
    stanza.write(&mut out);
    // It is kept for as long as it holds: without room to spare.
    out.into_boxed_slice().into()
}

fn management(bytes: &mut Bytes) -> Option<Management> {
    Some(Management {
        id: SessionId(bytes.try_get_u128_le().ok()?),
        since: Counts {
            received: bytes.try_get_u64_le().ok()?,
            sent: bytes.try_get_u64_le().ok()?,
        },
        max: bytes.try_get_u32_le().ok()?,
    })
}

fn read(bytes: &mut Bytes) -> Option<Read> {
    let mut read = Read {
        since: ArchiveId(bytes.try_get_u128_le().ok()?),
        last: ArchiveId(bytes.try_get_u128_le().ok()?),
        number: bytes.try_get_u64_le().ok()?,
        ahead: BTreeSet::new(),
    };
    for _ in 0..bytes.try_get_u32_le().ok()? {
        read.ahead.insert(ArchiveId(bytes.try_get_u128_le().ok()?));
    }
    Some(read)
}

fn presence(bytes: &mut Bytes) -> Option<Arc<Presence>> {
    let length = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
    match Stanza::parse(&take(bytes, length)?).ok()? {
        Stanza::Presence(presence) => Some(Arc::new(presence)),
        _ => None,
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn text(bytes: &mut Bytes) -> Option<String> {
    let length = usize::from(bytes.try_get_u16_le().ok()?);
    let text = take(bytes, length)?;
    std::str::from_utf8(&text).ok().map(str::to_owned)
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
            resumed: 3,
            management: Some(Management {
                id: SessionId(u128::MAX / 5),
                since: Counts { received: 1, sent: 2 },
                max: 60,
            }),
            detached: Some(Timestamp(9)),
            interested: true,
            presence: Some(Arc::new(presence)),
            directed: ["x.example", "y@x.example/z"]
                .iter()
                .map(|jid| Jid::parse(jid).unwrap())
                .collect(),
            read: Some(Read {
                since: ArchiveId(1),
                last: ArchiveId(u128::MAX / 11),
                number: 3,
                ahead: [ArchiveId(7), ArchiveId(u128::MAX / 3)].into(),
            }),
            client: ClientId::parse("d4565fa7-4d72-4749-b3d3-740edbf87770").ok(),
            flags: ["carbons", "blocking"].map(Cow::Borrowed).into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let empty = Mirror {
            read: Some(Default::default()),
            ..Mirror::default()
        };
        for mirror in [empty, mirror()] {
            assert_eq!(Mirror::decode(mirror.encode()), Some(mirror));
        }
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        let (whole, bare) = (
            mirror(),
            Mirror {
                flags: BTreeSet::new(),
                ..mirror()
            },
        );
        let (bytes, before) = (whole.encode(), bare.encode().len() - 4);
        let is_read = |end: &usize| Mirror::decode(bytes.slice(..*end)).is_some();
        // As the release before wrote it.
        assert_eq!((0..bytes.len()).filter(is_read).collect::<Vec<_>>(), [before]);
        assert_eq!(Mirror::decode(bytes.slice(..before)), Some(bare));
    }
}
