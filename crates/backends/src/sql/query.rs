//! The statement that reads a page of a log: only what is asked for is in it, so that the index made for it is taken.

use sqlx::{Database, Encode, QueryBuilder, Type};
use stanza::{Bare, Timestamp};
use store::{EntryId, PageRequest};

use super::id_bytes;

/// In what a database differs from the others.
pub(crate) trait Dialect: Database {
    /// What has it take the index by party, if it would not do so of itself.
    const BY_PEER: &'static str;
}

/// A piece of a statement: its text, or a value that it binds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Sql(&'static str),
    /// [`Dialect::BY_PEER`].
    ByPeer,
    Bytes(Vec<u8>),
    Number(i64),
    Text(String),
}

use Piece::{ByPeer, Bytes, Number, Sql, Text};

/// Reads the page, and one entry more: whether it comes tells whether the page is the last.
pub(crate) fn read_page(owner: &Bare, log: &str, request: &PageRequest) -> Vec<Piece> {
    let mut pieces = vec![Sql("SELECT k.id, at, peer, unique_key, stanza FROM ")];
    pieces.extend(found(owner, log, request));
    let order = if request.backwards {
        " ORDER BY k.id DESC LIMIT "
    } else {
        " ORDER BY k.id LIMIT "
    };
    pieces.extend([Sql(order), Number(i64::from(request.limit) + 1)]);
    pieces
}

/// Counts what the request finds, up to one more than `most`.
pub(crate) fn count_found(owner: &Bare, log: &str, request: &PageRequest, most: u32) -> Vec<Piece> {
    let mut pieces = vec![Sql("SELECT count(*) FROM (SELECT 1 FROM ")];
    pieces.extend(found(owner, log, request));
    pieces.extend([Sql(" LIMIT "), Number(i64::from(most) + 1), Sql(") AS found")]);
    pieces
}

/// Tables and conditions. `k` is the table by whose key is read on: the log itself, or the index of its words.
fn found(owner: &Bare, log: &str, request: &PageRequest) -> Vec<Piece> {
    let words = request.words();
    let mut pieces = match (&words, &request.with) {
        (Some(_), _) => vec![Sql(
            "words k CROSS JOIN archive a WHERE a.owner = k.owner AND a.log = k.log AND a.id = k.id AND k.owner = ",
        )],
        (None, Some(_)) => vec![Sql("archive k"), ByPeer, Sql(" WHERE k.owner = ")],
        (None, None) => vec![Sql("archive k WHERE k.owner = ")],
    };
    pieces.extend([
        Text(owner.as_str().to_owned()),
        Sql(" AND k.log = "),
        Text(log.to_owned()),
    ]);
    if let Some(words) = words {
        pieces.extend(with_words(words));
    }
    if let Some(with) = &request.with {
        pieces.extend([Sql(" AND peer_bare = "), Text(with.bare().as_str().to_owned())]);
        if !with.is_bare() {
            pieces.extend([Sql(" AND peer = "), Text(with.as_str().to_owned())]);
        }
    }
    pieces.extend(between(request));
    pieces
}

/// The longest word is looked up, as it is likely to be the rarest; the others are asked of what is found, one by one: by counting, as
/// PostgreSQL would else join them, and without statistics in a way that compares each with each.
fn with_words(words: Vec<String>) -> Vec<Piece> {
    let mut words = words.into_iter();
    let Some(first) = words.next() else {
        return vec![Sql(" AND FALSE")];
    };
    let mut pieces = vec![Sql(" AND k.word = "), Text(first)];
    for word in words {
        pieces.extend([
            Sql(" AND (SELECT count(*) FROM words w WHERE w.owner = k.owner AND w.log = k.log AND w.id = k.id AND w.word = "),
            Text(word),
            Sql(") > 0"),
        ]);
    }
    pieces
}

/// Times are places among the ids; they are compared all the same, as ids have not always been made of them.
fn between(request: &PageRequest) -> Vec<Piece> {
    let before_start = |start| EntryId(EntryId::first_at(start).0.saturating_sub(1));
    let after_end = |end: Timestamp| EntryId::first_at(Timestamp(end.0.saturating_add(1)));
    let mut pieces = Vec::new();
    if let Some(after) = request.after.max(request.start.map(before_start)) {
        pieces.extend([Sql(" AND k.id > "), Bytes(id_bytes(after))]);
    }
    let before = [request.before, request.end.map(after_end)].into_iter().flatten().min();
    if let Some(before) = before {
        pieces.extend([Sql(" AND k.id < "), Bytes(id_bytes(before))]);
    }
    if let Some(start) = request.start {
        pieces.extend([Sql(" AND at >= "), Number(start.0)]);
    }
    if let Some(end) = request.end {
        pieces.extend([Sql(" AND at <= "), Number(end.0)]);
    }
    pieces
}

/// The pieces put together, in a database's own way of writing what is bound.
pub(crate) fn statement<DB: Dialect>(pieces: Vec<Piece>) -> QueryBuilder<DB>
where
    Vec<u8>: Type<DB> + for<'q> Encode<'q, DB>,
    i64: Type<DB> + for<'q> Encode<'q, DB>,
    String: Type<DB> + for<'q> Encode<'q, DB>,
{
    let mut statement = QueryBuilder::default();
    for piece in pieces {
        match piece {
            Sql(text) => statement.push(text),
            ByPeer => statement.push(DB::BY_PEER),
            Bytes(value) => statement.push_bind(value),
            Number(value) => statement.push_bind(value),
            Text(value) => statement.push_bind(value),
        };
    }
    statement
}
