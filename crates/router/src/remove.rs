//! Accounts that were retired: their home notices, ends their sessions, says goodbye for them, and removes what they owned.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use engine::{AccountCx, AccountEvent, Effects};
use futures::FutureExt;
use stanza::{ArchiveId, Bare, SessionId, StreamCondition};
use topology::Slot;

use crate::account::Account;
use crate::cells::State;
use crate::config::ms;
use crate::core::Core;
use crate::end;
use crate::errand::{Batch, Out};
use crate::gauges;
use crate::load;
use crate::perform::{finish, perform};
use crate::settle::Settled;
use crate::travel::Travel;

/// Retired accounts read at a time.
const PAGE: u32 = 100;
/// Messages removed at a time.
const STEP: u32 = 1_000;

/// Looks for retired accounts for ever.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        tokio::time::sleep(ms(core.config.retired_ms)).await;
        if let Err(error) = look(&core).await {
            gauges::failed("retired");
            tracing::debug!(%error, "removing retired accounts");
        }
    }
}

async fn look(core: &Arc<Core>) -> store::Result<()> {
    let mut after = None;
    loop {
        let page = core.stores.accounts.retired(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        for jid in &page {
            if let Err(error) = remove(core, jid).await {
                gauges::failed("remove");
                tracing::warn!(%error, "removing an account; it will be tried again");
            }
        }
    }
}

/// Removes a retired account, if this is its home. Whatever fails or crashes in between, the next look begins again: what others are
/// told tells them nothing new the second time.
async fn remove(core: &Arc<Core>, jid: &Bare) -> store::Result<()> {
    let Ok(_pass) = core.slots.enter(Slot::of(jid.as_str())).await else {
        return Ok(());
    };
    let batch = part(core, jid).await?;
    Travel::carry(core, batch).await;
    empty(core, jid).await?;
    if core.stores.accounts.remove(jid).await? {
        gauges::removed();
        tracing::info!("an account was removed");
    }
    Ok(())
}

/// Removes what the account's logs hold in small steps: one for a long archive would take longer than a call to the store may.
async fn empty(core: &Core, jid: &Bare) -> store::Result<()> {
    let archive = &core.stores.archive;
    for log in archive.logs(jid).await? {
        while archive.trim(jid, &log, ArchiveId(u128::MAX), STEP).await? == u64::from(STEP) {}
    }
    Ok(())
}

/// Ends the sessions and says goodbye. Once the account's lock is free again there is no such account for anybody.
async fn part(core: &Core, jid: &Bare) -> store::Result<Option<Batch>> {
    let Some(host) = core.hosts.get(jid.domain()) else {
        return Ok(None);
    };
    let cell = core.cells.get(jid);
    let mut state = cell.state.lock().await;
    let mut stored;
    let account = match &mut *state {
        State::Loaded(account) => {
            load::afresh(core, account).await?;
            account
        }
        State::Absent(_) | State::Cold => {
            stored = load::retired(core, jid, host).await?;
            &mut stored
        }
    };
    let mut out = Out::default();
    end_sessions(core, account, &mut out).await;
    let effects = farewell(core, account).await?;
    perform(core, account, effects, Settled::default(), &mut out).await;
    let batch = finish(&cell, account, out).await;
    *state = load::absent(core);
    Ok(batch)
}

/// XEP-0077, 3.2: a `not-authorized` stream error for each.
async fn end_sessions(core: &Core, account: &mut Account, out: &mut Out) {
    let sessions: Vec<SessionId> = account.sessions.keys().copied().collect();
    for id in sessions {
        gauges::kicked("removed");
        end::end(core, account, id, Some(StreamCondition::NotAuthorized), out).await;
    }
}

/// What the modules ask for, each in its time and none at the cost of another.
async fn farewell(core: &Core, account: &Account) -> store::Result<Effects> {
    let cx = AccountCx {
        now: core.now(),
        host: account.host.host.clone(),
        account: account.view.clone(),
        stores: core.stores.clone(),
    };
    let mut effects = Effects::default();
    for (module, hook) in account.host.pipeline.account(&cx, AccountEvent::Removed) {
        let hook = AssertUnwindSafe(hook).catch_unwind();
        match tokio::time::timeout(ms(core.config.query_timeout_ms), hook).await {
            Ok(Ok(asked)) => effects.0.extend(asked?.0),
            Ok(Err(_)) => {
                gauges::panicked(module);
                tracing::error!(module, "an account hook panicked");
            }
            Err(_) => {
                gauges::failed("account hook");
                tracing::warn!(module, "an account hook took too long");
            }
        }
    }
    Ok(effects)
}
