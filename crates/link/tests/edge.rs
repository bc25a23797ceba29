//! An edge and its routers over gRPC on loopback: order, moves, broken links, bounds, lives.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod fakes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dunlin_link::grpc::{Config, RouterPool, Standing};
use dunlin_link::{CloseReason, Router, Said, Submission, Window};
use fakes::{FakeEdge, FakeRouter, World, config, message, record, submit_all};
use stanza::{
    Condition, ErrorType, RegisterReply, RegisterRequest, RegisterStep, SaslFailure, SaslReply, SaslRequest, SessionId,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use topology::Role;

fn in_order(world: &World, session: SessionId, count: u64) {
    let done = world.ledger.done.lock().get(&session).cloned().unwrap_or_default();
    assert_eq!(done.len() as u64, count);
    assert!(
        done.iter().zip(1..).all(|(got, want)| *got == want),
        "{session}: out of order"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_stanzas_keep_their_order_per_session() {
    let world = World::start(&["router-1", "router-2"], &config()).await;
    let mut tasks = Vec::new();
    for id in 1..=20 {
        let session = world.bind(id, &format!("user{id}")).await;
        let pool = Arc::clone(&world.pool);
        tasks.push(tokio::spawn(async move { submit_all(&pool, &session, 1..=5000).await }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    world.ledger.wait(|ledger| ledger.total() == 100_000).await;
    (1..=20).for_each(|id| in_order(&world, SessionId(id), 5000));
    world
        .edge
        .wait(|edge| edge.done.lock().values().all(|done| *done == 5000))
        .await;
    assert_eq!(world.pool.load(), (20, Window { items: 0, bytes: 0 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_leaves_gracefully_under_traffic_loses_and_reorders_nothing() {
    let world = World::start(&["router-1", "router-2"], &config()).await;
    let mut tasks = Vec::new();
    for id in 1..=20 {
        let session = world.bind(id, &format!("user{id}")).await;
        let pool = Arc::clone(&world.pool);
        tasks.push(tokio::spawn(async move { submit_all(&pool, &session, 1..=1000).await }));
    }
    world.ledger.wait(|ledger| ledger.total() > 4_000).await;
    world.cluster.rebalance(&[("router-1", 0), ("router-2", 100)]);
    world.routers.iter().for_each(|router| router.home.apply());
    world.ledger.wait(|ledger| ledger.total() > 8_000).await;
    let table = world.cluster.table().revision;
    world
        .ledger
        .wait(|_| {
            let said = world.routers[1].home.attached.lock();
            said.contains(&(table, BTreeSet::new()))
        })
        .await;
    world.cluster.exit(&"router-1".into());
    world.routers[0].stop.cancel();
    for task in tasks {
        task.await.unwrap();
    }
    world.ledger.wait(|ledger| ledger.total() == 20_000).await;
    (1..=20).for_each(|id| in_order(&world, SessionId(id), 1000));
    world.linked(1).await;
}

/// Passes bytes between edge and router until it is cut.
async fn proxy(to: std::net::SocketAddr) -> (String, watch::Sender<CancellationToken>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (cut, wire) = watch::channel(CancellationToken::new());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let cut = wire.borrow().clone();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(to).await else {
                    return;
                };
                cut.run_until_cancelled(tokio::io::copy_bidirectional(&mut near, &mut far))
                    .await;
            });
        }
    });
    (address, cut)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broken_link_did_not_answer_is_sent_again() {
    let world = World::start(&["router-1"], &config()).await;
    // The edge reaches the router through a proxy from now on.
    let (address, cut) = proxy(world.routers[0].address).await;
    world
        .cluster
        .change(|snapshot| snapshot.members[0].record.address = address);
    world.linked(1).await;
    let session = world.bind(1, "juliet").await;
    let pool = Arc::clone(&world.pool);
    let sending = tokio::spawn(async move { submit_all(&pool, &session, 1..=20_000).await });
    for round in 1..=5 {
        world.ledger.wait(|ledger| ledger.total() > round * 3_000).await;
        cut.send_replace(CancellationToken::new()).cancel();
    }
    sending.await.unwrap();
    world.ledger.wait(|ledger| ledger.total() == 20_000).await;
    in_order(&world, SessionId(1), 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_home_makes_the_edge_wait_and_bounds_what_it_keeps() {
    let gate = Arc::new(Semaphore::new(0));
    let window = Window {
        items: 16,
        bytes: 1024 * 1024,
    };
    let config = Config {
        session_window: window,
        ..config()
    };
    let world = World::start_gated(&["router-1"], &config, Some(Arc::clone(&gate))).await;
    let session = world.bind(1, "juliet").await;
    submit_all(&world.pool, &session, 1..=16).await;
    let stanza = message("juliet@example.com/r", "romeo@example.com", 17, 10);
    let more = world.pool.submit(
        &session,
        Submission {
            number: 17,
            said: Said::Stanza(stanza),
            trace: None,
        },
    );
    assert!(
        tokio::time::timeout(Duration::from_millis(100), more).await.is_err(),
        "it waits"
    );
    assert_eq!(world.pool.load().1.items, 16);
    gate.add_permits(100);
    submit_all(&world.pool, &session, 17..=20).await;
    world.ledger.wait(|ledger| ledger.total() == 20).await;
    in_order(&world, SessionId(1), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_arrive_in_order_and_what_is_written_is_reported() {
    let world = World::start(&["router-1", "router-2"], &config()).await;
    let session = world.bind(1, "juliet").await;
    let home = Arc::clone(&world.home_of(&session).home);
    (1..=1000).for_each(|number| home.deliver("edge-1", session.id, number));
    (1..=10).for_each(|number| home.deliver("edge-1", session.id, number)); // again: dropped
    world
        .edge
        .wait(|edge| edge.delivered.lock().get(&session.id).is_some_and(|d| d.len() == 1000))
        .await;
    assert!(
        world.edge.delivered.lock()[&session.id]
            .iter()
            .zip(1..)
            .all(|(got, want)| *got == want)
    );
    world.pool.written(&session, 1000);
    world
        .ledger
        .wait(|_| home.written.lock().get(&session.id) == Some(&1000))
        .await;
    world.pool.close(&session, CloseReason::Client).await;
    world.ledger.wait(|_| home.closed.lock().contains(&session.id)).await;
    fakes::eventually(|| world.pool.load().0 == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_while_a_home_takes_the_session_over_is_reported_to_it() {
    let world = World::start(&["router-1", "router-2"], &config()).await;
    let session = world.bind(1, "juliet").await;
    let (old, new): (Vec<_>, Vec<_>) = world
        .routers
        .iter()
        .partition(|router| router.me.id == world.home_of(&session).me.id);
    let (old, new) = (old[0], new[0]);
    let gate = Arc::new(Semaphore::new(0));
    *new.home.attach_gate.lock() = Some(Arc::clone(&gate));
    world.cluster.rebalance(&[(&*old.me.id.0, 0), (&*new.me.id.0, 100)]);
    world.routers.iter().for_each(|router| router.home.apply());
    world
        .ledger
        .wait(|_| new.home.attaching.lock().contains(&session.id))
        .await;
    world.pool.written(&session, 7);
    // The mark goes with the first of these at the latest, and so before the second.
    world.bind(2, "romeo").await;
    world.bind(3, "nurse").await;
    gate.add_permits(10);
    world
        .ledger
        .wait(|_| new.home.written.lock().get(&session.id) == Some(&7))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sasl_steps_go_to_the_router_that_holds_the_exchange() {
    let world = World::start(&["router-1", "router-2"], &config()).await;
    for _ in 0..4 {
        let start = SaslRequest::Start {
            session: SessionId(1),
            domain: "example.com".into(),
            mechanism: "SCRAM-SHA-256".into(),
            offered: vec![],
            bindings: vec![],
            initial: None,
            sasl2: None,
            peer: stanza::Peer::default(),
        };
        let SaslReply::Challenge { exchange, .. } = world.pool.sasl(start).await else {
            panic!("no challenge")
        };
        let reply = world
            .pool
            .sasl(SaslRequest::Respond {
                exchange,
                response: "r".into(),
            })
            .await;
        assert!(matches!(reply, SaslReply::Success { .. }), "{reply:?}");
    }
    let exchange = stanza::Exchange {
        router: "router-9".into(),
        number: 1,
    };
    let reply = world
        .pool
        .sasl(SaslRequest::Respond {
            exchange,
            response: "r".into(),
        })
        .await;
    assert_eq!(reply, SaslReply::Failure(SaslFailure::TemporaryAuthFailure));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_asked_for_once_and_questions_until_they_are_answered() {
    let gate = Arc::new(Semaphore::new(0));
    let world = World::start_gated(&["router-1", "router-2"], &config(), Some(Arc::clone(&gate))).await;
    let create = RegisterStep::Create {
        username: "juliet".into(),
        password: "orchard wall".into(),
    };
    // A router goes away in the middle of the question: the other one is asked.
    let question = ask_to_register(&world, RegisterStep::Form);
    world.ledger.wait(|ledger| ledger.registered.lock().len() == 1).await;
    let first = world.ledger.registered.lock()[0].clone();
    let asked = world.routers.iter().find(|router| router.me.id == first).unwrap();
    asked.stop.cancel();
    world.ledger.wait(|ledger| ledger.registered.lock().len() == 2).await;
    gate.add_permits(2); // the one that went away may wait for one, too
    assert_eq!(question.await.unwrap(), RegisterReply::Created);
    // So does the other one, while it makes an account.
    gate.forget_permits(2);
    let question = ask_to_register(&world, create);
    world.ledger.wait(|ledger| ledger.registered.lock().len() == 3).await;
    world.routers.iter().for_each(|router| router.stop.cancel());
    let RegisterReply::Refused(error) = question.await.unwrap() else {
        panic!("nobody can know")
    };
    assert_eq!(
        (error.condition, error.kind),
        (Condition::ResourceConstraint, ErrorType::Wait)
    );
    assert_eq!(world.ledger.registered.lock().len(), 3, "not asked again");
}

fn ask_to_register(world: &World, step: RegisterStep) -> JoinHandle<RegisterReply> {
    let pool = Arc::clone(&world.pool);
    let request = RegisterRequest {
        session: SessionId(1),
        domain: "example.com".into(),
        invited: None,
        step,
        peer: stanza::Peer::default(),
    };
    tokio::spawn(async move { pool.register(request).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_whose_lease_is_not_renewed_fences_itself_and_joins_again() {
    let (cluster, ledger) = (fakes::Cluster::new(), Arc::<fakes::Ledger>::default());
    let router = FakeRouter::start("router-1", &cluster, &ledger, &config()).await;
    cluster.rebalance(&[("router-1", 100)]);
    router.home.apply();
    let seeds = vec![router.address.to_string()];
    let ttl = Duration::from_millis(600);
    let pool = Arc::new(RouterPool::new(record("edge-1", Role::Edge, ""), seeds, ttl, config()));
    pool.start(Arc::<FakeEdge>::default());
    let mut standing = pool.standing();
    let live = |standing: &Standing| matches!(standing, Standing::Live(_));
    let first = *standing.wait_for(live).await.unwrap();
    fakes::eventually(|| cluster.renewals.load(Ordering::SeqCst) >= 7).await; // a renewed lease outlives its time
    assert_eq!(*pool.standing().borrow(), first);
    cluster.renews.store(false, Ordering::SeqCst);
    tokio::time::timeout(ttl * 3, standing.wait_for(|standing| *standing == Standing::Fenced))
        .await
        .unwrap()
        .unwrap();
    cluster.renews.store(true, Ordering::SeqCst);
    let second = *standing.wait_for(live).await.unwrap();
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_never_reads_loses_its_link_not_the_router_its_memory() {
    let config = Config {
        outbound_window: Window {
            items: 1000,
            bytes: 10_000_000,
        },
        ..config()
    };
    let world = World::start(&["router-1"], &config).await;
    let session = world.bind(1, "juliet").await;
    let home = Arc::clone(&world.routers[0].home);
    let epoch = world.live().await;
    // Far more than fits, at once: as if the edge did not read.
    (1..=5000).for_each(|number| {
        home.deliver("edge-1", session.id, number);
    });
    // The link is made anew, the session attached again.
    submit_all(&world.pool, &session, 1..=10).await;
    world.ledger.wait(|ledger| ledger.total() == 10).await;
    assert_eq!(world.live().await, epoch, "the same life");
}
