//! Deciding, and what must be durable before anything else of a decision happens: nothing is half done when a store is away.

use engine::{Decision, Effect, Effects, Outcome, RosterChange};
use stanza::{Condition, ErrorType, Message, StanzaError};
use store::{Append, Entry, EntryId, Error};

use crate::account::Account;
use crate::core::Core;
use crate::gauges;
use crate::load;
use crate::mirror::canonical;

/// How often a decision is taken anew when somebody else was faster.
pub(crate) const ATTEMPTS: usize = 5;

/// The log of messages kept until somebody takes them.
pub(crate) const KEPT: &str = "offline";

/// What became durable.
#[derive(Default)]
pub(crate) struct Settled {
    /// The change of the roster and its new version.
    pub(crate) roster: Option<(RosterChange, u64)>,
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The roster has moved on: decide anew.
    Conflict,
    /// A store is away.
    Away,
    /// The log of kept messages is full.
    Full,
}

impl From<Refusal> for StanzaError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict | Refusal::Away => Self::new(Condition::ResourceConstraint).with_type(ErrorType::Wait),
            Refusal::Full => Self::new(Condition::ServiceUnavailable),
        }
    }
}

/// Judges until what must be durable is: anew when the roster moved on. A refusal becomes a bounce without effects.
pub(crate) async fn decide(
    core: &Core,
    account: &mut Account,
    judge: impl Fn(&Account) -> Decision,
) -> (Decision, Settled) {
    let mut last = Refusal::Conflict;
    for _ in 0..ATTEMPTS {
        let decision = judge(account);
        if let Some(module) = decision.panicked {
            gauges::panicked(module);
            tracing::error!(module, "a hook panicked");
        }
        match settle(core, account, &decision.effects).await {
            Ok(settled) => return (decision, settled),
            Err(refusal) => last = refusal,
        }
        if last != Refusal::Conflict {
            break;
        }
        if load::roster(core, account).await.is_err() {
            last = Refusal::Away;
            break;
        }
    }
    (bounce(last.into()), Settled::default())
}

/// Makes durable what must be, all of it or (roster and log apart) nothing.
pub(crate) async fn settle(core: &Core, account: &mut Account, effects: &Effects) -> Result<Settled, Refusal> {
    let mut change = RosterChange::default();
    let mut keep = Vec::new();
    for effect in &effects.0 {
        match effect {
            Effect::Roster(other) => {
                change.put.extend(other.put.iter().cloned());
                change.remove.extend(other.remove.iter().cloned());
            }
            Effect::Keep(message) => keep.push(message),
            _ => {}
        }
    }
    if !keep.is_empty() {
        room_for(core, account, keep.len()).await?;
    }
    let mut settled = Settled::default();
    if change != RosterChange::default() {
        settled.roster = Some(write_roster(core, account, change).await?);
    }
    if !keep.is_empty() {
        write_kept(core, account, &keep).await?;
    }
    Ok(settled)
}

/// A decision that nothing happens but an error.
fn bounce(error: StanzaError) -> Decision {
    Decision {
        outcome: Outcome::Bounce(error),
        own: None,
        effects: Effects::default(),
        panicked: None,
    }
}

async fn write_roster(core: &Core, account: &Account, change: RosterChange) -> Result<(RosterChange, u64), Refusal> {
    let seen = account.view.roster.version;
    let written = core
        .stores
        .rosters
        .change(account.jid(), seen, &change.put, &change.remove)
        .await;
    match written {
        Ok(version) => Ok((change, version)),
        Err(Error::Conflict) => Err(Refusal::Conflict),
        Err(error) => {
            gauges::failed("roster");
            tracing::warn!(%error, "changing a roster");
            Err(Refusal::Away)
        }
    }
}

async fn room_for(core: &Core, account: &mut Account, more: usize) -> Result<(), Refusal> {
    let kept = match account.kept {
        Some(kept) => kept,
        None => core
            .stores
            .archive
            .count(account.jid(), KEPT)
            .await
            .map_err(|_| Refusal::Away)?,
    };
    account.kept = Some(kept);
    let limit = account.host.pipeline.keep_limit().unwrap_or(core.config.kept_messages);
    if kept + more as u64 > u64::from(limit) {
        gauges::kept(false);
        return Err(Refusal::Full);
    }
    Ok(())
}

async fn write_kept(core: &Core, account: &mut Account, messages: &[&Message]) -> Result<(), Refusal> {
    let appends: Vec<Append> = messages.iter().map(|message| entry(core, account, message)).collect();
    if let Err(error) = core.stores.archive.append(&appends).await {
        gauges::failed("keep");
        tracing::warn!(%error, "keeping a message");
        // It may have been written all the same: count again before the next.
        account.kept = None;
        return Err(Refusal::Away);
    }
    account.kept = account.kept.map(|kept| kept + appends.len() as u64);
    messages.iter().for_each(|_| gauges::kept(true));
    Ok(())
}

fn entry(core: &Core, account: &mut Account, message: &Message) -> Append {
    let now = core.now();
    let fresh = (u128::from(now.0.cast_unsigned()) << 64) | (core.entropy.bits() >> 64);
    // The order of arrival holds even within a microsecond, and when the clock goes back.
    let id = EntryId(fresh.max(account.last_kept.0 + 1));
    account.last_kept = id;
    Append {
        owner: account.jid().clone(),
        log: KEPT,
        entry: Entry {
            id,
            at: now,
            with: message.head.from.clone(),
            key: None,
            stanza: canonical(&message.clone().into()),
        },
    }
}
