//! SCRAM (RFC 5802): the messages, and the check of a proof.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use stanza::{SaslFailure, TlsFacts};
use store::Verifier;
use subtle::ConstantTimeEq;

use crate::hash::{digest, mac, xor};

/// The client's first message (RFC 5802, 7: `client-first-message`).
#[derive(Debug)]
pub(crate) struct First {
    /// The GS2 header as written, comma included: channel-binding flag and authorization identity.
    pub(crate) gs2: String,
    pub(crate) binding: Binding,
    pub(crate) authzid: Option<String>,
    pub(crate) username: String,
    pub(crate) nonce: String,
    /// `client-first-message-bare`, as written.
    pub(crate) bare: String,
}

/// What the client says of channel binding (RFC 5802, 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// `n`: it cannot.
    None,
    /// `y`: it could, but believes that the server cannot.
    Unused,
    /// `p=…`: by this type.
    Used(String),
}

/// An exchange between the server's first message and the client's final one.
#[derive(Debug)]
pub(crate) struct Pending {
    /// What `c=` must carry: the GS2 header and the channel's data.
    binding: Vec<u8>,
    /// The client's nonce followed by ours.
    nonce: String,
    /// `client-first-message-bare` and `server-first-message`.
    messages: String,
    verifier: Verifier,
    /// Whether there is such an account.
    known: bool,
}

impl First {
    /// Reads `gs2-header client-first-message-bare`.
    ///
    /// # Errors
    /// `malformed-request`, also for an extension that must be understood (`m=`).
    pub(crate) fn read(message: &[u8]) -> Result<Self, SaslFailure> {
        let text = std::str::from_utf8(message).map_err(|_| SaslFailure::MalformedRequest)?;
        Self::read_text(text).ok_or(SaslFailure::MalformedRequest)
    }

    fn read_text(text: &str) -> Option<Self> {
        let (flag, rest) = text.split_once(',')?;
        let (authzid, bare) = rest.split_once(',')?;
        let authzid = match authzid {
            "" => None,
            authzid => Some(name(authzid.strip_prefix("a=")?)?),
        };
        let mut parts = bare.split(',');
        let username = name(parts.next()?.strip_prefix("n=")?)?; // `m=` stands here, too
        let nonce = parts
            .next()?
            .strip_prefix("r=")
            .filter(|nonce| is_nonce(nonce))?
            .to_owned();
        parts.all(is_extension).then_some(())?;
        let gs2 = text[..text.len() - bare.len()].to_owned();
        Some(Self {
            gs2,
            binding: binding(flag)?,
            authzid,
            username,
            nonce,
            bare: bare.to_owned(),
        })
    }

    /// The channel's data that the client will have to name, for a mechanism that is bound (`plus`) or not.
    ///
    /// # Errors
    /// `not-authorized` when flag and mechanism contradict each other, the channel cannot be bound that way, or the client
    /// has been told a shorter list than was offered (RFC 5802, 6: a downgrade).
    pub(crate) fn channel<'a>(
        &self,
        plus: bool,
        offered: &[String],
        tls: Option<&'a TlsFacts>,
    ) -> Result<&'a [u8], SaslFailure> {
        let data = match (&self.binding, plus) {
            (Binding::None, false) => Some(&[][..]),
            (Binding::Unused, false) => offered.iter().all(|name| !name.ends_with("-PLUS")).then_some(&[][..]),
            (Binding::Used(kind), true) => tls.and_then(|tls| match kind.as_str() {
                "tls-exporter" => tls.exporter.as_ref().map(<[u8; 32]>::as_slice),
                "tls-server-end-point" => tls.server_end_point.as_deref(),
                _ => None, // `tls-unique` is not safe, and not defined in TLS 1.3
            }),
            _ => None,
        };
        data.ok_or(SaslFailure::NotAuthorized)
    }
}

impl Pending {
    /// Answers the client's first message with `r=…,s=…,i=…` and further attributes, each after a comma. `nonce` is printable
    /// ASCII without a comma.
    pub(crate) fn new(
        first: &First,
        channel: &[u8],
        nonce: &str,
        attributes: &str,
        verifier: Verifier,
        known: bool,
    ) -> (Self, String) {
        let nonce = format!("{}{nonce}", first.nonce);
        let challenge = format!(
            "r={nonce},s={},i={}{attributes}",
            STANDARD.encode(&verifier.salt),
            verifier.iterations
        );
        let messages = format!("{},{challenge}", first.bare);
        let binding = [first.gs2.as_bytes(), channel].concat();
        (
            Self {
                binding,
                nonce,
                messages,
                verifier,
                known,
            },
            challenge,
        )
    }

    /// Checks the client's final message; the server's signature (`v=…`) when it is right. Whoever is unknown fails here as with a
    /// wrong password, after the same work.
    ///
    /// # Errors
    /// `malformed-request` or `not-authorized`.
    pub(crate) fn finish(self, message: &[u8]) -> Result<String, SaslFailure> {
        let text = std::str::from_utf8(message).map_err(|_| SaslFailure::MalformedRequest)?;
        let last = Final::read(text).ok_or(SaslFailure::MalformedRequest)?;
        let is_bound: bool = last.binding.ct_eq(&self.binding).into();
        let is_ours: bool = last.nonce.as_bytes().ct_eq(self.nonce.as_bytes()).into();
        let hash = self.verifier.hash;
        let signed = format!("{},{}", self.messages, last.without_proof);
        let signature = mac(hash, &self.verifier.stored_key, &[signed.as_bytes()]);
        let client_key = xor(&last.proof, &signature);
        let is_proof: bool = digest(hash, &client_key).ct_eq(&self.verifier.stored_key).into();
        let is_whole = last.proof.len() == signature.len();
        if !(is_bound & is_ours & is_proof & is_whole & self.known) {
            return Err(SaslFailure::NotAuthorized);
        }
        Ok(format!(
            "v={}",
            STANDARD.encode(mac(hash, &self.verifier.server_key, &[signed.as_bytes()]))
        ))
    }
}

