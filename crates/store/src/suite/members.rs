//! The promises of [`Members`](crate::Members).

use std::time::Duration;

use tokio::sync::watch;
use topology::{Epoch, NodeRecord, Role, SlotTable, Snapshot};

use super::{all, ok};
use crate::{Error, Stores};

/// Long enough for every test.
const TTL: Duration = Duration::from_secs(60);

/// A router of that name.
pub fn node(name: &str) -> NodeRecord {
    NodeRecord {
        id: name.into(),
        role: Role::Router,
        address: format!("{name}.example:5280"),
        weight: 100,
        version: "0.1.0".into(),
        protocol: 1,
        draining: false,
    }
}

/// Waits until a snapshot satisfies `holds`.
async fn until(watch: &mut watch::Receiver<Snapshot>, holds: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let seen = tokio::time::timeout(Duration::from_secs(20), watch.wait_for(holds)).await;
    seen.expect("in time").expect("the watch goes on").clone()
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    snapshot
        .members
        .iter()
        .map(|member| member.record.id.to_string())
        .collect()
}

fn table(revision: u64) -> SlotTable {
    let mut table = SlotTable::empty();
    table.revision = revision;
    table
}

/// A name is taken while its life goes on, and free after it left.
pub async fn joins_once_per_life(stores: &Stores) {
    let members = &stores.members;
    let (epoch, lease) = ok(members.join(&node("router-1"), TTL).await);
    assert!(epoch > Epoch(0));
    assert!(matches!(
        members.join(&node("router-1"), TTL).await,
        Err(Error::Conflict)
    ));
    ok(members.keep_alive(lease).await);
    ok(members.leave(&node("router-1").id, lease).await);
    assert!(matches!(members.keep_alive(lease).await, Err(Error::Precondition(_))));
    ok(members.join(&node("router-1"), TTL).await);
}

/// Epochs rise from life to life and lie within what a snapshot has seen.
pub async fn later_lives_have_later_epochs(stores: &Stores) {
    let members = &stores.members;
    let (first, lease) = ok(members.join(&node("edge-1"), TTL).await);
    ok(members.leave(&node("edge-1").id, lease).await);
    let (other, _) = ok(members.join(&node("edge-2"), TTL).await);
    let (second, _) = ok(members.join(&node("edge-1"), TTL).await);
    assert!(first < other && other < second, "{first:?} {other:?} {second:?}");
    let mut watch = ok(members.watch().await);
    let snapshot = until(&mut watch, |snapshot| snapshot.members.len() == 2).await;
    assert!(snapshot.revision >= second.0);
}

/// A node that is not kept alive is gone after its time; one that is, stays.
pub async fn leases_end_unless_kept(stores: &Stores) {
    let members = &stores.members;
    let mut watch = ok(members.watch().await);
    let (_, lost) = ok(members.join(&node("edge-1"), Duration::from_secs(1)).await);
    let (_, kept) = ok(members.join(&node("edge-2"), Duration::from_secs(2)).await);
    until(&mut watch, |snapshot| snapshot.members.len() == 2).await;
    let mut pulse = tokio::time::interval(Duration::from_millis(300));
    loop {
        tokio::select! {
            _ = pulse.tick() => ok(members.keep_alive(kept).await),
            snapshot = until(&mut watch, |snapshot| snapshot.members.len() < 2) => {
                assert_eq!(names(&snapshot), ["edge-2"]);
                break;
            }
        }
    }
    assert!(matches!(members.keep_alive(lost).await, Err(Error::Precondition(_))));
    ok(members.join(&node("edge-1"), TTL).await);
}

/// A node may tell something new of itself without starting a new life.
pub async fn update_keeps_the_epoch(stores: &Stores) {
    let members = &stores.members;
    let (epoch, lease) = ok(members.join(&node("router-1"), TTL).await);
    let drained = NodeRecord {
        weight: 0,
        ..node("router-1")
    };
    ok(members.update(&drained, epoch, lease).await);
    let mut watch = ok(members.watch().await);
    let snapshot = until(&mut watch, |snapshot| {
        snapshot.members.iter().any(|member| member.record == drained)
    })
    .await;
    assert_eq!(snapshot.members[0].epoch, epoch);
    ok(members.keep_alive(lease).await);
}

/// A life that is known to be over can be ended early: whoever still has its lease hears so, and the next one is left alone.
pub async fn bury_ends_one_life_alone(stores: &Stores) {
    let members = &stores.members;
    let id = node("router-1").id;
    let (epoch, lease) = ok(members.join(&node("router-1"), TTL).await);
    ok(members.bury(&id, Epoch(epoch.0 + 1)).await);
    ok(members.keep_alive(lease).await);
    ok(members.bury(&id, epoch).await);
    assert!(matches!(members.keep_alive(lease).await, Err(Error::Precondition(_))));
    let (next, lease) = ok(members.join(&node("router-1"), TTL).await);
    assert!(next > epoch);
    ok(members.bury(&id, epoch).await);
    ok(members.keep_alive(lease).await);
}

