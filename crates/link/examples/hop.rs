//! What a hop costs: processor time for each message over gRPC on loopback, both ends together, with homes that do nothing.
//! `cargo run --release -p dunlin-link --example hop`

#[path = "../tests/fakes/mod.rs"]
mod fakes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_link::{Peers, Route};
use fakes::{World, config, message, submit_all};
use futures::stream::{FuturesUnordered, StreamExt};
use topology::Slot;

const SESSIONS: u64 = 100;
const EACH: u64 = 5_000;

#[tokio::main]
async fn main() {
    let world = World::start(&["router-1", "router-2"], &config()).await;
    let mut sessions = Vec::new();
    for id in 1..=SESSIONS {
        sessions.push(world.bind(u128::from(id), &format!("user{id}")).await);
    }
    let clock = Clock::start("edge to router and done back");
    let mut tasks = Vec::new();
    for session in sessions.clone() {
        let pool = Arc::clone(&world.pool);
        tasks.push(tokio::spawn(async move { submit_all(&pool, &session, 1..=EACH).await }));
    }
    for task in tasks {
        task.await.expect("submitted");
    }
    world
        .ledger
        .wait(|ledger| ledger.total() as u64 == SESSIONS * EACH)
        .await;
    clock.stop();

    let clock = Clock::start("router to edge");
    for number in 1..=EACH {
        for session in &sessions {
            world.home_of(session).home.deliver("edge-1", session.id, number);
        }
        if number % 100 == 0 {
            let delivered = |edge: &fakes::FakeEdge| edge.delivered.lock().values().all(|d| d.len() as u64 == number);
            world.edge.wait(delivered).await;
        }
    }
    clock.stop();

    let clock = Clock::start("router to router and taken back");
    let mut under_way = FuturesUnordered::new();
    let away = (1_u64..).map(|n| stanza::Jid::parse(&format!("user{n}@example.com")).expect("an address"));
    let away = away.filter(|jid| {
        world
            .cluster
            .table()
            .at(Slot::of(jid.as_str()))
            .is_some_and(|(home, ..)| *home.0 == *"router-2")
    });
    let away: Vec<_> = away.take(usize::try_from(SESSIONS).unwrap_or(0)).collect();
    for id in 1..=EACH {
        for jid in &away {
            let stanza = Arc::new(message("romeo@example.com", jid.as_str(), id, 100));
            let route = Route {
                to: vec![jid.clone()],
                stanza,
                key: None,
                trace: None,
            };
            under_way.push(world.routers[0].peers.route(Slot::of(jid.as_str()), route));
            while under_way.len() > 4_000 {
                under_way.next().await;
            }
        }
    }
    while under_way.next().await.is_some() {}
    clock.stop();
}

struct Clock {
    name: &'static str,
    began: Instant,
    used: Duration,
}

impl Clock {
    fn start(name: &'static str) -> Self {
        Self {
            name,
            began: Instant::now(),
            used: used(),
        }
    }

    fn stop(self) {
        let count = SESSIONS * EACH;
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        let (cpu, wall) = (micros(used() - self.used), micros(self.began.elapsed()));
        println!(
            "{}: {cpu:.2} µs processor, {wall:.2} µs wall per message ({count})",
            self.name
        );
    }
}

/// Processor time of this process, in ticks of 10 ms (proc(5): fields 14 and 15 of `stat`).
fn used() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    Duration::from_millis(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10)
}
