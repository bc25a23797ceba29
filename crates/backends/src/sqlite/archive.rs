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
use crate::sql::{self, Key, Query, Value, Word, id_bytes, id_of};

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
        let asked = request.clone();
        let read = Name::of(owner, log).with(move |db, log| page(db, log, &asked));
        let read = if is_by_key(request) {
            AT.call("page", self.readers.short(read)).await
        } else {
            AT.call("page", self.readers.long(read)).await
        };
        Ok(read?.unwrap_or_else(|| Filling::new(request).page(true)))
    }

    async fn entries(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<Vec<Entry>> {
        let ids: BTreeSet<_> = ids.iter().copied().collect();
        let read = Name::of(owner, log).with(move |db, log| log.entries(db, &ids));
        let read = AT.call("entries", self.readers.short(read)).await;
        read.map(Option::unwrap_or_default)
    }

    async fn logs(&self, owner: &Bare) -> Result<Vec<String>> {
        let owner = owner.clone();
        let logs = move |db: &Connection| db.all(include_str!("sql/log_list.sql"), (owner.as_str(),));
        let logs: Vec<(String,)> = AT.call("logs", self.readers.short(logs)).await?;
        Ok(logs.into_iter().map(|(log,)| log).collect())
    }

    async fn count(&self, owner: &Bare, log: &str) -> Result<u64> {
        let count = Name::of(owner, log).with(|db, Log(log)| number(db, include_str!("sql/archive_count.sql"), (log,)));
        let count = AT.call("count", self.readers.long(count)).await;
        count.map(|count| count.map_or(0, i64::cast_unsigned))
    }

    async fn count_found(&self, owner: &Bare, log: &str, request: &PageRequest, most: u32) -> Result<Option<u32>> {
        let request = request.clone();
        let count = Name::of(owner, log).with(move |db, Log(log)| {
            let Query { text, values } = sql::count_found(Key::Number(log), &request, (most, BY_PEER));
            number(db, &text, params_from_iter(&values))
        });
        let found = AT.call("count_found", self.readers.long(count)).await?;
        Ok(u32::try_from(found.unwrap_or_default())
            .ok()
            .filter(|found| *found <= most))
    }

    async fn excess(&self, owner: &Bare, log: &str, keep: u32) -> Result<Option<EntryId>> {
        let excess = Name::of(owner, log).with(move |db, Log(log)| {
            let id: Option<(Vec<u8>,)> = db.one(include_str!("sql/archive_excess.sql"), (log, i64::from(keep)))?;
            id.map(|(id,)| id_of(&id)).transpose()
        });
        let excess = AT.call("excess", self.readers.long(excess)).await;
        excess.map(Option::flatten)
    }

    async fn replace(&self, owner: &Bare, log: &str, id: EntryId, stanza: Bytes) -> Result<bool> {
        let replace = Name::of(owner, log).with(move |db, log| log.replace(db, &id_bytes(id), &stanza));
        let replaced = AT.call("replace", self.writer.write(replace)).await;
        replaced.map(Option::unwrap_or_default)
    }

    async fn trim(&self, owner: &Bare, log: &str, last: EntryId, most: u32) -> Result<u64> {
        let trim = Name::of(owner, log).with(move |db, log| {
            let trim = include_str!("sql/archive_trim.sql");
            let removed = db.all(trim, (log.0, id_bytes(last), i64::from(most)))?;
            log.forget(db, removed)
        });
        let trimmed = AT.call("trim", self.writer.write(trim)).await;
        trimmed.map(Option::unwrap_or_default)
    }

    async fn remove(&self, owner: &Bare, log: &str, ids: &[EntryId]) -> Result<u64> {
        let ids = ids.to_vec();
        let remove = Name::of(owner, log).with(move |db, log| log.remove(db, &ids));
        let removed = AT.call("remove", self.writer.write(remove)).await;
        removed.map(Option::unwrap_or_default)
    }

    /// In small steps, so that others may write in between.
    async fn index(&self, owner: &Bare, log: &str, most: u32) -> Result<bool> {
        AT.call("index", async {
            let mut left = most;
            loop {
                let most = left.min(STEP);
                left -= most;
                let step = Name::of(owner, log).with(move |db, log| log.index(db, most as usize));
                let done = self.writer.write(step).await?.unwrap_or(true);
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
        let request = request.clone();
        let explain = Name::of(owner, log).with(move |db, Log(log)| {
            let query = sql::read_page(Key::Number(log), &request, BY_PEER).explained("EXPLAIN QUERY PLAN ");
            db.all(&query.text, params_from_iter(&query.values))
        });
        let lines: Vec<(i64, i64, i64, String)> = self.readers.long(explain).await?.unwrap_or_default();
        Ok(lines.into_iter().map(|(.., line)| line).collect())
    }
}

/// Whether no more is looked at than is answered: not so with words, or one of a party's resources. How much that is shows when it is read:
/// what follows upon a mark is little whatever the limit.
fn is_by_key(request: &PageRequest) -> bool {
    request.text.is_empty() && request.with.as_ref().is_none_or(|with| with.is_bare())
}

fn append(db: &Connection, Append { owner, log, entry }: &Append) -> Result<EntryId> {
    let Log(log) = Log::begun(db, owner, log)?;
    let (key, party) = (entry.key.as_deref(), entry.with.as_ref());
    let values = (
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
    let first: Option<(Vec<u8>,)> = db.one(include_str!("sql/archive_find.sql"), (log, key))?;
    first.map_or(Ok(entry.id), |(first,)| id_of(&first))
}

fn page(db: &Connection, Log(log): Log, request: &PageRequest) -> Result<Page> {
    let query = sql::read_page(Key::Number(log), request, BY_PEER);
    let mut filling = Filling::new(request);
    let take = |row| Ok(filling.take(sql::entry(row)?));
    let complete = db.each(&query.text, params_from_iter(&query.values), take)?;
    Ok(filling.page(complete))
}

/// The number that is all of the answer.
fn number(db: &Connection, sql: &str, values: impl Params) -> Result<i64> {
    let number: Option<(i64,)> = db.one(sql, values)?;
    Ok(number.map_or(0, |(number,)| number))
}

/// A log as others know it.
struct Name {
    owner: Bare,
    name: String,
}

impl Name {
    fn of(owner: &Bare, name: &str) -> Self {
        Self {
            owner: owner.clone(),
            name: name.to_owned(),
        }
    }

    /// What is done with the log, if there is one.
    fn with<T>(self, act: impl Fn(&Connection, Log) -> Result<T>) -> impl Fn(&Connection) -> Result<Option<T>> {
        move |db| match Log::found(db, &self.owner, &self.name)? {
            Some(log) => act(db, log).map(Some),
            None => Ok(None),
        }
    }
}

/// A log by its number.
#[derive(Clone, Copy)]
struct Log(i64);

impl Log {
    fn found(db: &Connection, owner: &Bare, name: &str) -> Result<Option<Self>> {
        let number: Option<(i64,)> = db.one(include_str!("sql/log_number.sql"), (owner.as_str(), name))?;
        Ok(number.map(|(number,)| Self(number)))
    }

    fn begun(db: &Connection, owner: &Bare, name: &str) -> Result<Self> {
        if let Some(log) = Self::found(db, owner, name)? {
            return Ok(log);
        }
        let begun = number(db, include_str!("sql/log_begin.sql"), (owner.as_str(), name));
        begun.map(Self)
    }

    fn entries(self, db: &Connection, ids: &BTreeSet<EntryId>) -> Result<Vec<Entry>> {
        let mut rows = Vec::new();
        for id in ids {
            rows.extend(db.one(include_str!("sql/archive_entry.sql"), (self.0, id_bytes(*id)))?);
        }
        sql::entries(rows)
    }

    fn replace(self, db: &Connection, id: &[u8], stanza: &[u8]) -> Result<bool> {
        let old = db.one(include_str!("sql/archive_stanza.sql"), (self.0, id))?;
        let Some((old,)) = old else {
            return Ok(false);
        };
        db.execute(include_str!("sql/archive_replace.sql"), (stanza, self.0, id))?;
        if self.indexed(db)?.is_some() {
            self.remove_words(db, sql::said(vec![(id.to_vec(), old)]))?;
            self.put_words(db, sql::said(vec![(id.to_vec(), stanza.to_vec())]))?;
        }
        Ok(true)
    }

    fn remove(self, db: &Connection, ids: &[EntryId]) -> Result<u64> {
        let mut removed = Vec::new();
        for id in ids {
            removed.extend(db.one(include_str!("sql/archive_remove.sql"), (self.0, id_bytes(*id)))?);
        }
        self.forget(db, removed)
    }

    /// Removes the words of what was removed; returns how many entries that was.
    fn forget(self, db: &Connection, removed: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<u64> {
        let count = removed.len() as u64;
        self.remove_words(db, sql::unsaid(removed))?;
        Ok(count)
    }

    fn index(self, db: &Connection, most: usize) -> Result<bool> {
        let from = self.indexed(db)?.unwrap_or_default();
        let read = include_str!("sql/archive_unindexed.sql");
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = db.all(read, (self.0, from, most as i64 + 1))?;
        let done = entries.len() <= most;
        entries.truncate(most);
        let Some((last, _)) = entries.last() else {
            return Ok(done);
        };
        let floor = sql::floor(last, done)?;
        self.put_words(db, sql::said(entries))?;
        db.execute(include_str!("sql/indexed_put.sql"), (id_bytes(floor), self.0))?;
        Ok(done)
    }

    /// Up to where it is indexed, if at all.
    fn indexed(self, db: &Connection) -> Result<Option<Vec<u8>>> {
        let indexed: Option<(Vec<u8>,)> = db.one(include_str!("sql/indexed_get.sql"), (self.0,))?;
        Ok(indexed.map(|(id,)| id))
    }

    fn put_words(self, db: &Connection, words: Vec<Word>) -> Result<()> {
        self.write_words(db, include_str!("sql/words_put.sql"), words)
    }

    fn remove_words(self, db: &Connection, words: Vec<Word>) -> Result<()> {
        self.write_words(db, include_str!("sql/words_remove.sql"), words)
    }

    fn write_words(self, db: &Connection, sql: &str, words: Vec<Word>) -> Result<()> {
        for (word, id) in words {
            db.execute(sql, (self.0, word, id))?;
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
