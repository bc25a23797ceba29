//! `docs/metrics.md` says what running processes really expose, no more and no less.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testkit::client::Client;
use testkit::cluster::{Cluster, Node};
use testkit::settings::DOMAINS;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "scripts.rs"]
#[allow(dead_code, reason = "the binary only")]
mod scripts;

const PASSWORD: &str = "orchard wall";

/// What only trouble, or a command, brings about: these need not be seen here, but must be counted somewhere in the code.
const TROUBLE: &[&str] = &[
    "dunlin_edge_accept_errors_total",
    "dunlin_edge_connections_refused_total",
    "dunlin_edge_handshakes_total",
    "dunlin_edge_logins_refused_total",
    "dunlin_edge_stream_errors_total",
    "dunlin_link_gaps_total",
    "dunlin_link_given_up_total",
    "dunlin_link_held_parcels",
    "dunlin_link_malformed_frames_total",
    "dunlin_link_reconnects_total",
    "dunlin_link_waits_total",
    "dunlin_router_accounts_removed_total",
    "dunlin_router_buried_total",
    "dunlin_router_dropped_total",
    "dunlin_router_effect_failures_total",
    "dunlin_router_hook_panics_total",
    "dunlin_router_held_stanzas_total",
    "dunlin_router_kicks_total",
    "dunlin_router_lease_renewals_total",
    "dunlin_router_outdated_messages_total",
    "dunlin_router_registrations_total",
    "dunlin_router_repeated_messages_total",
    "dunlin_router_slot_waits",
    "dunlin_router_slot_waits_given_up_total",
    "dunlin_router_superseded_stanzas_total",
    "dunlin_store_errors_total",
    "dunlin_store_watch_breaks_total",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cluster = Cluster::start(&root, &scripts::binary(), 2, 2).unwrap();
    let edges = cluster.nodes("edges").unwrap();
    chat(&cluster, &edges).await;
    let documented = documented(&root);
    let nodes: Vec<Node> = edges.into_iter().chain(cluster.nodes("routers").unwrap()).collect();
    let code = code(&root);
    let counted = counted(&code);
    let is_trouble = |name: &&String| TROUBLE.contains(&name.as_str()) && counted.contains(*name);
    let awaited: BTreeSet<String> = documented.iter().filter(|name| !is_trouble(name)).cloned().collect();
    let mut exposed = BTreeSet::new();
    // What is written behind, and what a closed connection leads to, is counted a little later.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !exposed.is_superset(&awaited) && Instant::now() < deadline {
        for node in &nodes {
            let text = scrape(node.http).await;
            exposed.extend(names(&text));
            assert!(!text.contains("NaN"), "{}: {text}", node.id);
        }
    }
    let undocumented: Vec<_> = exposed.difference(&documented).collect();
    assert!(undocumented.is_empty(), "not in docs/metrics.md: {undocumented:?}");
    let undocumented: Vec<_> = counted.difference(&documented).collect();
    assert!(
        undocumented.is_empty(),
        "in the code, but not in docs/metrics.md: {undocumented:?}"
    );
    let vanished: Vec<_> = awaited.difference(&exposed).collect();
    assert!(vanished.is_empty(), "in docs/metrics.md, but not exposed: {vanished:?}");
}

/// A message from edge to edge, one that is kept and taken, what the edge and what the home refuses, and stream management.
async fn chat(cluster: &Cluster, edges: &[Node]) {
    let users = ["speaker", "listener"].map(|name| (format!("{name}@{}", DOMAINS[0]), PASSWORD.to_owned()));
    cluster.add_users(&users).unwrap();
    let mut speaker = log_in("speaker", &edges[0]).await;
    let to = format!("listener@{}", DOMAINS[0]);
    let message = format!("<message to='{to}' type='chat'><body>Soft!</body></message>");
    speaker.write(message.as_bytes()).await.unwrap();
    speaker
        .write(b"<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>")
        .await
        .unwrap();
    speaker.element().await.unwrap();
    for refused in [
        "<message to='@' id='2'/>",
        "<iq type='get' id='3'><nothing xmlns='urn:example'/></iq>",
    ] {
        speaker.write(refused.as_bytes()).await.unwrap();
        assert_eq!(speaker.element().await.unwrap().attribute("type"), Some("error"));
    }
    speaker.write(b"<enable xmlns='urn:xmpp:sm:3'/>").await.unwrap();
    assert_eq!(speaker.element().await.unwrap().name(), "enabled");
    let mut listener = log_in("listener", &edges[1]).await;
    listener.write(b"<presence/>").await.unwrap();
    while listener.element().await.unwrap().attribute("type") != Some("chat") {}
}

async fn log_in(name: &str, edge: &Node) -> Client {
    let mut client = Client::connect(edge.c2s.unwrap()).await.unwrap();
    client.log_in(name, DOMAINS[0], PASSWORD, "test").await.unwrap();
    client
}

async fn scrape(http: SocketAddr) -> String {
    let mut connection = TcpStream::connect(http).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    text
}

/// The families of a scrape.
fn names(text: &str) -> BTreeSet<String> {
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    families
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

fn documented(root: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `dunlin_"));
    rows.filter_map(|row| row.split('`').next())
        .map(|name| format!("dunlin_{name}"))
        .collect()
}

/// The metrics that the code names where it counts.
fn counted(code: &str) -> BTreeSet<String> {
    let calls = code.split("!(\"dunlin_").skip(1);
    calls
        .filter_map(|call| call.split('"').next())
        .map(|name| format!("dunlin_{name}"))
        .collect()
}

/// All sources of the server, as one text without white space.
fn code(root: &Path) -> String {
    let mut folders: Vec<PathBuf> = vec![root.join("crates")];
    let mut code = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                code.extend(text.chars().filter(|letter| !letter.is_whitespace()));
            }
        }
    }
    code
}
