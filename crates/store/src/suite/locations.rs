//! The promises of [`Locations`](crate::Locations).

use stanza::Full;
use topology::{Epoch, Slot};

use super::{full, ok};
use crate::{Location, Stores};

fn at(jid: &Full, session: u128) -> Location {
    Location {
        jid: jid.clone(),
        edge: "edge-1".into(),
        epoch: Epoch(7),
        session,
    }
}

fn put(text: &str, session: u128) -> (Full, Option<Location>) {
    let jid = full(text);
    let location = at(&jid, session);
    (jid, Some(location))
}

fn slot(text: &str) -> Slot {
    Slot::of(full(text).bare().as_str())
}

async fn load(stores: &Stores, slot: Slot) -> Vec<Location> {
    let mut records = ok(stores.locations.load(slot).await);
    records.sort_by(|a, b| a.jid.cmp(&b.jid));
    records
}

/// What is read is what was written, in every field.
pub async fn keeps_every_field(stores: &Stores) {
    let jid = full("romeo@montague.example/orchard");
    let whole = Location {
        edge: "edge-ü".into(),
        epoch: Epoch(u64::MAX),
        ..at(&jid, u128::MAX)
    };
    assert_eq!(load(stores, slot("romeo@montague.example/orchard")).await, []);
    ok(stores.locations.put(&[(jid, Some(whole.clone()))]).await);
    assert_eq!(load(stores, slot("romeo@montague.example/orchard")).await, [whole]);
}

/// Later records win over earlier ones, also within one call; `None` removes.
pub async fn later_calls_win(stores: &Stores) {
    let [a, b] = ["romeo@montague.example/a", "romeo@montague.example/b"];
    ok(stores.locations.put(&[put(a, 1), put(b, 1), put(a, 2)]).await);
    assert_eq!(load(stores, slot(a)).await, [at(&full(a), 2), at(&full(b), 1)]);
    ok(stores.locations.put(&[(full(a), None), put(b, 3)]).await);
    ok(stores
        .locations
        .put(&[(full(b), None), put(b, 4), put(a, 4), (full(a), None)])
        .await);
    assert_eq!(load(stores, slot(a)).await, [at(&full(b), 4)]);
    ok(stores.locations.put(&[(full(b), None), (full(a), None)]).await);
    ok(stores.locations.put(&[]).await);
    assert_eq!(load(stores, slot(a)).await, []);
}

/// Each address is found in its slot alone.
pub async fn slots_are_apart(stores: &Stores) {
    let [a, b] = ["romeo@montague.example/a", "juliet@capulet.example/a"];
    assert_ne!(slot(a), slot(b));
    ok(stores.locations.put(&[put(a, 1), put(b, 2)]).await);
    assert_eq!(load(stores, slot(a)).await, [at(&full(a), 1)]);
    assert_eq!(load(stores, slot(b)).await, [at(&full(b), 2)]);
}

/// One call may bring more than fits one transaction of the store.
pub async fn keeps_many(stores: &Stores) {
    let text = |n: u128| format!("romeo@montague.example/{n:04}");
    let many: Vec<_> = (0..1_000).map(|n| put(&text(n), n)).collect();
    ok(stores.locations.put(&many).await);
    let expected: Vec<_> = many.into_iter().filter_map(|(_, record)| record).collect();
    assert_eq!(load(stores, slot(&text(0))).await, expected);
}

/// Resources with slashes, percent signs and beyond ASCII are themselves when read.
pub async fn odd_resources_survive(stores: &Stores) {
    let odd = [
        "romeo@montague.example/a/b",
        "romeo@montague.example/a%2Fb",
        "romeo@montague.example/ä 🌳",
    ];
    ok(stores.locations.put(&odd.map(|text| put(text, 9))).await);
    assert_eq!(
        load(stores, slot(odd[0])).await,
        odd.map(|text| at(&full(text), 9)).to_vec().sorted()
    );
    ok(stores.locations.put(&[(full(odd[1]), None)]).await);
    assert_eq!(
        load(stores, slot(odd[0])).await,
        vec![at(&full(odd[0]), 9), at(&full(odd[2]), 9)].sorted()
    );
}

trait Sorted {
    fn sorted(self) -> Self;
}

impl Sorted for Vec<Location> {
    fn sorted(mut self) -> Self {
        self.sort_by(|a, b| a.jid.cmp(&b.jid));
        self
    }
}
