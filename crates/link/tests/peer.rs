//! Routers among themselves over gRPC on loopback: order per recipient while homes move, links break, nobody is home.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod fakes;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dunlin_link::grpc::Config;
use dunlin_link::{Gone, Peers, Renewal, Route, Window};
use fakes::{Cluster, FakeRouter, Ledger, World, config, message, record, submit_all};
use futures::stream::{FuturesUnordered, StreamExt};
use stanza::Jid;
use tokio::sync::Semaphore;
use topology::{Lease, Role, Slot};

fn user(n: u64) -> Jid {
    Jid::parse(&format!("user{n}@example.com")).unwrap()
}

fn slot(jid: &Jid) -> Slot {
    Slot::of(jid.bare().as_str())
}

fn route(to: Vec<Jid>, id: u64) -> Route {
    Route {
        to,
        stanza: Arc::new(message("romeo@example.com", "juliet@example.com", id, 100)),
        key: None,
        trace: None,
    }
}

async fn start(ids: &[&str], config: &Config) -> (Arc<Cluster>, Arc<Ledger>, Vec<FakeRouter>) {
    let (cluster, ledger) = (Cluster::new(), Arc::<Ledger>::default());
    let mut routers = Vec::new();
    for id in ids {
        routers.push(FakeRouter::start(id, &cluster, &ledger, config).await);
    }
    cluster.rebalance(&ids.iter().map(|id| (*id, 100)).collect::<Vec<_>>());
    routers.iter().for_each(|router| router.home.apply());
    (cluster, ledger, routers)
}

/// Routes ids 1 to `count` to each of `users`, all queued in that order.
async fn route_all(router: &FakeRouter, users: std::ops::Range<u64>, count: u64) {
    let mut under_way = FuturesUnordered::new();
    for id in 1..=count {
        for n in users.clone() {
            let jid = user(n);
            let mut sending = router.peers.route(slot(&jid), route(vec![jid], id));
            if futures::poll!(&mut sending).is_pending() {
                under_way.push(sending);
            }
        }
        while under_way.len() > 2000 {
            under_way.next().await.unwrap().expect("routed");
        }
    }
    while let Some(routed) = under_way.next().await {
        routed.expect("routed");
    }
}

