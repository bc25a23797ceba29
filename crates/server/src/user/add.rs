//! `dunlin user add`: new accounts, one or many.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use stanza::{Bare, Timestamp};
use store::{Account, Stores};
use tokio::sync::mpsc;

use super::progress::{SAY, say};
use crate::config::Config;

/// How many accounts are created in one durable step.
const BATCH: usize = 100;

/// Creates the accounts of `file`, hashing on all processors, and says how far it is.
pub(super) async fn add_many(config: &Config, stores: &Stores, file: &Path, iterations: Option<u32>) -> Result<()> {
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

/// The account that somebody asks for, at one of the configured hosts.
pub(super) fn account(config: &Config, jid: &str, password: &str, iterations: Option<u32>) -> Result<Account> {
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
        disabled: false,
    })
}

pub(super) async fn create(stores: &Stores, accounts: &[Account]) -> Result<()> {
    match stores.accounts.create(accounts).await {
        Ok(()) => Ok(()),
        Err(store::Error::Precondition(reason)) => bail!("{reason}: nothing was added"),
        Err(error) => Err(error.into()),
    }
}
