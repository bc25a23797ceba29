//! What is kept of a client's tokens, as bytes.
//!
//! Layout, numbers big-endian: format (1); flags (1: current, 2: next, 4: software, 8: device); each token as serial (u128), mechanism
//! (u8), issued, expires (i64 each), count (u32); each name as length (u8) and text.

use bytes::{Buf, BufMut, Bytes};
use stanza::Timestamp;

use crate::token::{Issued, TokenMechanism, Tokens};

const FORMAT: u8 = 1;

impl Tokens {
    /// As bytes.
    pub fn encode(&self) -> Bytes {
        let names = [&self.software, &self.device];
        let tokens = [&self.current, &self.next];
        let mut out = vec![FORMAT, 0];
        for (at, issued) in tokens.into_iter().enumerate() {
            if let Some(issued) = issued {
                out[1] |= 1 << at;
                out.put_u128(issued.serial);
                out.put_u8(issued.mechanism.number());
                out.put_i64(issued.issued.0);
                out.put_i64(issued.expires.0);
                out.put_u32(issued.count);
            }
        }
        for (at, name) in names.into_iter().enumerate() {
            if let Some(name) = name {
                let cut = &name[..name.floor_char_boundary(u8::MAX.into())];
                out[1] |= 4 << at;
                out.put_u8(u8::try_from(cut.len()).unwrap_or(u8::MAX));
                out.extend_from_slice(cut.as_bytes());
            }
        }
        out.into()
    }

    /// `None` when the bytes are no record of a format known here.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        if bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let flags = bytes.try_get_u8().ok()?;
        let mut token = |flag| (flags & flag == 0).then_some(None).or_else(|| issued(bytes).map(Some));
        let (current, next) = (token(1)?, token(2)?);
        let mut name = |flag| (flags & flag == 0).then_some(None).or_else(|| text(bytes).map(Some));
        let (software, device) = (name(4)?, name(8)?);
        Some(Self {
            software,
            device,
            current,
            next,
        })
    }
}

fn issued(bytes: &mut &[u8]) -> Option<Issued> {
    Some(Issued {
        serial: bytes.try_get_u128().ok()?,
        mechanism: TokenMechanism::from_number(bytes.try_get_u8().ok()?)?,
        issued: Timestamp(bytes.try_get_i64().ok()?),
        expires: Timestamp(bytes.try_get_i64().ok()?),
        count: bytes.try_get_u32().ok()?,
    })
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::from(bytes.try_get_u8().ok()?);
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let issued = |serial, mechanism| Issued {
            serial,
            mechanism,
            issued: Timestamp(-3),
            expires: Timestamp(i64::MAX),
            count: 9,
        };
        Tokens {
            software: Some("AwesomeXMPP".into()),
            device: Some(String::new()),
            current: Some(issued(u128::MAX, TokenMechanism::Exporter)),
            next: Some(issued(7, TokenMechanism::Unbound)),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let only_next = Tokens {
            current: None,
            software: None,
            ..tokens()
        };
        for tokens in [Tokens::default(), tokens(), only_next] {
            assert_eq!(Tokens::decode(&tokens.encode()), Some(tokens));
        }
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        let bytes = tokens().encode();
        assert!((0..bytes.len()).all(|end| Tokens::decode(&bytes[..end]).is_none()));
    }
}
