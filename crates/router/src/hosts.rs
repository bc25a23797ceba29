//! The domains served.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Host, Pipeline};
use stanza::Jid;

use crate::registration::Registration;

/// A virtual host: what runs for its stanzas, and what its modules know of it.
pub struct VirtualHost {
    /// The frozen table of its modules.
    pub pipeline: Pipeline,
    /// As modules see it.
    pub host: Arc<Host>,
    /// Who may register.
    pub registration: Registration,
}

/// The virtual hosts by domain.
pub type Hosts = BTreeMap<String, Arc<VirtualHost>>;

/// Whose address it is.
pub(crate) enum Whose<'a> {
    /// A user's of a virtual host.
    User,
    /// A virtual host's own.
    Server(&'a Arc<VirtualHost>),
    /// Somebody else's.
    Remote,
}

/// Whose address `jid` is.
pub(crate) fn whose<'a>(hosts: &'a Hosts, jid: &Jid) -> Whose<'a> {
    match hosts.get(jid.domain()) {
        Some(_) if jid.local().is_some() => Whose::User,
        Some(host) => Whose::Server(host),
        None => Whose::Remote,
    }
}