/// Whoever asks a node to drain leaves its life alone.
pub async fn drain_marks_a_live_node(stores: &Stores) {
    let members = &stores.members;
    assert!(!ok(members.drain(&node("router-1").id).await));
    let (epoch, lease) = ok(members.join(&node("router-1"), TTL).await);
    for _ in 0..2 {
        assert!(ok(members.drain(&node("router-1").id).await));
    }
    let mut watch = ok(members.watch().await);
    let snapshot = until(&mut watch, |snapshot| {
        snapshot.members.iter().any(|member| member.record.draining)
    })
    .await;
    let marked = NodeRecord {
        draining: true,
        ..node("router-1")
    };
    assert_eq!(
        (&snapshot.members[0].record, snapshot.members[0].epoch),
        (&marked, epoch)
    );
    ok(members.keep_alive(lease).await);
    ok(members.update(&marked, epoch, lease).await);
    ok(members.leave(&node("router-1").id, lease).await);
    until(&mut watch, |snapshot| snapshot.members.is_empty()).await;
}

/// Who was buried cannot speak any more.
pub async fn update_of_a_past_life_is_refused(stores: &Stores) {
    let members = &stores.members;
    let (epoch, lease) = ok(members.join(&node("router-1"), TTL).await);
    ok(members.leave(&node("router-1").id, lease).await);
    assert!(matches!(
        members.update(&node("router-1"), epoch, lease).await,
        Err(Error::Conflict)
    ));
    let (next, _) = ok(members.join(&node("router-1"), TTL).await);
    assert!(matches!(
        members.update(&node("router-1"), epoch, lease).await,
        Err(Error::Conflict)
    ));
    let mut watch = ok(members.watch().await);
    let snapshot = until(&mut watch, |snapshot| snapshot.members.len() == 1).await;
    assert_eq!(snapshot.members[0].epoch, next);
}

/// A late farewell does not end the next life.
pub async fn leave_of_a_past_life_does_nothing(stores: &Stores) {
    let members = &stores.members;
    let (_, past) = ok(members.join(&node("router-1"), TTL).await);
    ok(members.leave(&node("router-1").id, past).await);
    let (_, lease) = ok(members.join(&node("router-1"), TTL).await);
    ok(members.leave(&node("router-1").id, past).await);
    ok(members.keep_alive(lease).await);
}

/// Tables are published one after the other, each over its predecessor.
pub async fn publishes_in_order(stores: &Stores) {
    let members = &stores.members;
    for (revision, fits) in [
        (2, false),
        (0, false),
        (1, true),
        (1, false),
        (3, false),
        (2, true),
        (3, true),
    ] {
        let answer = members.publish(&table(revision)).await;
        assert!(
            if fits {
                answer.is_ok()
            } else {
                matches!(answer, Err(Error::Conflict))
            },
            "{revision}: {answer:?}"
        );
    }
    let mut watch = ok(members.watch().await);
    let snapshot = until(&mut watch, |snapshot| snapshot.table.revision == 3).await;
    assert_eq!(snapshot.table, table(3));
}

/// Of several publishers over the same predecessor, one wins.
pub async fn one_of_two_publishers_wins(stores: &Stores) {
    for revision in 1..=3 {
        let next = table(revision);
        let answers = all((0..4).map(|_| stores.members.publish(&next))).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Ok(()) | Err(Error::Conflict))),
            "{answers:?}"
        );
    }
}

/// The first value a watcher sees holds what was there before it came.
pub async fn watch_starts_with_what_is(stores: &Stores) {
    let members = &stores.members;
    for name in ["router-2", "edge-1", "router-1"] {
        ok(members.join(&node(name), TTL).await);
    }
    ok(members.publish(&table(1)).await);
    let mut watch = ok(members.watch().await);
    let snapshot = watch.borrow_and_update().clone();
    assert_eq!(names(&snapshot), ["edge-1", "router-1", "router-2"]);
    assert_eq!(snapshot.members[1].record, node("router-1"));
    assert_eq!(snapshot.table, table(1));
}

/// All watchers learn of every change, and their revisions never fall.
pub async fn every_watcher_is_told(stores: &Stores) {
    let members = &stores.members;
    let mut watches = [ok(members.watch().await), ok(members.watch().await)];
    let mut revision = 0;
    let (_, lease) = ok(members.join(&node("edge-1"), TTL).await);
    for watch in &mut watches {
        revision = until(watch, |snapshot| names(snapshot) == ["edge-1"])
            .await
            .revision
            .max(revision);
    }
    ok(members.publish(&table(1)).await);
    for watch in &mut watches {
        let snapshot = until(watch, |snapshot| snapshot.table.revision == 1).await;
        assert!(snapshot.revision > revision && names(&snapshot) == ["edge-1"]);
    }
    ok(members.leave(&node("edge-1").id, lease).await);
    for watch in &mut watches {
        let snapshot = until(watch, |snapshot| snapshot.members.is_empty()).await;
        assert_eq!(snapshot.table, table(1));
    }
}

/// Everybody is told the same secret, whoever asks first.
pub async fn secret_is_made_once(stores: &Stores) {
    let secrets = all((0..4).map(|_| stores.members.secret())).await;
    let first = ok(stores.members.secret().await);
    assert_ne!(first, [0; 32]);
    assert!(secrets.into_iter().all(|secret| ok(secret) == first));
}
