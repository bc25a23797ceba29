//! Append-only logs in PostgreSQL.

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, AssertSqlSafe, PgConnection};
use stanza::Bare;
use store::{Append, Archive, Entry, EntryId, Filling, Page, PageRequest, Result};

use super::Postgres;
use super::retry::{answer, persist};
use crate::observe::At;
use crate::sql::{self, Key, Query, Value, Word, id_bytes, id_of};

const AT: At = At {
    backend: "postgres",
    port: "archive",
};

/// Its statistics tell it when to take the index by party.
const BY_PEER: &str = "";

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
            let page = sql::read_page(Key::Name(owner, log), request, BY_PEER);
            let page = sqlx::query_as_with(AssertSqlSafe(page.text), arguments(page.values)?);
            let (mut rows, mut filling) = (page.fetch(&self.pool), Filling::new(request));
            while let Some(row) = answer(rows.try_next().await)? {
                if !filling.take(sql::entry(row)?) {
                    return Ok(filling.page(false));
                }
            }
            Ok(filling.page(true))
        })
        .await
    }

    async fn entries(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<Vec<Entry>> {
        self.call(AT, "entries", async {
            let entries = sqlx::query_as(include_str!("sql/archive_entries.sql"))
                .bind(owner.as_str())
                .bind(log)
                .bind(ids.iter().copied().map(id_bytes).collect::<Vec<_>>());
            sql::entries(answer(entries.fetch_all(&self.pool).await)?)
        })
        .await
    }

    async fn logs(&self, owner: &Bare) -> Result<Vec<String>> {
        self.call(AT, "logs", async {
            let mut logs: Vec<String> = Vec::new();
            loop {
                let last = logs.last().map_or("", String::as_str);
                let next = sqlx::query_scalar(include_str!("sql/archive_log.sql"))
                    .bind(owner.as_str())
                    .bind(last);
                let next: Option<String> = answer(next.fetch_one(&self.pool).await)?;
                match next {
                    Some(next) => logs.push(next),
                    None => return Ok(logs),
                }
            }
        })
        .await
    }

    async fn count(&self, owner: &Bare, log: &str) -> Result<u64> {
        self.call(AT, "count", async {
            let count = sqlx::query_scalar(include_str!("sql/archive_count.sql"))
                .bind(owner.as_str())
                .bind(log);
            answer(count.fetch_one(&self.pool).await).map(i64::cast_unsigned)
        })
        .await
    }

    async fn count_found(&self, owner: &Bare, log: &str, request: &PageRequest, most: u32) -> Result<Option<u32>> {
        self.call(AT, "count_found", async {
            let count = sql::count_found(Key::Name(owner, log), request, (most, BY_PEER));
            let count = sqlx::query_scalar_with(AssertSqlSafe(count.text), arguments(count.values)?);
            let found: i64 = answer(count.fetch_one(&self.pool).await)?;
            Ok(u32::try_from(found).ok().filter(|found| *found <= most))
        })
        .await
    }

    async fn excess(&self, owner: &Bare, log: &str, keep: u32) -> Result<Option<EntryId>> {
        self.call(AT, "excess", async {
            let excess = sqlx::query_scalar(include_str!("sql/archive_excess.sql"))
                .bind(owner.as_str())
                .bind(log)
                .bind(i64::from(keep));
            let id: Option<Vec<u8>> = answer(excess.fetch_optional(&self.pool).await)?;
            id.map(|id| id_of(&id)).transpose()
        })
        .await
    }

    async fn replace(&self, owner: &Bare, log: &str, id: EntryId, stanza: Bytes) -> Result<bool> {
        let id = id_bytes(id);
        self.call(AT, "replace", async {
            answer(persist(|| self.put_in_place(owner, log, &id, &stanza)).await)
        })
        .await
    }

    async fn trim(&self, owner: &Bare, log: &str, last: EntryId, most: u32) -> Result<u64> {
        self.call(AT, "trim", async {
            let trim = sqlx::query_as(include_str!("sql/archive_trim.sql"))
                .bind(owner.as_str())
                .bind(log)
                .bind(id_bytes(last))
                .bind(i64::from(most));
            let removed = answer(trim.fetch_all(&self.pool).await)?;
            self.forget(owner, log, removed).await
        })
        .await
    }

    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<u64> {
        self.call(AT, "remove", async {
            let remove = sqlx::query_as(include_str!("sql/archive_remove.sql"))
                .bind(owner.as_str())
                .bind(log)
                .bind(ids.iter().copied().map(id_bytes).collect::<Vec<_>>());
            let removed = answer(remove.fetch_all(&self.pool).await)?;
            self.forget(owner, log, removed).await
        })
        .await
    }

    async fn index(&self, owner: &Bare, log: &str, most: u32) -> Result<bool> {
        self.call(AT, "index", async {
            answer(persist(|| self.catch_up(owner, log, most)).await)
        })
        .await
    }
}

