//! The three hash functions of the SCRAM family, and what is built from them (RFC 5802, 2.2).

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use store::HashName;
use zeroize::Zeroizing;

/// `HMAC(key, message)`.
pub(crate) fn mac(hash: HashName, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let algorithm = match hash {
        HashName::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        HashName::Sha256 => hmac::HMAC_SHA256,
        HashName::Sha512 => hmac::HMAC_SHA512,
    };
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().to_vec()
}

/// `H(data)`.
pub(crate) fn digest(hash: HashName, data: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        HashName::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        HashName::Sha256 => &digest::SHA256,
        HashName::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, data).as_ref().to_vec()
}

/// `Hi(password, salt, iterations)`, which is PBKDF2 with one block. Expensive on purpose; no iterations count as one.
pub(crate) fn salted(hash: HashName, password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
    let algorithm = match hash {
        HashName::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        HashName::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        HashName::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
    };
    let mut out = Zeroizing::new(vec![0; length(hash)]);
    pbkdf2::derive(
        algorithm,
        NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN),
        salt,
        password,
        &mut out,
    );
    out
}

/// The hash's length in bytes.
pub(crate) fn length(hash: HashName) -> usize {
    match hash {
        HashName::Sha1 => 20,
        HashName::Sha256 => 32,
        HashName::Sha512 => 64,
    }
}

/// The bytes of `a` and `b` combined by exclusive or, as far as both go.
pub(crate) fn xor(a: &[u8], b: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(a.iter().zip(b).map(|(a, b)| a ^ b).collect())
}
