//! `dunlin user remove` and `purge`: an account goes, and what is left where there is none.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use stanza::{ArchiveId, Bare};
use store::Stores;

use super::progress::{SAY, say};

/// How long to wait for a server to remove the account.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look.
const POLL: Duration = Duration::from_millis(100);
/// Messages removed, and items counted, at a time.
const STEP: u32 = 1_000;

/// Retires an account and gives its home a while to end its sessions, cancel its subscriptions and remove it. Says how far that went.
/// An account that was retired before is waited for again.
pub(super) async fn remove(stores: &Stores, jid: &Bare) -> Result<String> {
    let retired = stores.accounts.retire(jid).await?;
    ensure!(retired || is_retired(stores, jid).await?, "there is no account {jid}");
    Ok(match wait(stores, jid).await? {
        true => format!("removed {jid}"),
        false => waits(jid),
    })
}

/// Removes the account, if there is one, as [`remove`] does, then whatever is left under its address. Says what was found.
pub(super) async fn purge(stores: &Stores, jid: &Bare) -> Result<String> {
    let found = Found::look(stores, jid).await?;
    let was_there = stores.accounts.retire(jid).await? || is_retired(stores, jid).await?;
    if was_there && !wait(stores, jid).await? {
        return Ok(waits(jid));
    }
    empty(stores, jid, found.messages).await?;
    stores.accounts.clear(jid).await?;
    let Found {
        contacts,
        items,
        messages,
    } = found;
    let all = format!("{contacts} contacts, {items} items, {messages} messages");
    Ok(match was_there {
        true => format!("removed the account {jid}: {all}"),
        false if contacts + items + messages == 0 => format!("there is nothing of {jid}"),
        false => format!("removed what was left of {jid}: {all}"),
    })
}

/// What is kept under an address.
struct Found {
    contacts: usize,
    items: usize,
    messages: usize,
}

impl Found {
    async fn look(stores: &Stores, jid: &Bare) -> Result<Self> {
        let (mut items, mut after) = (0, None);
        loop {
            let page = stores.items.page(jid, after.as_ref(), STEP).await?;
            let Some(last) = page.last() else { break };
            items += page.len();
            after = Some(last.key.clone());
        }
        let mut messages = 0;
        for log in stores.archive.logs(jid).await? {
            messages += usize::try_from(stores.archive.count(jid, &log).await?)?;
        }
        Ok(Self {
            contacts: stores.rosters.load(jid).await?.contacts.len(),
            items,
            messages,
        })
    }
}

/// Removes messages in small steps, so that a server can write in between. Stops as soon as there is an account again.
async fn empty(stores: &Stores, jid: &Bare, total: usize) -> Result<()> {
    let (begin, mut said, mut done) = (Instant::now(), Instant::now(), 0);
    for log in stores.archive.logs(jid).await? {
        loop {
            ensure!(
                stores.accounts.get(jid).await?.is_none(),
                "{jid} was created anew meanwhile"
            );
            let removed = stores.archive.trim(jid, &log, ArchiveId(u128::MAX), STEP).await?;
            done += usize::try_from(removed)?;
            if said.elapsed() >= SAY {
                say(done, total, begin);
                said = Instant::now();
            }
            if removed < u64::from(STEP) {
                break;
            }
        }
    }
    Ok(())
}

fn waits(jid: &Bare) -> String {
    format!("retired {jid}: nobody can log in to it any more; it is removed with all it owned as soon as a server runs")
}

/// Whether a server has removed the account in time.
async fn wait(stores: &Stores, jid: &Bare) -> Result<bool> {
    let until = Instant::now() + PATIENCE;
    while is_retired(stores, jid).await? {
        if Instant::now() > until {
            return Ok(false);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(true)
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
