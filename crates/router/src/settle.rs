//! Deciding, and what must be durable before anything else of a decision happens: nothing is half done when a store is away.

use engine::{Decision, Effect, Effects, Outcome, RosterChange, Way};
use stanza::{MessageKey, StanzaError};
use store::Error;

use crate::account::Account;
use crate::archive::{self, Archived, Draft, Written};
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
}

/// Judges until what must be durable is: anew when the roster moved on. A refusal becomes a bounce without effects; a message that
/// came before has none, and only travels on.
pub(crate) async fn decide(
    core: &Core,
    account: &mut Account,
    way: Way,
    key: Option<MessageKey>,
    judge: impl Fn(&Account) -> Decision,
) -> (Decision, Settled) {
    let mut last = Refusal::Conflict;
    for _ in 0..ATTEMPTS {
        let decision = judge(account);
        if let Some(module) = decision.panicked {
            gauges::panicked(module);
            tracing::error!(module, "a hook panicked");
        }
        match settle_all(core, account, way, key, &decision).await {
            Ok(Some(settled)) => return (decision, settled),
            Ok(None) => return (known(decision), Settled::default()),
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

/// As [`settle`], for a stanza that may ask to be archived; `None` when it came before.
async fn settle_all(
    core: &Core,
    account: &mut Account,
    way: Way,
    key: Option<MessageKey>,
    decision: &Decision,
) -> Result<Option<Settled>, Refusal> {
    let archived = match archive::asked(&decision.effects) {
        Some((message, how)) => {
            let nobody = decision.outcome == Outcome::Nobody;
            let draft = Draft {
                way,
                message,
                how,
                nobody,
                key,
            };
            match archive::append(core, account, draft).await? {
                Written::New(archived) => Some(archived),
                Written::Again => return Ok(None),
            }
        }
        None => None,
    };
    let settled = settle(core, account, &decision.effects).await?;
    Ok(Some(Settled { archived, ..settled }))
}

/// Makes durable what a decision without a message asks for.
pub(crate) async fn settle(core: &Core, account: &mut Account, effects: &Effects) -> Result<Settled, Refusal> {
    let mut change = RosterChange::default();
    for effect in &effects.0 {
        if let Effect::Roster(other) = effect {
            change.put.extend(other.put.iter().cloned());
            change.remove.extend(other.remove.iter().cloned());
        }
    }
    let mut settled = Settled::default();
    if change != RosterChange::default() {
        settled.roster = Some(write_roster(core, account, change).await?);
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
