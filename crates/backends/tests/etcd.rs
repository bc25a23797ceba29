//! etcd keeps the promises of membership and locations, and outlives its own restarts and compactions.
#![allow(clippy::unwrap_used, reason = "tests")]

mod fixture;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_backends::etcd::{Config, Etcd};
use fixture::services;
use store::suite::members::node;
use store::{Members, Stores, memory};
use topology::{Epoch, SlotTable};

const TTL: Duration = Duration::from_secs(60);

fn config(url: String) -> Config {
    Config {
        endpoints: vec![url],
        prefix: format!("/{}", fixture::unique("test")),
        ..Config::default()
    }
}

async fn fresh() -> (Stores, ()) {
    let etcd = Etcd::connect(&config(fixture::etcd())).await.unwrap();
    let (members, locations) = (Arc::new(etcd.members()), Arc::new(etcd.locations()));
    (
        Stores {
            members,
            locations,
            ..memory::stores()
        },
        (),
    )
}

mod suite {
    use super::fresh;
    store::suite!(fresh: members, locations);
}

/// A table as large as tables get.
fn table(revision: u64) -> SlotTable {
    let routers: Vec<_> = (0..24)
        .map(|n| (format!("router-{n}").as_str().into(), Epoch(n + 1), 100))
        .collect();
    let mut table = SlotTable::empty().next(&routers, usize::MAX).unwrap();
    table.revision = revision;
    table
}

async fn names(members: &impl Members, expected: &[&str]) {
    let mut watch = members.watch().await.unwrap();
    let holds = |snapshot: &topology::Snapshot| {
        snapshot
            .members
            .iter()
            .map(|member| &*member.record.id.0)
            .eq(expected.iter().copied())
    };
    let seen = tokio::time::timeout(Duration::from_secs(30), watch.wait_for(holds)).await;
    assert!(
        seen.is_ok(),
        "{:?} instead of {expected:?}",
        members.watch().await.unwrap().borrow()
    );
}

#[tokio::test]
async fn a_whole_table_goes_round() {
    let (stores, ()) = fresh().await;
    stores.members.publish(&table(1)).await.unwrap();
    let watch = stores.members.watch().await.unwrap();
    assert_eq!(watch.borrow().table, table(1));
}

