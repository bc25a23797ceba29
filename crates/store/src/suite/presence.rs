//! The promises of [`Presence`](crate::Presence).

use bytes::Bytes;
use stanza::Full;
use topology::{Epoch, Slot};

use super::{full, ok};
use crate::{PresenceRecord, Stores};

fn record(jid: &Full, priority: i8) -> PresenceRecord {
    let stanza = Bytes::from(format!("<presence><priority>{priority}</priority></presence>"));
    PresenceRecord {
        jid: jid.clone(),
        edge: "edge-1".into(),
        epoch: Epoch(7),
        priority,
        stanza,
    }
}

fn put(text: &str, priority: i8) -> (Full, Option<PresenceRecord>) {
    let jid = full(text);
    let record = record(&jid, priority);
    (jid, Some(record))
}

fn slot(index: u16) -> Slot {
    Slot::new(index).expect("a slot")
}

async fn load(stores: &Stores, slot: Slot) -> Vec<PresenceRecord> {
    let mut records = ok(stores.presence.load(slot).await).1;
    records.sort_by(|a, b| a.jid.cmp(&b.jid));
    records
}

/// The generation of a slot is made once and stays while the store keeps its data.
pub async fn generation_stays(stores: &Stores) {
    let (first, records) = ok(stores.presence.load(slot(1)).await);
    assert_eq!(records, []);
    assert!(ok(stores
        .presence
        .put(slot(1), first, &[put("romeo@montague.example/orchard", 1)])
        .await));
    assert_eq!(ok(stores.presence.load(slot(1)).await).0, first);
    assert!(ok(stores.presence.put(slot(1), first, &[]).await));
}

/// Whoever comes with another generation is told that data was lost.
pub async fn refuses_an_unknown_generation(stores: &Stores) {
    let batch = [put("romeo@montague.example/orchard", 1)];
    assert!(!ok(stores.presence.put(slot(2), 5, &batch).await));
    let (generation, _) = ok(stores.presence.load(slot(2)).await);
    assert!(!ok(stores
        .presence
        .put(slot(2), generation.wrapping_add(1), &batch)
        .await));
    assert!(ok(stores.presence.put(slot(2), generation, &batch).await));
}

/// What is read is what was written, in every field.
pub async fn keeps_every_field(stores: &Stores) {
    let jid = full("romeo@montague.example/Orchard / 🌳");
    let odd = PresenceRecord {
        edge: "edge-ü".into(),
        epoch: Epoch(u64::MAX),
        priority: -128,
        stanza: Bytes::from_static(b"<presence>\0\xff</presence>"),
        ..record(&jid, 0)
    };
    let (generation, _) = ok(stores.presence.load(slot(3)).await);
    assert!(ok(stores
        .presence
        .put(slot(3), generation, &[(jid, Some(odd.clone()))])
        .await));
    assert_eq!(load(stores, slot(3)).await, [odd]);
}

/// Newer records stand instead of older ones, also within one batch; `None` removes.
pub async fn newest_wins_and_none_removes(stores: &Stores) {
    let [a, b] = ["romeo@montague.example/a", "romeo@montague.example/b"];
    let (generation, _) = ok(stores.presence.load(slot(4)).await);
    ok(stores
        .presence
        .put(slot(4), generation, &[put(a, 1), put(b, 1), put(a, 2)])
        .await);
    assert_eq!(load(stores, slot(4)).await, [record(&full(a), 2), record(&full(b), 1)]);
    ok(stores
        .presence
        .put(
            slot(4),
            generation,
            &[(full(a), None), put(b, 3), (full(b), None), put(b, 4)],
        )
        .await);
    assert_eq!(load(stores, slot(4)).await, [record(&full(b), 4)]);
    ok(stores
        .presence
        .put(slot(4), generation, &[put(a, 5), (full(a), None), (full(b), None)])
        .await);
    assert_eq!(load(stores, slot(4)).await, []);
}

/// What is put into one slot is not read from another.
pub async fn slots_are_apart(stores: &Stores) {
    let (generation, _) = ok(stores.presence.load(slot(5)).await);
    let (other, _) = ok(stores.presence.load(slot(4095)).await);
    ok(stores
        .presence
        .put(slot(5), generation, &[put("romeo@montague.example/a", 1)])
        .await);
    ok(stores
        .presence
        .put(slot(4095), other, &[put("romeo@montague.example/b", 1)])
        .await);
    assert_eq!(
        load(stores, slot(5)).await,
        [record(&full("romeo@montague.example/a"), 1)]
    );
    assert_eq!(
        load(stores, slot(4095)).await,
        [record(&full("romeo@montague.example/b"), 1)]
    );
}

/// A slot holds thousands of sessions.
pub async fn keeps_many(stores: &Stores) {
    let many: Vec<_> = (0..5_000)
        .map(|n| put(&format!("user-{n:04}@montague.example/phone"), 1))
        .collect();
    let (generation, _) = ok(stores.presence.load(slot(6)).await);
    assert!(ok(stores.presence.put(slot(6), generation, &many).await));
    let expected: Vec<_> = many.into_iter().filter_map(|(_, record)| record).collect();
    assert_eq!(load(stores, slot(6)).await, expected);
}
