//! The promises of [`Archive`](crate::Archive).

use bytes::Bytes;
use stanza::Timestamp;

use super::{all, bare, jid, ok};
use crate::{Append, Entry, EntryId, Page, PageRequest, Stores};

const OWNER: &str = "romeo@montague.example";
/// More than any test keeps.
const MANY: u32 = 10_000;

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
            limit: MANY,
            ..Default::default()
        },
    )
    .await
    .entries
}

/// Entry `n`, with an id of its time.
fn timed(n: u128) -> Append {
    let mut append = append(n);
    append.entry.id = EntryId(EntryId::first_at(append.entry.at).0 + n);
    append
}

/// Entry `n`, which says something.
fn said(n: u128, body: &str) -> Append {
    let mut append = timed(n);
    append.entry.stanza = format!("<message id='{n}'><body>{body}</body></message>").into();
    append
}

/// Which entries those are.
fn numbers(entries: &[Entry]) -> Vec<u128> {
    entries.iter().map(|entry| entry.id.0 & 0xffff_ffff).collect()
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

/// A page has no more bytes than it may, but at least one entry.
pub async fn pages_by_bytes(stores: &Stores) {
    ok(stores.archive.append(&(1..=4).map(append).collect::<Vec<_>>()).await);
    let one = append(1).entry.stanza.len();
    for (bytes, backwards, numbers, complete) in [
        (0, false, 1..=4, true),
        (2 * one, false, 1..=2, false),
        (3 * one - 1, true, 3..=4, false),
        (1, false, 1..=1, false),
        (1, true, 4..=4, false),
        (4 * one, true, 1..=4, true),
    ] {
        let request = PageRequest {
            limit: MANY,
            bytes,
            backwards,
            ..Default::default()
        };
        let expected = Page {
            entries: entries(numbers),
            complete,
        };
        assert_eq!(read(stores, &request).await, expected, "{request:?}");
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
        let mut append = timed(n);
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
        assert_eq!(numbers(&page.entries), expected, "{request:?}");
        assert!(page.complete);
        let (owner, found) = (bare(OWNER), u32::try_from(expected.len()).ok());
        for (most, counted) in [(4, found), (5, found), (0, found.filter(|found| *found == 0))] {
            let count = stores.archive.count_found(&owner, "offline", &request, most).await;
            assert_eq!(ok(count), counted, "{request:?} {most}");
        }
    }
}

/// Counting follows appending and trimming; what was trimmed may come again under its key.
pub async fn counts_and_trims(stores: &Stores) {
    let (owner, archive) = (bare(OWNER), &stores.archive);
    assert_eq!(ok(archive.count(&owner, "offline").await), 0);
    ok(archive.append(&[keyed(1, b"a"), append(2), append(5), append(9)]).await);
    assert_eq!(ok(archive.count(&owner, "offline").await), 4);
    assert_eq!(ok(archive.trim(&owner, "offline", EntryId(5), 2).await), 2);
    assert_eq!(everything(stores).await, entries([5, 9]));
    assert_eq!(ok(archive.trim(&owner, "offline", EntryId(5), MANY).await), 1);
    assert_eq!(ok(archive.trim(&owner, "offline", EntryId(5), MANY).await), 0);
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

/// What is named is read, each once and in order; what is not there is left out.
pub async fn reads_named_entries(stores: &Stores) {
    let (owner, archive) = (bare(OWNER), &stores.archive);
    ok(archive.append(&[append(1), append(2), append(5)]).await);
    for (named, found) in [(vec![5, 1, 7, 5], vec![1, 5]), (vec![7], vec![]), (vec![], vec![])] {
        let ids: Vec<_> = named.into_iter().map(EntryId).collect();
        assert_eq!(
            ok(archive.entries(&owner, "offline", &ids).await),
            entries(found),
            "{ids:?}"
        );
        assert_eq!(ok(archive.entries(&owner, "archive", &ids).await), []);
    }
}

/// The newest of those beyond the newest `keep`.
pub async fn tells_what_is_in_excess(stores: &Stores) {
    let (owner, archive) = (bare(OWNER), &stores.archive);
    ok(archive.append(&[append(1), append(2), append(5)]).await);
    for (keep, newest) in [(0, Some(5)), (1, Some(2)), (2, Some(1)), (3, None), (MANY, None)] {
        let excess = ok(archive.excess(&owner, "offline", keep).await);
        assert_eq!(excess, newest.map(EntryId), "{keep}");
    }
    assert_eq!(ok(archive.excess(&owner, "archive", 0).await), None);
}

/// Another stanza stands in the place, and all else stays.
pub async fn replaces_one(stores: &Stores) {
    let (owner, archive) = (bare(OWNER), &stores.archive);
    let mut first = keyed(1, b"a");
    first.entry.with = Some(jid("juliet@capulet.example/balcony"));
    ok(archive.append(&[first.clone(), append(2)]).await);
    first.entry.stanza = "<message>retracted</message>".into();
    let stanza = first.entry.stanza.clone();
    assert!(ok(archive.replace(&owner, "offline", EntryId(1), stanza.clone()).await));
    assert!(!ok(archive
        .replace(&owner, "offline", EntryId(3), stanza.clone())
        .await));
    assert!(!ok(archive.replace(&owner, "archive", EntryId(1), stanza).await));
    assert_eq!(everything(stores).await, [first.entry, append(2).entry]);
}

/// Which entries are found by the texts, once all is indexed.
async fn find(stores: &Stores, texts: &[&str]) -> Vec<u128> {
    while !ok(stores.archive.index(&bare(OWNER), "offline", 3).await) {}
    let request = PageRequest {
        text: texts.iter().map(|text| (*text).to_owned()).collect(),
        limit: MANY,
        ..Default::default()
    };
    numbers(&read(stores, &request).await.entries)
}

/// All words have to occur, in whatever order and case.
pub async fn finds_what_was_said(stores: &Stores) {
    assert_eq!(find(stores, &["romeo"]).await, []);
    let mut theirs = said(9, "Romeo");
    theirs.owner = bare("juliet@capulet.example");
    let appends = [
        said(1, "O Romeo, Romeo! wherefore art thou Romeo?"),
        said(2, "Deny thy father and refuse thy name;"),
        said(3, "Or, if thou wilt not, be but sworn my love,"),
        said(4, "And I'll no longer be a Capulet. &lt;Größe 東京&gt;"),
        theirs,
    ];
    ok(stores.archive.append(&appends).await);
    let table: &[(&[&str], &[u128])] = &[
        (&["ROMEO"], &[1]),
        (&["thou"], &[1, 3]),
        (&["thou", "love"], &[3]),
        (&["love, thou!"], &[3]),
        (&["thou", "father"], &[]),
        (&["rome"], &[]),
        (&["GRÖSSE"], &[]),
        (&["grÖße", "I'LL"], &[4]),
        (&["京"], &[4]),
        (&["be"], &[3, 4]),
        (&["message"], &[]),
        (&["…"], &[]),
        (&["be", "…"], &[3, 4]),
    ];
    let many: Vec<String> = (1_000_000..1_005_000).map(|n| n.to_string()).collect();
    assert_eq!(find(stores, &[&many.join(" ")]).await, []);
    for (texts, found) in table {
        assert_eq!(find(stores, texts).await, *found, "{texts:?}");
    }
}

/// Who reads on from where a page ends comes by each entry that is asked for once, however far apart they are, and to an end.
pub async fn walks_past_what_is_not_asked_for(stores: &Stores) {
    const LAST: u128 = 600;
    let (romeo, nurse) = (jid("romeo@montague.example"), jid("nurse@capulet.example"));
    let is_rare = |n: u128| matches!(n, 2 | 3 | 300 | 599);
    let all = (1..=LAST).map(|n| {
        let mut append = timed(n);
        append.entry.with = Some(if is_rare(n) { nurse.clone() } else { romeo.clone() });
        append
    });
    ok(stores.archive.append(&all.collect::<Vec<_>>()).await);
    let one = timed(LAST).entry.stanza.len();
    for (with, limit, bytes) in [
        (Some(nurse.clone()), 1, 0),
        (Some(nurse.clone()), 3, one),
        (None, 7, 3 * one),
        (None, 100, 0),
    ] {
        let expected: Vec<u128> = (1..=LAST).filter(|n| with.is_none() || is_rare(*n)).collect();
        for backwards in [false, true] {
            let request = PageRequest {
                with: with.clone(),
                limit,
                bytes,
                backwards,
                ..Default::default()
            };
            assert_eq!(walk(stores, request.clone()).await, expected, "{request:?}");
        }
    }
}

/// The entries of all pages, in order, each of which is read from where the one before it ended.
async fn walk(stores: &Stores, mut request: PageRequest) -> Vec<u128> {
    let mut all = Vec::new();
    loop {
        let page = read(stores, &request).await;
        let (first, last) = (page.entries.first(), page.entries.last());
        assert!(page.complete || first.is_some(), "nothing, and no end: {request:?}");
        match request.backwards {
            true => request.before = first.map(|entry| entry.id),
            false => request.after = last.map(|entry| entry.id),
        }
        all.extend(numbers(&page.entries));
        if page.complete {
            all.sort_unstable();
            return all;
        }
    }
}

/// Words narrow a page as all else does: together with party and time, in both directions, and in counts.
pub async fn finds_page_by_page(stores: &Stores) {
    let parties = ["juliet@capulet.example/balcony", "nurse@capulet.example"];
    let appends = (1..=9).map(|n| {
        let mut append = said(n, if n % 3 == 0 { "good night" } else { "night" });
        append.entry.with = Some(jid(parties[n as usize % 2]));
        append
    });
    ok(stores.archive.append(&appends.collect::<Vec<_>>()).await);
    assert_eq!(find(stores, &["night"]).await.len(), 9);
    let text = |text: &str, limit, backwards| PageRequest {
        text: vec![text.to_owned()],
        limit,
        backwards,
        ..Default::default()
    };
    let mut with = text("night", 2, true);
    with.with = Some(jid("juliet@capulet.example"));
    let mut since = text("good", 9, false);
    since.start = Some(Timestamp(4_000_000));
    let table = [
        (text("night good", 2, false), vec![3, 6], false, 3),
        (text("night good", 2, true), vec![6, 9], false, 3),
        (text("night good", 3, true), vec![3, 6, 9], true, 3),
        (with, vec![6, 8], false, 4),
        (since, vec![6, 9], true, 2),
    ];
    for (request, found, complete, count) in table {
        let page = read(stores, &request).await;
        assert_eq!(
            (numbers(&page.entries), page.complete),
            (found, complete),
            "{request:?}"
        );
        let counted = stores
            .archive
            .count_found(&bare(OWNER), "offline", &request, count)
            .await;
        assert_eq!(ok(counted), Some(count), "{request:?}");
    }
}

/// What is gone, or says something else by now, is not found by what it said; what comes, or came late, is.
pub async fn finds_what_is_there(stores: &Stores) {
    let (owner, archive) = (bare(OWNER), &stores.archive);
    ok(archive
        .append(&(1..=9).map(|n| said(n, "night")).collect::<Vec<_>>())
        .await);
    assert_eq!(find(stores, &["night"]).await.len(), 9);
    let id = |n| timed(n).entry.id;
    ok(archive.trim(&owner, "offline", id(2), MANY).await);
    ok(archive.remove(&owner, "offline", &[id(4)]).await);
    ok(archive
        .replace(&owner, "offline", id(5), said(5, "day").entry.stanza)
        .await);
    assert_eq!(find(stores, &["night"]).await, [3, 6, 7, 8, 9]);
    assert_eq!(find(stores, &["day"]).await, [5]);
    ok(archive.append(&[said(10, "night"), said(4, "night, again")]).await);
    assert_eq!(find(stores, &["night"]).await, [3, 4, 6, 7, 8, 9, 10]);
    ok(archive
        .remove(&owner, "offline", &(1..=10).map(id).collect::<Vec<_>>())
        .await);
    assert_eq!(find(stores, &["night"]).await, []);
}

/// Whoever is first, what was taken back while it was indexed is not found.
pub async fn indexes_while_others_replace(stores: &Stores) {
    let (owner, archive) = (bare(OWNER), &stores.archive);
    ok(archive
        .append(&(1..=100).map(|n| said(n, "night")).collect::<Vec<_>>())
        .await);
    let work = async |n: u128| match n % 3 {
        0 => ok(archive.index(&owner, "offline", 60).await),
        _ => {
            let day = said(n, "day").entry;
            ok(archive.replace(&owner, "offline", day.id, day.stanza).await)
        }
    };
    all((1..=100).map(work)).await;
    let (kept, changed): (Vec<_>, Vec<_>) = (1..=100).partition(|n| n % 3 == 0);
    assert_eq!(find(stores, &["night"]).await, kept);
    assert_eq!(find(stores, &["day"]).await, changed);
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
    let mut logs = ok(stores.archive.logs(&bare(OWNER)).await);
    logs.sort();
    assert_eq!(logs, ["archive", "offline"]);
    assert_eq!(
        ok(stores.archive.logs(&bare("montague.example")).await),
        Vec::<String>::new()
    );
    for (owner, log, held) in [
        (OWNER, "offline", 1),
        (OWNER, "archive", 1),
        ("juliet@capulet.example", "archive", 0),
    ] {
        assert_eq!(ok(stores.archive.count(&bare(owner), log).await), held, "{owner} {log}");
    }
    ok(stores.archive.trim(&mine.owner, "offline", EntryId(1), MANY).await);
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
