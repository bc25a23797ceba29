//! Append-only logs in SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::SqliteConnection;
use stanza::Bare;
use store::{Append, Archive, Entry, EntryId, Page, PageRequest, Result};

use super::Sqlite;
use super::writer::Write;
use crate::observe::At;
use crate::sql::{self, Dialect, Piece, Word, failed, id_bytes, id_of};

const AT: At = At {
    backend: "sqlite",
    port: "archive",
};

/// Entries indexed in one write.
const STEP: u32 = 100;

impl Dialect for sqlx::Sqlite {
    /// It has no statistics that would tell.
    const BY_PEER: &'static str = " INDEXED BY archive_by_peer";
}

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
            let mut page = sql::statement(sql::read_page(owner, log, request));
            sql::page(page.build_query_as().fetch(&self.readers), request).await
        })
        .await
    }

    async fn entries(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<Vec<Entry>> {
        AT.call("entries", async {
            let mut rows = Vec::new();
            for id in ids.iter().collect::<BTreeSet<_>>() {
                let entry = sqlx::query_as(include_str!("sql/archive_entry.sql"))
                    .bind(owner.as_str())
                    .bind(log)
                    .bind(id_bytes(*id));
                rows.extend(entry.fetch_optional(&self.readers).await.map_err(failed)?);
            }
            sql::entries(rows)
        })
        .await
    }

    async fn logs(&self, owner: &Bare) -> Result<Vec<String>> {
        AT.call("logs", async {
            let mut logs: Vec<String> = Vec::new();
            loop {
                let last = logs.last().map_or("", String::as_str);
                let next = sqlx::query_scalar(sql::ARCHIVE_LOG).bind(owner.as_str()).bind(last);
                let next: Option<String> = next.fetch_one(&self.readers).await.map_err(failed)?;
                match next {
                    Some(next) => logs.push(next),
                    None => return Ok(logs),
                }
            }
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

    async fn count_found(&self, owner: &Bare, log: &str, request: &PageRequest, most: u32) -> Result<Option<u32>> {
        AT.call("count_found", async {
            let mut count = sql::statement(sql::count_found(owner, log, request, most));
            let count = count.build_query_scalar().fetch_one(&self.readers);
            let found: i64 = count.await.map_err(failed)?;
            Ok(u32::try_from(found).ok().filter(|found| *found <= most))
        })
        .await
    }

    async fn excess(&self, owner: &Bare, log: &str, keep: u32) -> Result<Option<EntryId>> {
        AT.call("excess", async {
            let excess = sqlx::query_scalar(sql::ARCHIVE_EXCESS)
                .bind(owner.as_str())
                .bind(log)
                .bind(i64::from(keep));
            let id: Option<Vec<u8>> = excess.fetch_optional(&self.readers).await.map_err(failed)?;
            id.map(|id| id_of(&id)).transpose()
        })
        .await
    }

    async fn replace(&self, owner: &Bare, log: &str, id: EntryId, stanza: Bytes) -> Result<bool> {
        let (log, id) = (Log::of(owner, log), id_bytes(id));
        AT.call("replace", self.writer.write(Replace { log, id, stanza })).await
    }

    async fn trim(&self, owner: &Bare, log: &str, last: EntryId, most: u32) -> Result<u64> {
        let log = Log::of(owner, log);
        AT.call("trim", self.writer.write(Trim { log, last, most })).await
    }

    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<u64> {
        let (log, ids) = (Log::of(owner, log), ids.to_vec());
        AT.call("remove", self.writer.write(Remove { log, ids })).await
    }

    /// In small steps, so that others may write in between.
    async fn index(&self, owner: &Bare, log: &str, most: u32) -> Result<bool> {
        AT.call("index", async {
            let mut left = most;
            loop {
                let log = Log::of(owner, log);
                let most = left.min(STEP);
                left -= most;
                let done = self.writer.write(Index { log, most }).await?;
                if done || left == 0 {
                    return Ok(done);
                }
            }
        })
        .await
    }
}

impl Sqlite {
    /// How the database would read a page, line by line.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn explain(&self, owner: &Bare, log: &str, request: &PageRequest) -> Result<Vec<String>> {
        let mut pieces = vec![Piece::Sql("EXPLAIN QUERY PLAN ")];
        pieces.extend(sql::read_page(owner, log, request));
        let mut explain = sql::statement(pieces);
        let lines = explain.build_query_as().fetch_all(&self.readers);
        let lines: Vec<(i64, i64, i64, String)> = lines.await.map_err(failed)?;
        Ok(lines.into_iter().map(|(.., line)| line).collect())
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

/// A log.
struct Log {
    owner: Bare,
    name: String,
}

impl Log {
    fn of(owner: &Bare, name: &str) -> Self {
        Self {
            owner: owner.clone(),
            name: name.to_owned(),
        }
    }

    /// Up to where it is indexed, if at all.
    async fn indexed(&self, connection: &mut SqliteConnection) -> Result<Option<Vec<u8>>> {
        let indexed = sqlx::query_scalar(sql::INDEXED_GET)
            .bind(self.owner.as_str())
            .bind(&self.name);
        indexed.fetch_optional(connection).await.map_err(failed)
    }

    async fn put_words(&self, connection: &mut SqliteConnection, words: Vec<Word>) -> Result<()> {
        self.write_words(connection, include_str!("sql/words_put.sql"), words)
            .await
    }

    async fn remove_words(&self, connection: &mut SqliteConnection, words: Vec<Word>) -> Result<()> {
        self.write_words(connection, include_str!("sql/words_remove.sql"), words)
            .await
    }

    async fn write_words(&self, connection: &mut SqliteConnection, sql: &'static str, words: Vec<Word>) -> Result<()> {
        for (word, id) in words {
            let write = sqlx::query(sql)
                .bind(self.owner.as_str())
                .bind(&self.name)
                .bind(word)
                .bind(id);
            write.execute(&mut *connection).await.map_err(failed)?;
        }
        Ok(())
    }
}

struct Replace {
    log: Log,
    id: Vec<u8>,
    stanza: Bytes,
}

impl Write for Replace {
    type Answer = bool;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<bool> {
        let Self { log, id, stanza } = self;
        let old = sqlx::query_scalar(include_str!("sql/archive_stanza.sql"))
            .bind(log.owner.as_str())
            .bind(&log.name)
            .bind(id);
        let Some(old): Option<Vec<u8>> = old.fetch_optional(&mut *connection).await.map_err(failed)? else {
            return Ok(false);
        };
        let replace = sqlx::query(sql::ARCHIVE_REPLACE)
            .bind(log.owner.as_str())
            .bind(&log.name)
            .bind(id)
            .bind(&stanza[..]);
        replace.execute(&mut *connection).await.map_err(failed)?;
        if log.indexed(connection).await?.is_some() {
            let (old, new) = ([(id.clone(), old)], [(id.clone(), stanza.to_vec())]);
            log.remove_words(connection, sql::said(old.into())).await?;
            log.put_words(connection, sql::said(new.into())).await?;
        }
        Ok(true)
    }
}

struct Trim {
    log: Log,
    last: EntryId,
    most: u32,
}

impl Write for Trim {
    type Answer = u64;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<u64> {
        let trim = sqlx::query_as(sql::ARCHIVE_TRIM)
            .bind(self.log.owner.as_str())
            .bind(&self.log.name)
            .bind(id_bytes(self.last))
            .bind(i64::from(self.most));
        let removed: Vec<_> = trim.fetch_all(&mut *connection).await.map_err(failed)?;
        let count = removed.len() as u64;
        self.log.remove_words(connection, sql::unsaid(removed)).await?;
        Ok(count)
    }
}

struct Remove {
    log: Log,
    ids: Vec<EntryId>,
}

impl Write for Remove {
    type Answer = u64;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<u64> {
        let mut removed = Vec::new();
        for id in &self.ids {
            let remove = sqlx::query_as(include_str!("sql/archive_remove.sql"))
                .bind(self.log.owner.as_str())
                .bind(&self.log.name)
                .bind(id_bytes(*id));
            removed.extend(remove.fetch_optional(&mut *connection).await.map_err(failed)?);
        }
        let count = removed.len() as u64;
        self.log.remove_words(connection, sql::unsaid(removed)).await?;
        Ok(count)
    }
}

struct Index {
    log: Log,
    most: u32,
}

impl Write for Index {
    type Answer = bool;

    async fn write(&self, connection: &mut SqliteConnection) -> Result<bool> {
        let Self { log, most } = self;
        let from = log.indexed(connection).await?.unwrap_or_default();
        let read = sqlx::query_as(include_str!("sql/archive_unindexed.sql"))
            .bind(log.owner.as_str())
            .bind(&log.name)
            .bind(from)
            .bind(i64::from(*most) + 1);
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = read.fetch_all(&mut *connection).await.map_err(failed)?;
        let done = entries.len() <= *most as usize;
        entries.truncate(*most as usize);
        let Some((last, _)) = entries.last() else {
            return Ok(done);
        };
        let floor = sql::floor(last, done)?;
        log.put_words(connection, sql::said(entries)).await?;
        let put = sqlx::query(sql::INDEXED_PUT)
            .bind(log.owner.as_str())
            .bind(&log.name)
            .bind(id_bytes(floor));
        put.execute(connection).await.map_err(failed)?;
        Ok(done)
    }
}
