//! The promises of [`Items`](crate::Items).

use bytes::Bytes;

use super::{all, bare, ok};
use crate::{Error, Item, Key, Stores, Version};

fn key(space: &str, name: &str) -> Key {
    Key {
        space: space.into(),
        name: name.into(),
    }
}

/// What is read is what was written; versions count from 1.
pub async fn puts_and_gets(stores: &Stores) {
    let owner = bare("romeo@montague.example");
    let key = key("private", "urn:x \"odd\" ü");
    assert_eq!(ok(stores.items.get(&owner, &key).await), None);
    for (value, version) in [(&b"\0\xff"[..], 1), (b"", 2), (b"three", 3)] {
        let (value, seen) = (
            Bytes::copy_from_slice(value),
            (version > 1).then(|| Version(version - 1)),
        );
        assert_eq!(
            ok(stores.items.put(&owner, &key, value.clone(), seen).await),
            Version(version)
        );
        let item = Item {
            key: key.clone(),
            version: Version(version),
            value,
        };
        assert_eq!(ok(stores.items.get(&owner, &key).await), Some(item));
    }
}

/// A write that has not seen the stored version changes nothing.
pub async fn compares_before_it_swaps(stores: &Stores) {
    let (owner, key, value) = (
        bare("romeo@montague.example"),
        key("vcard", ""),
        Bytes::from_static(b"x"),
    );
    let answer = stores.items.put(&owner, &key, value.clone(), Some(Version(1))).await;
    assert!(matches!(answer, Err(Error::Conflict)), "{answer:?}");
    ok(stores.items.put(&owner, &key, value.clone(), None).await);
    for seen in [None, Some(Version(0)), Some(Version(2)), Some(Version(u64::MAX))] {
        let answer = stores.items.put(&owner, &key, Bytes::from_static(b"y"), seen).await;
        assert!(matches!(answer, Err(Error::Conflict)), "{seen:?}: {answer:?}");
    }
    assert_eq!(
        ok(stores.items.get(&owner, &key).await),
        Some(Item {
            key,
            version: Version(1),
            value
        })
    );
}

/// Of several writers who saw the same version, one wins, both for a new item and for an old one.
pub async fn one_of_many_writers_wins(stores: &Stores) {
    let (owner, key) = (bare("romeo@montague.example"), key("vcard", ""));
    for seen in [None, Some(Version(1))] {
        let values = (0..8_u8).map(|n| Bytes::copy_from_slice(&[n]));
        let answers = all(values.map(|value| stores.items.put(&owner, &key, value, seen))).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Ok(_) | Err(Error::Conflict))),
            "{answers:?}"
        );
    }
}

/// A space is listed in order of name, and alone.
pub async fn lists_a_space_in_order(stores: &Stores) {
    let owner = bare("romeo@montague.example");
    for (space, name) in [
        ("block", "b"),
        ("block", "a-b"),
        ("block", "B"),
        ("block", ""),
        ("blocklist", "a"),
        ("a", "z"),
    ] {
        ok(stores
            .items
            .put(&owner, &key(space, name), Bytes::copy_from_slice(name.as_bytes()), None)
            .await);
    }
    let names: Vec<_> = ok(stores.items.list(&owner, "block").await)
        .into_iter()
        .map(|item| item.key.name)
        .collect();
    assert_eq!(names, ["", "B", "a-b", "b"]);
    assert_eq!(ok(stores.items.list(&owner, "bloc").await), []);
}

/// All spaces are read page by page, each item once, and nothing of another owner's.
pub async fn pages_through_all_spaces(stores: &Stores) {
    let (owner, other) = (bare("romeo@montague.example"), bare("juliet@capulet.example"));
    let mut written = Vec::new();
    for (space, name) in [("block", "b"), ("block", ""), ("a", "z"), ("block", "B"), ("c", "a")] {
        ok(stores
            .items
            .put(&owner, &key(space, name), Bytes::from_static(b"x"), None)
            .await);
        written.push(key(space, name));
    }
    ok(stores.items.put(&other, &key("a", "a"), Bytes::new(), None).await);
    let mut read: Vec<Key> = Vec::new();
    loop {
        let page = ok(stores.items.page(&owner, read.last(), 2).await);
        if page.is_empty() {
            break;
        }
        assert!(page.iter().all(|item| item.value == "x" && item.version == Version(1)));
        read.extend(page.into_iter().map(|item| item.key));
    }
    written.sort();
    read.sort();
    assert_eq!(read, written);
}

/// Only the version that was seen can be removed; then versions begin anew.
pub async fn removes_the_version_seen(stores: &Stores) {
    let (owner, key) = (bare("romeo@montague.example"), key("vcard", ""));
    assert!(matches!(
        stores.items.remove(&owner, &key, Version(1)).await,
        Err(Error::Conflict)
    ));
    ok(stores.items.put(&owner, &key, Bytes::new(), None).await);
    assert!(matches!(
        stores.items.remove(&owner, &key, Version(2)).await,
        Err(Error::Conflict)
    ));
    ok(stores.items.remove(&owner, &key, Version(1)).await);
    assert_eq!(ok(stores.items.get(&owner, &key).await), None);
    assert_eq!(ok(stores.items.put(&owner, &key, Bytes::new(), None).await), Version(1));
}

/// One owner's items are not another's.
pub async fn owners_are_apart(stores: &Stores) {
    let key = key("vcard", "");
    ok(stores
        .items
        .put(&bare("romeo@montague.example"), &key, Bytes::new(), None)
        .await);
    assert_eq!(ok(stores.items.get(&bare("juliet@capulet.example"), &key).await), None);
    assert_eq!(ok(stores.items.list(&bare("montague.example"), "vcard").await), []);
}
