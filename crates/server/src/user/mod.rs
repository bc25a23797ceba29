//! `dunlin user`: accounts, beside a running server.

mod add;
mod export;
mod pie;
mod progress;
mod remove;
mod tokens;

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use stanza::Bare;
use store::Stores;

use crate::cli::{PasswordSource, User};
use crate::config::{self, Config};
use crate::stores;

pub(crate) use add::new_account;

/// Runs one `dunlin user` command.
///
/// # Errors
/// When it cannot be done; the message says why.
pub(crate) async fn run(command: User) -> Result<()> {
    match command {
        User::Add {
            jid: Some(jid),
            iterations,
            password,
            file,
            ..
        } => {
            let (config, stores) = open(file.config.as_deref()).await?;
            let account = add::account(&config, &jid, &read_password(&password)?, iterations)?;
            add::create(&stores, &[account]).await?;
            println!("added {jid}");
        }
        User::Add {
            bulk, iterations, file, ..
        } => {
            let bulk = bulk.context("an address or --bulk FILE is needed")?;
            let (config, stores) = open(file.config.as_deref()).await?;
            add::add_many(&config, &stores, &bulk, iterations).await?;
        }
        User::Passwd { jid, password, file } => {
            let (config, stores) = open(file.config.as_deref()).await?;
            let account = add::account(&config, &jid, &read_password(&password)?, None)?;
            stores
                .accounts
                .set_verifiers(&account.jid, &account.verifiers)
                .await
                .with_context(|| format!("changing {jid}"))?;
            router::revoke_all(&*stores.items, &account.jid).await?;
            println!("changed the password of {jid}");
        }
        User::Tokens { jid, revoke, file } => {
            let (_, stores) = open(file.config.as_deref()).await?;
            let bare = Bare::parse(&jid).with_context(|| jid.clone())?;
            match revoke {
                None => tokens::list(&stores, &bare).await?,
                Some(client) => tokens::revoke(&stores, &bare, &client).await?,
            }
        }
        User::Remove { jid, file } => {
            let (_, stores) = open(file.config.as_deref()).await?;
            let bare = Bare::parse(&jid).with_context(|| jid.clone())?;
            println!("{}", remove::remove(&stores, &bare).await?);
        }
        User::Purge { jid, file } => {
            let (_, stores) = open(file.config.as_deref()).await?;
            let bare = Bare::parse(&jid).with_context(|| jid.clone())?;
            println!("{}", remove::purge(&stores, &bare).await?);
        }
        User::Export {
            jid,
            out,
            credentials,
            file,
        } => {
            let (_, stores) = open(file.config.as_deref()).await?;
            let bare = Bare::parse(&jid).with_context(|| jid.clone())?;
            export::export(&stores, &bare, out.as_deref(), credentials).await?;
        }
        User::List { domain, file } => {
            let (config, stores) = open(file.config.as_deref()).await?;
            let domains = domain.map_or_else(
                || config.hosts.iter().map(|host| host.domain.clone()).collect(),
                |one| vec![one],
            );
            list(&stores, &domains).await?;
        }
    }
    Ok(())
}

async fn open(path: Option<&Path>) -> Result<(Config, Stores)> {
    let config = config::load(path)?;
    let stores = stores::durable(&config).await?;
    Ok((config, stores))
}

async fn list(stores: &Stores, domains: &[String]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for domain in domains {
        let mut after: Option<Bare> = None;
        loop {
            let page = stores.accounts.list(domain, after.as_ref(), 1_000).await?;
            page.iter().try_for_each(|jid| writeln!(out, "{jid}"))?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
        }
    }
    Ok(())
}

fn read_password(source: &PasswordSource) -> Result<String> {
    let text = match &source.password_file {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?,
        None => {
            let mut line = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut line)
                .context("reading the password from standard input")?;
            line
        }
    };
    let password = text.lines().next().unwrap_or_default();
    ensure!(
        !password.is_empty(),
        "the password is empty: give it on standard input or with --password-file"
    );
    Ok(password.to_owned())
}
