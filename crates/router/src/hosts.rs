//! The domains served.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Host, Pipeline};
use stanza::Bare;

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

/// Whether who has that address administers a host: whoever registered a name that an operator wrote down before it was anybody's would. An
/// invitation for just that name is the operator's word.
pub(crate) fn administers(hosts: &Hosts, jid: &Bare) -> bool {
    hosts.values().any(|host| host.host.admins.contains(jid))
}
