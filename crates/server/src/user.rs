//! `dunlin user`: accounts, beside a running server.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use stanza::{Bare, Timestamp};
use store::{Account, Stores};

use crate::cli::{PasswordSource, User};
use crate::config::{self, Config};
use crate::stores;

/// How many accounts are created in one durable step.
const BATCH: usize = 500;
/// How long `dunlin user remove` waits for a server to remove the account.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const POLL: Duration = Duration::from_millis(100);

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
            let account = account(&config, &jid, &read_password(&password)?, iterations)?;
            create(&stores, &[account]).await?;
            println!("added {jid}");
        }
        User::Add {
            bulk, iterations, file, ..
        } => {
            let bulk = bulk.context("an address or --bulk FILE is needed")?;
            let (config, stores) = open(file.config.as_deref()).await?;
            add_many(&config, &stores, &bulk, iterations).await?;
        }
        User::Passwd { jid, password, file } => {
            let (config, stores) = open(file.config.as_deref()).await?;
            let account = account(&config, &jid, &read_password(&password)?, None)?;
            stores
                .accounts
                .set_verifiers(&account.jid, &account.verifiers)
                .await
                .with_context(|| format!("changing {jid}"))?;
            println!("changed the password of {jid}");
        }
        User::Remove { jid, file } => {
            let (_, stores) = open(file.config.as_deref()).await?;
            let bare = Bare::parse(&jid).with_context(|| jid.clone())?;
            println!("{}", remove(&stores, &bare).await?);
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

/// Retires an account and gives its home a while to end its sessions, cancel its subscriptions and remove it. Says how far that went.
/// An account that was retired before is waited for again.
async fn remove(stores: &Stores, jid: &Bare) -> Result<String> {
    let retired = stores.accounts.retire(jid).await?;
    ensure!(retired || is_retired(stores, jid).await?, "there is no account {jid}");
    let until = Instant::now() + PATIENCE;
    while is_retired(stores, jid).await? {
        if Instant::now() > until {
            return Ok(format!(
                "retired {jid}: nobody can log in to it any more; it is removed with all it owned as soon as a server runs"
            ));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(format!("removed {jid}"))
}

async fn is_retired(stores: &Stores, jid: &Bare) -> Result<bool> {
    let mut after = None;
    loop {
        let page = stores.accounts.retired(after.as_ref(), 1_000).await?;
        if page.contains(jid) {
            return Ok(true);
        }
        let Some(last) = page.last() else { return Ok(false) };
        after = Some(last.clone());
    }
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

/// Creates the accounts of `file`, hashing on all processors, and says how far it is.
async fn add_many(config: &Config, stores: &Stores, file: &Path, iterations: Option<u32>) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    let started = Instant::now();
    eprintln!(
        "{} accounts; each password is hashed for SCRAM-SHA-1, -256 and -512 with {} iterations (`--iterations` takes fewer)",
        lines.len(),
        iterations.unwrap_or(config.passwords.iterations),
    );
    let mut done = 0;
    for batch in lines.chunks(BATCH) {
        let accounts = hash_all(config, batch, iterations).with_context(|| file.display().to_string())?;
        create(stores, &accounts)
            .await
            .with_context(|| format!("lines {} to {}", batch[0].0, batch[batch.len() - 1].0))?;
        done += accounts.len();
        eprintln!("{done} of {} in {:.1} s", lines.len(), started.elapsed().as_secs_f64());
    }
    println!("added {done} accounts");
    Ok(())
}

fn hash_all(config: &Config, lines: &[(usize, &str)], iterations: Option<u32>) -> Result<Vec<Account>> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = lines.len().div_ceil(threads).max(1);
    let parts: Vec<Result<Vec<Account>>> = std::thread::scope(|scope| {
        let work = |part: &[(usize, &str)]| part.iter().map(|line| hash_line(config, line, iterations)).collect();
        let running: Vec<_> = lines
            .chunks(share)
            .map(|part| scope.spawn(move || work(part)))
            .collect();
        running
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| bail!("hashing failed")))
            .collect()
    });
    Ok(parts
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

fn hash_line(config: &Config, (number, line): &(usize, &str), iterations: Option<u32>) -> Result<Account> {
    let (jid, password) = line
        .split_once(char::is_whitespace)
        .with_context(|| format!("line {number}: no password"))?;
    account(config, jid, password.trim_start(), iterations).with_context(|| format!("line {number}"))
}

fn account(config: &Config, jid: &str, password: &str, iterations: Option<u32>) -> Result<Account> {
    let jid = Bare::parse(jid).with_context(|| jid.to_owned())?;
    ensure!(
        jid.local().is_some(),
        "{jid}: an account's address has a name before the @"
    );
    let served = config
        .hosts
        .iter()
        .any(|host| host.domain.eq_ignore_ascii_case(jid.domain()));
    ensure!(served, "{jid}: {} is not one of the configured hosts", jid.domain());
    new_account(jid, password, iterations.unwrap_or(config.passwords.iterations))
}

/// A new account with a verifier for each hash.
///
/// # Errors
/// When the password cannot be used (RFC 8265) or there is no randomness.
pub(crate) fn new_account(jid: Bare, password: &str, iterations: u32) -> Result<Account> {
    ensure!(
        (4_096..=10_000_000).contains(&iterations),
        "iterations must be between 4,096 and 10,000,000"
    );
    let salt: [u8; 16] = rand::random();
    let verifiers = sasl::verifiers(password, iterations, &salt).context("password")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let created = Timestamp(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    Ok(Account {
        jid,
        created,
        verifiers,
        last_seen: None,
    })
}

async fn create(stores: &Stores, accounts: &[Account]) -> Result<()> {
    match stores.accounts.create(accounts).await {
        Ok(()) => Ok(()),
        Err(store::Error::Precondition(reason)) => bail!("{reason}: nothing was added"),
        Err(error) => Err(error.into()),
    }
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
