//! A virtual host as modules see it.

use std::collections::{BTreeMap, BTreeSet};

use stanza::Bare;

use crate::disco::{At, Disco};

/// A virtual host as modules see it.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Its domain, prepared.
    pub domain: String,
    /// Name and version of the server software, for XEP-0092.
    pub software: (String, String),
    /// When this process started.
    pub started: stanza::Timestamp,
    /// Who administers it.
    pub admins: BTreeSet<Bare>,
    /// Who may make invitations to it.
    pub may_invite: MayInvite,
    /// The services below its domain that others provide: external components (XEP-0114).
    pub services: Vec<String>,
    /// What is advertised, by address.
    pub disco: BTreeMap<At, Disco>,
}

/// Who may make invitations to a host from a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MayInvite {
    /// Nobody: the host takes none.
    #[default]
    Nobody,
    /// Those who administer it.
    Admins,
    /// All its users.
    Users,
}

impl Host {
    /// What is advertised at `at`.
    pub fn disco(&self, at: At) -> Disco {
        self.disco.get(&at).cloned().unwrap_or_default()
    }
}
