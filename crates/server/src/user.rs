//! `dunlin user`: accounts, beside a running server.

use std::io::{BufRead, IsTerminal, Write};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use stanza::{Bare, ClientId, Timestamp};
use store::{Account, Stores};
use tokio::sync::mpsc;

use crate::cli::{PasswordSource, User};
use crate::config::{self, Config};
use crate::stores;

/// How many accounts are created in one durable step.
const BATCH: usize = 100;
/// How often progress is shown.
const SAY: Duration = Duration::from_secs(1);
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
            // They are void already: tokens follow from the password. This clears them away.
            for (client, _) in router::tokens(&*stores.items, &account.jid).await? {
                router::revoke(&*stores.items, &account.jid, client).await?;
            }
            println!("changed the password of {jid}");
        }
        User::Tokens { jid, revoke, file } => {
            let (_, stores) = open(file.config.as_deref()).await?;
            let bare = Bare::parse(&jid).with_context(|| jid.clone())?;
            match revoke {
                None => list_tokens(&stores, &bare).await?,
                Some(client) => revoke_tokens(&stores, &bare, &client).await?,
            }
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

async fn list_tokens(stores: &Stores, jid: &Bare) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (client, tokens) in router::tokens(&*stores.items, jid).await? {
        let name = |name: &Option<String>| name.as_deref().unwrap_or("-").escape_debug().to_string();
        let until = tokens.expires().map(Timestamp::to_xmpp).unwrap_or_default();
        writeln!(
            out,
            "{client}\t{until}\t{}\t{}",
            name(&tokens.software),
            name(&tokens.device)
        )?;
    }
    Ok(())
}

async fn revoke_tokens(stores: &Stores, jid: &Bare, client: &str) -> Result<()> {
    let client = ClientId::parse(client).with_context(|| client.to_owned())?;
    let had = router::revoke(&*stores.items, jid, client).await?;
    ensure!(had, "{jid} has no client {client} with tokens");
    println!("{client} needs the password of {jid} to log in again");
    Ok(())
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
    let work = Arc::new(Work::new(config, &text, iterations));
    let (started, total) = (Instant::now(), work.lines.len());
    eprintln!(
        "{total} accounts; each password is hashed for SCRAM-SHA-1, -256 and -512 with {} iterations (`--iterations` takes fewer)",
        iterations.unwrap_or(config.passwords.iterations),
    );
    let mut hashed = hash_all(&work);
    let (mut done, mut said) = (0, Instant::now());
    while let Some((lines, accounts)) = hashed.recv().await {
        let batch = accounts.with_context(|| file.display().to_string())?;
        create(stores, &batch).await.with_context(|| {
            format!(
                "lines {} to {} ({done} accounts were added)",
                lines.start(),
                lines.end()
            )
        })?;
        done += batch.len();
        if done == total || said.elapsed() >= SAY {
            say(done, total, started);
            said = Instant::now();
        }
    }
    ensure!(done == total, "hashing failed: {done} of {total} accounts were added");
    println!("added {done} accounts");
    Ok(())
}

/// Progress: on a terminal one line that changes.
fn say(done: usize, total: usize, started: Instant) {
    let (begin, end) = match std::io::stderr().is_terminal() {
        true if done < total => ("\r", ""),
        true => ("\r", "\n"),
        false => ("", "\n"),
    };
    eprint!(
        "{begin}{done} of {total} in {:.1} s{end}",
        started.elapsed().as_secs_f64()
    );
}

/// The lines of a file, to be hashed batch by batch.
struct Work {
    config: Config,
    iterations: Option<u32>,
    lines: Vec<(usize, String)>,
    /// The first line that nobody has taken.
    next: AtomicUsize,
}

/// The lines of a batch by number, and their accounts.
type Hashed = (RangeInclusive<usize>, Result<Vec<Account>>);

impl Work {
    fn new(config: &Config, text: &str, iterations: Option<u32>) -> Self {
        let lines = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim().to_owned()));
        Self {
            config: config.clone(),
            iterations,
            lines: lines.filter(|(_, line)| !line.is_empty()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Hashes the next batch that nobody has taken.
    fn step(&self) -> Option<Hashed> {
        let from = self.next.fetch_add(BATCH, Ordering::Relaxed);
        let lines = self.lines.get(from..self.lines.len().min(from + BATCH))?;
        let numbers = lines.first()?.0..=lines.last()?.0;
        let hash = |(number, line): &(usize, String)| hash_line(&self.config, (*number, line), self.iterations);
        Some((numbers, lines.iter().map(hash).collect()))
    }
}

/// Hashes with as many threads as there are processors, which go on while batches are written. Few batches wait.
fn hash_all(work: &Arc<Work>) -> mpsc::Receiver<Hashed> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (sender, hashed) = mpsc::channel(threads);
    for _ in 0..threads {
        let (work, sender) = (work.clone(), sender.clone());
        tokio::task::spawn_blocking(move || {
            while let Some(batch) = work.step() {
                if sender.blocking_send(batch).is_err() {
                    return; // nobody wants them any more
                }
            }
        });
    }
    hashed
}

fn hash_line(config: &Config, (number, line): (usize, &str), iterations: Option<u32>) -> Result<Account> {
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
