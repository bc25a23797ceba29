//! XMPP addresses (RFC 7622).

use std::fmt;
use std::sync::Arc;

use crate::prepare;

/// An XMPP address: `[localpart@]domainpart[/resourcepart]`, prepared and enforced by RFC 7622.
///
/// A clone and [`Jid::bare`] share the text.
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    /// How much of `text` counts: all of it, or up to the slash.
    end: u16,
    /// Where the domain begins: 0 without a localpart.
    domain: u16,
    /// Where the domain ends.
    slash: u16,
}

/// An address without a resourcepart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bare(Jid);

/// An address with a resourcepart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Full(Jid);

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {part}part in address")]
pub struct InvalidJid {
    /// `local`, `domain` or `resource`.
    pub part: &'static str,
}

impl Jid {
    /// Prepares and enforces `text` (RFC 7622, 3).
    ///
    /// # Errors
    /// When a part is empty, longer than 1,023 bytes, or refused by its profile.
    pub fn parse(text: &str) -> Result<Self, InvalidJid> {
        let (rest, resource) = match text.split_once('/') {
            Some((rest, resource)) => (rest, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match rest.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, rest),
        };
        Self::from_parts(local, domain, resource)
    }

    /// Builds an address from unprepared parts.
    ///
    /// # Errors
    /// As [`Jid::parse`].
    pub fn from_parts(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Self, InvalidJid> {
        let refused = |part| move || InvalidJid { part };
        let local = local
            .map(|text| prepare::local(text).ok_or_else(refused("local")))
            .transpose()?;
        let domain = prepare::domain(domain).ok_or_else(refused("domain"))?;
        let resource = resource
            .map(|text| prepare::resource(text).ok_or_else(refused("resource")))
            .transpose()?;
        Ok(Self::join(local.as_deref(), &domain, resource.as_deref()))
    }

    /// Builds an address from prepared parts, of 1,023 bytes at most each.
    fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> Self {
        let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let domain_at = local.map_or(0, |local| local.len() + 1);
        let slash = domain_at + domain.len();
        let end = slash + resource.map_or(0, |resource| resource.len() + 1);
        let mut text = String::with_capacity(end);
        if let Some(local) = local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(domain);
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        Self {
            end: short(end),
            domain: short(domain_at),
            slash: short(slash),
            text: text.into(),
        }
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text[..usize::from(self.end)]
    }

    /// The localpart, if any.
    pub fn local(&self) -> Option<&str> {
        (self.domain > 0).then(|| &self.text[..usize::from(self.domain) - 1])
    }

    /// The domainpart.
    pub fn domain(&self) -> &str {
        &self.text[usize::from(self.domain)..usize::from(self.slash)]
    }

    /// The resourcepart, if any.
    pub fn resource(&self) -> Option<&str> {
        (self.end > self.slash).then(|| &self.as_str()[usize::from(self.slash) + 1..])
    }

    /// Whether there is no resourcepart.
    pub fn is_bare(&self) -> bool {
        self.end == self.slash
    }

    /// The address without its resourcepart; shares the text.
    pub fn bare(&self) -> Bare {
        Bare(Self {
            end: self.slash,
            ..self.clone()
        })
    }

    /// This address as a full one, if it has a resourcepart.
    pub fn full(&self) -> Option<Full> {
        (!self.is_bare()).then(|| Full(self.clone()))
    }
}

impl Bare {
    /// Prepares `text`, which must have no resourcepart.
    ///
    /// # Errors
    /// As [`Jid::parse`]; also when there is a resourcepart.
    pub fn parse(text: &str) -> Result<Self, InvalidJid> {
        let jid = Jid::parse(text)?;
        if jid.is_bare() {
            Ok(Self(jid))
        } else {
            Err(InvalidJid { part: "resource" })
        }
    }

    /// This address with `resource` appended.
    ///
    /// # Errors
    /// When the resourcepart is refused.
    pub fn with_resource(&self, resource: &str) -> Result<Full, InvalidJid> {
        Jid::from_parts(self.0.local(), self.0.domain(), Some(resource)).map(Full)
    }

    /// As a general address.
    pub fn jid(&self) -> &Jid {
        &self.0
    }
}

impl Full {
    /// Prepares `text`, which must have a resourcepart.
    ///
    /// # Errors
    /// As [`Jid::parse`]; also when there is no resourcepart.
    pub fn parse(text: &str) -> Result<Self, InvalidJid> {
        Jid::parse(text)?.full().ok_or(InvalidJid { part: "resource" })
    }

    /// The resourcepart.
    pub fn resource(&self) -> &str {
        self.0.resource().unwrap_or_default()
    }

    /// As a general address.
    pub fn jid(&self) -> &Jid {
        &self.0
    }
}

impl std::ops::Deref for Bare {
    type Target = Jid;
    fn deref(&self) -> &Jid {
        &self.0
    }
}

impl std::ops::Deref for Full {
    type Target = Jid;
    fn deref(&self) -> &Jid {
        &self.0
    }
}

impl From<Bare> for Jid {
    fn from(bare: Bare) -> Self {
        bare.0
    }
}

impl From<Full> for Jid {
    fn from(full: Full) -> Self {
        full.0
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Jid {}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl std::hash::Hash for Jid {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Jid {
    type Err = InvalidJid;
    fn from_str(text: &str) -> Result<Self, InvalidJid> {
        Self::parse(text)
    }
}
