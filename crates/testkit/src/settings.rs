//! The domains of conformance scripts and how their modules are set: two with the defaults, and two where an operator has chosen.

use serde_json::{Map, Value, json};

/// The domains of conformance scripts.
pub const DOMAINS: [&str; 4] = ["capulet.example", "montague.example", VERONA, MANTUA];

/// Where modules are set that do nothing by default.
const VERONA: &str = "verona.example";
/// Where everybody knows everybody.
const MANTUA: &str = "mantua.example";
/// Where invitations lead people who have no client.
pub(crate) const LANDING_URL: &str = "https://montague.example/invite/#{token}";
/// How many guards know each other.
pub const GUARDS: usize = 1_000;

/// The external components of conformance scripts: one for each script, as they outlive none.
pub const COMPONENTS: [&str; 8] = [
    "echo.capulet.example",
    "weather.capulet.example",
    "gateway.capulet.example",
    "push.capulet.example",
    "forger.capulet.example",
    "twins.capulet.example",
    "rooms.montague.example",
    "plays.shakespeare.example",
];
/// The secret of each of them.
pub const COMPONENT_SECRET: &str = "what's in a name";

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
            "shared_groups": { "groups": groups(domain) },
            "retraction": { "per_hour": 2 },
            "outage": { "addresses": ["https://elsewhere.example/verona.json"] },
        }),
        MANTUA => json!({ "shared_groups": { "groups": [{ "name": "Mantua", "everyone": true }] } }),
        _ => json!({}),
    };
    chosen.as_object().cloned().unwrap_or_default()
}

/// In each run Sampson and Gregory are of one house, and all three servants know each other; and there is a guard.
fn groups(domain: &str) -> Vec<Value> {
    let group = |name: &str, members: Vec<String>| json!({ "name": name, "members": members });
    let of_run = |run: usize| {
        let jid = |name: &&str| format!("{name}-{run}@{domain}");
        let (house, servants) = (["sampson", "gregory"], ["sampson", "gregory", "abraham"]);
        let house = group("House", house.iter().map(jid).collect());
        [house, group("Servants", servants.iter().map(jid).collect())]
    };
    let guards = (0..GUARDS).map(|at| format!("guard{at}@{domain}")).collect();
    (0..RUNS).flat_map(of_run).chain([group("Guard", guards)]).collect()
}

/// Who administers `domain`: whoever is called Escalus, in whichever script.
pub(crate) fn admins(domain: &str) -> Vec<String> {
    let runs = if domain == VERONA { RUNS } else { 0 };
    (0..runs).map(|run| format!("escalus-{run}@{domain}")).collect()
}

/// The [`COMPONENTS`], as a router's configuration has them.
pub(crate) fn components() -> Value {
    let one = |domain: &&str| json!({ "domain": domain, "secret": COMPONENT_SECRET });
    COMPONENTS.iter().map(one).collect()
}

/// Those of them below `domain`.
pub(crate) fn services(domain: &str) -> Vec<String> {
    let below = |component: &&&str| component.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    COMPONENTS
        .iter()
        .filter(below)
        .map(|component| (*component).to_owned())
        .collect()
}

/// How people register at `domain`, all of them from one address. At the second domain users invite others, two at a time.
pub(crate) fn registration(domain: &str) -> Value {
    let mode = mode(domain);
    if domain == DOMAINS[1] {
        return json!({
            "mode": mode,
            "per_address": 0,
            "inviters": "users",
            "invitations_open": 2,
            "landing_url": LANDING_URL,
        });
    }
    json!({ "mode": mode, "per_address": 0 })
}

/// Anybody registers at the first domain, those who are invited at the others.
pub(crate) fn mode(domain: &str) -> &'static str {
    if domain == DOMAINS[0] { "open" } else { "invite" }
}

/// The `hosts` of a configuration: every domain, without TLS.
pub(crate) fn hosts() -> Value {
    let host = |domain: &&str| {
        json!({
            "domain": domain,
            "plain_without_tls": true,
            "admins": admins(domain),
            "registration": registration(domain),
            "modules": modules(domain),
        })
    };
    DOMAINS.iter().map(host).collect()
}
