//! Deciding, and what must be durable before anything else of a decision happens: nothing is half done when a store is away.

use engine::{Decision, Effect, Effects, Facts, Outcome, Put, RosterChange, Way};
use stanza::{ArchiveId, MessageKey, StanzaError};
use store::Error;

use crate::account::Account;
use crate::archive::{self, Archived, Draft, Place, Written};
use crate::core::Core;
use crate::gauges;
use crate::load;
use crate::refusal::Refusal;

/// How often a decision is taken anew when somebody else was faster.
pub(crate) const ATTEMPTS: usize = 5;

/// What became durable.
#[derive(Default)]
pub(crate) struct Settled {
    /// The change of the roster and its new version.
    pub(crate) roster: Option<(RosterChange, u64)>,
    /// Where the message stands in the archive.
    pub(crate) archived: Option<Archived>,
    /// The account's facts, once values from which they are read were written.
    pub(crate) facts: Option<Facts>,
}

/// Judges until what must be durable is: anew when the roster moved on. A refusal becomes a bounce without effects; a message that
/// came before has none, and only travels on.
pub(crate) async fn decide(
    core: &Core,
    account: &mut Account,
    way: Way,
    key: Option<MessageKey>,
    judge: impl Fn(&Account, ArchiveId) -> Decision,
) -> (Decision, Settled) {
    account.note_attention();
    let mut last = Refusal::Conflict;
    let mut place = Place::Fresh(account.next_id(core.now(), core.entropy.bits()));
    for _ in 0..ATTEMPTS {
        let decision = judge(account, place.id());
        if let Some(module) = decision.panicked {
            gauges::panicked(module);
            tracing::error!(module, "a hook panicked");
        }
        match settle_all(core, account, (way, key, place), &decision).await {
            Ok(Either::Settled(settled)) => return (decision, settled),
            Ok(Either::Again) => return (known(decision), Settled::default()),
            Ok(Either::Elsewhere(other)) => {
                place = other;
                continue;
            }
            Err(refusal) => last = refusal,
        }
        if last != Refusal::Conflict {
            break;
        }
        if load::afresh(core, account).await.is_err() {
            last = Refusal::Away;
            break;
        }
    }
    (bounce(last.into()), Settled::default())
}

/// What came of what must be durable.
enum Either {
    Settled(Settled),
    /// The message came before, and was dealt with then.
    Again,
    /// The message stands under another id than the one by which it was judged.
    Elsewhere(Place),
}

/// As [`settle`], for a stanza that may ask to be archived.
async fn settle_all(
    core: &Core,
    account: &mut Account,
    (way, key, place): (Way, Option<MessageKey>, Place),
    decision: &Decision,
) -> Result<Either, Refusal> {
    // A message that stands in the archive was accepted: what else must be durable comes first.
    let settled = settle(core, account, &decision.effects).await?;
    let archived = match archive::asked(&decision.effects) {
        Some((message, how)) => {
            let nobody = decision.outcome == Outcome::Nobody;
            let draft = Draft {
                way,
                message,
                how,
                nobody,
                key,
                place,
            };
            match archive::append(core, account, draft).await? {
                Written::New(archived) => Some(archived),
                other => {
                    // What was written for nothing is read again.
                    account.stale |= settled.roster.is_some() || settled.facts.is_some();
                    return Ok(match other {
                        Written::Elsewhere(place) => Either::Elsewhere(place),
                        _ => Either::Again,
                    });
                }
            }
        }
        None => None,
    };
    Ok(Either::Settled(Settled { archived, ..settled }))
}

/// Makes durable what a decision without a message asks for.
pub(crate) async fn settle(core: &Core, account: &mut Account, effects: &Effects) -> Result<Settled, Refusal> {
    let mut change = RosterChange::default();
    for effect in &effects.0 {
        match effect {
            Effect::Roster(other) => {
                change.put.extend(other.put.iter().cloned());
                change.remove.extend(other.remove.iter().cloned());
            }
            Effect::Retire => retire(core, account).await?,
            _ => {}
        }
    }
    let mut settled = Settled::default();
    if change != RosterChange::default() {
        settled.roster = Some(write_roster(core, account, change).await?);
    }
    for effect in &effects.0 {
        if let Effect::Put(put) = effect {
            write_value(core, account, put).await?;
            reload(core, account, put, &mut settled).await?;
        }
    }
    Ok(settled)
}

/// A message that came before: what it led to was done, or is found in the archive. Only on its way out it must go on, as nobody knows
/// how far it came.
fn known(decision: Decision) -> Decision {
    let outcome = match decision.outcome {
        Outcome::Undecided => Outcome::Undecided,
        _ => Outcome::Ignore,
    };
    Decision {
        outcome,
        own: None,
        effects: Effects::default(),
        panicked: None,
    }
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

async fn write_value(core: &Core, account: &Account, put: &Put) -> Result<(), Refusal> {
    let (items, owner) = (&core.stores.items, account.jid());
    let written = match (&put.value, put.seen) {
        (Some(value), seen) => items.put(owner, &put.key, value.clone(), seen).await.map(|_| ()),
        (None, Some(seen)) => items.remove(owner, &put.key, seen).await,
        (None, None) => Ok(()),
    };
    written.map_err(|error| match error {
        Error::Conflict => Refusal::Conflict,
        error => {
            gauges::failed("items");
            tracing::warn!(%error, "writing a value");
            Refusal::Away
        }
    })
}

/// Reads the fact again that comes of a value. Should that fail, all facts are read again before the account is used next.
async fn reload(core: &Core, account: &mut Account, put: &Put, settled: &mut Settled) -> Result<(), Refusal> {
    let Some(loader) = put.fact else { return Ok(()) };
    let facts = settled.facts.get_or_insert_with(|| account.view.facts.clone());
    facts
        .reload(loader, &core.stores, &account.view.jid)
        .await
        .map_err(|error| {
            account.stale = true;
            gauges::failed("load");
            tracing::warn!(%error, "loading a fact");
            Refusal::Away
        })
}

async fn retire(core: &Core, account: &Account) -> Result<(), Refusal> {
    match core.stores.accounts.retire(account.jid()).await {
        Ok(_) => Ok(()),
        Err(error) => {
            gauges::failed("retire");
            tracing::warn!(%error, "retiring an account");
            Err(Refusal::Away)
        }
    }
}

/// Writes what is the user's own of the change. Returns it as the user sees it.
async fn write_roster(
    core: &Core,
    account: &Account,
    mut change: RosterChange,
) -> Result<(RosterChange, u64), Refusal> {
    let (rosters, seen) = (&core.stores.rosters, account.view.roster.version);
    let written = match &account.view.lent {
        Some(lent) => {
            let kept: Vec<_> = change.put.iter().map(|shown| lent.keep(shown)).collect();
            change.put = kept.iter().cloned().map(|kept| lent.show(kept)).collect();
            rosters.change(account.jid(), seen, &kept, &change.remove).await
        }
        None => rosters.change(account.jid(), seen, &change.put, &change.remove).await,
    };
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
