//! The promises of [`Archive`](crate::Archive).

use bytes::Bytes;
use stanza::Timestamp;

use super::{all, bare, jid, ok};
use crate::{Append, Entry, EntryId, Page, PageRequest, Stores};

const OWNER: &str = "romeo@montague.example";

/// Entry `n` of Romeo's log, at second `n`.
fn append(n: u128) -> Append {
    let entry = Entry {
        id: EntryId(n),
        at: Timestamp(n as i64 * 1_000_000),
        with: None,
        key: None,
        stanza: format!("<message id='{n}'/>").into(),
    };
    Append {
        owner: bare(OWNER),
        log: "offline",
        entry,
    }
}

fn keyed(n: u128, key: &[u8]) -> Append {
    let mut append = append(n);
    append.entry.key = Some(Bytes::copy_from_slice(key));
    append
}

fn entries(numbers: impl IntoIterator<Item = u128>) -> Vec<Entry> {
    numbers.into_iter().map(|n| append(n).entry).collect()
}

async fn read(stores: &Stores, request: &PageRequest) -> Page {
    ok(stores.archive.page(&bare(OWNER), "offline", request).await)
}

async fn everything(stores: &Stores) -> Vec<Entry> {
    read(
        stores,
        &PageRequest {
            limit: 10_000,
            ..Default::default()
        },
    )
    .await
    .entries
}

/// What is read is what was written, in every field, in order of id.
pub async fn appends_and_reads_back(stores: &Stores) {
    let mut whole = append(u128::MAX - 1);
    whole.entry.with = Some(jid("juliet@capulet.example/balcony"));
    whole.entry.key = Some(Bytes::from_static(&[0, 1, 255]));
    whole.entry.at = Timestamp(1_700_000_000_123_456);
    whole.entry.stanza = Bytes::from_static("<message>\0Größe</message>".as_bytes());
    let mut plain = append(1 << 64);
    plain.entry.with = Some(jid("nurse@capulet.example"));
    let ids = ok(stores.archive.append(&[whole.clone(), plain.clone(), append(7)]).await);
    assert_eq!(ids, [whole.entry.id, plain.entry.id, EntryId(7)]);
    assert_eq!(everything(stores).await, [append(7).entry, plain.entry, whole.entry]);
    assert_eq!(ok(stores.archive.append(&[]).await), []);
}

/// A key that is in the log already keeps the entry out, and the answer is the first one's id.
pub async fn repeated_key_finds_its_first_self(stores: &Stores) {
    assert_eq!(ok(stores.archive.append(&[keyed(1, b"a")]).await), [EntryId(1)]);
    let again = [append(2), keyed(3, b"a"), keyed(4, b"b"), keyed(5, b"b")];
    assert_eq!(ok(stores.archive.append(&again).await), [2, 1, 4, 4].map(EntryId));
    let kept: Vec<_> = everything(stores).await.into_iter().map(|entry| entry.id.0).collect();
    assert_eq!(kept, [1, 2, 4]);
}

/// The very same entry again changes nothing.
pub async fn repeated_id_is_left_out(stores: &Stores) {
    ok(stores.archive.append(&[append(1), append(2)]).await);
    assert_eq!(
        ok(stores.archive.append(&[append(2), append(3)]).await),
        [2, 3].map(EntryId)
    );
    assert_eq!(everything(stores).await, entries(1..=3));
}

/// A stanza retried on several nodes at once is kept once, and all are told the same id.
pub async fn repetition_in_concurrent_appends_is_kept_once(stores: &Stores) {
    let tries: Vec<_> = (1..=16).map(|n| [keyed(n, b"same"), append(100 + n)]).collect();
    let answers = all(tries.iter().map(|entries| stores.archive.append(entries))).await;
    let firsts: std::collections::BTreeSet<_> = answers.into_iter().map(|answer| ok(answer)[0]).collect();
    assert_eq!(firsts.len(), 1, "{firsts:?}");
    assert_eq!(everything(stores).await.len(), 17);
}

/// Pages follow one another in both directions and say when they are the last.
pub async fn pages_forward_and_backward(stores: &Stores) {
    ok(stores.archive.append(&(1..=7).map(append).collect::<Vec<_>>()).await);
    let page = |after: Option<u128>, before: Option<u128>, limit, backwards| PageRequest {
        after: after.map(EntryId),
        before: before.map(EntryId),
        limit,
        backwards,
        ..Default::default()
    };
    let table = [
        (page(None, None, 3, false), 1..=3, false),
        (page(Some(3), None, 3, false), 4..=6, false),
        (page(Some(6), None, 3, false), 7..=7, true),
        (page(Some(4), None, 3, false), 5..=7, true),
        (page(None, None, 3, true), 5..=7, false),
        (page(None, Some(5), 3, true), 2..=4, false),
        (page(None, Some(4), 3, true), 1..=3, true),
        (page(Some(2), Some(6), 9, false), 3..=5, true),
        (page(Some(2), Some(6), 2, true), 4..=5, false),
    ];
    for (request, numbers, complete) in table {
        assert_eq!(
            read(stores, &request).await,
            Page {
                entries: entries(numbers),
                complete
            },
            "{request:?}"
        );
    }
}

