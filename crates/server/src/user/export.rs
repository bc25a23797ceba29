//! `dunlin user export`: all that is kept of an account, read and written bit by bit.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use stanza::Bare;
use store::{EntryId, PageRequest, Stores};

use super::pie;
use super::progress::{SAY, say};

/// Entries and items read at a time.
const PAGE: u32 = 100;
/// The space of what takes a password's place.
const TOKENS: &str = "tokens";
/// How much is gathered before it is written.
const BUFFER: usize = 64 * 1024;

/// Writes all that is kept of the account to a new file that only its owner can read, or to standard output.
///
/// # Errors
/// When there is no such account, the file is there already, or something cannot be read or written; then no file is left.
pub(super) async fn export(stores: &Stores, jid: &Bare, file: Option<&Path>, credentials: bool) -> Result<()> {
    let account = stores.accounts.get(jid).await?;
    let account = account.with_context(|| format!("there is no account {jid}"))?;
    let Some(path) = file else {
        let out = std::io::stdout().lock();
        return Export::new(stores, account, credentials, out).run().await;
    };
    let out = create(path).with_context(|| format!("creating {}", path.display()))?;
    let done = Export::new(stores, account, credentials, out).run().await;
    if done.is_err() {
        let _ = std::fs::remove_file(path); // the first error is the one to tell
    }
    done.with_context(|| path.display().to_string())
}

fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

struct Export<'a, W: Write> {
    stores: &'a Stores,
    account: store::Account,
    credentials: bool,
    out: BufWriter<W>,
    piece: Vec<u8>,
    /// Messages that only wait for somebody to take them.
    waiting: Vec<EntryId>,
    progress: Progress,
}

/// How far it is.
struct Progress {
    begin: Instant,
    said: Instant,
    done: usize,
    total: usize,
}

impl<'a, W: Write> Export<'a, W> {
    fn new(stores: &'a Stores, account: store::Account, credentials: bool, out: W) -> Self {
        Self {
            stores,
            account,
            credentials,
            out: BufWriter::with_capacity(BUFFER, out),
            piece: Vec::new(),
            waiting: Vec::new(),
            progress: Progress {
                begin: Instant::now(),
                said: Instant::now(),
                done: 0,
                total: 0,
            },
        }
    }

    async fn run(mut self) -> Result<()> {
        pie::begin(&self.account, &mut self.piece);
        if self.credentials {
            pie::credentials(&self.account.verifiers, &mut self.piece);
        }
        let owner = self.account.jid.clone();
        pie::roster(&self.stores.rosters.load(&owner).await?, &mut self.piece);
        pie::private(&self.stores.items.list(&owner, pie::PRIVATE).await?, &mut self.piece);
        self.items(&owner).await?;
        let logs = self.stores.archive.logs(&owner).await?;
        for log in &logs {
            let held = self.stores.archive.count(&owner, log).await?;
            self.progress.total += usize::try_from(held).unwrap_or(usize::MAX);
        }
        for log in &logs {
            self.log(&owner, log).await?;
        }
        self.offline(&owner).await?;
        pie::end(&mut self.piece);
        self.put()?;
        self.out.flush()?;
        self.progress.end();
        Ok(())
    }

    fn put(&mut self) -> Result<()> {
        self.out.write_all(&self.piece).context("writing")?;
        self.piece.clear();
        Ok(())
    }

    async fn items(&mut self, owner: &Bare) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.stores.items.page(owner, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            let is_secret = |space: &str| space == TOKENS && !self.credentials;
            for item in page.iter().filter(|item| !is_secret(&item.key.space)) {
                if item.key.space != pie::PRIVATE {
                    pie::item(item, &mut self.piece);
                }
            }
            self.put()?;
        }
    }

    async fn log(&mut self, owner: &Bare, log: &str) -> Result<()> {
        pie::begin_log(log, &mut self.piece);
        let mut request = PageRequest {
            limit: PAGE,
            ..PageRequest::default()
        };
        loop {
            let page = self.stores.archive.page(owner, log, &request).await?;
            for entry in &page.entries {
                if log == pie::ARCHIVE && pie::only_waits(owner, entry) {
                    self.waiting.push(entry.id);
                } else {
                    pie::message(owner, entry, &mut self.piece);
                }
            }
            self.put()?;
            self.progress.more(page.entries.len());
            match page.entries.last() {
                Some(last) if !page.complete => request.after = Some(last.id),
                _ => break,
            }
        }
        pie::end_log(log, &mut self.piece);
        Ok(())
    }

    async fn offline(&mut self, owner: &Bare) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        pie::begin_offline(&mut self.piece);
        for ids in std::mem::take(&mut self.waiting).chunks(PAGE as usize) {
            for entry in self.stores.archive.entries(owner, pie::ARCHIVE, ids).await? {
                pie::offline(owner, &entry, &mut self.piece);
            }
            self.put()?;
        }
        pie::end_offline(&mut self.piece);
        Ok(())
    }
}

impl Progress {
    fn more(&mut self, messages: usize) {
        self.done += messages;
        if self.said.elapsed() >= SAY {
            say(self.done, self.total.max(self.done + 1), self.begin);
            self.said = Instant::now();
        }
    }

    fn end(&self) {
        say(self.done, self.done, self.begin);
    }
}
