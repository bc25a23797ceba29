//! What is kept instead of a password (RFC 5802, 3): made at registration, read at login.

use stanza::Bare;
use store::{HashName, Verifier};
use subtle::ConstantTimeEq;

use crate::hash::{digest, length, mac, salted};
use crate::password::{InvalidPassword, prepare};

/// PBKDF2 iterations of a new verifier unless configured otherwise. RFC 7677 demands at least 4,096.
pub const DEFAULT_ITERATIONS: u32 = 10_000;

/// The length of a salt, in bytes.
pub const SALT_BYTES: usize = 16;

/// The verifiers of `password`, one for each hash function. Expensive: run it where blocking is allowed. Each gets a salt
/// of its own, derived from `salt`, which must be new randomness.
///
/// # Errors
/// When the password cannot be used.
pub fn verifiers(password: &str, iterations: u32, salt: &[u8]) -> Result<Vec<Verifier>, InvalidPassword> {
    let each = |hash| verifier(hash, password, iterations, &salt_for(salt, hash, b""));
    [HashName::Sha1, HashName::Sha256, HashName::Sha512]
        .into_iter()
        .map(each)
        .collect()
}

/// The verifier of `password` for one hash function, with exactly this salt (such as an imported one). Expensive.
///
/// # Errors
/// When the password cannot be used.
pub fn verifier(hash: HashName, password: &str, iterations: u32, salt: &[u8]) -> Result<Verifier, InvalidPassword> {
    let password = prepare(password)?;
    Ok(from_salted(
        hash,
        iterations,
        salt,
        &salted(hash, password.as_bytes(), salt, iterations),
    ))
}

fn from_salted(hash: HashName, iterations: u32, salt: &[u8], salted: &[u8]) -> Verifier {
    Verifier {
        hash,
        iterations,
        salt: salt.to_vec(),
        stored_key: digest(hash, &mac(hash, salted, &[b"Client Key"])),
        server_key: mac(hash, salted, &[b"Server Key"]),
    }
}

/// Whether `password`, prepared, is the one that `verifier` was made of. Expensive.
pub(crate) fn matches(verifier: &Verifier, password: &[u8]) -> bool {
    let salted = salted(verifier.hash, password, &verifier.salt, verifier.iterations);
    let given = from_salted(verifier.hash, verifier.iterations, &verifier.salt, &salted);
    given.stored_key.ct_eq(&verifier.stored_key).into()
}

/// The verifier of nobody: as a real one in every respect that a client can see, and the same at each try, so that it
/// cannot be told who has an account (RFC 5802, 9). Nothing matches it but by the chance of guessing a hash.
pub(crate) fn fake(hash: HashName, account: &Bare, secret: &[u8], iterations: u32) -> Verifier {
    let key = |label| {
        mac(
            HashName::Sha512,
            secret,
            &[label, name(hash), account.as_str().as_bytes()],
        )
    };
    let mut stored_key = key(b"dunlin fake key");
    stored_key.truncate(length(hash));
    Verifier {
        hash,
        iterations,
        salt: salt_for(secret, hash, account.as_str().as_bytes()),
        server_key: stored_key.clone(),
        stored_key,
    }
}

fn salt_for(secret: &[u8], hash: HashName, account: &[u8]) -> Vec<u8> {
    let mut salt = mac(HashName::Sha256, secret, &[b"dunlin salt", name(hash), account]);
    salt.truncate(SALT_BYTES);
    salt
}

fn name(hash: HashName) -> &'static [u8] {
    match hash {
        HashName::Sha1 => b" SHA-1 ",
        HashName::Sha256 => b" SHA-256 ",
        HashName::Sha512 => b" SHA-512 ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_knows_its_password() {
        for verifier in verifiers("p\u{e4}ss", 7, b"salt").expect("a password") {
            assert_eq!(verifier.salt.len(), SALT_BYTES);
            assert!(matches(&verifier, "p\u{e4}ss".as_bytes()));
            assert!(!matches(&verifier, b"pass"));
        }
    }

    #[test]
    fn nobody_looks_like_somebody() {
        let nobody = Bare::parse("nobody@a.example").expect("an address");
        let other = Bare::parse("other@a.example").expect("an address");
        for real in verifiers("x", 5, b"salt").expect("a password") {
            let fake = super::fake(real.hash, &nobody, b"secret", 5);
            assert_eq!((fake.salt.len(), fake.iterations), (real.salt.len(), real.iterations));
            assert_eq!(
                (fake.stored_key.len(), fake.server_key.len()),
                (real.stored_key.len(), real.server_key.len())
            );
            assert!(fake == super::fake(real.hash, &nobody, b"secret", 5), "stable");
            assert_ne!(fake.salt, super::fake(real.hash, &other, b"secret", 5).salt);
            assert_ne!(fake.salt, super::fake(real.hash, &nobody, b"another", 5).salt);
        }
    }
}
