//! What of a log becomes words, and how far a log is indexed.

use bytes::Bytes;
use stanza::Timestamp;
use store::{EntryId, Result, words_said};

use super::id_of;

/// How long an entry may take to be written while newer ones stand already, in microseconds: two homes of an account, or one that writes
/// behind. So far back all is looked at again.
const LATE: i64 = 60_000_000;

/// A word, and the id of the entry that has it.
pub(crate) type Word = (String, Vec<u8>);

/// The words of entries, in order: all write them in the same one, and so wait for each other instead of locking each other out.
pub(crate) fn said(entries: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<Word> {
    let of_one = |(id, stanza): (Vec<u8>, Vec<u8>)| {
        let words = words_said(&Bytes::from(stanza)).into_iter();
        words.map(move |word| (word, id.clone()))
    };
    let mut words: Vec<Word> = entries.into_iter().flat_map(of_one).collect();
    words.sort_unstable();
    words
}

/// The words of removed entries, of which a stanza is known if there is an index.
pub(crate) fn unsaid(removed: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Vec<Word> {
    said(
        removed
            .into_iter()
            .filter_map(|(id, stanza)| Some((id, stanza?)))
            .collect(),
    )
}

/// Up to where a log is indexed once its entries up to `last` are, which are all (`done`) or not.
pub(crate) fn floor(last: &[u8], done: bool) -> Result<EntryId> {
    let last = id_of(last)?;
    Ok(if done {
        EntryId::first_at(Timestamp(last.time().0 - LATE))
    } else {
        last
    })
}
