//! Virtual hosts from the configuration: which modules run where, and what streams announce.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use engine::{Pipeline, Row};
use serde_json::{Map, Value};
use stanza::{Bare, Jid, Timestamp};

use crate::config::{Config, HostConfig, Problem, problem};

/// The pipeline of each virtual host, by prepared domain.
///
/// # Errors
/// When a domain is not one, appears twice, or a module's settings do not fit.
pub(crate) fn pipelines(config: &Config) -> Result<BTreeMap<String, (HostConfig, Pipeline)>> {
    let mut all = BTreeMap::new();
    if config.hosts.is_empty() {
        bail!("hosts: at least one virtual host is needed");
    }
    for (at, host) in config.hosts.iter().enumerate() {
        let domain = prepare(&host.domain).with_context(|| format!("hosts[{at}].domain: {:?}", host.domain))?;
        let pipeline = pipeline(config, host).with_context(|| format!("host {domain}"))?;
        if all.insert(domain.clone(), (host.clone(), pipeline)).is_some() {
            bail!("hosts[{at}].domain: {domain} appears twice");
        }
    }
    Ok(all)
}

/// Finds the module whose settings do not fit, and where in the configuration they stand.
///
/// # Errors
/// What is wrong, with its place in the file at `path`.
pub(crate) fn check(config: &Config, path: Option<&Path>) -> Result<(), Problem> {
    for (at, host) in config.hosts.iter().enumerate() {
        let own = host
            .modules
            .keys()
            .map(|name| (format!("hosts[{at}].modules.{name}"), name));
        let common = config.modules.keys().map(|name| (format!("modules.{name}"), name));
        for (key, name) in own.chain(common) {
            fits(config, host, name).map_err(|error| problem(path, key, format!("{error:#}")))?;
        }
    }
    Ok(())
}

fn fits(config: &Config, host: &HostConfig, name: &str) -> Result<()> {
    let Some(row) = modules::ALL.iter().find(|row| row.about.name == name) else {
        bail!("there is no such module{}", suggestion(name));
    };
    if let Some(settings) = settings(config, host, name)? {
        Pipeline::new([(row, &settings)])?;
    }
    Ok(())
}

/// Software, start, administrators, services and everything advertised, as the modules of `domain` see it.
pub(crate) fn host(
    domain: &str,
    config: &HostConfig,
    services: Vec<String>,
    pipeline: &Pipeline,
    started: Timestamp,
) -> engine::Host {
    let software = ("Dunlin".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    engine::Host {
        domain: domain.to_owned(),
        software,
        started,
        admins: config
            .admins
            .iter()
            .filter_map(|admin| Bare::parse(admin).ok())
            .collect(),
        may_invite: config.registration.may_invite(),
        services,
        disco: pipeline.disco().clone(),
    }
}

/// The external components below `domain` (XEP-0114).
pub(crate) fn services(config: &Config, domain: &str) -> Vec<String> {
    let components = config.router.components.iter();
    let prepared = components.filter_map(|component| prepare(&component.domain).ok());
    prepared
        .filter(|component| component.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
        .collect()
}

fn prepare(domain: &str) -> Result<String> {
    let jid = Jid::parse(domain)?;
    if jid.local().is_some() || jid.resource().is_some() {
        bail!("not a domain");
    }
    Ok(jid.as_str().to_owned())
}

fn pipeline(config: &Config, host: &HostConfig) -> Result<Pipeline> {
    for name in config.modules.keys().chain(host.modules.keys()) {
        if !modules::ALL.iter().any(|row| row.about.name == *name) {
            bail!("modules.{name}: there is no such module{}", suggestion(name));
        }
    }
    let mut enabled: Vec<(&Row, Value)> = Vec::new();
    for row in modules::ALL {
        let settings = settings(config, host, row.about.name)?;
        if let Some(settings) = settings {
            enabled.push((row, settings));
        }
    }
    Ok(Pipeline::new(enabled.iter().map(|(row, settings)| (*row, settings)))?)
}

/// The settings of module `name` at `host`: `None` when it is switched off.
fn settings(config: &Config, host: &HostConfig, name: &str) -> Result<Option<Value>> {
    let mut merged = Map::new();
    for layer in [config.modules.get(name), host.modules.get(name)].into_iter().flatten() {
        let Value::Object(layer) = layer else {
            bail!("modules.{name}: must be a table")
        };
        merged.extend(layer.clone());
    }
    match merged.remove("enabled") {
        None | Some(Value::Bool(true)) => Ok(Some(Value::Object(merged))),
        Some(Value::Bool(false)) => Ok(None),
        Some(_) => bail!("modules.{name}.enabled: must be true or false"),
    }
}

fn suggestion(name: &str) -> String {
    let nearest = modules::ALL
        .iter()
        .map(|row| (strsim::damerau_levenshtein(name, row.about.name), row.about.name))
        .min();
    nearest
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, known)| format!("; did you mean `{known}`?"))
        .unwrap_or_default()
}
