//! Grants: a router's word, under the cluster's secret, that a session authenticated as an account.
//!
//! `expires (8 bytes) ‖ HMAC-SHA-256(secret, label ‖ session ‖ expires ‖ account)`

use stanza::{Bare, Grant, SessionId, Timestamp};
use store::HashName;
use subtle::ConstantTimeEq;

use crate::hash::mac;

/// A grant that proves nothing: forged, of another session or account, or expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("grant is forged, expired, or not for this session and account")]
pub struct InvalidGrant;

/// Vouches until `expires` that `session` authenticated as `account`.
pub fn seal(secret: &[u8], session: SessionId, account: &Bare, expires: Timestamp) -> Grant {
    let mut out = expires.0.to_be_bytes().to_vec();
    out.extend_from_slice(&proof(secret, session, account, expires));
    Grant(out.into())
}

/// Checks `grant`; says until when it vouches.
///
/// # Errors
/// When it does not prove that `session` authenticated as `account`, or has expired by `now`.
pub fn open(
    secret: &[u8],
    grant: &Grant,
    session: SessionId,
    account: &Bare,
    now: Timestamp,
) -> Result<Timestamp, InvalidGrant> {
    let (expires, given) = grant.0.split_first_chunk::<8>().ok_or(InvalidGrant)?;
    let expires = Timestamp(i64::from_be_bytes(*expires));
    let is_genuine: bool = proof(secret, session, account, expires).ct_eq(given).into();
    if is_genuine && now < expires {
        Ok(expires)
    } else {
        Err(InvalidGrant)
    }
}

fn proof(secret: &[u8], session: SessionId, account: &Bare, expires: Timestamp) -> Vec<u8> {
    let (session, expires) = (session.0.to_be_bytes(), expires.0.to_be_bytes());
    mac(
        HashName::Sha256,
        secret,
        &[b"dunlin grant", &session, &expires, account.as_str().as_bytes()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_opens_for_its_own_only() {
        let (juliet, romeo) = (Bare::parse("juliet@a.example"), Bare::parse("romeo@a.example"));
        let (juliet, romeo) = (juliet.expect("an address"), romeo.expect("an address"));
        let grant = seal(b"secret", SessionId(7), &juliet, Timestamp(100));
        let check = |secret: &[u8], grant: &Grant, session, account, now| {
            open(secret, grant, SessionId(session), account, Timestamp(now)).is_ok()
        };
        assert!(check(b"secret", &grant, 7, &juliet, 99));
        assert!(!check(b"secret", &grant, 7, &juliet, 100), "expired");
        assert!(!check(b"secret", &grant, 8, &juliet, 99), "session");
        assert!(!check(b"secret", &grant, 7, &romeo, 99), "account");
        assert!(!check(b"another", &grant, 7, &juliet, 99), "secret");
        for at in 0..grant.0.len() {
            let mut bytes = grant.0.to_vec();
            bytes[at] ^= 1;
            assert!(!check(b"secret", &Grant(bytes.into()), 7, &juliet, 99), "byte {at}");
            assert!(
                !check(b"secret", &Grant(grant.0.slice(..at)), 7, &juliet, 99),
                "length {at}"
            );
        }
    }
}
