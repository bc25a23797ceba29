//! The load tester against the real binary: every message is accounted for while users come, go, lose their connections and come back.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use loadtest::accounting::{Target, Watch};
use loadtest::admission::{Gate, Pass};
use loadtest::conduct::{Conductor, Watching};
use loadtest::join::Member;
use loadtest::live::{Style, View};
use loadtest::measure::Measure;
use loadtest::metrics::Metrics;
use loadtest::preflight;
use loadtest::provision::{Made, contacts, register};
use loadtest::remote::{Job, Reception, Remote};
use loadtest::results::{GENERATOR, Ledger, Results};
use loadtest::scenario::Scenario;
use loadtest::worker::{Share, Worker};
use loadtest::workers::Workers;
use loadtest::world::World;
use testkit::process::Server;
use testkit::settings::DOMAINS;
use tokio::task::JoinSet;

#[path = "scripts.rs"]
#[allow(dead_code, reason = "the binary only")]
mod scripts;

const USERS: u32 = 24;

/// A server with accounts, and the scenario that begins with where it is.
async fn stage(rest: &str) -> (Server, Scenario) {
    let server = Server::start(&scripts::binary()).await.unwrap();
    let domain = DOMAINS[0];
    let users: Vec<_> = (0..USERS)
        .map(|at| (format!("u{at}@{domain}"), format!("password-{at}")))
        .collect();
    server.add_users(&users).unwrap();
    let address = server.address("c2s").unwrap();
    let text = format!(
        "name = 'test'\npurpose = 'a test'\nusers = {USERS}\nserver = {{ domain = '{domain}', targets = ['{address}'] }}\n{rest}"
    );
    (server, Scenario::read(&text).unwrap())
}

async fn run(server: &Server, scenario: &Scenario) -> Results {
    let world = World::new(scenario.clone(), 7).unwrap();
    preflight::check_server(&world).await.unwrap();
    let (epoch, threads) = (Instant::now(), 2);
    let worker = Some(Worker::start(Arc::new(world), Share::ALL, threads, epoch).unwrap());
    conduct(server, scenario, Workers::Here { worker, threads, epoch }).await
}

/// The same, with every third user with the same one of three workers.
async fn run_apart(server: &Server, scenario: &Scenario) -> Results {
    let reception = Reception::open("127.0.0.1:0".parse().unwrap(), Gate::default())
        .await
        .unwrap();
    let address = reception.address().unwrap().to_string();
    let mut members = JoinSet::new();
    for name in ["a", "a", "b"] {
        let member = Member {
            name: name.to_owned(),
            threads: 1,
            owns_targets: false,
            pass: Pass::default(),
        };
        let address = address.clone();
        members.spawn(async move { member.work(&address).await });
    }
    let job = Job {
        scenario: toml::to_string(scenario).unwrap(),
        run: 8,
        workers: 3,
    };
    let workers = Workers::There(Remote::gather(reception, &job).await.unwrap());
    let results = conduct(server, scenario, workers).await;
    while let Some(ended) = members.join_next().await {
        ended.unwrap().unwrap();
    }
    results
}

async fn conduct(server: &Server, scenario: &Scenario, workers: Workers) -> Results {
    let target: Target = format!("server={}", server.pid()).parse().unwrap();
    let watching = Watching {
        watch: Watch::new(vec![target]).unwrap(),
        metrics: Metrics::new(Vec::new()),
        view: View::open(Style::Quiet).unwrap(),
    };
    Conductor::new(scenario, workers, watching).run().await.unwrap().results
}

/// Everything that was sent came, once and in order.
fn assert_exact(results: &Results) {
    let ledger = results.ledger;
    let expected = Ledger {
        sent: ledger.sent,
        acknowledged: ledger.acknowledged,
        received: ledger.sent,
        ..Ledger::default()
    };
    assert_eq!(ledger, expected, "{:?}", results.warnings);
    assert!(ledger.sent > 0);
}

fn failures(results: &Results) -> Vec<(&str, u64)> {
    let operations = results.operations.values().flatten();
    let failed = operations.flat_map(|(_, operation)| &operation.failed);
    failed.map(|(reason, count)| (reason.as_str(), *count)).collect()
}

