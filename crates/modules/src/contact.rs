//! Contact addresses of the service (XEP-0157), in the server's disco information.

use std::sync::Arc;

use engine::{About, At, Hooks, Module};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanza::form::{Form, FormType};

/// The module.
pub(crate) struct Contact {
    config: ContactConfig,
}

/// Addresses by purpose, as URIs such as `mailto:abuse@shakespeare.example` or `xmpp:admin@shakespeare.example`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ContactConfig {
    /// For reports of abuse.
    pub abuse: Vec<String>,
    /// Of the administrators.
    pub admin: Vec<String>,
    /// For feedback.
    pub feedback: Vec<String>,
    /// For questions about sales.
    pub sales: Vec<String>,
    /// For security concerns.
    pub security: Vec<String>,
    /// Where the state of the service is published.
    pub status: Vec<String>,
    /// For support.
    pub support: Vec<String>,
}

impl Module for Contact {
    const ABOUT: About = About {
        name: "contact",
        rfcs: &[],
        xeps: &[(157, "1.1.1")],
        summary: "Tells how to reach those who run the server.",
    };
    type Config = ContactConfig;

    fn new(config: ContactConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        let form = self.config.form();
        if form.fields.len() > 1 {
            on.form(At::Server, form.to_element());
        }
    }
}

impl ContactConfig {
    fn form(&self) -> Form {
        let fields = [
            ("abuse-addresses", &self.abuse),
            ("admin-addresses", &self.admin),
            ("feedback-addresses", &self.feedback),
            ("sales-addresses", &self.sales),
            ("security-addresses", &self.security),
            ("status-addresses", &self.status),
            ("support-addresses", &self.support),
        ];
        let used = fields.into_iter().filter(|(_, addresses)| !addresses.is_empty());
        used.fold(Form::new(FormType::Result, SERVER_INFO), |form, (name, addresses)| {
            form.with(name, Some("list-multi"), addresses)
        })
    }
}

const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";