/// The client's final message (RFC 5802, 7: `client-final-message`).
struct Final<'a> {
    binding: Vec<u8>,
    nonce: &'a str,
    without_proof: &'a str,
    proof: Vec<u8>,
}

impl<'a> Final<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut parts = without_proof.split(',');
        let binding = STANDARD.decode(parts.next()?.strip_prefix("c=")?).ok()?;
        let nonce = parts.next()?.strip_prefix("r=")?;
        parts.all(is_extension).then_some(())?;
        Some(Self {
            binding,
            nonce,
            without_proof,
            proof: STANDARD.decode(proof).ok()?,
        })
    }
}

fn binding(flag: &str) -> Option<Binding> {
    match flag {
        "n" => Some(Binding::None),
        "y" => Some(Binding::Unused),
        _ => {
            let kind = flag.strip_prefix("p=")?;
            let is_name = kind
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
            (is_name && !kind.is_empty()).then(|| Binding::Used(kind.to_owned()))
        }
    }
}

/// Reads a `saslname`: a comma is `=2C`, an equals sign `=3D`, and no other `=` may stand.
fn name(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        out.push_str(before);
        let (code, after) = after.split_at_checked(2)?;
        out.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        rest = after;
    }
    out.push_str(rest);
    (!out.is_empty() && !out.contains('\0')).then_some(out)
}

/// Printable ASCII but the comma.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An optional extension, `x=value`, which we may ignore; `m=` may not be.
fn is_extension(text: &str) -> bool {
    match text.as_bytes() {
        [b'm', b'=', ..] => false,
        [letter, b'=', _, ..] => letter.is_ascii_alphabetic() && !text.contains('\0'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use store::HashName;

    use super::*;

    /// RFC 5802, 5 and RFC 7677, 3: the server's side of the examples.
    #[test]
    fn examples_of_the_rfcs() {
        let cases = [
            (
                HashName::Sha1,
                "fyko+d2lbbFgONRv9qkxdawL",
                "3rfcNHYJY1ZVvWVs7j",
                "QSXCR+Q6sek8bf92",
                "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
            (
                HashName::Sha256,
                "rOprNGfwEbeRWgbNEkqO",
                "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
                "W22ZaJ0SNY7soEsUEjb6gQ==",
                "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
        ];
        for (hash, ours, theirs, salt, proof, signature) in cases {
            let salt = STANDARD.decode(salt).expect("base64");
            let verifier = crate::verifier(hash, "pencil", 4096, &salt).expect("a password");
            let first = First::read(format!("n,,n=user,r={ours}").as_bytes()).expect("a first message");
            let (pending, challenge) = Pending::new(&first, b"", theirs, "", verifier, true);
            assert_eq!(
                challenge,
                format!("r={ours}{theirs},s={},i=4096", STANDARD.encode(&salt))
            );
            let last = format!("c=biws,r={ours}{theirs},p={proof}");
            assert_eq!(pending.finish(last.as_bytes()), Ok(format!("v={signature}")));
        }
    }

    #[test]
    fn first_messages() {
        let good: &[(&str, &str, Option<&str>, &str)] = &[
            ("n,,n=user,r=abc", "user", None, "n,,"),
            ("y,,n=user,r=abc", "user", None, "y,,"),
            (
                "p=tls-exporter,a=user@a.example,n=user,r=abc",
                "user",
                Some("user@a.example"),
                "p=tls-exporter,a=user@a.example,",
            ),
            ("n,,n=a=2Cb=3Dc,r=abc,x=1,y=2", "a,b=c", None, "n,,"),
            ("n,,n=j\u{fc}rg,r=!~", "j\u{fc}rg", None, "n,,"),
        ];
        for (text, username, authzid, gs2) in good {
            let first = First::read(text.as_bytes()).expect(text);
            assert_eq!(
                (first.username.as_str(), first.authzid.as_deref(), first.gs2.as_str()),
                (*username, *authzid, *gs2)
            );
        }
        let bad = [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=user",
            "n,,n=,r=abc",
            "n,,n=user,r=",
            "x,,n=user,r=abc",
            "p=,,n=user,r=abc",
            "p=a b,,n=user,r=abc",
            "n,b=x,n=user,r=abc",
            "n,a=,n=user,r=abc",
            "n,,m=ext,n=user,r=abc",
            "n,,n=user,r=abc,m=ext",
            "n,,n=us=er,r=abc",
            "n,,n=user=2c,r=abc",
            "n,,n=user=,r=abc",
            "n,,n=user=2,r=abc",
            "n,,n=us\0er,r=abc",
            "n,,n=user,r=a c",
            "n,,n=user,r=\u{fc}",
            "n,,r=abc,n=user",
            "n,,n=user,r=abc,",
            "n,,n=user,r=abc,xx",
            "n,,n==\u{20ac},r=abc",
        ];
        for text in bad {
            assert_eq!(
                First::read(text.as_bytes()).err(),
                Some(SaslFailure::MalformedRequest),
                "{text}"
            );
        }
        assert!(First::read(b"n,,n=\xff,r=abc").is_err());
    }
}