#[tokio::test]
async fn every_message_arrives_once_while_users_come_and_go_and_lose_their_connections() {
    let (server, scenario) = stage(
        "rate = '60/s'
        thresholds = ['loss == 0', 'p99(message) < 1us']
        contacts = { graph = 'ring', count = 4 }
        [[group]]
        rates = { message = '1/s', presence = '20/min', roster = '20/min', ping = '20/min', archive-page = '20/min', reconnect = '30/min' }
        [[phase]]
        name = 'ramp'
        online = '100%'
        logins = '60/s'
        pace = 0.0
        [[phase]]
        name = 'hold'
        for = '2s'
        [[phase]]
        name = 'churn'
        for = '1s'
        churn = '10/s'
        [[phase]]
        name = 'storm'
        for = '1500ms'
        drop = '100%'
        logins = '60/s'
        [[phase.fault]]
        at = '100ms'
        name = 'nothing'
        run = 'true'
        [[phase.fault]]
        at = '200ms'
        name = 'broken'
        run = 'exit 3'
        [[phase]]
        name = 'drain'
        online = '0%'
        logouts = '60/s'",
    )
    .await;
    let results = run(&server, &scenario).await;
    assert_exact(&results);
    assert_eq!(failures(&results), []);
    let done = |name| results.operation(name, None).done;
    for name in ["archive-page", "login", "ping", "presence", "resume", "roster"] {
        assert!(done(name) > 0, "{name}");
    }
    assert_eq!(
        results.operation("resume", Some("storm")).intended,
        results.operation("resume", Some("storm")).done
    );
    let held: Vec<bool> = results.verdicts.iter().map(|verdict| verdict.held).collect();
    assert_eq!(held, [true, false]);
    let marks: Vec<&str> = results.marks.iter().map(|mark| mark.text.as_str()).collect();
    assert_eq!(marks, ["nothing", "broken"]);
    assert!(
        results
            .warnings
            .iter()
            .any(|warning| warning.contains("fault broken: its command ended with"))
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_run_ends_early_when_a_threshold_says_so() {
    let (server, scenario) = stage(
        "rate = '60/s'
        thresholds = ['loss == 0', { threshold = 'done(message, hold) == 0', abort_after = '500ms' }]
        [[group]]
        rates = { message = '1/s' }
        [[phase]]
        name = 'ramp'
        online = '100%'
        pace = 0.0
        [[phase]]
        name = 'hold'
        for = '1h'
        [[phase.fault]]
        at = '59m'
        name = 'too late'
        run = 'true'
        [[phase]]
        name = 'spike'
        for = '1h'",
    )
    .await;
    let results = run(&server, &scenario).await;
    assert_exact(&results);
    let [loss, messages] = &results.verdicts[..] else {
        panic!("{:?}", results.verdicts)
    };
    assert!(loss.held && !messages.held, "{:?}", results.verdicts);
    assert!(
        messages.measured.ends_with("s, which ended the run"),
        "{}",
        messages.measured
    );
    let warned = |text: &str| results.warnings.iter().any(|warning| warning.contains(text));
    for text in [
        "in phase hold: done(message, hold) == 0 was missed",
        "did not happen: spike",
    ] {
        assert!(warned(text), "{:?}", results.warnings);
    }
    let marks: Vec<&str> = results.marks.iter().map(|mark| mark.text.as_str()).collect();
    assert_eq!(marks, ["ended: done(message, hold) == 0"]);
    assert!(results.phases.iter().all(|span| span.name != "spike"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_closed_loop_keeps_its_messages_in_flight() {
    let (server, scenario) = stage(
        "[[phase]]
        name = 'ramp'
        online = '100%'
        pace = 0.0
        [[phase]]
        name = 'saturated'
        for = '1s'
        saturate = 3",
    )
    .await;
    let results = run(&server, &scenario).await;
    assert_exact(&results);
    let pairs = u64::from(USERS / 2);
    assert!(results.ledger.sent > pairs * 3 * 10, "{:?}", results.ledger);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_was_away_is_counted_when_it_has_come_back() {
    let (server, scenario) = stage(
        "rate = '80/s'
        contacts = { graph = 'ring', count = 4 }
        [[group]]
        rates = { message = '1/s' }
        [[phase]]
        name = 'half'
        online = '50%'
        for = '1s'
        [[phase]]
        name = 'gone'
        online = '0%'
        for = '200ms'",
    )
    .await;
    let results = run(&server, &scenario).await;
    assert_exact(&results);
    assert!(results.phases.iter().any(|span| span.name == "collect"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn counts_are_exact_when_sender_and_receiver_are_with_different_workers() {
    let (server, scenario) = stage(
        "rate = '120/s'
        contacts = { graph = 'ring', count = 4 }
        [[group]]
        rates = { message = '1/s', reconnect = '30/min' }
        [[phase]]
        name = 'ramp'
        online = '100%'
        logins = '60/s'
        pace = 0.0
        [[phase]]
        name = 'hold'
        for = '2s'",
    )
    .await;
    let results = run_apart(&server, &scenario).await;
    assert_exact(&results);
    assert_eq!(failures(&results), []);
    assert_eq!(results.operation("login", None).done, u64::from(USERS));
    let generator = results.processes.iter().filter(|process| process.name == GENERATOR);
    let seen: Vec<(&str, u32)> = generator
        .map(|process| (process.worker.as_str(), process.threads))
        .collect();
    assert_eq!(seen[0], ("", 0), "the coordinator has no users");
    let workers: BTreeSet<&str> = seen[1..]
        .iter()
        .filter(|(_, threads)| *threads == 1)
        .map(|(name, _)| *name)
        .collect();
    assert!(
        workers.len() == 3 && workers.contains("a") && workers.contains("b"),
        "{seen:?}"
    );
    let cpu: Measure = "cpu(generator, message)".parse().unwrap();
    assert!(cpu.of(&results).unwrap().value > 0.0);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn accounts_are_made_once_and_know_each_other() {
    let (server, scenario) = stage(
        "accounts = { user = 'new{n}' }
        contacts = { graph = 'ring', count = 2 }
        [[group]]
        rates = { presence = '60/min' }
        [[phase]]
        name = 'ramp'
        online = '100%'
        pace = 0.0
        [[phase]]
        name = 'hold'
        for = '1s'",
    )
    .await;
    let world = World::new(scenario.clone(), 9).unwrap();
    for expected in [Made::New, Made::Known] {
        for user in 0..USERS {
            assert_eq!(register(&world, user).await, Ok(expected), "{user}");
        }
    }
    for user in 0..USERS {
        assert_eq!(contacts(&world, user).await, Ok(2));
    }
    let results = run(&server, &scenario).await;
    let done = |name| results.operation(name, Some("hold")).done;
    assert!(done("presence") > 0);
    assert_eq!(done("presence-delivery"), 2 * done("presence"));
    server.stop().await.unwrap();
}
