//! Grants: a router's word, under the cluster's secret, that a session authenticated as an account, and with which password.
//!
//! `expires (8 bytes) ‖ mark (16 bytes) ‖ HMAC-SHA-256(secret, label ‖ session ‖ expires ‖ mark ‖ account)`

use stanza::{Bare, Grant, SessionId, Timestamp};
use store::{Account, HashName};
use subtle::ConstantTimeEq;

use crate::hash::mac;
use crate::token::generation;

/// Stands for an account with the password that it had: another one has another. Who does not know the secret learns nothing from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark([u8; 16]);

/// What a genuine grant says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Until when it vouches.
    pub expires: Timestamp,
    /// The account, as it was authenticated to.
    pub mark: Mark,
}

/// A grant that proves nothing: forged, of another session or account, or expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("grant is forged, expired, or not for this session and account")]
pub struct InvalidGrant;

/// The mark of an account as it is.
pub fn mark(secret: &[u8], account: &Account) -> Mark {
    let generation = generation(Some(account));
    let whole = mac(
        HashName::Sha256,
        secret,
        &[b"dunlin mark", &generation, account.jid.as_str().as_bytes()],
    );
    let mut mark = Mark::default();
    mark.0.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    mark
}

/// Vouches until `expires` that `session` authenticated as `account`, when that had this mark.
pub fn seal(secret: &[u8], session: SessionId, account: &Bare, mark: Mark, expires: Timestamp) -> Grant {
    let mut out = expires.0.to_be_bytes().to_vec();
    out.extend_from_slice(&mark.0);
    out.extend_from_slice(&proof(secret, session, account, mark, expires));
    Grant(out.into())
}

/// Checks `grant`; says what it says.
///
/// # Errors
/// When it does not prove that `session` authenticated as `account`, or has expired by `now`.
pub fn open(
    secret: &[u8],
    grant: &Grant,
    session: SessionId,
    account: &Bare,
    now: Timestamp,
) -> Result<Opened, InvalidGrant> {
    let (expires, rest) = grant.0.split_first_chunk::<8>().ok_or(InvalidGrant)?;
    let (mark, given) = rest.split_first_chunk::<16>().ok_or(InvalidGrant)?;
    let (expires, mark) = (Timestamp(i64::from_be_bytes(*expires)), Mark(*mark));
    let is_genuine: bool = proof(secret, session, account, mark, expires).ct_eq(given).into();
    if is_genuine && now < expires {
        Ok(Opened { expires, mark })
    } else {
        Err(InvalidGrant)
    }
}

fn proof(secret: &[u8], session: SessionId, account: &Bare, mark: Mark, expires: Timestamp) -> Vec<u8> {
    let (session, expires) = (session.0.to_be_bytes(), expires.0.to_be_bytes());
    mac(
        HashName::Sha256,
        secret,
        &[
            b"dunlin grant",
            &session,
            &expires,
            &mark.0,
            account.as_str().as_bytes(),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_opens_for_its_own_only() {
        let (juliet, romeo) = (Bare::parse("juliet@a.example"), Bare::parse("romeo@a.example"));
        let (juliet, romeo) = (juliet.expect("an address"), romeo.expect("an address"));
        let grant = seal(b"secret", SessionId(7), &juliet, Mark([1; 16]), Timestamp(100));
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
    /// The mark changes with the password and with the account, not with what else is known of it.
    #[test]
    fn a_mark_is_of_one_password() {
        let account = |name: &str, created, salt: &[u8]| Account {
            jid: Bare::parse(name).expect("an address"),
            created: Timestamp(created),
            verifiers: crate::verifiers("pencil", 1, salt).expect("a password"),
            last_seen: None,
            disabled: false,
        };
        let first = account("juliet@a.example", 1, b"salt");
        let is_same = |other: &Account| mark(b"secret", &first) == mark(b"secret", other);
        let seen = Account {
            last_seen: Some(Timestamp(5)),
            disabled: true,
            ..first.clone()
        };
        assert!(is_same(&seen));
        assert!(!is_same(&account("juliet@a.example", 1, b"pepper")), "password");
        assert!(!is_same(&account("juliet@a.example", 2, b"salt")), "created");
        assert!(!is_same(&account("romeo@a.example", 1, b"salt")), "account");
        assert_ne!(mark(b"secret", &first), mark(b"another", &first));
    }
}
