//! Settings that can be read but make no sense, alone or together: each found with its key, before anything starts.

use std::collections::BTreeSet;
use std::path::PathBuf;

use stanza::{Bare, Jid};

use super::{Config, Durable, Role};

/// A key and what is wrong with it.
pub(super) type Complaint = (String, String);

/// The first setting that makes no sense.
pub(super) fn complaint(config: &Config) -> Option<Complaint> {
    let checks = [
        roles,
        hosts,
        components,
        admins,
        registrations,
        pairs,
        limits,
        queues,
        patience,
        numbers,
        cluster,
        stores,
        filter,
    ];
    checks.into_iter().find_map(|check| check(config))
}

/// The first file that is named and cannot be read, of those that this process needs.
pub(super) fn unreadable(config: &Config) -> Option<Complaint> {
    let mut files: Vec<(String, Option<&PathBuf>)> = Vec::new();
    if config.has(Role::Edge) {
        for (at, host) in config.hosts.iter().enumerate() {
            files.push((format!("hosts[{at}].certificate"), host.certificate.as_ref()));
            files.push((format!("hosts[{at}].key"), host.key.as_ref()));
        }
        for (at, certificate) in config.edge.tls.certificates.iter().enumerate() {
            files.push((format!("edge.tls.certificates[{at}].chain"), Some(&certificate.chain)));
            files.push((format!("edge.tls.certificates[{at}].key"), Some(&certificate.key)));
        }
    }
    files.push(("link.ca".to_owned(), config.link.ca.as_ref()));
    files.push(("link.certificate".to_owned(), config.link.certificate.as_ref()));
    files.push(("link.key".to_owned(), config.link.key.as_ref()));
    files.into_iter().find_map(|(key, path)| {
        let path = path?;
        let error = std::fs::read(path).err()?;
        Some((key, format!("cannot read {}: {error}", path.display())))
    })
}

fn say(key: impl Into<String>, reason: impl Into<String>) -> Option<Complaint> {
    Some((key.into(), reason.into()))
}

fn roles(config: &Config) -> Option<Complaint> {
    if config.roles.is_empty() {
        return say("roles", "a process needs at least one: `edge`, `router`, or both");
    }
    None
}

fn hosts(config: &Config) -> Option<Complaint> {
    if config.hosts.is_empty() {
        return say("hosts", "at least one virtual host is needed");
    }
    let mut seen = BTreeSet::new();
    for (at, host) in config.hosts.iter().enumerate() {
        let key = format!("hosts[{at}].domain");
        let domain = Jid::parse(&host.domain).ok();
        let Some(domain) = domain.filter(|jid| jid.local().is_none() && jid.resource().is_none()) else {
            return say(key, format!("{:?} is not a domain", host.domain));
        };
        if !seen.insert(domain.as_str().to_owned()) {
            return say(key, format!("{} appears twice", domain.as_str()));
        }
    }
    None
}

/// Components have domains of their own, and a secret each.
fn components(config: &Config) -> Option<Complaint> {
    let prepared = |domain: &str| {
        Jid::parse(domain)
            .ok()
            .filter(|jid| jid.is_bare() && jid.local().is_none())
    };
    let mut seen: BTreeSet<Jid> = config.hosts.iter().filter_map(|host| prepared(&host.domain)).collect();
    for (at, component) in config.router.components.iter().enumerate() {
        let key = format!("router.components[{at}]");
        let Some(domain) = prepared(&component.domain) else {
            return say(
                format!("{key}.domain"),
                format!("{:?} is not a domain", component.domain),
            );
        };
        if !seen.insert(domain) {
            return say(
                format!("{key}.domain"),
                format!(
                    "{} is served already: as a host, or another component",
                    component.domain
                ),
            );
        }
        if component.secret.expose().is_empty() {
            return say(format!("{key}.secret"), "is empty: anybody could be the component");
        }
    }
    None
}