#[tokio::test]
async fn two_clients_see_each_other() {
    let config = config(fixture::etcd());
    let (one, two) = (
        Etcd::connect(&config).await.unwrap().members(),
        Etcd::connect(&config).await.unwrap().members(),
    );
    names(&one, &[]).await;
    let (epoch, lease) = two.join(&node("edge/1"), TTL).await.unwrap();
    names(&one, &["edge/1"]).await;
    let snapshot = one.watch().await.unwrap().borrow().clone();
    assert_eq!(
        (snapshot.members[0].epoch, &snapshot.members[0].record),
        (epoch, &node("edge/1"))
    );
    one.keep_alive(lease).await.unwrap(); // through any router
    two.leave(&node("edge/1").id, lease).await.unwrap();
    names(&one, &[]).await;
    assert_eq!(one.secret().await.unwrap(), two.secret().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_outlives_a_restart_and_a_compaction() {
    let mut server = services::Etcd::start().unwrap();
    let config = config(server.url());
    let (one, two) = (
        Etcd::connect(&config).await.unwrap().members(),
        Etcd::connect(&config).await.unwrap().members(),
    );
    let (_, lease) = one.join(&node("edge-1"), TTL).await.unwrap();
    names(&one, &["edge-1"]).await;
    server.kill().unwrap();
    let start = Instant::now();
    assert!(one.join(&node("edge-2"), TTL).await.unwrap_err().is_retryable());
    assert!(one.keep_alive(lease).await.unwrap_err().is_retryable());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    names(&one, &["edge-1"]).await; // the last snapshot stands
    server.restart().unwrap();
    fixture::eventually("a renewed lease", async || one.keep_alive(lease).await.is_ok()).await;
    // Whoever lists again after this cannot go on from where it was.
    let mut plain = etcd_client::Client::connect([server.url()], None).await.unwrap();
    let (_, second) = two.join(&node("edge-2"), TTL).await.unwrap();
    let revision = plain
        .put("elsewhere", "", None)
        .await
        .unwrap()
        .header()
        .unwrap()
        .revision();
    plain.compact(revision, None).await.unwrap();
    names(&one, &["edge-1", "edge-2"]).await;
    two.leave(&node("edge-2").id, second).await.unwrap();
    names(&one, &["edge-1"]).await;
}

#[tokio::test]
async fn keys_without_sense_harm_nobody() {
    let (config, url) = (config(fixture::etcd()), fixture::etcd());
    let mut plain = etcd_client::Client::connect([url], None).await.unwrap();
    plain
        .put(format!("{}/n/future", config.prefix), "{\"role\":\"poet\"}", None)
        .await
        .unwrap();
    plain
        .put(format!("{}/l/0001/x", config.prefix), "?", None)
        .await
        .unwrap();
    let etcd = Etcd::connect(&config).await.unwrap();
    names(&etcd.members(), &[]).await;
    let slot = topology::Slot::new(1).unwrap();
    assert_eq!(store::Locations::load(&etcd.locations(), slot).await.unwrap(), []);
}

#[tokio::test]
async fn session_keys_bear_no_lease() {
    let (config, url) = (config(fixture::etcd()), fixture::etcd());
    let locations = Etcd::connect(&config).await.unwrap().locations();
    let jid = stanza::Full::parse("romeo@montague.example/orchard").unwrap();
    let location = store::Location {
        jid: jid.clone(),
        edge: "edge-1".into(),
        epoch: Epoch(7),
        session: 0xabc,
    };
    store::Locations::put(&locations, &[(jid, Some(location))])
        .await
        .unwrap();
    let mut plain = etcd_client::Client::connect([url], None).await.unwrap();
    let all = etcd_client::GetOptions::new().with_prefix();
    let found = plain.get(format!("{}/l/", config.prefix), Some(all)).await.unwrap();
    let [pair] = found.kvs() else { panic!("{found:?}") };
    assert_eq!((pair.value_str().unwrap(), pair.lease()), ("7 abc edge-1", 0));
    assert!(pair.key_str().unwrap().ends_with("/romeo@montague.example/orchard"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for() {
    let server = services::Etcd::start().unwrap();
    let mut plain = etcd_client::Client::connect([server.url()], None).await.unwrap();
    plain.user_add("root", "hush", None).await.unwrap();
    plain.user_grant_role("root", "root").await.unwrap();
    plain.auth_enable().await.unwrap();
    let config = Config {
        user: Some("root".into()),
        password: Some("hush".into()),
        ..config(server.url())
    };
    let members = Etcd::connect(&config).await.unwrap().members();
    let (_, lease) = members.join(&node("edge-1"), TTL).await.unwrap();
    members.keep_alive(lease).await.unwrap();
    names(&members, &["edge-1"]).await;
    let wrong = Config {
        password: Some("guess".into()),
        ..config
    };
    assert!(Etcd::connect(&wrong).await.is_err());
}

#[test]
fn secrets_are_not_shown_and_files_are_named() {
    let config: Config = toml::from_str("user = 'u'\npassword = 'hush'\nlinger = '5ms'").unwrap();
    assert!(!format!("{config:?}").contains("hush"));
    assert!(toml::from_str::<Config>("endpoint = 'x'").is_err());
    let tls = Config {
        endpoints: vec!["https://127.0.0.1:1".into()],
        ca: Some("/none/ca.pem".into()),
        ..config
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(Etcd::connect(&tls)).err().unwrap();
    assert!(error.to_string().contains("/none/ca.pem"), "{error}");
}
