//! SM-IDs (XEP-0198, 3): by them a client names the session it wants to resume. Opaque and unguessable; they name the session to
//! its account's home without a search, and say nothing to anybody else.
//!
//! `base64url(session (16 bytes) ‖ the first 16 bytes of HMAC-SHA-256(secret, label ‖ session ‖ account))`

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use stanza::{Bare, SessionId};
use store::HashName;
use subtle::ConstantTimeEq;

use crate::hash::mac;

const BYTES: usize = 16;

/// The SM-ID of a session of `account` that began as `session`.
pub fn resumption_id(secret: &[u8], session: SessionId, account: &Bare) -> String {
    let mut bytes = session.0.to_be_bytes().to_vec();
    bytes.extend_from_slice(&proof(secret, session, account));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The session that `id` names, if it is one of `account`.
pub fn resumed_session(secret: &[u8], id: &str, account: &Bare) -> Option<SessionId> {
    let bytes: [u8; 2 * BYTES] = URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok()?;
    let (session, given) = bytes.split_first_chunk::<BYTES>()?;
    let session = SessionId(u128::from_be_bytes(*session));
    let is_genuine: bool = proof(secret, session, account).ct_eq(given).into();
    is_genuine.then_some(session)
}

fn proof(secret: &[u8], session: SessionId, account: &Bare) -> Vec<u8> {
    let (id, account) = (session.0.to_be_bytes(), account.as_str().as_bytes());
    let mut proof = mac(HashName::Sha256, secret, &[b"dunlin resumption", &id, account]);
    proof.truncate(BYTES);
    proof
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_a_session_of_its_account_only() {
        let [juliet, romeo] = ["juliet@a.example", "romeo@a.example"].map(|jid| Bare::parse(jid).expect("an address"));
        let id = resumption_id(b"secret", SessionId(7), &juliet);
        assert_eq!(id.len(), 43);
        assert_eq!(resumed_session(b"secret", &id, &juliet), Some(SessionId(7)));
        assert_eq!(resumed_session(b"secret", &id, &romeo), None);
        assert_eq!(resumed_session(b"another", &id, &juliet), None);
        for forged in ["", "x", &id[1..], &id.replace('A', "B"), &(id.clone() + "AA")] {
            assert_eq!(resumed_session(b"secret", forged, &juliet), None, "{forged}");
        }
    }
}
