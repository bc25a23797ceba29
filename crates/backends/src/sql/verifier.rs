//! Verifiers as text: one line each, in the notation of RFC 5803, 3: `SCRAM-SHA-256$10000:salt$StoredKey:ServerKey`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use store::{Error, HashName, Result, Verifier};

/// The text of all verifiers of an account.
pub(crate) fn verifiers_text(verifiers: &[Verifier]) -> String {
    verifiers.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The verifiers a text holds.
pub(crate) fn verifiers(text: &str) -> Result<Vec<Verifier>> {
    let read = |line| verifier(line).ok_or_else(|| Error::Corrupt("verifier of an account".into()));
    text.lines().map(read).collect()
}

fn line(verifier: &Verifier) -> String {
    let Verifier {
        hash,
        iterations,
        salt,
        stored_key,
        server_key,
    } = verifier;
    let [salt, stored, server] = [salt, stored_key, server_key].map(|bytes| STANDARD.encode(bytes));
    format!("{}${iterations}:{salt}${stored}:{server}", name(*hash))
}

fn verifier(line: &str) -> Option<Verifier> {
    let mut parts = line.split('$');
    let hash = [HashName::Sha1, HashName::Sha256, HashName::Sha512];
    let scheme = parts.next()?;
    let hash = hash.into_iter().find(|hash| name(*hash) == scheme)?;
    let (iterations, salt) = parts.next()?.split_once(':')?;
    let (stored, server) = parts.next()?.split_once(':')?;
    Some(Verifier {
        hash,
        iterations: iterations.parse().ok()?,
        salt: STANDARD.decode(salt).ok()?,
        stored_key: STANDARD.decode(stored).ok()?,
        server_key: STANDARD.decode(server).ok()?,
    })
}

fn name(hash: HashName) -> &'static str {
    match hash {
        HashName::Sha1 => "SCRAM-SHA-1",
        HashName::Sha256 => "SCRAM-SHA-256",
        HashName::Sha512 => "SCRAM-SHA-512",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_lines_are_corrupt() {
        let whole = "SCRAM-SHA-256$4096:c2FsdA==$AAEC:/w==";
        assert_eq!(verifiers_text(&verifiers(whole).unwrap()), whole);
        for damaged in [
            "x",
            "MD5$1:AA==$AA==:AA==",
            "SCRAM-SHA-1$x:AA==$AA==:AA==",
            "SCRAM-SHA-1$1:AA==$AA==",
            "SCRAM-SHA-1$1:?$?:?",
        ] {
            assert!(matches!(verifiers(damaged), Err(Error::Corrupt(_))), "{damaged}");
        }
    }
}
