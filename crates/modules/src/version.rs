//! Software version (XEP-0092).

use std::sync::Arc;

use engine::{About, At, Cx, Element, Hooks, Module, Reply, ns, request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

request! {
    /// `<query xmlns='jabber:iq:version'/>`
    Query = "query" in ns::VERSION;
}

/// The module.
pub(crate) struct Version {
    config: VersionConfig,
}

/// What is told.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VersionConfig {
    /// Whether the version number is told; if not, only the name is.
    pub show_version: bool,
}

impl Default for VersionConfig {
    fn default() -> Self {
        Self { show_version: true }
    }
}

impl Module for Version {
    const ABOUT: About = About {
        name: "version",
        rfcs: &[],
        xeps: &[(92, "1.1")],
        summary: "Tells name and version of the server.",
    };
    type Config = VersionConfig;

    fn new(config: VersionConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.get(At::Server, move |cx: Cx, _: Query| {
            std::future::ready(Ok(Reply::from(self.answer(&cx))))
        });
    }
}

impl Version {
    fn answer(&self, cx: &Cx) -> Element {
        let (name, version) = &cx.host.software;
        let version = if self.config.show_version { version.as_str() } else { "" };
        Element::new(ns::VERSION, "query")
            .push(Element::new(ns::VERSION, "name").text(name))
            .push(Element::new(ns::VERSION, "version").text(version))
    }
}
