//! The domains of conformance scripts and how their modules are set: two with the defaults, and one where an operator has chosen.

use serde_json::{Map, Value, json};

/// The domains of conformance scripts.
pub const DOMAINS: [&str; 3] = ["capulet.example", "montague.example", VERONA];

/// Where modules are set that do nothing by default.
const VERONA: &str = "verona.example";

/// What is set of the modules of `domain`, by module name.
pub(crate) fn modules(domain: &str) -> Map<String, Value> {
    let chosen = match domain {
        VERONA => json!({
            "vcard": { "max_bytes": 256, "server": { "name": "Fair Verona", "url": "https://verona.example/" } },
            "private": { "max_elements": 2 },
        }),
        _ => json!({}),
    };
    chosen.as_object().cloned().unwrap_or_default()
}

/// The `hosts` of a configuration: every domain, without TLS.
pub(crate) fn hosts() -> Value {
    let host = |domain: &&str| json!({ "domain": domain, "plain_without_tls": true, "modules": modules(domain) });
    DOMAINS.iter().map(host).collect()
}