impl Postgres {
    /// How the database would read a page, line by line.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be reached.
    pub async fn explain(&self, owner: &Bare, log: &str, request: &PageRequest) -> Result<Vec<String>> {
        let Query { text, values } = sql::read_page(Key::Name(owner, log), request, BY_PEER).explained("EXPLAIN ");
        let explain = sqlx::query_scalar_with(AssertSqlSafe(text), arguments(values)?);
        answer(explain.fetch_all(&self.pool).await)
    }

    /// The words of what was removed go, too. Nobody finds it by them any more, even if that should fail.
    async fn forget(&self, owner: &Bare, log: &str, removed: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<u64> {
        let count = removed.len() as u64;
        let words = sql::unsaid(removed);
        if !words.is_empty() {
            let forget = persist(async || remove_words(&mut *self.pool.acquire().await?, owner, log, &words).await);
            answer(forget.await)?;
        }
        Ok(count)
    }

    /// Waits for whoever indexes the entry at the same time, so that its old words go in any case.
    async fn put_in_place(&self, owner: &Bare, log: &str, id: &[u8], stanza: &[u8]) -> sqlx::Result<bool> {
        let mut transaction = self.pool.begin().await?;
        let old = sqlx::query_scalar(include_str!("sql/archive_stanza.sql"))
            .bind(owner.as_str())
            .bind(log)
            .bind(id);
        let Some(old): Option<Vec<u8>> = old.fetch_optional(&mut *transaction).await? else {
            return Ok(false);
        };
        let replace = sqlx::query(include_str!("sql/archive_replace.sql"))
            .bind(stanza)
            .bind(owner.as_str())
            .bind(log)
            .bind(id);
        replace.execute(&mut *transaction).await?;
        if indexed(&mut transaction, owner, log).await?.is_some() {
            let (old, new) = ([(id.to_vec(), old)], [(id.to_vec(), stanza.to_vec())]);
            remove_words(&mut transaction, owner, log, &sql::said(old.into())).await?;
            put_words(&mut transaction, owner, log, &sql::said(new.into())).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// What is read is locked against change until its words are written.
    async fn catch_up(&self, owner: &Bare, log: &str, most: u32) -> sqlx::Result<bool> {
        let mut transaction = self.pool.begin().await?;
        let from = indexed(&mut transaction, owner, log).await?.unwrap_or_default();
        let read = sqlx::query_as(include_str!("sql/archive_unindexed.sql"))
            .bind(owner.as_str())
            .bind(log)
            .bind(from)
            .bind(i64::from(most) + 1);
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = read.fetch_all(&mut *transaction).await?;
        let done = entries.len() <= most as usize;
        entries.truncate(most as usize);
        let Some((last, _)) = entries.last() else {
            return Ok(done);
        };
        let floor = sql::floor(last, done).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        put_words(&mut transaction, owner, log, &sql::said(entries)).await?;
        let put = sqlx::query(include_str!("sql/indexed_put.sql"))
            .bind(owner.as_str())
            .bind(log)
            .bind(id_bytes(floor));
        put.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done)
    }
}

fn arguments(values: Vec<Value>) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for value in values {
        let added = match value {
            Value::Bytes(value) => arguments.add(value),
            Value::Number(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
        };
        answer(added.map_err(sqlx::Error::Encode))?;
    }
    Ok(arguments)
}

async fn indexed(connection: &mut PgConnection, owner: &Bare, log: &str) -> sqlx::Result<Option<Vec<u8>>> {
    let indexed = sqlx::query_scalar(include_str!("sql/indexed_get.sql"))
        .bind(owner.as_str())
        .bind(log);
    indexed.fetch_optional(connection).await
}

async fn put_words(connection: &mut PgConnection, owner: &Bare, log: &str, words: &[Word]) -> sqlx::Result<()> {
    write_words(connection, include_str!("sql/words_put.sql"), (owner, log), words).await
}

async fn remove_words(connection: &mut PgConnection, owner: &Bare, log: &str, words: &[Word]) -> sqlx::Result<()> {
    write_words(connection, include_str!("sql/words_remove.sql"), (owner, log), words).await
}

async fn write_words(
    connection: &mut PgConnection,
    statement: &'static str,
    (owner, log): (&Bare, &str),
    words: &[Word],
) -> sqlx::Result<()> {
    let write = sqlx::query(statement)
        .bind(owner.as_str())
        .bind(log)
        .bind(words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>())
        .bind(words.iter().map(|(_, id)| id.as_slice()).collect::<Vec<_>>());
    write.execute(connection).await.map(drop)
}
