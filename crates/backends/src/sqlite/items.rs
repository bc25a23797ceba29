//! Small versioned values in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use stanza::Bare;
use store::{Error, Item, Items, Key, Result, Version};

use super::Sqlite;
use super::connection::Connection;
use crate::observe::At;
use crate::sql;

const AT: At = At {
    backend: "sqlite",
    port: "items",
};

#[async_trait]
impl Items for Sqlite {
    async fn get(&self, owner: &Bare, key: &Key) -> Result<Option<Item>> {
        let (owner, key) = (owner.clone(), key.clone());
        let get = move |db: &Connection| {
            let row = db.one(sql::ITEM_GET, (owner.as_str(), &key.space, &key.name))?;
            Ok(row.map(|(version, value)| sql::item(key.clone(), version, value)))
        };
        AT.call("get", self.readers.short(get)).await
    }

    async fn list(&self, owner: &Bare, space: &str) -> Result<Vec<Item>> {
        let (owner, space) = (owner.clone(), space.to_owned());
        let list = move |db: &Connection| {
            let rows = db.all(sql::ITEM_LIST, (owner.as_str(), &space))?;
            Ok(sql::items(&space, rows))
        };
        AT.call("list", self.readers.short(list)).await
    }

    async fn page(&self, owner: &Bare, after: Option<&Key>, limit: u32) -> Result<Vec<Item>> {
        let (owner, after) = (owner.clone(), after.cloned());
        let page = move |db: &Connection| {
            let (space, name) = after.as_ref().map_or(("", ""), |after| (&after.space, &after.name));
            let rows = db.all(sql::ITEM_PAGE, (owner.as_str(), space, name, i64::from(limit)))?;
            Ok(sql::page_of_items(rows))
        };
        AT.call("page", self.readers.long(page)).await
    }

    async fn put(&self, owner: &Bare, key: &Key, value: Bytes, seen: Option<Version>) -> Result<Version> {
        let (owner, key) = (owner.clone(), key.clone());
        let put = move |db: &Connection| put(db, (&owner, &key), &value, seen);
        AT.call("put", self.writer.write(put)).await
    }

    async fn remove(&self, owner: &Bare, key: &Key, seen: Version) -> Result<()> {
        let (owner, key) = (owner.clone(), key.clone());
        let remove = move |db: &Connection| {
            let key = (owner.as_str(), &key.space, &key.name, seen.0.cast_signed());
            match db.execute(sql::ITEM_REMOVE, key)? {
                0 => Err(Error::Conflict),
                _ => Ok(()),
            }
        };
        AT.call("remove", self.writer.write(remove)).await
    }
}

fn put(db: &Connection, (owner, key): (&Bare, &Key), value: &[u8], seen: Option<Version>) -> Result<Version> {
    let (owner, space, name) = (owner.as_str(), &key.space, &key.name);
    let put = match seen {
        Some(seen) => db.execute(sql::ITEM_REPLACE, (value, owner, space, name, seen.0.cast_signed())),
        None => db.execute(sql::ITEM_CREATE, (value, owner, space, name)),
    };
    match put? {
        0 => Err(Error::Conflict),
        _ => Ok(Version(seen.map_or(1, |seen| seen.0 + 1))),
    }
}
