//! Append-only logs in SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Params, params_from_iter};
use stanza::Bare;
use store::{Append, Archive, Entry, EntryId, Filling, Page, PageRequest, Result};

use super::Sqlite;
use super::connection::Connection;
use crate::observe::At;
use crate::sql::{self, Query, Value, Word, id_bytes, id_of};

const AT: At = At {
    backend: "sqlite",
    port: "archive",
};

/// Entries indexed in one write.
const STEP: u32 = 100;

/// It has no statistics that would tell it when to take the index by party.
const BY_PEER: &str = " INDEXED BY archive_by_peer";

#[async_trait]
impl Archive for Sqlite {
    async fn append(&self, entries: &[Append]) -> Result<Vec<EntryId>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let entries = entries.to_vec();
        let write = move |db: &Connection| entries.iter().map(|entry| append(db, entry)).collect();
        AT.call("append", self.writer.write(write)).await
    }

    async fn page(&self, owner: &Bare, log: &str, request: &PageRequest) -> Result<Page> {
        let (query, request) = (sql::read_page(owner, log, request, BY_PEER), request.clone());
        let by_key = is_by_key(&request);
        let read = move |db: &Connection| page(db, &query, &request);
        if by_key {
            AT.call("page", self.readers.short(read)).await
        } else {
            AT.call("page", self.readers.long(read)).await
        }
    }

    async fn entries(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<Vec<Entry>> {
        let log = Log::of(owner, log);
        let ids: BTreeSet<_> = ids.iter().copied().collect();
        let read = move |db: &Connection| log.entries(db, &ids);
        AT.call("entries", self.readers.short(read)).await
    }

    async fn logs(&self, owner: &Bare) -> Result<Vec<String>> {
        let owner = owner.clone();
        let logs = move |db: &Connection| logs(db, &owner);
        AT.call("logs", self.readers.short(logs)).await
    }

    async fn count(&self, owner: &Bare, log: &str) -> Result<u64> {
        let log = Log::of(owner, log);
        let count = move |db: &Connection| number(db, sql::ARCHIVE_COUNT, log.key()).map(i64::cast_unsigned);
        AT.call("count", self.readers.long(count)).await
    }

    async fn count_found(&self, owner: &Bare, log: &str, request: &PageRequest, most: u32) -> Result<Option<u32>> {
        let Query { text, values } = sql::count_found(owner, log, request, (most, BY_PEER));
        let count = move |db: &Connection| {
            let found = number(db, &text, params_from_iter(&values))?;
            Ok(u32::try_from(found).ok().filter(|found| *found <= most))
        };
        AT.call("count_found", self.readers.long(count)).await
    }

    async fn excess(&self, owner: &Bare, log: &str, keep: u32) -> Result<Option<EntryId>> {
        let log = Log::of(owner, log);
        let excess = move |db: &Connection| {
            let (owner, name) = log.key();
            let id: Option<(Vec<u8>,)> = db.one(sql::ARCHIVE_EXCESS, (owner, name, i64::from(keep)))?;
            id.map(|(id,)| id_of(&id)).transpose()
        };
        AT.call("excess", self.readers.long(excess)).await
    }

    async fn replace(&self, owner: &Bare, log: &str, id: EntryId, stanza: Bytes) -> Result<bool> {
        let log = Log::of(owner, log);
        let replace = move |db: &Connection| log.replace(db, &id_bytes(id), &stanza);
        AT.call("replace", self.writer.write(replace)).await
    }

    async fn trim(&self, owner: &Bare, log: &str, last: EntryId, most: u32) -> Result<u64> {
        let log = Log::of(owner, log);
        let trim = move |db: &Connection| {
            let (owner, name) = log.key();
            let removed = db.all(sql::ARCHIVE_TRIM, (owner, name, id_bytes(last), i64::from(most)))?;
            log.forget(db, removed)
        };
        AT.call("trim", self.writer.write(trim)).await
    }

    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<u64> {
        let (log, ids) = (Log::of(owner, log), ids.to_vec());
        let remove = move |db: &Connection| log.remove(db, &ids);
        AT.call("remove", self.writer.write(remove)).await
    }

    /// In small steps, so that others may write in between.
    async fn index(&self, owner: &Bare, log: &str, most: u32) -> Result<bool> {
        AT.call("index", async {
            let mut left = most;
            loop {
                let log = Log::of(owner, log);
                let most = left.min(STEP);
                left -= most;
                let done = self.writer.write(move |db| log.index(db, most as usize)).await?;
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
        let query = sql::read_page(owner, log, request, BY_PEER).explained("EXPLAIN QUERY PLAN ");
        let explain = move |db: &Connection| db.all(&query.text, params_from_iter(&query.values));
        let lines: Vec<(i64, i64, i64, String)> = self.readers.long(explain).await?;
        Ok(lines.into_iter().map(|(.., line)| line).collect())
    }
}

/// Whether no more is looked at than is answered: not so with words, or one of a party's resources. How much that is shows when it is read:
/// what follows upon a mark is little whatever the limit.
fn is_by_key(request: &PageRequest) -> bool {
    request.text.is_empty() && request.with.as_ref().is_none_or(|with| with.is_bare())
}

fn append(db: &Connection, Append { owner, log, entry }: &Append) -> Result<EntryId> {
    let (owner, key) = (owner.as_str(), entry.key.as_deref());
    let party = entry.with.as_ref();
    let values = (
        owner,
        log,
        id_bytes(entry.id),
        entry.at.0,
        party.map(|party| party.as_str()),
        party.map(|party| party.bare().as_str().to_owned()),
        key,
        &entry.stanza[..],
    );
    let kept = db.execute(include_str!("sql/archive_append.sql"), values)? > 0;
    let Some(key) = key.filter(|_| !kept) else {
        return Ok(entry.id);
    };
    let first: Option<(Vec<u8>,)> = db.one(include_str!("sql/archive_find.sql"), (owner, log, key))?;
    first.map_or(Ok(entry.id), |(first,)| id_of(&first))
}

fn page(db: &Connection, query: &Query, request: &PageRequest) -> Result<Page> {
    let mut filling = Filling::new(request);
    let take = |row| Ok(filling.take(sql::entry(row)?));
    let complete = db.each(&query.text, params_from_iter(&query.values), take)?;
    Ok(filling.page(complete))
}

fn logs(db: &Connection, owner: &Bare) -> Result<Vec<String>> {
    let mut logs: Vec<String> = Vec::new();
    loop {
        let last = logs.last().map_or("", String::as_str);
        let next = db.one(sql::ARCHIVE_LOG, (owner.as_str(), last))?;
        let Some((Some(next),)) = next else {
            return Ok(logs);
        };
        logs.push(next);
    }
}

/// The number that is all of the answer.
fn number(db: &Connection, sql: &str, values: impl Params) -> Result<i64> {
    let number: Option<(i64,)> = db.one(sql, values)?;
    Ok(number.map_or(0, |(number,)| number))
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

    fn key(&self) -> (&str, &str) {
        (self.owner.as_str(), &self.name)
    }

    fn entries(&self, db: &Connection, ids: &BTreeSet<EntryId>) -> Result<Vec<Entry>> {
        let (owner, name) = self.key();
        let mut rows = Vec::new();
        for id in ids {
            rows.extend(db.one(include_str!("sql/archive_entry.sql"), (owner, name, id_bytes(*id)))?);
        }
        sql::entries(rows)
    }

    fn replace(&self, db: &Connection, id: &[u8], stanza: &[u8]) -> Result<bool> {
        let (owner, name) = self.key();
        let old = db.one(include_str!("sql/archive_stanza.sql"), (owner, name, id))?;
        let Some((old,)) = old else {
            return Ok(false);
        };
        db.execute(sql::ARCHIVE_REPLACE, (stanza, owner, name, id))?;
        if self.indexed(db)?.is_some() {
            self.remove_words(db, sql::said(vec![(id.to_vec(), old)]))?;
            self.put_words(db, sql::said(vec![(id.to_vec(), stanza.to_vec())]))?;
        }
        Ok(true)
    }

    fn remove(&self, db: &Connection, ids: &[EntryId]) -> Result<u64> {
        let (owner, name) = self.key();
        let mut removed = Vec::new();
        for id in ids {
            removed.extend(db.one(include_str!("sql/archive_remove.sql"), (owner, name, id_bytes(*id)))?);
        }
        self.forget(db, removed)
    }

    /// Removes the words of what was removed; returns how many entries that was.
    fn forget(&self, db: &Connection, removed: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<u64> {
        let count = removed.len() as u64;
        self.remove_words(db, sql::unsaid(removed))?;
        Ok(count)
    }

    fn index(&self, db: &Connection, most: usize) -> Result<bool> {
        let (owner, name) = self.key();
        let from = self.indexed(db)?.unwrap_or_default();
        let read = include_str!("sql/archive_unindexed.sql");
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = db.all(read, (owner, name, from, most as i64 + 1))?;
        let done = entries.len() <= most;
        entries.truncate(most);
        let Some((last, _)) = entries.last() else {
            return Ok(done);
        };
        let floor = sql::floor(last, done)?;
        self.put_words(db, sql::said(entries))?;
        db.execute(sql::INDEXED_PUT, (owner, name, id_bytes(floor)))?;
        Ok(done)
    }

    /// Up to where it is indexed, if at all.
    fn indexed(&self, db: &Connection) -> Result<Option<Vec<u8>>> {
        let indexed: Option<(Vec<u8>,)> = db.one(sql::INDEXED_GET, self.key())?;
        Ok(indexed.map(|(id,)| id))
    }

    fn put_words(&self, db: &Connection, words: Vec<Word>) -> Result<()> {
        self.write_words(db, include_str!("sql/words_put.sql"), words)
    }

    fn remove_words(&self, db: &Connection, words: Vec<Word>) -> Result<()> {
        self.write_words(db, include_str!("sql/words_remove.sql"), words)
    }

    fn write_words(&self, db: &Connection, sql: &str, words: Vec<Word>) -> Result<()> {
        let (owner, name) = self.key();
        for (word, id) in words {
            db.execute(sql, (owner, name, word, id))?;
        }
        Ok(())
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Bytes(value) => ValueRef::Blob(value),
            Self::Number(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
        }))
    }
}
