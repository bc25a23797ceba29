//! What a client says of itself and wants beside authentication (XEP-0388): its user agent and its tokens (XEP-0484).

use crate::Timestamp;

/// The stable id of a client installation: a UUID v4 (XEP-0388, `<user-agent id=…/>`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u128);

/// Text is no UUID v4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID v4")]
pub struct InvalidClientId;

/// What a client says of itself. For the account's owner alone: servers must not expose it to other entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserAgent {
    /// Which installation it is.
    pub id: Option<ClientId>,
    /// The software's name, as written.
    pub software: Option<String>,
    /// The device's name, as written.
    pub device: Option<String>,
}

/// What comes with the first step of an exchange under SASL2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sasl2 {
    /// The client.
    pub agent: UserAgent,
    /// It authenticates by a token.
    pub fast: Option<FastUse>,
    /// It asks for a token, to be used with this mechanism.
    pub request_token: Option<String>,
    /// It means to resume a session (XEP-0198) if it is who it says.
    pub resumes: bool,
}

/// How a token is used (XEP-0484, `<fast/>`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FastUse {
    /// Counts attempts with this token, so that none can be replayed.
    pub count: Option<u32>,
    /// The token is not to be used again.
    pub invalidate: bool,
}

/// A token for the client (XEP-0484, `<token/>`).
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The secret.
    pub token: String,
    /// When it is no longer accepted.
    pub expiry: Timestamp,
}

impl ClientId {
    /// Reads a UUID v4 (RFC 9562, 4 and 5.4) in either case.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidClientId> {
        let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        let is_shaped = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match is_dash(at) {
                true => byte == b'-',
                false => byte.is_ascii_hexdigit(),
            });
        if !is_shaped {
            return Err(InvalidClientId);
        }
        let bits = u128::from_str_radix(&text.replace('-', ""), 16).map_err(|_| InvalidClientId)?;
        let (version, variant) = (bits >> 76 & 0xf, bits >> 62 & 0x3);
        match (version, variant) {
            (4, 2) => Ok(Self(bits)),
            _ => Err(InvalidClientId),
        }
    }

    /// Its 128 bits.
    pub fn bits(self) -> u128 {
        self.0
    }

    /// The id of these bits, if they are one.
    pub fn from_bits(bits: u128) -> Option<Self> {
        Self::parse(&Self(bits).to_string()).ok()
    }
}

impl std::fmt::Display for ClientId {
    /// As a UUID, in lower case.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = format!("{:032x}", self.0);
        let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        write!(f, "{a}-{b}-{c}-{d}-{e}")
    }
}

impl std::fmt::Debug for ClientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Debug for Token {
    /// Never prints the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_of_version_4_is_a_client_id() {
        let text = "d4565fa7-4d72-4749-b3d3-740edbf87770";
        let id = ClientId::parse(text).unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(ClientId::parse(&text.to_uppercase()), Ok(id));
        assert_eq!(ClientId::from_bits(id.bits()), Some(id));
        for bad in [
            "",
            "d4565fa74d724749b3d3740edbf87770",
            "d4565fa7-4d72-1749-b3d3-740edbf87770", // version 1
            "d4565fa7-4d72-4749-c3d3-740edbf87770", // another variant
            "d4565fa7-4d72-4749-b3d3-740edbf8777g",
            "{d4565fa7-4d72-4749-b3d3-740edbf87770}",
            "d4565fa7-4d72-4749-b3d3740e-dbf87770",
            "+4565fa7-4d72-4749-b3d3-740edbf87770",
        ] {
            assert_eq!(ClientId::parse(bad), Err(InvalidClientId), "{bad}");
        }
    }
}