/// Names and passwords that nobody could have, and links that lead nowhere.
fn registrations(config: &Config) -> Option<Complaint> {
    for (at, host) in config.hosts.iter().enumerate() {
        let (rules, key) = (&host.registration, format!("hosts[{at}].registration"));
        if rules.name_shortest > rules.name_longest {
            return say(format!("{key}.name_shortest"), "must not be more than `name_longest`");
        }
        if rules.window_s == 0 {
            return say(
                format!("{key}.window_s"),
                "0 would count nothing; for no limit set the limits to 0",
            );
        }
        if rules.invitation_s == 0 {
            return say(format!("{key}.invitation_s"), "0 would make none that is good");
        }
        if rules.landing_url.as_ref().is_some_and(|url| !url.contains("{token}")) {
            return say(format!("{key}.landing_url"), "has no `{token}` in it");
        }
    }
    None
}

/// Administrators are users who log in here.
fn admins(config: &Config) -> Option<Complaint> {
    let is_served = |domain: &str| config.hosts.iter().any(|host| host.domain.eq_ignore_ascii_case(domain));
    for (at, host) in config.hosts.iter().enumerate() {
        for (number, admin) in host.admins.iter().enumerate() {
            let jid = Bare::parse(admin).ok();
            if !jid.is_some_and(|jid| jid.local().is_some() && is_served(jid.domain())) {
                let key = format!("hosts[{at}].admins[{number}]");
                return say(
                    key,
                    format!("{admin:?} is not the address of a user of one of the hosts"),
                );
            }
        }
    }
    None
}

/// Certificates and keys go together.
fn pairs(config: &Config) -> Option<Complaint> {
    for (at, host) in config.hosts.iter().enumerate() {
        if host.certificate.is_some() != host.key.is_some() {
            return say(format!("hosts[{at}]"), "`certificate` and `key` go together");
        }
    }
    let link = [&config.link.ca, &config.link.certificate, &config.link.key].map(Option::is_some);
    if link.contains(&true) && link.contains(&false) {
        return say("link", "`ca`, `certificate` and `key` go together");
    }
    None
}

/// Bounds of zero would let nothing through.
fn limits(config: &Config) -> Option<Complaint> {
    let (edge, router, store) = (&config.edge, &config.router, &config.store);
    let windows = &config.link.windows;
    let all = [
        ("edge.outbox.stanzas", edge.outbox.stanzas),
        ("edge.outbox.bytes", edge.outbox.bytes),
        ("edge.limits.before.stanza", edge.limits.before.stanza),
        ("edge.limits.before.depth", edge.limits.before.depth),
        ("edge.limits.before.attributes", edge.limits.before.attributes),
        ("edge.limits.before.name", edge.limits.before.name),
        ("edge.limits.before.elements", edge.limits.before.elements),
        ("edge.limits.after.stanza", edge.limits.after.stanza),
        ("edge.limits.after.depth", edge.limits.after.depth),
        ("edge.limits.after.attributes", edge.limits.after.attributes),
        ("edge.limits.after.name", edge.limits.after.name),
        ("edge.limits.after.elements", edge.limits.after.elements),
        ("edge.limits.sasl_attempts", edge.limits.sasl_attempts as usize),
        (
            "edge.limits.registration_requests",
            edge.limits.registration_requests as usize,
        ),
        ("router.sessions_per_account", router.sessions_per_account as usize),
        ("router.queue_stanzas", router.queue_stanzas as usize),
        ("router.queue_bytes", router.queue_bytes as usize),
        ("router.steps", router.steps as usize),
        ("router.retain_per_s", router.retain_per_s as usize),
        ("router.sasl.exchanges", router.sasl.exchanges as usize),
        ("router.sasl.hashing", router.sasl.hashing as usize),
        ("store.postgres.connections", store.postgres.connections as usize),
        (
            "store.postgres.append_connections",
            store.postgres.append_connections as usize,
        ),
        ("link.windows.session.stanzas", windows.session.stanzas),
        ("link.windows.session.bytes", windows.session.bytes),
        ("link.windows.edge.stanzas", windows.edge.stanzas),
        ("link.windows.edge.bytes", windows.edge.bytes),
        ("link.windows.slot.stanzas", windows.slot.stanzas),
        ("link.windows.slot.bytes", windows.slot.bytes),
        ("link.windows.peer.stanzas", windows.peer.stanzas),
        ("link.windows.peer.bytes", windows.peer.bytes),
        ("link.windows.outbound.stanzas", windows.outbound.stanzas),
        ("link.windows.outbound.bytes", windows.outbound.bytes),
        ("link.windows.lanes", windows.lanes),
        ("link.windows.message_bytes", windows.message_bytes),
    ];
    let (key, _) = all.into_iter().find(|(_, limit)| *limit == 0)?;
    say(key, "0 would let nothing through; leave the key out for the default")
}

