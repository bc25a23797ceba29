//! Log entries as rows; ids as 16 bytes, most significant first, so that the order of bytes is the order of ids.

use stanza::Jid;
use store::{Entry, EntryId, Error, Page, PageRequest, Result};

/// Id, time, party, key and stanza.
pub(crate) type EntryRow = (Vec<u8>, i64, Option<String>, Option<Vec<u8>>, Vec<u8>);

/// What a page request binds: everything a bound, so that one statement serves all requests from the primary key.
pub(crate) struct Window {
    pub(crate) after: Vec<u8>,
    pub(crate) before: Vec<u8>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) bare: Option<String>,
    pub(crate) full: Option<String>,
    /// One more than asked for: whether it comes tells whether the page is the last.
    pub(crate) limit: i64,
}

impl Window {
    pub(crate) fn new(request: &PageRequest) -> Self {
        let (bare, full) = match &request.with {
            Some(with) if with.is_bare() => (Some(with.as_str().to_owned()), None),
            Some(with) => (Some(with.bare().as_str().to_owned()), Some(with.as_str().to_owned())),
            None => (None, None),
        };
        Self {
            after: request.after.map_or(Vec::new(), id_bytes),
            before: request.before.map_or(vec![0xff; 17], id_bytes),
            start: request.start.map_or(i64::MIN, |start| start.0),
            end: request.end.map_or(i64::MAX, |end| end.0),
            bare,
            full,
            limit: i64::from(request.limit) + 1,
        }
    }
}

/// The page that the rows, read by a [`Window`] of `request`, are.
pub(crate) fn page(rows: Vec<EntryRow>, request: &PageRequest) -> Result<Page> {
    let limit = request.limit as usize;
    let complete = rows.len() <= limit;
    let mut entries = rows.into_iter().take(limit).map(entry).collect::<Result<Vec<_>>>()?;
    if request.backwards {
        entries.reverse();
    }
    Ok(Page { entries, complete })
}

fn entry((id, at, peer, key, stanza): EntryRow) -> Result<Entry> {
    let with = peer.map(|peer| Jid::parse(&peer)).transpose();
    let with = with.map_err(|error| Error::Corrupt(format!("party of a log entry: {error}")))?;
    Ok(Entry {
        id: id_of(&id)?,
        at: stanza::Timestamp(at),
        with,
        key: key.map(Into::into),
        stanza: stanza.into(),
    })
}

/// An id as a column.
pub(crate) fn id_bytes(id: EntryId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

/// The id a column holds.
pub(crate) fn id_of(bytes: &[u8]) -> Result<EntryId> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::Corrupt("id of a log entry".into()))?;
    Ok(EntryId(u128::from_be_bytes(bytes)))
}
