//! Log entries as rows; ids as 16 bytes, most significant first, so that the order of bytes is the order of ids.

use stanza::Jid;
use store::{Entry, EntryId, Error, Result};

/// Id, time, party, key and stanza.
pub(crate) type EntryRow = (Vec<u8>, i64, Option<String>, Option<Vec<u8>>, Vec<u8>);

/// The entries that the rows are.
pub(crate) fn entries(rows: Vec<EntryRow>) -> Result<Vec<Entry>> {
    rows.into_iter().map(entry).collect()
}

/// The entry that a row is.
pub(crate) fn entry((id, at, peer, key, stanza): EntryRow) -> Result<Entry> {
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