/// What the home keeps for a session must fit the edge's queue when it is resumed there, or it is ended at once.
fn queues(config: &Config) -> Option<Complaint> {
    let (router, outbox) = (&config.router, &config.edge.outbox);
    if !(config.has(Role::Edge) && config.has(Role::Router)) {
        return None;
    }
    if router.queue_stanzas as usize > outbox.stanzas {
        return say("edge.outbox.stanzas", "must not be less than `router.queue_stanzas`");
    }
    if router.queue_bytes as usize > outbox.bytes {
        return say("edge.outbox.bytes", "must not be less than `router.queue_bytes`");
    }
    None
}

/// Who gives up first is not a matter of taste.
fn patience(config: &Config) -> Option<Complaint> {
    let patience = &config.link.patience;
    if patience.hold_ms >= patience.submit_timeout_ms {
        return say(
            "link.patience.hold_ms",
            "must be less than `submit_timeout_ms`: a client is answered before its session is given up",
        );
    }
    if config.router.cluster.seal_ms >= config.router.cluster.opening_ms {
        return say(
            "router.cluster.seal_ms",
            "must be less than `opening_ms`: an old home gives a slot away before the new one stops waiting",
        );
    }
    None
}

fn numbers(config: &Config) -> Option<Complaint> {
    if !(0.0..=1.0).contains(&config.edge.trace_ratio) {
        return say("edge.trace_ratio", "is a share: from 0 to 1");
    }
    if !(4_096..=10_000_000).contains(&config.passwords.iterations) {
        return say("passwords.iterations", "must be between 4,096 and 10,000,000");
    }
    None
}

/// What a cluster shares must be where all its nodes reach it.
fn cluster(config: &Config) -> Option<Complaint> {
    let (router, edge) = (config.has(Role::Router), config.has(Role::Edge));
    if router && config.link.listen.is_some() {
        if config.store.durable != Durable::Postgres {
            return say(
                "store.durable",
                "a router with `link.listen` shares its data: it needs `postgres`",
            );
        }
        if config.store.etcd.is_none() {
            return say(
                "store.etcd",
                "is missing: a router with `link.listen` finds the others through etcd",
            );
        }
        if config.store.redis.is_none() {
            return say(
                "store.redis",
                "is missing: a router with `link.listen` shares presence through Redis",
            );
        }
    }
    if router && !edge && config.link.listen.is_none() {
        return say(
            "link.listen",
            "is missing: nobody could reach a process that is only a router",
        );
    }
    if edge && !router && config.link.routers.is_empty() {
        return say(
            "link.routers",
            "is missing: a process that is only an edge joins the cluster through routers",
        );
    }
    None
}

/// Addresses that cannot be one. They may hold passwords: they are not repeated.
fn stores(config: &Config) -> Option<Complaint> {
    let postgres = config.store.postgres.url.expose();
    if !["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| postgres.starts_with(scheme))
    {
        return say("store.postgres.url", "is no URL that begins with `postgres://`");
    }
    let redis = config.store.redis.as_ref()?;
    if redis.urls.is_empty() {
        return say("store.redis.urls", "names no Redis");
    }
    if redis.sentinel.is_some() && redis.cluster {
        return say(
            "store.redis.sentinel",
            "a Redis Cluster needs no sentinels: set one of `sentinel` and `cluster`",
        );
    }
    let is_url = |url: &str| ["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme));
    let (at, _) = redis.urls.iter().enumerate().find(|(_, url)| !is_url(url.expose()))?;
    say(
        format!("store.redis.urls[{at}]"),
        "is no URL that begins with `redis://` or `rediss://`",
    )
}

fn filter(config: &Config) -> Option<Complaint> {
    let error = tracing_subscriber::EnvFilter::try_new(&config.log.filter).err()?;
    say("log.filter", error.to_string())
}