fn in_order(ledger: &Ledger, users: std::ops::Range<u64>, count: u64) {
    for n in users {
        let routed = ledger.routed.lock().get(user(n).as_str()).cloned().unwrap_or_default();
        assert_eq!(routed.len() as u64, count, "{n}");
        assert!(
            routed.iter().zip(1..).all(|(got, want)| *got == want),
            "{n}: out of order"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stanzas_reach_homes_here_and_there_in_order() {
    let (_cluster, ledger, routers) = start(&["router-1", "router-2", "router-3"], &config()).await;
    route_all(&routers[0], 0..50, 500).await;
    in_order(&ledger, 0..50, 500);
    assert_eq!(routers[0].peers.load(), Window { items: 0, bytes: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_moves_under_traffic_loses_repeats_and_reorders_nothing() {
    let (cluster, ledger, routers) = start(&["router-1", "router-2", "router-3"], &config()).await;
    let moving = async {
        for (weights, after) in [
            ([100, 0, 100], 2_000),
            ([100, 100, 0], 5_000),
            ([0, 100, 100], 8_000),
            ([1, 1, 1], 11_000),
        ] {
            ledger
                .wait(|ledger| ledger.routed.lock().values().map(Vec::len).sum::<usize>() > after)
                .await;
            let ids = ["router-1", "router-2", "router-3"];
            cluster.rebalance(&ids.into_iter().zip(weights).collect::<Vec<_>>());
            for router in &routers {
                tokio::task::yield_now().await;
                router.home.apply();
            }
        }
    };
    tokio::join!(route_all(&routers[0], 0..30, 500), moving);
    in_order(&ledger, 0..30, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_reaches_each_recipient_once_and_keeps_its_place() {
    let (_cluster, ledger, routers) = start(&["router-1", "router-2"], &config()).await;
    for id in 1..=100 {
        let all: Vec<_> = (0..200).map(user).collect();
        let to = if id % 2 == 0 { vec![user(7)] } else { all };
        routers[0].peers.route(slot(&user(7)), route(to, id)).await.unwrap();
    }
    in_order(&ledger, 7..8, 100);
    let odd: Vec<_> = (1..=100).filter(|id| id % 2 == 1).collect();
    assert_eq!(ledger.routed.lock()[user(8).as_str()], odd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_router_that_died_did_not_answer_goes_to_the_next_home() {
    let (cluster, ledger) = (Cluster::new(), Arc::<Ledger>::default());
    let stuck = Some(Arc::new(Semaphore::new(0)));
    let mut routers = vec![FakeRouter::start("router-1", &cluster, &ledger, &config()).await];
    routers.push(FakeRouter::start_gated("router-2", &cluster, &ledger, &config(), stuck).await);
    cluster.rebalance(&[("router-1", 100), ("router-2", 100)]);
    routers.iter().for_each(|router| router.home.apply());
    let jid = (0..)
        .map(user)
        .find(|jid| cluster.table().at(slot(jid)).unwrap().0.0.as_ref() == "router-2")
        .unwrap();
    let sending = async {
        let both = [1, 2].map(|id| routers[0].peers.route(slot(&jid), route(vec![jid.clone()], id)));
        futures::future::join_all(both).await
    };
    let dying = async {
        fakes::eventually(|| routers[0].peers.load().items == 2).await;
        routers[1].stop.cancel();
        cluster.exit(&"router-2".into());
        cluster.rebalance(&[("router-1", 100)]);
        routers[0].home.apply();
    };
    let (sent, ()) = tokio::join!(sending, dying);
    assert_eq!(sent, [Ok(()), Ok(())]);
    assert_eq!(ledger.routed.lock()[jid.as_str()], [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_home_is_unreachable_in_the_end_and_what_is_held_is_bounded() {
    let slot_window = Window {
        items: 4,
        bytes: 1024 * 1024,
    };
    let config = Config {
        hold: Duration::from_millis(300),
        slot_window,
        ..config()
    };
    let (cluster, _ledger, routers) = start(&["router-1", "router-2"], &config).await;
    let jid = (0..)
        .map(user)
        .find(|jid| cluster.table().at(slot(jid)).unwrap().0.0.as_ref() == "router-2")
        .unwrap();
    routers[1].stop.cancel();
    fakes::eventually(|| routers[1].home.edges.lock().is_empty()).await;
    cluster.exit(&"router-2".into());
    let ten = (1..=10).map(|id| routers[0].peers.route(slot(&jid), route(vec![jid.clone()], id)));
    let most = async {
        fakes::eventually(|| routers[0].peers.load().items == 4).await;
    };
    let (routed, ()) = tokio::join!(futures::future::join_all(ten), most);
    assert!(
        routed.iter().all(|routed| *routed == Err(Gone::Unreachable)),
        "{routed:?}"
    );
    assert_eq!(routers[0].peers.load().items, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_joined_again_is_reached_in_its_new_life_and_reaches_others() {
    let world = World::start(&["router-1", "router-2"], &config()).await;
    let session = world.bind(1, "juliet").await;
    let first = world
        .cluster
        .snapshots
        .borrow()
        .member(&"router-1".into())
        .unwrap()
        .epoch;
    // Fenced, and back, on the same address.
    world.cluster.exit(&"router-1".into());
    world.linked(1).await;
    let again = record("router-1", Role::Router, &world.routers[0].address.to_string());
    assert!(world.cluster.enter(again) > first);
    world.cluster.rebalance(&[("router-1", 100), ("router-2", 100)]);
    world.routers.iter().for_each(|router| router.home.apply());
    world.linked(2).await;
    submit_all(&world.pool, &session, 1..=10).await;
    world.ledger.wait(|ledger| ledger.total() == 10).await;
    // From each router to homes at both.
    for from in &world.routers {
        for n in 0..20 {
            from.peers.route(slot(&user(n)), route(vec![user(n)], n)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_whose_process_has_died_is_found_dead() {
    let (_cluster, _ledger, routers) = start(&["router-1", "router-2"], &config()).await;
    routers[0]
        .peers
        .route(slot(&user(1)), route(vec![user(1)], 1))
        .await
        .unwrap();
    assert!(routers[0].home.dead.lock().is_empty());
    routers[1].stop.cancel(); // its listener closes with it
    let dead = ("router-2".into(), routers[1].me.epoch);
    fakes::eventually(|| routers[0].home.dead.lock().contains(&dead)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_has_its_lease_renewed_by_its_peers() {
    let (cluster, _ledger, routers) = start(&["router-1", "router-2"], &config()).await;
    let ask = || routers[0].peers.keep_alive(Lease(7), Duration::from_secs(5));
    let mut answer = ask().await;
    while answer.0 != Renewal::Renewed {
        answer = ask().await; // the link is not up yet
    }
    assert!(cluster.renewals.load(Ordering::SeqCst) > 0);
    cluster.renews.store(false, Ordering::SeqCst);
    assert_eq!(ask().await.0, Renewal::Unknown);
    let (lone, _ledger, alone) = start(&["router-1"], &config()).await;
    assert_eq!(
        alone[0].peers.keep_alive(Lease(7), Duration::from_secs(5)).await.0,
        Renewal::Blind,
        "there is nobody who could know"
    );
    assert_eq!(lone.renewals.load(Ordering::SeqCst), 0, "it does not ask itself");
}
