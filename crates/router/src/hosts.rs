//! The domains served.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Host, Pipeline};

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
