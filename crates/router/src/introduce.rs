//! Who came by an invitation and who invited become contacts of each other (XEP-0401, 5.1): each one's home writes that into the
//! roster it holds, in its own time.
//!
//! What is to be done is noted under the host's address before the account is made, and each router looks for what concerns accounts at
//! home there, as for retired accounts. So nobody but an account's home changes its roster, its sessions get their pushes, and
//! whatever crashes in between is gone on with: what is done twice changes nothing.

use std::sync::Arc;

use bytes::Bytes;
use engine::{AccountView, Effect, Effects, RosterChange};
use stanza::{Bare, Head, Jid, Payload, Presence, PresenceType, Timestamp};
use store::{Ask, Contact, Error, Item, Items, Key, Subscription};
use topology::Slot;

use crate::config::ms;
use crate::core::Core;
use crate::errand::Out;
use crate::gauges;
use crate::hosts::VirtualHost;
use crate::load;
use crate::perform::{finish, perform};
use crate::refusal::Refusal;
use crate::settle::{ATTEMPTS, settle};
use crate::travel::Travel;

const SPACE: &str = "introduce";
const FORMAT: u8 = 1;
/// A note whose account was never made is dropped when it is this old, in microseconds.
const NEVER_MADE: i64 = 600_000_000;

/// Two accounts that are to be contacts of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Introduction {
    newcomer: Bare,
    /// Who invited.
    inviter: Bare,
    /// When the newcomer's account was made: another account of that name is another matter.
    created: Timestamp,
    /// Whose roster has it already: the newcomer's, the inviter's.
    done: [bool; 2],
}

/// What came of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Another router's affair, or this one's later.
    Later,
    /// There is no such account.
    Nobody,
}

/// Notes that `newcomer`, whose account is about to be made as of `created`, and `contact` are to be introduced.
pub(crate) async fn note(items: &dyn Items, newcomer: &Bare, contact: &Bare, created: Timestamp) -> store::Result<()> {
    let (Some(host), Some(key)) = (owner(newcomer.domain()), key(newcomer)) else {
        return Ok(());
    };
    let introduction = Introduction {
        newcomer: newcomer.clone(),
        inviter: contact.clone(),
        created,
        done: [false; 2],
    };
    loop {
        let before = items.get(&host, &key).await?.map(|item| item.version);
        match items.put(&host, &key, introduction.encode(), before).await {
            Err(Error::Conflict) => {}
            outcome => return outcome.map(drop),
        }
    }
}

/// Looks for ever, where there may be something.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        tokio::time::sleep(ms(core.config.retired_ms)).await;
        for host in core.hosts.values().filter(|host| host.registration.is_offered()) {
            if let Err(error) = look_at(&core, host).await {
                gauges::failed("introduce");
                tracing::debug!(%error, "introducing accounts");
            }
        }
    }
}

