//! The client's side of SCRAM and PLAIN, for tests and load: pure, with the nonce as an argument.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use store::HashName;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::hash::{digest, mac, salted, xor};
use crate::password::{InvalidPassword, prepare};

/// How the exchange is bound to the channel (RFC 5802, 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `n`: the client cannot.
    Unsupported,
    /// `y`: the client could, but the server did not offer it.
    NotOffered,
    /// `p=kind`, with the channel's data.
    Bound {
        /// `tls-exporter` or `tls-server-end-point`.
        kind: String,
        /// The data of that type.
        data: Vec<u8>,
    },
}

/// A server that did not do its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its message cannot be read, or asks for too many iterations.
    #[error("server message malformed")]
    Malformed,
    /// It answers another nonce.
    #[error("server answered another nonce")]
    Nonce,
    /// It does not know the password either.
    #[error("server signature wrong")]
    Signature,
}

/// What follows from the password, salt and iterations: kept by a client that logs in often (RFC 5802, 5.1).
#[derive(Clone)]
pub struct Keys {
    client: Zeroizing<Vec<u8>>,
    server: Zeroizing<Vec<u8>>,
}

/// An exchange that has yet to read the server's first message.
#[derive(Clone, Debug)]
pub struct Scram {
    hash: HashName,
    gs2: String,
    channel: Vec<u8>,
    bare: String,
    nonce: String,
}

/// An exchange that has yet to read the server's final message.
#[derive(Clone)]
pub struct Proven {
    signature: Vec<u8>,
}

/// The most iterations that a server may ask of us.
const MOST_ITERATIONS: u32 = 10_000_000;

/// The initial response of PLAIN.
pub fn plain(username: &str, password: &str) -> Vec<u8> {
    format!("\0{username}\0{password}").into_bytes()
}

/// The initial response of the mechanisms for tokens (`HT-SHA-256-*`), with the channel's data.
pub fn hashed_token(username: &str, token: &str, channel: &[u8]) -> Vec<u8> {
    let hash = mac(HashName::Sha256, token.as_bytes(), &[b"Initiator", channel]);
    [username.as_bytes(), b"\0", &hash].concat()
}

impl Keys {
    /// Derives the keys. Expensive.
    ///
    /// # Errors
    /// When the password cannot be used.
    pub fn derive(hash: HashName, password: &str, salt: &[u8], iterations: u32) -> Result<Self, InvalidPassword> {
        let salted = salted(hash, prepare(password)?.as_bytes(), salt, iterations);
        let key = |label: &[u8]| Zeroizing::new(mac(hash, &salted, &[label]));
        Ok(Self {
            client: key(b"Client Key"),
            server: key(b"Server Key"),
        })
    }
}

/// The salt and iterations that a server's first message asks for: what a client derives its keys from before it answers.
///
/// # Errors
/// When the message cannot be read, or asks for too many iterations.
pub fn asked(challenge: &[u8]) -> Result<(Vec<u8>, u32), Error> {
    let text = std::str::from_utf8(challenge).map_err(|_| Error::Malformed)?;
    let (_, salt, iterations) = read(text).ok_or(Error::Malformed)?;
    Ok((salt, iterations))
}

impl Scram {
    /// Begins an exchange; `nonce` is random printable ASCII without a comma.
    pub fn new(hash: HashName, username: &str, authzid: Option<&str>, binding: Binding, nonce: &str) -> Self {
        let authzid = authzid
            .map(|authzid| format!("a={}", escape(authzid)))
            .unwrap_or_default();
        let (flag, channel) = match binding {
            Binding::Unsupported => ("n".to_owned(), Vec::new()),
            Binding::NotOffered => ("y".to_owned(), Vec::new()),
            Binding::Bound { kind, data } => (format!("p={kind}"), data),
        };
        let bare = format!("n={},r={nonce}", escape(username));
        Self {
            hash,
            gs2: format!("{flag},{authzid},"),
            channel,
            bare,
            nonce: nonce.to_owned(),
        }
    }

    /// The client's first message.
    pub fn first(&self) -> Vec<u8> {
        format!("{}{}", self.gs2, self.bare).into_bytes()
    }

    /// Answers the server's first message. `keys` derives or remembers the keys for a salt and iterations.
    ///
    /// # Errors
    /// When the message is not an answer to ours.
    pub fn respond(self, challenge: &[u8], keys: impl FnOnce(&[u8], u32) -> Keys) -> Result<(Vec<u8>, Proven), Error> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| Error::Malformed)?;
        let (nonce, salt, iterations) = read(challenge).ok_or(Error::Malformed)?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(Error::Nonce);
        }
        let keys = keys(&salt, iterations);
        let binding = STANDARD.encode([self.gs2.as_bytes(), &self.channel].concat());
        let without_proof = format!("c={binding},r={nonce}");
        let signed = format!("{},{challenge},{without_proof}", self.bare);
        let signature = mac(self.hash, &digest(self.hash, &keys.client), &[signed.as_bytes()]);
        let proof = STANDARD.encode(&*xor(&keys.client, &signature));
        let proven = Proven {
            signature: mac(self.hash, &keys.server, &[signed.as_bytes()]),
        };
        Ok((format!("{without_proof},p={proof}").into_bytes(), proven))
    }
}

impl Proven {
    /// Checks the server's final message, the data with success.
    ///
    /// # Errors
    /// When the server has not proved that it knows the verifier.
    pub fn finish(self, message: &[u8]) -> Result<(), Error> {
        let text = std::str::from_utf8(message).map_err(|_| Error::Malformed)?;
        let value = text
            .split(',')
            .next()
            .and_then(|first| first.strip_prefix("v="))
            .ok_or(Error::Malformed)?;
        let given = STANDARD.decode(value).map_err(|_| Error::Malformed)?;
        if given.ct_eq(&self.signature).into() {
            Ok(())
        } else {
            Err(Error::Signature)
        }
    }
}

/// Reads `r=…,s=…,i=…`.
fn read(challenge: &str) -> Option<(&str, Vec<u8>, u32)> {
    let mut parts = challenge.split(',');
    let nonce = parts.next()?.strip_prefix("r=")?;
    let salt = STANDARD.decode(parts.next()?.strip_prefix("s=")?).ok()?;
    let iterations = parts.next()?.strip_prefix("i=")?.parse().ok()?;
    (1..=MOST_ITERATIONS)
        .contains(&iterations)
        .then_some((nonce, salt, iterations))
}

fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

impl std::fmt::Debug for Keys {
    /// Never prints the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl std::fmt::Debug for Proven {
    /// Never prints the signature.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proven(…)")
    }
}
