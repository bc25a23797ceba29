//! Accounts, rosters, logs and items: one record per owner, so that removing an account removes all it owned.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use stanza::{Bare, Jid, Timestamp};

use crate::{
    Account, Accounts, Append, Archive, Contact, Entry, EntryId, Error, Filling, Item, Items, Key, Page, PageRequest,
    Result, Roster, Rosters, Verifier, Version,
};

/// What would be on disk: [`Accounts`], [`Rosters`], [`Archive`] and [`Items`].
#[derive(Default)]
pub struct Durable {
    owners: Mutex<BTreeMap<Bare, Owner>>,
}

#[derive(Default)]
struct Owner {
    account: Option<Account>,
    /// Whether it is, or was, an account that waits for its removal.
    retired: bool,
    roster: Roster,
    logs: BTreeMap<String, Log>,
    items: BTreeMap<Key, Item>,
}

#[derive(Default)]
struct Log {
    entries: BTreeMap<EntryId, Entry>,
    keys: BTreeMap<Bytes, EntryId>,
}

#[async_trait]
impl Accounts for Durable {
    async fn get(&self, jid: &Bare) -> Result<Option<Account>> {
        Ok(self.owners.lock().get(jid).and_then(|owner| owner.account.clone()))
    }

    async fn create(&self, accounts: &[Account]) -> Result<()> {
        let mut owners = self.owners.lock();
        let mut seen = std::collections::BTreeSet::new();
        let taken = |jid: &Bare| {
            owners
                .get(jid)
                .is_some_and(|owner| owner.account.is_some() || owner.retired)
        };
        if accounts
            .iter()
            .any(|account| taken(&account.jid) || !seen.insert(&account.jid))
        {
            return Err(Error::Precondition("account exists"));
        }
        for account in accounts {
            let fresh = Owner {
                account: Some(account.clone()),
                ..Owner::default()
            };
            owners.insert(account.jid.clone(), fresh);
        }
        Ok(())
    }

    async fn set_verifiers(&self, jid: &Bare, verifiers: &[Verifier]) -> Result<()> {
        let mut owners = self.owners.lock();
        let account = owners.get_mut(jid).and_then(|owner| owner.account.as_mut());
        account.ok_or(Error::Precondition("no such account"))?.verifiers = verifiers.to_vec();
        Ok(())
    }

    async fn set_last_seen(&self, jid: &Bare, at: Timestamp) -> Result<()> {
        if let Some(account) = self.owners.lock().get_mut(jid).and_then(|owner| owner.account.as_mut()) {
            account.last_seen = Some(at);
        }
        Ok(())
    }

    async fn set_disabled(&self, jid: &Bare, disabled: bool) -> Result<bool> {
        let mut owners = self.owners.lock();
        let account = owners.get_mut(jid).and_then(|owner| owner.account.as_mut());
        Ok(account.map(|account| account.disabled = disabled).is_some())
    }

    async fn retire(&self, jid: &Bare) -> Result<bool> {
        let mut owners = self.owners.lock();
        let Some(owner) = owners.get_mut(jid).filter(|owner| owner.account.is_some()) else {
            return Ok(false);
        };
        (owner.account, owner.retired) = (None, true);
        Ok(true)
    }