/// Does what can be done here now.
pub(crate) async fn look_at(core: &Arc<Core>, host: &VirtualHost) -> store::Result<()> {
    let Some(owner) = owner(&host.host.domain) else {
        return Ok(());
    };
    for item in core.stores.items.list(&owner, SPACE).await? {
        let outcome = match Introduction::decode(&owner, &item) {
            Some(introduction) => go_on(core, &owner, &item, introduction).await,
            None => core.stores.items.remove(&owner, &item.key, item.version).await,
        };
        match outcome {
            Ok(()) | Err(Error::Conflict) => {} // another router was here
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn go_on(core: &Arc<Core>, owner: &Bare, item: &Item, before: Introduction) -> store::Result<()> {
    let items = &*core.stores.items;
    let stored = core.stores.accounts.get(&before.newcomer).await?;
    if stored.is_none_or(|stored| stored.created != before.created) {
        return match core.now().0.saturating_sub(before.created.0) < NEVER_MADE {
            true => Ok(()), // it may be in the making
            false => items.remove(owner, &item.key, item.version).await,
        };
    }
    let mut after = before.clone();
    for (at, (one, other)) in [(&before.newcomer, &before.inviter), (&before.inviter, &before.newcomer)]
        .into_iter()
        .enumerate()
    {
        if after.done[at] {
            continue;
        }
        match befriend(core, one, other).await? {
            Outcome::Done => after.done[at] = true,
            Outcome::Later => {}
            Outcome::Nobody => after.done = [true; 2],
        }
    }
    match after.done {
        [true, true] => items.remove(owner, &item.key, item.version).await,
        done if done == before.done => Ok(()),
        _ => items
            .put(owner, &item.key, after.encode(), Some(item.version))
            .await
            .map(drop),
    }
}

/// Brings `other` into the roster of `one`, if that is at home here.
async fn befriend(core: &Arc<Core>, one: &Bare, other: &Bare) -> store::Result<Outcome> {
    let Ok(_pass) = core.slots.enter(Slot::of(one.as_str())).await else {
        return Ok(Outcome::Later);
    };
    let cell = core.cells.get(one);
    let mut state = cell.state.lock().await;
    let Some(account) = load::account_afresh(core, one, &mut state).await? else {
        return Ok(Outcome::Nobody);
    };
    for _ in 0..ATTEMPTS {
        let effects = introduced(&account.view, other);
        match settle(core, account, &effects).await {
            Ok(settled) => {
                let mut out = Out::default();
                perform(core, account, effects, settled, &mut out).await;
                let batch = finish(&cell, account, out).await;
                drop(state);
                Travel::carry(core, batch).await;
                return Ok(Outcome::Done);
            }
            Err(Refusal::Conflict) => load::afresh(core, account).await?,
            Err(_) => break,
        }
    }
    Ok(Outcome::Later)
}

/// What makes `other` a contact with a subscription both ways. Whoever is online learns so at once: the side that comes last finds the
/// other ready to hear its presence, and to be asked for its own.
fn introduced(view: &AccountView, other: &Bare) -> Effects {
    let mut effects = Effects::default();
    let known = view.roster.contacts.get(other.jid()).cloned();
    if known
        .as_ref()
        .is_some_and(|known| known.subscription == Subscription::Both)
    {
        return effects;
    }
    let contact = Contact {
        subscription: Subscription::Both,
        ask: Ask::None,
        approved: false,
        pending_in: None,
        in_roster: true,
        ..known.unwrap_or_else(|| Contact::new(other.jid().clone()))
    };
    effects.push(Effect::Roster(RosterChange {
        put: vec![contact],
        ..RosterChange::default()
    }));
    for session in view.available() {
        if let Some(presence) = &session.presence {
            let mut presence = Presence::clone(presence);
            (presence.head.from, presence.head.to) = (Some(session.jid.jid().clone()), Some(other.jid().clone()));
            effects.send(presence);
            effects.send(probe(session.jid.jid(), other));
        }
    }
    effects
}

fn probe(from: &Jid, to: &Bare) -> Presence {
    let head = Head {
        from: Some(from.clone()),
        to: Some(to.jid().clone()),
        ..Head::default()
    };
    Presence {
        head,
        kind: PresenceType::Probe,
        payload: Payload::default(),
    }
}

impl Introduction {
    /// Format (1); flags (1: the newcomer's side is done, 2: the inviter's); created (i64, big-endian); the inviter's address.
    fn encode(&self) -> Bytes {
        let flags = u8::from(self.done[0]) | u8::from(self.done[1]) << 1;
        let created = self.created.0.to_be_bytes();
        [&[FORMAT, flags][..], &created, self.inviter.as_str().as_bytes()]
            .concat()
            .into()
    }

    fn decode(owner: &Bare, item: &Item) -> Option<Self> {
        let (head, contact) = item.value.split_at_checked(10)?;
        let created = <[u8; 8]>::try_from(head.get(2..10)?).ok()?;
        (head.first() == Some(&FORMAT)).then_some(())?;
        let flags = head.get(1)?;
        Some(Self {
            newcomer: Bare::parse(&format!("{}@{owner}", item.key.name)).ok()?,
            inviter: Bare::parse(std::str::from_utf8(contact).ok()?).ok()?,
            created: Timestamp(i64::from_be_bytes(created)),
            done: [flags & 1 != 0, flags & 2 != 0],
        })
    }
}

fn owner(domain: &str) -> Option<Bare> {
    Bare::parse(domain).ok()
}

fn key(newcomer: &Bare) -> Option<Key> {
    Some(Key {
        space: SPACE.to_owned(),
        name: newcomer.local()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use store::Version;

    use super::*;

    #[test]
    fn what_is_noted_is_read() {
        let host = owner("capulet.example").unwrap();
        let newcomer = Bare::parse("nurse@capulet.example").unwrap();
        for done in [[false, false], [true, false], [false, true]] {
            let introduction = Introduction {
                newcomer: newcomer.clone(),
                inviter: Bare::parse("romeo@montague.example").unwrap(),
                created: Timestamp(-7),
                done,
            };
            let item = |value| Item {
                key: key(&newcomer).unwrap(),
                version: Version(1),
                value,
            };
            let bytes = introduction.encode();
            assert_eq!(Introduction::decode(&host, &item(bytes.clone())), Some(introduction));
            assert_eq!(Introduction::decode(&host, &item(bytes.slice(..9))), None);
        }
    }
}
