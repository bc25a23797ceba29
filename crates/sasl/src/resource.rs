//! Resources that stay the same for a client and say nothing of its id (XEP-0386, "Resource identifier generation").
//!
//! the first 80 bits of `HMAC-SHA-256(secret, label ‖ client ‖ account ‖ 0 ‖ tag)`, in 16 letters

use stanza::{Bare, ClientId};
use store::HashName;

use crate::hash::mac;

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The part of the resource that stands for `client` of `account`, under `tag`.
pub fn stable_resource(secret: &[u8], account: &Bare, client: ClientId, tag: &str) -> String {
    let (client, account) = (client.bits().to_be_bytes(), account.as_str().as_bytes());
    let parts: &[&[u8]] = &[b"dunlin resource", &client, account, b"\0", tag.as_bytes()];
    let mac = mac(HashName::Sha256, secret, parts);
    let bits = mac
        .iter()
        .take(10)
        .fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    letters(bits, 16)
}

/// The lowest bits of `bits` in so many letters of 5 bits each.
pub fn letters(bits: u128, count: u32) -> String {
    let letter = |at: u32| char::from(LETTERS[usize::from((bits >> (at * 5)) as u8 & 31)]);
    (0..count).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_for_the_same_client_only() {
        let [juliet, romeo] = ["juliet@a.example", "romeo@a.example"].map(|jid| Bare::parse(jid).expect("an address"));
        let [one, other] = [
            "d4565fa7-4d72-4749-b3d3-740edbf87770",
            "d4565fa7-4d72-4749-b3d3-740edbf87771",
        ]
        .map(|id| ClientId::parse(id).expect("a UUID"));
        let resource = stable_resource(b"secret", &juliet, one, "tag");
        assert_eq!(resource.len(), 16);
        assert_eq!(resource, stable_resource(b"secret", &juliet, one, "tag"));
        for another in [
            stable_resource(b"another", &juliet, one, "tag"),
            stable_resource(b"secret", &romeo, one, "tag"),
            stable_resource(b"secret", &juliet, other, "tag"),
            stable_resource(b"secret", &juliet, one, "gat"),
        ] {
            assert_ne!(resource, another);
        }
    }
}