    async fn retired(&self, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>> {
        let owners = self.owners.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = owners.range::<Bare, _>((from, Bound::Unbounded));
        let found = found.filter(|(_, owner)| owner.retired);
        Ok(found.map(|(jid, _)| jid.clone()).take(limit as usize).collect())
    }

    async fn remove(&self, jid: &Bare) -> Result<bool> {
        let mut owners = self.owners.lock();
        let is_retired = owners.get(jid).is_some_and(|owner| owner.retired);
        Ok(is_retired && owners.remove(jid).is_some())
    }

    async fn clear(&self, jid: &Bare) -> Result<()> {
        let mut owners = self.owners.lock();
        if owners
            .get(jid)
            .is_some_and(|owner| owner.account.is_some() || owner.retired)
        {
            return Err(Error::Precondition("account exists"));
        }
        owners.remove(jid);
        Ok(())
    }

    async fn list(&self, domain: &str, after: Option<&Bare>, limit: u32) -> Result<Vec<Bare>> {
        let owners = self.owners.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = owners.range::<Bare, _>((from, Bound::Unbounded));
        let found = found.filter(|(jid, owner)| jid.domain() == domain && owner.account.is_some());
        Ok(found.map(|(jid, _)| jid.clone()).take(limit as usize).collect())
    }
}

#[async_trait]
impl Rosters for Durable {
    async fn load(&self, owner: &Bare) -> Result<Roster> {
        Ok(self
            .owners
            .lock()
            .get(owner)
            .map(|owner| owner.roster.clone())
            .unwrap_or_default())
    }

    async fn change(&self, owner: &Bare, seen: u64, put: &[Contact], remove: &[Jid]) -> Result<u64> {
        let mut owners = self.owners.lock();
        let roster = &mut owners.entry(owner.clone()).or_default().roster;
        if roster.version != seen {
            return Err(Error::Conflict);
        }
        roster.apply(put, remove);
        Ok(roster.version)
    }
}

#[async_trait]
impl Archive for Durable {
    async fn append(&self, entries: &[Append]) -> Result<Vec<EntryId>> {
        let mut owners = self.owners.lock();
        let append = |append: &Append| {
            let logs = &mut owners.entry(append.owner.clone()).or_default().logs;
            logs.entry(append.log.to_owned()).or_default().append(&append.entry)
        };
        Ok(entries.iter().map(append).collect())
    }

    async fn page(&self, owner: &Bare, log: &str, request: &PageRequest) -> Result<Page> {
        Ok(self.log(owner, log, |log| log.page(request)).unwrap_or(Page {
            entries: Vec::new(),
            complete: true,
        }))
    }

    async fn logs(&self, owner: &Bare) -> Result<Vec<String>> {
        let owners = self.owners.lock();
        let logs = owners.get(owner).into_iter().flat_map(|owner| &owner.logs);
        let logs = logs.filter(|(_, log)| !log.entries.is_empty());
        Ok(logs.map(|(name, _)| name.clone()).collect())
    }

    async fn count(&self, owner: &Bare, log: &str) -> Result<u64> {
        Ok(self.log(owner, log, |log| log.entries.len() as u64).unwrap_or(0))
    }

    async fn entries(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<Vec<Entry>> {
        let found = |log: &mut Log| {
            log.entries
                .values()
                .filter(|entry| ids.contains(&entry.id))
                .cloned()
                .collect()
        };
        Ok(self.log(owner, log, found).unwrap_or_default())
    }

    async fn count_found(&self, owner: &Bare, log: &str, request: &PageRequest, most: u32) -> Result<Option<u32>> {
        let found = |log: &mut Log| log.entries.values().filter(|entry| request.fits(entry)).count();
        let found = u32::try_from(self.log(owner, log, found).unwrap_or(0)).ok();
        Ok(found.filter(|found| *found <= most))
    }

    async fn excess(&self, owner: &Bare, log: &str, keep: u32) -> Result<Option<EntryId>> {
        let excess = |log: &mut Log| log.entries.keys().rev().nth(keep as usize).copied();
        Ok(self.log(owner, log, excess).flatten())
    }

    async fn replace(&self, owner: &Bare, log: &str, id: EntryId, stanza: Bytes) -> Result<bool> {
        let replace = |log: &mut Log| log.entries.get_mut(&id).map(|entry| entry.stanza = stanza);
        Ok(self.log(owner, log, replace).flatten().is_some())
    }

    async fn trim(&self, owner: &Bare, log: &str, last: EntryId, most: u32) -> Result<u64> {
        Ok(self.log(owner, log, |log| log.trim(last, most)).unwrap_or(0))
    }

    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<u64> {
        Ok(self.log(owner, log, |log| log.remove(ids)).unwrap_or(0))
    }

    /// There is nothing to do: words are looked for in what was said itself.
    async fn index(&self, _: &Bare, _: &str, _: u32) -> Result<bool> {
        Ok(true)
    }
}

#[async_trait]
impl Items for Durable {
    async fn get(&self, owner: &Bare, key: &Key) -> Result<Option<Item>> {
        Ok(self
            .owners
            .lock()
            .get(owner)
            .and_then(|owner| owner.items.get(key).cloned()))
    }

