//! Service outage status (XEP-0455): where the state of the service can be read while it is away, in the server's disco information.

use std::sync::Arc;

use engine::{About, At, Hooks, Module};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanza::form::{Form, FormType};

/// The module.
pub(crate) struct Outage {
    config: OutageConfig,
}

/// Where the state of the service is published.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OutageConfig {
    /// HTTP or HTTPS addresses of the file (XEP-0455, 2.2), which everybody can read; best on another machine than this. None: nothing
    /// is told.
    pub addresses: Vec<String>,
}

impl Module for Outage {
    const ABOUT: About = About {
        name: "outage",
        rfcs: &[],
        xeps: &[(455, "0.4.0")],
        summary: "Tells where the state of the service can be read while it is away.",
    };
    type Config = OutageConfig;

    fn new(config: OutageConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        if self.config.addresses.is_empty() {
            return;
        }
        let form = Form::new(FormType::Result, OUTAGE);
        let form = form.with("external-status-addresses", Some("list-multi"), &self.config.addresses);
        on.form(At::Server, form.to_element());
    }
}

const OUTAGE: &str = "urn:xmpp:sos:0";
