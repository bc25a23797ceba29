//! Passwords, prepared so that what looks the same is the same.
//!
//! RFC 5802 and RFC 4616 name `SASLprep`; RFC 8265 replaces it by the `OpaqueString` profile, which is used here. The two agree
//! on everything but compatibility characters (full-width letters, ligatures), which `OpaqueString` keeps apart.

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use zeroize::Zeroizing;

/// A password that cannot be used: empty, too long, or with characters that RFC 8265, 4.2 forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("password is empty, longer than 1,023 bytes, or has forbidden characters")]
pub struct InvalidPassword;

/// The longest password, in bytes.
const LONGEST: usize = 1023;

/// Prepares `password` by the `OpaqueString` profile (RFC 8265, 4.2).
///
/// # Errors
/// When it cannot be used.
pub fn prepare(password: &str) -> Result<Zeroizing<String>, InvalidPassword> {
    if password.is_empty() || password.len() > LONGEST {
        return Err(InvalidPassword);
    }
    if password.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(Zeroizing::new(password.to_owned())); // the profile leaves ASCII as it is
    }
    let prepared = OpaqueString::enforce(password).map_err(|_| InvalidPassword)?;
    Ok(Zeroizing::new(prepared.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_prepared() {
        let cases: &[(&str, Option<&str>)] = &[
            ("pencil", Some("pencil")),
            ("correct horse battery staple", Some("correct horse battery staple")),
            ("a\u{a0}b", Some("a b")),                            // any space is a space
            ("e\u{301}", Some("\u{e9}")),                         // composed
            ("\u{3c0}\u{df}\u{e5}", Some("\u{3c0}\u{df}\u{e5}")), // RFC 8265, 4.3: example 3
            ("Jack of \u{2666}s", Some("Jack of \u{2666}s")),
            ("", None),
            ("my cat is a \u{9}by", None), // control character
            ("nul\0", None),
        ];
        for (given, expected) in cases {
            assert_eq!(
                prepare(given).ok().as_deref().map(String::as_str),
                *expected,
                "{given:?}"
            );
        }
        assert!(prepare(&"x".repeat(1024)).is_err());
    }
}
