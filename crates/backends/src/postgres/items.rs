//! Small versioned values in PostgreSQL.

use async_trait::async_trait;
use bytes::Bytes;
use stanza::Bare;
use store::{Error, Item, Items, Key, Result, Version};

use super::Postgres;
use super::retry::answer;
use crate::observe::At;
use crate::sql;

const AT: At = At {
    backend: "postgres",
    port: "items",
};

#[async_trait]
impl Items for Postgres {
    async fn get(&self, owner: &Bare, key: &Key) -> Result<Option<Item>> {
        self.call(AT, "get", async {
            let get = sqlx::query_as(sql::ITEM_GET)
                .bind(owner.as_str())
                .bind(&key.space)
                .bind(&key.name);
            let row: Option<(i64, Vec<u8>)> = answer(get.fetch_optional(&self.pool).await)?;
            Ok(row.map(|(version, value)| sql::item(key.clone(), version, value)))
        })
        .await
    }

    async fn list(&self, owner: &Bare, space: &str) -> Result<Vec<Item>> {
        self.call(AT, "list", async {
            let list = sqlx::query_as(sql::ITEM_LIST).bind(owner.as_str()).bind(space);
            Ok(sql::items(space, answer(list.fetch_all(&self.pool).await)?))
        })
        .await
    }

    async fn page(&self, owner: &Bare, after: Option<&Key>, limit: u32) -> Result<Vec<Item>> {
        self.call(AT, "page", async {
            let page = sqlx::query_as(sql::ITEM_PAGE)
                .bind(owner.as_str())
                .bind(after.map_or("", |after| &after.space))
                .bind(after.map_or("", |after| &after.name))
                .bind(i64::from(limit));
            Ok(sql::page_of_items(answer(page.fetch_all(&self.pool).await)?))
        })
        .await
    }

    async fn put(&self, owner: &Bare, key: &Key, value: Bytes, seen: Option<Version>) -> Result<Version> {
        self.call(AT, "put", async {
            let put = sqlx::query(if seen.is_some() {
                sql::ITEM_REPLACE
            } else {
                sql::ITEM_CREATE
            })
            .bind(&value[..])
            .bind(owner.as_str())
            .bind(&key.space)
            .bind(&key.name);
            let put = if let Some(seen) = seen {
                put.bind(seen.0.cast_signed())
            } else {
                put
            };
            match answer(put.execute(&self.pool).await)?.rows_affected() {
                0 => Err(Error::Conflict),
                _ => Ok(Version(seen.map_or(1, |seen| seen.0 + 1))),
            }
        })
        .await
    }

    async fn remove(&self, owner: &Bare, key: &Key, seen: Version) -> Result<()> {
        self.call(AT, "remove", async {
            let remove = sqlx::query(sql::ITEM_REMOVE)
                .bind(owner.as_str())
                .bind(&key.space)
                .bind(&key.name)
                .bind(seen.0.cast_signed());
            match answer(remove.execute(&self.pool).await)?.rows_affected() {
                0 => Err(Error::Conflict),
                _ => Ok(()),
            }
        })
        .await
    }
}
