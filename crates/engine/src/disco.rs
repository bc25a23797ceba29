//! What is advertised at which address (XEP-0030), collected from registrations so that it cannot disagree with behaviour.

use std::collections::BTreeSet;

use xml::Element;

/// An address that answers queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// The virtual host's domain.
    Server,
    /// An account's bare address, on behalf of its user.
    Account,
}

/// A disco identity (XEP-0030, 3.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Category, such as `server`.
    pub category: &'static str,
    /// Type, such as `im`.
    pub kind: &'static str,
    /// Name for people.
    pub name: String,
}

/// Everything advertised at one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disco {
    /// Identities.
    pub identities: BTreeSet<Identity>,
    /// Features (namespaces).
    pub features: BTreeSet<String>,
    /// Extended information: data forms (XEP-0128).
    pub forms: Vec<Element>,
}
