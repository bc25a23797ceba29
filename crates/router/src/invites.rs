//! Invitations as they are kept: under the host's address, each by the hash of its token, which itself is not kept. A name that an
//! invitation is for is reserved by an item under the account's address to be, which goes when the account is made.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use stanza::{Bare, Invited, Timestamp};
use store::{Error, Item, Items, Key};

use crate::invite::{Claimed, Invite, Unusable};
use crate::made::{Made, TooMany};
use crate::registration::Registration;

const SPACE: &str = "invite";
/// The item under an account's address that lists the invitations its user made.
const MADE: &str = "made";
/// The item under an account's address that says which invitation it waits for.
const RESERVED: &str = "reserved";
/// How often a change is tried that somebody else's came before.
const TRIES: usize = 16;
/// Letters of a token, 5 bits each.
const LETTERS: u32 = 24;
/// Letters of an id that are shown and enough to name an invitation.
pub const SHOWN: usize = 12;

/// A use of an invitation that is bound to a name.
pub(crate) struct Use {
    id: String,
    claim: u128,
    how: Claimed,
    /// Whose contact the new account becomes.
    pub(crate) contact: Option<Bare>,
}

/// A token that cannot be guessed, of letters and digits (XEP-0401, 5.1), from new randomness.
pub fn new_token(random: u128) -> String {
    sasl::letters(random, LETTERS)
}

/// Keeps an invitation to `host` under its token; forgets those that are over. Returns its id.
///
/// # Errors
/// As the store says.
pub async fn invite(items: &dyn Items, host: &Bare, token: &str, invite: &Invite) -> store::Result<String> {
    for item in items.list(host, SPACE).await? {
        forget_old(items, host, item, invite.created).await?;
    }
    keep(items, host, token, invite).await
}

/// Keeps an invitation to `host` under its token. Returns its id.
pub(crate) async fn keep(items: &dyn Items, host: &Bare, token: &str, invite: &Invite) -> store::Result<String> {
    let id = id(token);
    items.put(host, &key(&id), invite.encode(), None).await?;
    if let Some(jid) = invite.user.as_ref().and_then(|user| account(host, user)) {
        reserve(items, &jid, &id).await?;
    }
    Ok(id)
}

/// Counts a new invitation, of this token and time, among those that `by` made, if the rules have room for it; forgets those of `by` that are
/// over.
pub(crate) async fn count(
    items: &dyn Items,
    host: &Bare,
    by: &Bare,
    rules: &Registration,
    (token, now): (&str, Timestamp),
) -> store::Result<Result<(), TooMany>> {
    loop {
        let item = items.get(by, &key(MADE)).await?;
        let mut made = item.as_ref().map(|item| Made::decode(&item.value)).unwrap_or_default();
        for one in &mut made.0 {
            if let Some(item) = items.get(host, &key(&one.id)).await? {
                one.is_open = !forget_old(items, host, item, now).await?;
            }
        }
        if let Err(too_many) = made.add(id(token), now, rules) {
            return Ok(Err(too_many));
        }
        let seen = item.map(|item| item.version);
        match items.put(by, &key(MADE), made.encode(), seen).await {
            Err(Error::Conflict) => {} // another of this user's was counted just now
            outcome => return outcome.map(|_| Ok(())),
        }
    }
}

/// All invitations to `host` by id.
///
/// # Errors
/// As the store says.
pub async fn invites(items: &dyn Items, host: &Bare) -> store::Result<Vec<(String, Invite)>> {
    let all = items.list(host, SPACE).await?;
    let read = |item: store::Item| Some((item.key.name, Invite::decode(&item.value)?));
    Ok(all.into_iter().filter_map(read).collect())
}

/// Takes back the one invitation whose id begins with `id`. Returns whether there was one.
///
/// # Errors
/// As the store says; `Precondition` when more than one begins so.
pub async fn revoke_invite(items: &dyn Items, host: &Bare, id: &str) -> store::Result<bool> {
    loop {
        let all = items.list(host, SPACE).await?;
        let mut meant = all.iter().filter(|item| item.key.name.starts_with(id));
        let item = match (meant.next(), meant.next()) {
            (None, _) => return Ok(false),
            (Some(_), Some(_)) => return Err(Error::Precondition("more than one invitation begins so")),
            (Some(item), None) => item,
        };
        match items.remove(host, &item.key, item.version).await {
            Err(Error::Conflict) => {} // used just now
            outcome => return outcome.map(|()| true),
        }
    }
}

