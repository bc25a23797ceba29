//! Tokens (XEP-0484) and the mechanisms that they are used with, `HT-SHA-256-*` (draft-schmaus-kitten-sasl-ht-09).
//!
//! No token is kept. It follows from the cluster's secret, from what is kept of it, and from what the account's passwords are checked
//! by; so what is kept is of no use without the secret, and a new password makes every token void:
//!
//! `base64url(HMAC-SHA-256(secret, label ‖ client ‖ serial ‖ mechanism ‖ generation ‖ account))`

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use stanza::{Bare, ClientId, FastUse, Jid, SaslFailure, Timestamp, TlsFacts, Token};
use store::{Account, HashName, Verifier};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::hash::{digest, mac};

/// A mechanism for tokens: how the login is bound to the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMechanism {
    /// By `tls-server-end-point`.
    EndPoint,
    /// By `tls-exporter`.
    Exporter,
    /// Not at all.
    Unbound,
}

/// One token of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Random: no two tokens share it.
    pub serial: u128,
    /// The only mechanism that it can be used with.
    pub mechanism: TokenMechanism,
    /// When it was made.
    pub issued: Timestamp,
    /// When it is no longer accepted.
    pub expires: Timestamp,
    /// The highest count of an attempt that succeeded.
    pub count: u32,
}

/// What is kept of a client's tokens (XEP-0484, "Server-side handling of multiple active tokens").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// The software's name, as the client gave it.
    pub software: Option<String>,
    /// The device's name, as the client gave it.
    pub device: Option<String>,
    /// The token that the client uses.
    pub current: Option<Issued>,
    /// The one that it has been given, or not: the connection may have broken.
    pub next: Option<Issued>,
}

/// Whose tokens they are, and under what password: what a token follows from beside itself.
pub struct Owner<'a> {
    /// The cluster's secret.
    pub secret: &'a [u8],
    /// The account's address.
    pub account: &'a Bare,
    /// The client.
    pub client: ClientId,
    /// From [`generation`].
    pub generation: [u8; 32],
}

/// A client's first and only message: it says that it has a token.
pub struct Claim {
    /// Whose.
    pub account: Bare,
    mechanism: TokenMechanism,
    channel: Vec<u8>,
    hash: Vec<u8>,
}

/// A token has been used.
#[derive(Debug)]
pub struct Redeemed {
    /// What is to be kept from now on; nothing has changed when it is equal to what was kept.
    pub tokens: Tokens,
    /// The mechanism's last word.
    pub data: Vec<u8>,
    /// The token that was used.
    pub used: Issued,
}

/// The longest message of a client, in bytes: a name and a hash.
const LONGEST: usize = 1023 + 1 + 32;

/// Stands in for a token that there is not, so that the same is done for it.
const NONE: Issued = Issued {
    serial: 0,
    mechanism: TokenMechanism::Unbound,
    issued: Timestamp(0),
    expires: Timestamp(0),
    count: 0,
};

/// Changes with the account and with its password. It takes as long for an account that there is not.
pub fn generation(account: Option<&Account>) -> [u8; 32] {
    const VERIFIERS: usize = 3; // of every account with a password
    let created = account.map_or(0, |account| account.created.0);
    let mut verifiers: Vec<&Verifier> = account.iter().flat_map(|account| &account.verifiers).collect();
    verifiers.sort_by_key(|verifier| verifier.hash);
    let mut bytes = Zeroizing::new(created.to_be_bytes().to_vec());
    for at in 0..VERIFIERS.max(verifiers.len()) {
        let (salt, key) = verifiers
            .get(at)
            .map_or((&[][..], &[][..]), |verifier| (&verifier.salt, &verifier.stored_key));
        bytes.extend_from_slice(&digest(HashName::Sha256, salt));
        bytes.extend_from_slice(&digest(HashName::Sha256, key));
    }
    let mut out = [0; 32];
    out.copy_from_slice(&digest(HashName::Sha256, &bytes));
    out
}

impl TokenMechanism {
    /// The mechanism registered as `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "HT-SHA-256-ENDP" => Some(Self::EndPoint),
            "HT-SHA-256-EXPR" => Some(Self::Exporter),
            "HT-SHA-256-NONE" => Some(Self::Unbound),
            _ => None, // `HT-SHA-256-UNIQ`: `tls-unique` is not safe, and not defined in TLS 1.3
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::EndPoint => 1,
            Self::Exporter => 2,
            Self::Unbound => 3,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::EndPoint, Self::Exporter, Self::Unbound]
            .into_iter()
            .find(|mechanism| mechanism.number() == number)
    }

    fn channel(self, tls: Option<&TlsFacts>) -> Option<Vec<u8>> {
        match self {
            Self::EndPoint => tls?.server_end_point.clone(),
            Self::Exporter => tls?.exporter.map(|exporter| exporter.to_vec()),
            Self::Unbound => Some(Vec::new()),
        }
    }
}