/// Party and time narrow a page; a bare party means all its resources.
pub async fn filters_by_party_and_time(stores: &Stores) {
    let parties = [
        Some("juliet@capulet.example"),
        Some("juliet@capulet.example/balcony"),
        Some("nurse@capulet.example"),
        None,
        Some("juliet@capulet.example/chamber"),
    ];
    let appends = parties.iter().zip(1..).map(|(party, n)| {
        let mut append = append(n);
        append.entry.with = party.map(jid);
        append
    });
    ok(stores.archive.append(&appends.collect::<Vec<_>>()).await);
    let table = [
        (Some("juliet@capulet.example"), None, None, vec![1, 2, 5]),
        (Some("juliet@capulet.example/balcony"), None, None, vec![2]),
        (Some("tybalt@capulet.example"), None, None, vec![]),
        (None, Some(3), None, vec![3, 4, 5]),
        (None, None, Some(2), vec![1, 2]),
        (None, Some(2), Some(4), vec![2, 3, 4]),
        (Some("juliet@capulet.example"), Some(2), Some(4), vec![2]),
    ];
    for (with, start, end, expected) in table {
        let second = |n: i64| Timestamp(n * 1_000_000);
        let (with, start, end) = (with.map(jid), start.map(second), end.map(second));
        let request = PageRequest {
            with,
            start,
            end,
            limit: 10,
            ..Default::default()
        };
        let page = read(stores, &request).await;
        assert_eq!(
            page.entries.iter().map(|entry| entry.id.0).collect::<Vec<_>>(),
            expected,
            "{request:?}"
        );
        assert!(page.complete);
    }
}

/// Counting follows appending and trimming; what was trimmed may come again under its key.
pub async fn counts_and_trims(stores: &Stores) {
    let (owner, archive) = (bare(OWNER), &stores.archive);
    assert_eq!(ok(archive.count(&owner, "offline").await), 0);
    ok(archive.append(&[keyed(1, b"a"), append(2), append(5), append(9)]).await);
    assert_eq!(ok(archive.count(&owner, "offline").await), 4);
    assert_eq!(ok(archive.trim(&owner, "offline", EntryId(5)).await), 3);
    assert_eq!(ok(archive.trim(&owner, "offline", EntryId(5)).await), 0);
    assert_eq!(everything(stores).await, entries([9]));
    assert_eq!(ok(archive.append(&[keyed(11, b"a")]).await), [EntryId(11)]);
    assert_eq!(ok(archive.count(&owner, "offline").await), 2);
}

/// What is removed is gone, and nothing else; what is not there is no error.
pub async fn removes_some(stores: &Stores) {
    let (owner, archive) = (bare(OWNER), &stores.archive);
    ok(archive.append(&[keyed(1, b"a"), append(2), append(5)]).await);
    let gone = [1, 5, 7].map(EntryId);
    assert_eq!(ok(archive.remove(&owner, "offline", &gone).await), 2);
    assert_eq!(ok(archive.remove(&owner, "offline", &gone).await), 0);
    assert_eq!(ok(archive.remove(&owner, "offline", &[]).await), 0);
    assert_eq!(everything(stores).await, entries([2]));
    assert_eq!(ok(archive.append(&[keyed(11, b"a")]).await), [EntryId(11)]);
}

/// The same id and key in another log, or another's log, is another entry.
pub async fn logs_and_owners_are_apart(stores: &Stores) {
    let mine = keyed(1, b"a");
    let room = Append {
        log: "archive",
        ..mine.clone()
    };
    let theirs = Append {
        owner: bare("juliet@capulet.example"),
        ..mine.clone()
    };
    ok(stores.archive.append(&[mine.clone(), room, theirs]).await);
    for (owner, log, held) in [
        (OWNER, "offline", 1),
        (OWNER, "archive", 1),
        ("juliet@capulet.example", "archive", 0),
    ] {
        assert_eq!(ok(stores.archive.count(&bare(owner), log).await), held, "{owner} {log}");
    }
    ok(stores.archive.trim(&mine.owner, "offline", EntryId(1)).await);
    assert_eq!(
        ok(stores.archive.count(&bare("juliet@capulet.example"), "offline").await),
        1
    );
}

/// One call may bring thousands.
pub async fn takes_many_at_once(stores: &Stores) {
    let ids = ok(stores
        .archive
        .append(&(1..=5_000).map(append).collect::<Vec<_>>())
        .await);
    assert_eq!(ids.len(), 5_000);
    assert_eq!(everything(stores).await, entries(1..=5_000));
}

/// Many callers with one entry each all find theirs kept.
pub async fn many_small_appends_are_all_kept(stores: &Stores) {
    let appends: Vec<_> = (1..=500).map(|n| [append(n)]).collect();
    let answers = all(appends.iter().map(|entries| stores.archive.append(entries))).await;
    let ids: Vec<_> = answers.into_iter().map(|answer| ok(answer)[0].0).collect();
    assert!(ids.into_iter().eq(1..=500));
    assert_eq!(everything(stores).await, entries(1..=500));
}

/// A log nobody wrote to is empty and complete.
pub async fn empty_log_is_complete(stores: &Stores) {
    let page = read(
        stores,
        &PageRequest {
            limit: 1,
            ..Default::default()
        },
    )
    .await;
    assert_eq!(
        page,
        Page {
            entries: Vec::new(),
            complete: true
        }
    );
}
