//! Append-only logs in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use stanza::Bare;
use store::{Append, Archive, EntryId, Page, PageRequest, Result};

use super::Sqlite;
use super::writer::Write;
use crate::observe::At;
use crate::sql::{self, Window, failed, id_bytes, id_of};

const AT: At = At {
    backend: "sqlite",
    port: "archive",
};

#[async_trait]
impl Archive for Sqlite {
    async fn append(&self, entries: &[Append]) -> Result<Vec<EntryId>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        AT.call("append", self.writer.write(Appends(entries.to_vec()))).await
    }

    async fn page(&self, owner: &Bare, log: &str, request: &PageRequest) -> Result<Page> {
        AT.call("page", async {
            let window = Window::new(request);
            let page = sqlx::query_as(if request.backwards {
                sql::ARCHIVE_BACKWARD
            } else {
                sql::ARCHIVE_FORWARD
            })
            .bind(owner.as_str())
            .bind(log)
            .bind(window.after)
            .bind(window.before)
            .bind(window.start)
            .bind(window.end)
            .bind(window.bare)
            .bind(window.full)
            .bind(window.limit);
            sql::page(page.fetch_all(&self.readers).await.map_err(failed)?, request)
        })
        .await
    }

    async fn count(&self, owner: &Bare, log: &str) -> Result<u64> {
        AT.call("count", async {
            let count = sqlx::query_scalar(sql::ARCHIVE_COUNT).bind(owner.as_str()).bind(log);
            count
                .fetch_one(&self.readers)
                .await
                .map_err(failed)
                .map(i64::cast_unsigned)
        })
        .await
    }

    async fn trim(&self, owner: &Bare, log: &str, last: EntryId) -> Result<u64> {
        AT.call(
            "trim",
            self.writer.write(Trim {
                owner: owner.clone(),
                log: log.to_owned(),
                last,
            }),
        )
        .await
    }

    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<u64> {
        AT.call(
            "remove",
            self.writer.write(Remove {
                owner: owner.clone(),
                log: log.to_owned(),
                ids: ids.to_vec(),
            }),
        )
        .await
    }
}

struct Appends(Vec<Append>);

impl Write for Appends {
    type Answer = Vec<EntryId>;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<Vec<EntryId>> {
        let mut ids = Vec::with_capacity(self.0.len());
        for entry in &self.0 {
            ids.push(append(connection, entry).await?);
        }
        Ok(ids)
    }
}

async fn append(connection: &mut SqliteConnection, Append { owner, log, entry }: &Append) -> Result<EntryId> {
    let append = sqlx::query(include_str!("sql/archive_append.sql"))
        .bind(owner.as_str())
        .bind(*log)
        .bind(id_bytes(entry.id))
        .bind(entry.at.0)
        .bind(entry.with.as_ref().map(|with| with.as_str()))
        .bind(entry.with.as_ref().map(|with| with.bare().as_str().to_owned()))
        .bind(entry.key.as_deref())
        .bind(&entry.stanza[..]);
    let kept = append.execute(&mut *connection).await.map_err(failed)?.rows_affected() > 0;
    let Some(key) = entry.key.as_deref().filter(|_| !kept) else {
        return Ok(entry.id);
    };
    let find = sqlx::query_scalar(include_str!("sql/archive_find.sql"))
        .bind(owner.as_str())
        .bind(*log)
        .bind(key);
    let first: Option<Vec<u8>> = find.fetch_optional(connection).await.map_err(failed)?;
    first.map_or(Ok(entry.id), |first| id_of(&first))
}

struct Trim {
    owner: Bare,
    log: String,
    last: EntryId,
}

impl Write for Trim {
    type Answer = u64;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<u64> {
        let trim = sqlx::query(sql::ARCHIVE_TRIM)
            .bind(self.owner.as_str())
            .bind(&self.log)
            .bind(id_bytes(self.last));
        Ok(trim.execute(connection).await.map_err(failed)?.rows_affected())
    }
}

struct Remove {
    owner: Bare,
    log: String,
    ids: Vec<EntryId>,
}

impl Write for Remove {
    type Answer = u64;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<u64> {
        let mut removed = 0;
        for id in &self.ids {
            let remove = sqlx::query(include_str!("sql/archive_remove.sql"))
                .bind(self.owner.as_str())
                .bind(&self.log)
                .bind(id_bytes(*id));
            removed += remove.execute(&mut *connection).await.map_err(failed)?.rows_affected();
        }
        Ok(removed)
    }
}
