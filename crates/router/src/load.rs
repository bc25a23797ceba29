//! Loading accounts, once, under their own lock.

use std::sync::Arc;
use std::time::Duration;

use engine::{AccountView, Facts, Lent};
use futures::try_join;
use stanza::{Bare, Timestamp};
use store::Roster;
use tokio::time::Instant;

use crate::account::Account;
use crate::cells::State;
use crate::core::Core;
use crate::gauges;
use crate::hosts::VirtualHost;

/// The account in `state`, loaded if need be; `None` when there is no such account.
pub(crate) async fn account<'a>(
    core: &Core,
    jid: &Bare,
    state: &'a mut State,
) -> store::Result<Option<&'a mut Account>> {
    let stale = match state {
        State::Loaded(_) => false,
        State::Absent(until) => *until <= Instant::now(),
        State::Cold => true,
    };
    if stale {
        *state = load(core, jid).await?;
    }
    match state {
        State::Loaded(account) => {
            if account.stale {
                afresh(core, account).await?;
            }
            Ok(Some(account))
        }
        State::Absent(_) | State::Cold => Ok(None),
    }
}

/// As [`account`], but asks the store whether it still exists, who may log in and by which password: before a session is bound.
pub(crate) async fn account_afresh<'a>(
    core: &Core,
    jid: &Bare,
    state: &'a mut State,
) -> store::Result<Option<&'a mut Account>> {
    let unused = match state {
        State::Loaded(account) => account.sessions.is_empty(),
        State::Absent(_) | State::Cold => true,
    };
    if unused {
        // Should the store be away, nothing is forgotten.
        let loaded = load(core, jid).await?;
        let before = std::mem::replace(state, loaded);
        if let (State::Loaded(account), State::Loaded(before)) = (&mut *state, before) {
            // What is known of the archive need not be read again, and may not be written yet.
            (account.log, account.log_version, account.marked) = (before.log, before.log_version, before.marked);
            account.doubts = before.doubts;
            account.view_mut().meters = before.view.meters.clone();
        }
        return account(core, jid, state).await;
    }
    if let State::Loaded(account) = state
        && !look_again(core, account).await?
    {
        return Ok(None);
    }
    account(core, jid, state).await
}

/// Asks the store of the account itself again: whoever changed its password, or disabled it, may have done so elsewhere. Returns whether
/// there still is one; of a component no store knows anything.
pub(crate) async fn look_again(core: &Core, account: &mut Account) -> store::Result<bool> {
    if account.is_component() {
        return Ok(true);
    }
    let stored = core.stores.accounts.get(account.jid()).await?;
    if let Some(stored) = &stored {
        account.learn(stored, core.voucher.mark(stored));
    }
    Ok(stored.is_some())
}

/// Reads the roster and the facts again, after somebody else wrote them.
pub(crate) async fn afresh(core: &Core, account: &mut Account) -> store::Result<()> {
    let (jid, host) = (account.jid(), &account.host);
    let ((roster, lent), facts) = try_join!(roster(core, jid, host), facts(core, jid, host))?;
    let view = account.view_mut();
    (view.roster, view.lent, view.facts) = (roster, lent, facts);
    account.stale = false;
    Ok(())
}

/// An account that was retired, from what the stores still hold of it.
pub(crate) async fn retired(core: &Core, jid: &Bare, host: &Arc<VirtualHost>) -> store::Result<Account> {
    // Nobody will bind to it.
    let created = Timestamp(i64::MAX);
    Ok(Account::new(host.clone(), created, view(core, jid, None, host).await?))
}

/// There is no such account, as far as is known for a while.
pub(crate) fn absent(core: &Core) -> State {
    State::Absent(Instant::now() + Duration::from_secs(core.config.absent_account_s))
}

async fn load(core: &Core, jid: &Bare) -> store::Result<State> {
    let Some(host) = core.hosts.get(jid.domain()) else {
        if let Some(host) = core.components.get(jid.domain()).filter(|_| jid.local().is_none()) {
            return Ok(State::Loaded(Box::new(Account::component(jid.clone(), host.clone()))));
        }
        return Ok(absent(core));
    };
    let Some(stored) = core.stores.accounts.get(jid).await? else {
        return Ok(absent(core));
    };
    gauges::loaded();
    let view = view(core, jid, stored.last_seen, host).await?;
    let mut account = Account::new(host.clone(), stored.created, view);
    account.learn(&stored, core.voucher.mark(&stored));
    Ok(State::Loaded(Box::new(account)))
}

async fn view(core: &Core, jid: &Bare, last_seen: Option<Timestamp>, host: &VirtualHost) -> store::Result<AccountView> {
    let ((roster, lent), facts) = try_join!(roster(core, jid, host), facts(core, jid, host))?;
    Ok(AccountView {
        jid: jid.clone(),
        sessions: Vec::new(),
        meters: engine::Meters::default(),
        roster,
        lent,
        away_since: last_seen,
        facts,
    })
}

async fn facts(core: &Core, jid: &Bare, host: &VirtualHost) -> store::Result<Facts> {
    Facts::load(host.pipeline.facts(), &core.stores, jid).await
}

/// The roster, with what is lent to the account on top of it.
async fn roster(core: &Core, jid: &Bare, host: &VirtualHost) -> store::Result<(Arc<Roster>, Option<Arc<Lent>>)> {
    let (own, loan) = try_join!(core.stores.rosters.load(jid), host.pipeline.loan(&core.stores, jid))?;
    let own = Arc::new(own);
    Ok(match loan.map(|loan| Lent::new(jid.clone(), loan, own.clone())) {
        Some(lent) => (Arc::new(lent.shown()), Some(Arc::new(lent))),
        None => (own, None),
    })
}
