//! The domains of conformance scripts and how their modules are set: two with the defaults, and one where an operator has chosen.

use serde_json::{Map, Value, json};

/// The domains of conformance scripts.
pub const DOMAINS: [&str; 3] = ["capulet.example", "montague.example", VERONA];

/// Where modules are set that do nothing by default.
const VERONA: &str = "verona.example";

/// More scripts than there are: what is set of people is set for as many of each name.
const RUNS: usize = 400;

/// What is set of the modules of `domain`, by module name.
pub(crate) fn modules(domain: &str) -> Map<String, Value> {
    let chosen = match domain {
        VERONA => json!({
            "vcard": { "max_bytes": 256, "server": { "name": "Fair Verona", "url": "https://verona.example/" } },
            "private": { "max_elements": 2 },
            "external_services": { "services": [
                { "type": "stun", "host": "relay.verona.example", "port": 3478, "transport": "udp" },
                { "type": "turn", "host": "relay.verona.example", "port": 3478, "transport": "udp", "secret": "two households" },
                { "type": "turn", "host": "relay.verona.example", "port": 3479, "transport": "tcp", "secret": "both alike" },
                { "type": "ftp", "host": "192.0.2.1", "name": "Plays", "username": "guest", "password": "guest" },
            ] },
            "outage": { "addresses": ["https://elsewhere.example/verona.json"] },
        }),
        _ => json!({}),
    };
    chosen.as_object().cloned().unwrap_or_default()
}

/// Who administers `domain`: whoever is called Escalus, in whichever script.
pub(crate) fn admins(domain: &str) -> Vec<String> {
    let runs = if domain == VERONA { RUNS } else { 0 };
    (0..runs).map(|run| format!("escalus-{run}@{domain}")).collect()
}

/// The `hosts` of a configuration: every domain, without TLS.
pub(crate) fn hosts() -> Value {
    let host = |domain: &&str| {
        json!({
            "domain": domain,
            "plain_without_tls": true,
            "admins": admins(domain),
            "modules": modules(domain),
        })
    };
    DOMAINS.iter().map(host).collect()
}
