//! The handshake of external components (XEP-0114, 3): they hash the id of their stream together with a secret that they share with
//! us. It is an exchange like others: a challenge, which is the id, and an answer.

use stanza::Bare;
use store::HashName;
use subtle::ConstantTimeEq;

use crate::hash::digest;

/// A component that has been told its stream's id.
pub(crate) struct Handshake {
    component: Bare,
    expected: String,
}

/// What a component answers on a stream with the id `id`: `hex(SHA-1(id + secret))`.
pub fn handshake(id: &str, secret: &str) -> String {
    let hash = digest(HashName::Sha1, &[id.as_bytes(), secret.as_bytes()].concat());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Handshake {
    pub(crate) fn new(component: Bare, id: &str, secret: &str) -> Self {
        let expected = handshake(id, secret);
        Self { component, expected }
    }

    /// The component, if what it answered is right.
    pub(crate) fn finish(self, given: &[u8]) -> Option<Bare> {
        let is_right: bool = self.expected.as_bytes().ct_eq(given).into();
        is_right.then_some(self.component)
    }
}

impl std::fmt::Debug for Handshake {
    /// Never prints what would be right.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("component", &self.component)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hash_of_id_and_secret_is_right() {
        // printf 3BF96D32secret | sha1sum
        let right = "b09ea9b3b7f586be8a08d0a3dd7466f110aeb136";
        let shouted = right.to_uppercase();
        for (given, is_right) in [(right, true), (&*shouted, false), (&right[..39], false), ("", false)] {
            let component = Bare::parse("plays.shakespeare.lit").expect("an address");
            let admitted = Handshake::new(component.clone(), "3BF96D32", "secret").finish(given.as_bytes());
            assert_eq!(admitted, is_right.then_some(component), "{given}");
        }
    }
}