/// Whether an invitation other than `own` keeps the name of `jid` (XEP-0445, "Business Rules").
///
/// # Errors
/// As the store says.
pub(crate) async fn is_reserved(
    items: &dyn Items,
    host: &Bare,
    jid: &Bare,
    own: Option<&str>,
    now: Timestamp,
) -> store::Result<bool> {
    let Some(item) = items.get(jid, &key(RESERVED)).await? else {
        return Ok(false);
    };
    let id = String::from_utf8_lossy(&item.value);
    if own.is_some_and(|own| self::id(own) == id) {
        return Ok(false);
    }
    Ok(load(items, host, &id).await?.is_some_and(|invite| invite.is_good(now)))
}

/// The invitation of this token, if there is one.
pub(crate) async fn find(items: &dyn Items, host: &Bare, token: &str) -> store::Result<Option<Invite>> {
    load(items, host, &id(token)).await
}

/// Binds a use of an invitation to `name`.
pub(crate) async fn claim(
    items: &dyn Items,
    host: &Bare,
    invited: &Invited,
    name: &str,
    (claim, now): (u128, Timestamp),
) -> store::Result<Result<Use, Unusable>> {
    let id = id(&invited.token);
    let bind = |invite: &mut Invite| {
        let how = invite.claim(name, claim, invited.at, now)?;
        Ok((how, invite.contact.clone()))
    };
    let bound = change(items, host, &id, bind).await?;
    Ok(bound.map(|(how, contact)| Use {
        id,
        claim,
        how,
        contact,
    }))
}

/// The account is there.
pub(crate) async fn finish(items: &dyn Items, host: &Bare, used: &Use) -> store::Result<()> {
    let done = change(items, host, &used.id, |invite| {
        invite.finish(used.claim);
        Ok(())
    });
    done.await.map(drop)
}

/// There is an account of that name already: the use is not used up, unless somebody else may have made it of the same use.
pub(crate) async fn give_back(items: &dyn Items, host: &Bare, used: &Use) -> store::Result<()> {
    if used.how == Claimed::TakenOver {
        return finish(items, host, used).await;
    }
    let done = change(items, host, &used.id, |invite| {
        invite.give_back(used.claim);
        Ok(())
    });
    done.await.map(drop)
}

/// Changes an invitation on what it is now; one that is used up goes.
async fn change<T>(
    items: &dyn Items,
    host: &Bare,
    id: &str,
    change: impl Fn(&mut Invite) -> Result<T, Unusable>,
) -> store::Result<Result<T, Unusable>> {
    for _ in 0..TRIES {
        let item = items.get(host, &key(id)).await?;
        let read = item.and_then(|item| Some((Invite::decode(&item.value)?, item.version)));
        let Some((mut invite, version)) = read else {
            return Ok(Err(Unusable::Gone));
        };
        let changed = match change(&mut invite) {
            Ok(changed) => changed,
            Err(unusable) => return Ok(Err(unusable)),
        };
        let written = match invite.uses {
            0 => items.remove(host, &key(id), version).await,
            _ => items
                .put(host, &key(id), invite.encode(), Some(version))
                .await
                .map(drop),
        };
        match written {
            Ok(()) => return Ok(Ok(changed)),
            Err(Error::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Err(Unusable::Busy))
}

async fn load(items: &dyn Items, host: &Bare, id: &str) -> store::Result<Option<Invite>> {
    let item = items.get(host, &key(id)).await?;
    Ok(item.and_then(|item| Invite::decode(&item.value)))
}

/// The name waits for this invitation, whichever it waited for before.
async fn reserve(items: &dyn Items, jid: &Bare, id: &str) -> store::Result<()> {
    loop {
        let before = items.get(jid, &key(RESERVED)).await?.map(|item| item.version);
        let value = Bytes::copy_from_slice(id.as_bytes());
        match items.put(jid, &key(RESERVED), value, before).await {
            Err(Error::Conflict) => {}
            outcome => return outcome.map(drop),
        }
    }
}

/// Forgets an invitation that is over and of which no account is in the making. Returns whether it is forgotten.
async fn forget_old(items: &dyn Items, host: &Bare, item: Item, now: Timestamp) -> store::Result<bool> {
    let is_good = |invite: Invite| invite.is_good(now) || !invite.claims.is_empty();
    if Invite::decode(&item.value).is_some_and(is_good) {
        return Ok(false);
    }
    match items.remove(host, &item.key, item.version).await {
        Ok(()) | Err(Error::Conflict) => Ok(true),
        Err(error) => Err(error),
    }
}

pub(crate) fn account(host: &Bare, user: &str) -> Option<Bare> {
    Bare::parse(&format!("{user}@{host}")).ok()
}

/// The hash of a token: enough to know it again, not enough to use it.
fn id(token: &str) -> String {
    let hash = digest(&SHA256, token.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(name: &str) -> Key {
    Key {
        space: SPACE.to_owned(),
        name: name.to_owned(),
    }
}
