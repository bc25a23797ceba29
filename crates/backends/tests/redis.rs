//! Redis keeps the promises of the presence port, standalone and as a cluster, and says when it lost its memory.
#![allow(clippy::unwrap_used, reason = "tests")]

mod fixture;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_backends::redis::{Config, Redis};
use fixture::services;
use stanza::Full;
use store::{Presence, PresenceRecord, Stores, memory};
use topology::{Epoch, Slot};

fn stores(config: Config) -> Stores {
    let config = Config {
        prefix: format!("{}:", fixture::unique("test")),
        ..config
    };
    Stores {
        presence: Arc::new(Redis::connect(&config).unwrap()),
        ..memory::stores()
    }
}

fn at(url: &str) -> Config {
    Config {
        urls: vec![url.into()],
        ..Config::default()
    }
}

async fn standalone() -> (Stores, ()) {
    (stores(at(&fixture::redis())), ())
}

async fn cluster() -> (Stores, ()) {
    let urls = fixture::redis_cluster().into_iter().map(Into::into).collect();
    (
        stores(Config {
            urls,
            cluster: true,
            ..Config::default()
        }),
        (),
    )
}

mod alone {
    use super::standalone;
    store::suite!(standalone: presence);
}

mod clustered {
    use super::cluster;
    store::suite!(cluster: presence);
}

fn batch() -> [(Full, Option<PresenceRecord>); 1] {
    let jid = Full::parse("romeo@montague.example/orchard").unwrap();
    let stanza = Bytes::from_static(b"<presence/>");
    let record = PresenceRecord {
        jid: jid.clone(),
        edge: "edge-1".into(),
        epoch: Epoch(1),
        priority: 0,
        stanza,
    };
    [(jid, Some(record))]
}

#[tokio::test]
async fn every_slot_of_a_cluster_is_reached() {
    let (stores, ()) = cluster().await;
    for index in (0..4096).step_by(64) {
        let slot = Slot::new(index).unwrap();
        let (generation, _) = stores.presence.load(slot).await.unwrap();
        assert!(stores.presence.put(slot, generation, &batch()).await.unwrap());
        assert_eq!(stores.presence.load(slot).await.unwrap().1.len(), 1);
    }
}

/// Loses its memory, comes back by itself, and tells the first who writes.
async fn check_restart(redis: &Redis, mut restart: impl FnMut()) {
    let slot = Slot::new(7).unwrap();
    let (generation, _) = redis.load(slot).await.unwrap();
    assert!(redis.put(slot, generation, &batch()).await.unwrap());
    restart();
    let mut kept = None;
    fixture::eventually("an answer", async || {
        kept = redis.put(slot, generation, &[]).await.ok();
        kept.is_some()
    })
    .await;
    assert_eq!(kept, Some(false));
    let (renewed, records) = redis.load(slot).await.unwrap();
    assert!(renewed != generation && records.is_empty());
    assert!(redis.put(slot, renewed, &batch()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_data_is_noticed() {
    let mut server = services::Redis::start().unwrap();
    let redis = Redis::connect(&at(&server.url())).unwrap();
    check_restart(&redis, || {
        server.kill().unwrap();
        server.restart().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_unavailable_in_time() {
    let mut server = services::Redis::start().unwrap();
    let config = Config {
        timeout: Duration::from_millis(500),
        ..at(&server.url())
    };
    let redis = Redis::connect(&config).unwrap();
    server.stop().unwrap();
    let slot = Slot::new(7).unwrap();
    let start = Instant::now();
    assert!(redis.load(slot).await.unwrap_err().is_retryable());
    assert!(redis.put(slot, 1, &batch()).await.unwrap_err().is_retryable());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    server.restart().unwrap();
    fixture::eventually("an answer", async || redis.load(slot).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_may_come_back() {
    let mut servers = services::RedisCluster::start(3).unwrap();
    let urls = servers.urls().into_iter().map(Into::into).collect();
    let redis = Redis::connect(&Config {
        urls,
        cluster: true,
        ..Config::default()
    })
    .unwrap();
    let slots: Vec<_> = (0..8).filter_map(Slot::new).collect();
    for slot in &slots {
        redis.load(*slot).await.unwrap();
    }
    let node = &mut servers.nodes[0];
    node.stop().unwrap();
    node.restart().unwrap();
    for slot in slots {
        fixture::eventually("an answer", async || redis.load(slot).await.is_ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_after_a_failover() {
    let mut servers = services::RedisSentinel::start().unwrap();
    let config = Config {
        sentinel: Some(services::RedisSentinel::NAME.into()),
        timeout: Duration::from_secs(1),
        ..at(&servers.url())
    };
    let redis = Redis::connect(&config).unwrap();
    let slot = Slot::new(7).unwrap();
    let (generation, _) = redis.load(slot).await.unwrap();
    assert!(redis.put(slot, generation, &batch()).await.unwrap());
    servers.replica.command("PING").unwrap();
    servers.master.kill().unwrap();
    fixture::eventually("a new master", async || redis.load(slot).await.is_ok()).await;
    let (generation, _) = redis.load(slot).await.unwrap();
    assert!(redis.put(slot, generation, &batch()).await.unwrap());
    let role = servers.replica.command("INFO replication").unwrap();
    assert!(role.contains("role:master"), "{role}");
    let (_, records) = redis.load(slot).await.unwrap();
    assert_eq!(records.len(), 1);
}

#[test]
fn secrets_are_not_shown() {
    let config: Config = toml::from_str("urls = ['redis://:hush@h']\npassword = 'hush'\ntimeout = '1s'").unwrap();
    assert!(!format!("{config:?}").contains("hush"));
    assert!(toml::from_str::<Config>("url = 'redis://h'").is_err());
    let error = Redis::connect(&at("nonsense://:hush@h")).err().unwrap();
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}
