//! Append-only logs in PostgreSQL.

use async_trait::async_trait;
use stanza::Bare;
use store::{Append, Archive, EntryId, Page, PageRequest, Result};

use super::Postgres;
use super::retry::answer;
use crate::observe::At;
use crate::sql::{self, Window, id_bytes};

const AT: At = At {
    backend: "postgres",
    port: "archive",
};

#[async_trait]
impl Archive for Postgres {
    async fn append(&self, entries: &[Append]) -> Result<Vec<EntryId>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        self.call(AT, "append", self.appender.append(entries.to_vec())).await
    }

    async fn page(&self, owner: &Bare, log: &str, request: &PageRequest) -> Result<Page> {
        self.call(AT, "page", async {
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
            sql::page(answer(page.fetch_all(&self.pool).await)?, request)
        })
        .await
    }

    async fn count(&self, owner: &Bare, log: &str) -> Result<u64> {
        self.call(AT, "count", async {
            let count = sqlx::query_scalar(sql::ARCHIVE_COUNT).bind(owner.as_str()).bind(log);
            answer(count.fetch_one(&self.pool).await).map(i64::cast_unsigned)
        })
        .await
    }

    async fn trim(&self, owner: &Bare, log: &str, last: EntryId) -> Result<u64> {
        self.call(AT, "trim", async {
            let trim = sqlx::query(sql::ARCHIVE_TRIM)
                .bind(owner.as_str())
                .bind(log)
                .bind(id_bytes(last));
            Ok(answer(trim.execute(&self.pool).await)?.rows_affected())
        })
        .await
    }

    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<u64> {
        self.call(AT, "remove", async {
            let remove = sqlx::query(include_str!("sql/archive_remove.sql"))
                .bind(owner.as_str())
                .bind(log)
                .bind(ids.iter().copied().map(id_bytes).collect::<Vec<_>>());
            Ok(answer(remove.execute(&self.pool).await)?.rows_affected())
        })
        .await
    }
}
