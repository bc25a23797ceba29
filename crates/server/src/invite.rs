//! `dunlin invite`: invitations to register (XEP-0401, XEP-0445), beside a running server.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use router::{Invite, Registration};
use stanza::{Bare, Jid, Timestamp};
use store::Stores;

use crate::cli;
use crate::config::{self, Config};
use crate::stores;

const MICROSECONDS: i64 = 1_000_000;

/// Runs one `dunlin invite` command.
///
/// # Errors
/// When it cannot be done; the message says why.
pub(crate) async fn run(command: cli::Invite) -> Result<()> {
    match command {
        cli::Invite::Create {
            host,
            user,
            contact,
            expires,
            uses,
            file,
        } => {
            let (config, stores) = open(file.config.as_deref()).await?;
            let (host, rules) = inviting(&config, host.as_deref())?;
            ensure!(uses > 0, "--uses: an invitation is good for one account at least");
            ensure!(
                user.is_none() || uses == 1,
                "--uses: there is but one account of a name"
            );
            let invite = Invite {
                user: user.map(|user| name(&host, &user)).transpose()?,
                contact: contact.map(|contact| address(&contact)).transpose()?,
                by: None,
                created: now(),
                expires: end(&expires)?,
                uses,
                claims: Vec::new(),
            };
            create(&stores, &host, rules, &invite).await
        }
        cli::Invite::List { host, file } => {
            let (config, stores) = open(file.config.as_deref()).await?;
            for domain in domains(&config) {
                if host
                    .as_ref()
                    .is_none_or(|host| host.eq_ignore_ascii_case(domain.as_str()))
                {
                    list(&stores, &domain).await?;
                }
            }
            Ok(())
        }
        cli::Invite::Revoke { id, file } => {
            let (config, stores) = open(file.config.as_deref()).await?;
            revoke(&config, &stores, &id).await
        }
    }
}

async fn open(path: Option<&Path>) -> Result<(Config, Stores)> {
    let config = config::load(path)?;
    let stores = stores::durable(&config).await?;
    Ok((config, stores))
}

async fn create(stores: &Stores, host: &Bare, rules: &Registration, invite: &Invite) -> Result<()> {
    router::check_invite(stores, host, invite, invite.created).await?;
    let token = router::new_token(rand::random());
    router::invite(&*stores.items, host, &token, invite).await?;
    let (user, contact) = (invite.user.as_deref(), invite.contact.as_ref());
    println!("{}", router::invite_uri(host, user, contact, &token));
    if let Some(landing) = &rules.landing_url {
        println!("{}", landing.replace("{token}", &token));
    }
    Ok(())
}

async fn list(stores: &Stores, host: &Bare) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let (all, now) = (router::invites(&*stores.items, host).await?, now());
    for (id, invite) in all {
        if invite.expires.is_some_and(|expires| expires <= now) {
            continue;
        }
        let expires = invite.expires.map_or_else(|| "never".to_owned(), Timestamp::to_xmpp);
        let claims: Vec<&str> = invite.claims.iter().map(|claim| claim.name.as_str()).collect();
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        writeln!(
            out,
            "{}\t{host}\t{expires}\t{}\t{}\t{}\t{}\t{}",
            &id[..router::SHOWN.min(id.len())],
            invite.uses,
            or_none(invite.user),
            or_none(invite.contact.map(|contact| contact.to_string())),
            or_none((!claims.is_empty()).then(|| claims.join(","))),
            or_none(invite.by.map(|by| by.to_string())),
        )?;
    }
    Ok(())
}

async fn revoke(config: &Config, stores: &Stores, id: &str) -> Result<()> {
    ensure!(
        id.len() >= router::SHOWN,
        "{id} is too short for an id; `dunlin invite list` shows them"
    );
    for domain in domains(config) {
        if router::revoke_invite(&*stores.items, &domain, id).await? {
            println!("took back {id}");
            return Ok(());
        }
    }
    bail!("there is no invitation {id}")
}

/// The host that is meant, with its rules; invitations to one where nobody registers would be good for nothing.
fn inviting<'a>(config: &'a Config, host: Option<&str>) -> Result<(Bare, &'a Registration)> {
    let is_meant = |domain: &str| host.is_none_or(|host| host.eq_ignore_ascii_case(domain));
    let mut all = config.hosts.iter().filter(|known| is_meant(&known.domain));
    let open = |known: &&config::HostConfig| known.registration.is_offered();
    let meant = match host {
        Some(host) => all
            .next()
            .with_context(|| format!("{host} is not one of the configured hosts"))?,
        None => {
            let mut open = all.filter(open);
            match (open.next(), open.next()) {
                (Some(_), Some(_)) => bail!("more than one host takes invitations: say which with --host"),
                (one, _) => {
                    one.context("no host takes invitations: set `hosts.registration.mode` to `invite` or `open`")?
                }
            }
        }
    };
    ensure!(
        open(&meant),
        "{}: nobody can register there; set `hosts.registration.mode` to `invite` or `open`",
        meant.domain
    );
    Ok((Bare::parse(&meant.domain)?, &meant.registration))
}

fn domains(config: &Config) -> Vec<Bare> {
    let domains = config.hosts.iter().map(|host| Bare::parse(&host.domain));
    domains.filter_map(Result::ok).collect()
}

/// A name in prepared form.
fn name(host: &Bare, user: &str) -> Result<String> {
    let jid = Jid::from_parts(Some(user), host.as_str(), None).with_context(|| format!("--user: {user}"))?;
    Ok(jid.local().unwrap_or_default().to_owned())
}

fn address(contact: &str) -> Result<Bare> {
    let jid = Bare::parse(contact).with_context(|| format!("--contact: {contact}"))?;
    ensure!(jid.local().is_some(), "--contact: {contact} is no account's address");
    Ok(jid)
}

/// `90m`, `12h`, `7d`, or `never`.
fn end(text: &str) -> Result<Option<Timestamp>> {
    if text == "never" {
        return Ok(None);
    }
    let unit = text.chars().next_back().unwrap_or_default();
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => bail!("--expires: {text}: a number with s, m, h or d behind it, or `never`"),
    };
    let number: i64 = text[..text.len() - 1]
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .with_context(|| format!("--expires: {text}: a number with s, m, h or d behind it, or `never`"))?;
    let microseconds = number.saturating_mul(seconds * MICROSECONDS);
    Ok(Some(Timestamp(now().0.saturating_add(microseconds))))
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for bad in ["", "7", "d", "0d", "-1d", "7w", "7 d", "\u{fc}"] {
            assert!(end(bad).is_err(), "{bad}");
        }
        let days = end("7d").unwrap().unwrap().0 - now().0;
        assert!((6 * 86_400 * MICROSECONDS..=7 * 86_400 * MICROSECONDS).contains(&days));
        assert_eq!(end("never").unwrap(), None);
    }
}