    async fn list(&self, owner: &Bare, space: &str) -> Result<Vec<Item>> {
        let owners = self.owners.lock();
        let Some(owner) = owners.get(owner) else {
            return Ok(Vec::new());
        };
        let first = Key {
            space: space.to_owned(),
            name: String::new(),
        };
        let items = owner.items.range(first..).take_while(|(key, _)| key.space == space);
        Ok(items.map(|(_, item)| item.clone()).collect())
    }

    async fn page(&self, owner: &Bare, after: Option<&Key>, limit: u32) -> Result<Vec<Item>> {
        let owners = self.owners.lock();
        let Some(owner) = owners.get(owner) else {
            return Ok(Vec::new());
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let items = owner.items.range::<Key, _>((from, Bound::Unbounded));
        Ok(items.map(|(_, item)| item.clone()).take(limit as usize).collect())
    }

    async fn put(&self, owner: &Bare, key: &Key, value: Bytes, seen: Option<Version>) -> Result<Version> {
        let mut owners = self.owners.lock();
        let items = &mut owners.entry(owner.clone()).or_default().items;
        if items.get(key).map(|item| item.version) != seen {
            return Err(Error::Conflict);
        }
        let version = Version(seen.map_or(1, |seen| seen.0 + 1));
        items.insert(
            key.clone(),
            Item {
                key: key.clone(),
                version,
                value,
            },
        );
        Ok(version)
    }

    async fn remove(&self, owner: &Bare, key: &Key, seen: Version) -> Result<()> {
        let mut owners = self.owners.lock();
        let items = owners.get_mut(owner).map(|owner| &mut owner.items);
        let Some(items) = items.filter(|items| items.get(key).is_some_and(|item| item.version == seen)) else {
            return Err(Error::Conflict);
        };
        items.remove(key);
        Ok(())
    }
}

impl Durable {
    fn log<T>(&self, owner: &Bare, log: &str, look: impl FnOnce(&mut Log) -> T) -> Option<T> {
        self.owners.lock().get_mut(owner)?.logs.get_mut(log).map(look)
    }
}

impl Log {
    fn append(&mut self, entry: &Entry) -> EntryId {
        if let Some(first) = entry.key.as_ref().and_then(|key| self.keys.get(key)) {
            return *first;
        }
        if let std::collections::btree_map::Entry::Vacant(place) = self.entries.entry(entry.id) {
            place.insert(entry.clone());
            self.keys.extend(entry.key.clone().map(|key| (key, entry.id)));
        }
        entry.id
    }

    fn page(&self, request: &PageRequest) -> Page {
        let mut fits = self.entries.values().filter(|entry| request.fits(entry)).cloned();
        let mut filling = Filling::new(request);
        let complete = if request.backwards {
            fits.rev().all(|entry| filling.take(entry))
        } else {
            fits.all(|entry| filling.take(entry))
        };
        filling.page(complete)
    }

    fn trim(&mut self, last: EntryId, most: u32) -> u64 {
        let oldest = self.entries.range(..=last).take(most as usize);
        let oldest: Vec<EntryId> = oldest.map(|(id, _)| *id).collect();
        self.remove(&oldest)
    }

    fn remove(&mut self, ids: &[EntryId]) -> u64 {
        self.retain(|id| !ids.contains(&id))
    }

    /// Returns how many were not kept.
    fn retain(&mut self, stays: impl Fn(EntryId) -> bool) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|id, _| stays(*id));
        self.keys.retain(|_, id| stays(*id));
        (before - self.entries.len()) as u64
    }
}
