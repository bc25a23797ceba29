//! The mechanisms that are spoken here.

use store::HashName;

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// By the certificate of the TLS layer (RFC 4422, A; XEP-0178).
    External,
    /// The password itself (RFC 4616).
    Plain,
    /// Proof of knowing the password (RFC 5802, RFC 7677).
    Scram {
        /// The hash function.
        hash: HashName,
        /// Whether it is bound to the channel (`-PLUS`).
        plus: bool,
    },
}

impl Mechanism {
    /// The mechanism registered as `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        let (base, plus) = match name.strip_suffix("-PLUS") {
            Some(base) => (base, true),
            None => (name, false),
        };
        let hash = match base {
            "EXTERNAL" if !plus => return Some(Self::External),
            "PLAIN" if !plus => return Some(Self::Plain),
            "SCRAM-SHA-1" => HashName::Sha1,
            "SCRAM-SHA-256" => HashName::Sha256,
            "SCRAM-SHA-512" => HashName::Sha512,
            _ => return None,
        };
        Some(Self::Scram { hash, plus })
    }

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::Plain => "PLAIN",
            Self::Scram {
                hash: HashName::Sha1,
                plus: false,
            } => "SCRAM-SHA-1",
            Self::Scram {
                hash: HashName::Sha1,
                plus: true,
            } => "SCRAM-SHA-1-PLUS",
            Self::Scram {
                hash: HashName::Sha256,
                plus: false,
            } => "SCRAM-SHA-256",
            Self::Scram {
                hash: HashName::Sha256,
                plus: true,
            } => "SCRAM-SHA-256-PLUS",
            Self::Scram {
                hash: HashName::Sha512,
                plus: false,
            } => "SCRAM-SHA-512",
            Self::Scram {
                hash: HashName::Sha512,
                plus: true,
            } => "SCRAM-SHA-512-PLUS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in [
            "EXTERNAL",
            "PLAIN",
            "SCRAM-SHA-1",
            "SCRAM-SHA-256-PLUS",
            "SCRAM-SHA-512",
            "SCRAM-SHA-512-PLUS",
        ] {
            assert_eq!(Mechanism::from_name(name).map(Mechanism::name), Some(name));
        }
        for name in [
            "",
            "plain",
            "PLAIN-PLUS",
            "EXTERNAL-PLUS",
            "SCRAM-MD5",
            "SCRAM-SHA-1-PLUS-PLUS",
            "DIGEST-MD5",
        ] {
            assert_eq!(Mechanism::from_name(name), None, "{name}");
        }
    }
}