impl Claim {
    /// Reads the initial response of `mechanism`: `authcid NUL HMAC(token, "Initiator" ‖ channel)`.
    ///
    /// # Errors
    /// `invalid-mechanism`, `malformed-request`, or `not-authorized` for a name that is nobody's and for a channel that cannot be
    /// bound that way.
    pub fn read(
        mechanism: &str,
        domain: &str,
        initial: Option<&[u8]>,
        tls: Option<&TlsFacts>,
    ) -> Result<Self, SaslFailure> {
        let mechanism = TokenMechanism::from_name(mechanism).ok_or(SaslFailure::InvalidMechanism)?;
        let message = initial
            .filter(|message| message.len() <= LONGEST)
            .ok_or(SaslFailure::MalformedRequest)?;
        let mut parts = message.splitn(2, |byte| *byte == 0);
        let (Some(name), Some(hash)) = (parts.next(), parts.next()) else {
            return Err(SaslFailure::MalformedRequest);
        };
        let name = std::str::from_utf8(name).map_err(|_| SaslFailure::MalformedRequest)?;
        let account = Jid::from_parts(Some(name), domain, None).map_err(|_| SaslFailure::NotAuthorized)?;
        Ok(Self {
            account: account.bare(),
            mechanism,
            channel: mechanism.channel(tls).ok_or(SaslFailure::NotAuthorized)?,
            hash: hash.to_vec(),
        })
    }

    /// Holds the claim against what is kept, which is nothing where there is no account or no such client; the same is done for
    /// those.
    ///
    /// # Errors
    /// `credentials-expired` for a token that was good once; `not-authorized` for all else, a replayed attempt among it.
    pub fn redeem(
        &self,
        owner: &Owner<'_>,
        kept: Option<&Tokens>,
        usage: FastUse,
        now: Timestamp,
    ) -> Result<Redeemed, SaslFailure> {
        let mut tokens = kept.cloned().unwrap_or_default();
        let is_next = self.is_of(owner, tokens.next.as_ref());
        let is_current = self.is_of(owner, tokens.current.as_ref());
        if is_next {
            tokens.current = tokens.next.take(); // the older one is void (XEP-0484, "Server initiates token rotation")
        }
        let mut used = tokens
            .current
            .filter(|_| is_next | is_current)
            .ok_or(SaslFailure::NotAuthorized)?;
        if used.expires <= now {
            return Err(SaslFailure::CredentialsExpired);
        }
        if let Some(count) = usage.count {
            if count <= used.count {
                return Err(SaslFailure::NotAuthorized);
            }
            used.count = count;
        }
        (tokens.current, tokens.next) = match usage.invalidate {
            true => (None, None),
            false => (Some(used), tokens.next),
        };
        let token = owner.token(&used);
        let data = mac(HashName::Sha256, token.as_bytes(), &[b"Responder", &self.channel]);
        Ok(Redeemed { tokens, data, used })
    }

    /// Whether the client has this token. Takes as long whatever it has, and whether there is one.
    fn is_of(&self, owner: &Owner<'_>, issued: Option<&Issued>) -> bool {
        let issued_or_none = issued.unwrap_or(&NONE);
        let token = owner.token(issued_or_none);
        let expected = mac(HashName::Sha256, token.as_bytes(), &[b"Initiator", &self.channel]);
        let is_right: bool = expected.ct_eq(&self.hash).into();
        let is_its = issued_or_none.mechanism == self.mechanism;
        is_right & is_its & issued.is_some()
    }
}

impl Owner<'_> {
    /// The token of which this is kept.
    pub fn token(&self, issued: &Issued) -> Zeroizing<String> {
        let parts: &[&[u8]] = &[
            b"dunlin token",
            &self.client.bits().to_be_bytes(),
            &issued.serial.to_be_bytes(),
            &[issued.mechanism.number()],
            &self.generation,
            self.account.as_str().as_bytes(),
        ];
        let mac = Zeroizing::new(mac(HashName::Sha256, self.secret, parts));
        Zeroizing::new(URL_SAFE_NO_PAD.encode(&*mac))
    }
}

impl Tokens {
    /// Keeps a new token, in place of one that was made and never used, and says what it is.
    pub fn issue(&mut self, owner: &Owner<'_>, issued: Issued) -> Token {
        self.next = Some(issued);
        Token {
            token: owner.token(&issued).to_string(),
            expiry: issued.expires,
        }
    }

    /// When the last of them is no longer accepted; `None` when there is none.
    pub fn expires(&self) -> Option<Timestamp> {
        let both = [self.current, self.next].into_iter().flatten();
        both.map(|issued| issued.expires).max()
    }
}

impl std::fmt::Debug for Claim {
    /// Never prints the hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim")
            .field("account", &self.account)
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}
