//! The statement that reads a page of a log: only what is asked for is in it, so that the index made for it is taken.

use stanza::{Bare, Timestamp};
use store::{EntryId, PageRequest};

use super::id_bytes;

/// A statement put together, with what it binds to its places `$1`, `$2`, … in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

/// What a place holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Bytes(Vec<u8>),
    Number(i64),
    Text(String),
}

/// By what a database knows a log.
#[derive(Clone, Copy)]
pub(crate) enum Key<'a> {
    /// By its owner and its name.
    Name(&'a Bare, &'a str),
    /// By its number.
    Number(i64),
}

impl Key<'_> {
    /// That `one` and `other`, two tables of a statement, speak of one log.
    fn same(self, one: &str, other: &str) -> String {
        match self {
            Self::Name(..) => format!("{one}.owner = {other}.owner AND {one}.log = {other}.log"),
            Self::Number(_) => format!("{one}.log = {other}.log"),
        }
    }

    /// That `k` speaks of this log.
    fn bind(self, query: &mut Query) {
        match self {
            Self::Name(owner, name) => {
                query.bind(" k.owner = ", Value::Text(owner.as_str().to_owned()));
                query.bind(" AND k.log = ", Value::Text(name.to_owned()));
            }
            Self::Number(number) => query.bind(" k.log = ", Value::Number(number)),
        }
    }
}

impl Query {
    /// The statement that tells how the database would run this one.
    pub(crate) fn explained(mut self, explain: &str) -> Self {
        self.text.insert_str(0, explain);
        self
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds `text` and the place of a value after it.
    fn bind(&mut self, text: &str, value: Value) {
        self.values.push(value);
        self.text.push_str(text);
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
    }
}

/// Reads the page, and one entry more: whether it comes tells whether the page is the last. `by_peer` has the database take the index by
/// party, if it would not do so of itself.
pub(crate) fn read_page(log: Key<'_>, request: &PageRequest, by_peer: &str) -> Query {
    let mut query = Query::default();
    query.push("SELECT k.id, at, peer, unique_key, stanza FROM ");
    found(&mut query, log, request, by_peer);
    let order = if request.backwards {
        " ORDER BY k.id DESC LIMIT "
    } else {
        " ORDER BY k.id LIMIT "
    };
    query.bind(order, Value::Number(i64::from(request.limit) + 1));
    query
}

/// Counts what the request finds, up to one more than `most`.
pub(crate) fn count_found(log: Key<'_>, request: &PageRequest, (most, by_peer): (u32, &str)) -> Query {
    let mut query = Query::default();
    query.push("SELECT count(*) FROM (SELECT 1 FROM ");
    found(&mut query, log, request, by_peer);
    query.bind(" LIMIT ", Value::Number(i64::from(most) + 1));
    query.push(") AS found");
    query
}

/// Tables and conditions. `k` is the table by whose key is read on: the log itself, or the index of its words.
fn found(query: &mut Query, log: Key<'_>, request: &PageRequest, by_peer: &str) {
    let words = request.words();
    match (&words, &request.with) {
        (Some(_), _) => {
            query.push("words k CROSS JOIN archive a WHERE ");
            query.push(&log.same("a", "k"));
            query.push(" AND a.id = k.id AND");
        }
        (None, Some(_)) => {
            query.push("archive k");
            query.push(by_peer);
            query.push(" WHERE");
        }
        (None, None) => query.push("archive k WHERE"),
    }
    log.bind(query);
    if let Some(words) = words {
        with_words(query, log, words);
    }
    if let Some(with) = &request.with {
        query.bind(" AND peer_bare = ", Value::Text(with.bare().as_str().to_owned()));
        if !with.is_bare() {
            query.bind(" AND peer = ", Value::Text(with.as_str().to_owned()));
        }
    }
    between(query, request);
}

/// The longest word is looked up, as it is likely to be the rarest; the others are asked of what is found, one by one: by counting, as
/// PostgreSQL would else join them, and without statistics in a way that compares each with each.
fn with_words(query: &mut Query, log: Key<'_>, words: Vec<String>) {
    let mut words = words.into_iter();
    let Some(first) = words.next() else {
        return query.push(" AND FALSE");
    };
    query.bind(" AND k.word = ", Value::Text(first));
    for word in words {
        query.push(" AND (SELECT count(*) FROM words w WHERE ");
        query.push(&log.same("w", "k"));
        query.bind(" AND w.id = k.id AND w.word = ", Value::Text(word));
        query.push(") > 0");
    }
}

/// Times are places among the ids; they are compared all the same, as ids have not always been made of them.
fn between(query: &mut Query, request: &PageRequest) {
    let before_start = |start| EntryId(EntryId::first_at(start).0.saturating_sub(1));
    let after_end = |end: Timestamp| EntryId::first_at(Timestamp(end.0.saturating_add(1)));
    if let Some(after) = request.after.max(request.start.map(before_start)) {
        query.bind(" AND k.id > ", Value::Bytes(id_bytes(after)));
    }
    let before = [request.before, request.end.map(after_end)].into_iter().flatten().min();
    if let Some(before) = before {
        query.bind(" AND k.id < ", Value::Bytes(id_bytes(before)));
    }
    if let Some(start) = request.start {
        query.bind(" AND at >= ", Value::Number(start.0));
    }
    if let Some(end) = request.end {
        query.bind(" AND at <= ", Value::Number(end.0));
    }
}
