//! Small versioned values in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::SqliteConnection;
use stanza::Bare;
use store::{Error, Item, Items, Key, Result, Version};

use super::Sqlite;
use super::writer::Write;
use crate::observe::At;
use crate::sql::{self, failed};

const AT: At = At {
    backend: "sqlite",
    port: "items",
};

#[async_trait]
impl Items for Sqlite {
    async fn get(&self, owner: &Bare, key: &Key) -> Result<Option<Item>> {
        AT.call("get", async {
            let get = sqlx::query_as(sql::ITEM_GET)
                .bind(owner.as_str())
                .bind(&key.space)
                .bind(&key.name);
            let row: Option<(i64, Vec<u8>)> = get.fetch_optional(&self.readers).await.map_err(failed)?;
            Ok(row.map(|(version, value)| sql::item(key.clone(), version, value)))
        })
        .await
    }

    async fn list(&self, owner: &Bare, space: &str) -> Result<Vec<Item>> {
        AT.call("list", async {
            let list = sqlx::query_as(sql::ITEM_LIST).bind(owner.as_str()).bind(space);
            Ok(sql::items(space, list.fetch_all(&self.readers).await.map_err(failed)?))
        })
        .await
    }

    async fn page(&self, owner: &Bare, after: Option<&Key>, limit: u32) -> Result<Vec<Item>> {
        AT.call("page", async {
            let page = sqlx::query_as(sql::ITEM_PAGE)
                .bind(owner.as_str())
                .bind(after.map_or("", |after| &after.space))
                .bind(after.map_or("", |after| &after.name))
                .bind(i64::from(limit));
            Ok(sql::page_of_items(page.fetch_all(&self.readers).await.map_err(failed)?))
        })
        .await
    }

    async fn put(&self, owner: &Bare, key: &Key, value: Bytes, seen: Option<Version>) -> Result<Version> {
        let write = Put {
            owner: owner.clone(),
            key: key.clone(),
            value,
            seen,
        };
        AT.call("put", self.writer.write(write)).await
    }

    async fn remove(&self, owner: &Bare, key: &Key, seen: Version) -> Result<()> {
        AT.call(
            "remove",
            self.writer.write(Remove {
                owner: owner.clone(),
                key: key.clone(),
                seen,
            }),
        )
        .await
    }
}

struct Put {
    owner: Bare,
    key: Key,
    value: Bytes,
    seen: Option<Version>,
}

impl Write for Put {
    type Answer = Version;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<Version> {
        let put = sqlx::query(if self.seen.is_some() {
            sql::ITEM_REPLACE
        } else {
            sql::ITEM_CREATE
        })
        .bind(self.owner.as_str())
        .bind(&self.key.space)
        .bind(&self.key.name)
        .bind(&self.value[..]);
        let put = if let Some(seen) = self.seen {
            put.bind(seen.0.cast_signed())
        } else {
            put
        };
        match put.execute(connection).await.map_err(failed)?.rows_affected() {
            0 => Err(Error::Conflict),
            _ => Ok(Version(self.seen.map_or(1, |seen| seen.0 + 1))),
        }
    }
}

struct Remove {
    owner: Bare,
    key: Key,
    seen: Version,
}

impl Write for Remove {
    type Answer = ();

    async fn write(&self, connection: &mut SqliteConnection) -> Result<()> {
        let remove = sqlx::query(sql::ITEM_REMOVE)
            .bind(self.owner.as_str())
            .bind(&self.key.space)
            .bind(&self.key.name)
            .bind(self.seen.0.cast_signed());
        match remove.execute(connection).await.map_err(failed)?.rows_affected() {
            0 => Err(Error::Conflict),
            _ => Ok(()),
        }
    }
}
