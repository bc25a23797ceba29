//! A cluster of real processes: the conformance scripts with each client on another edge, and nodes that come and go while
//! clients talk.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::client::Client;
use testkit::cluster::{Cluster, Node};
use xml::Element;

#[path = "scripts.rs"]
mod scripts;

const PASSWORD: &str = "orchard wall";
/// Pairs of clients that talk while nodes come and go.
const PAIRS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn conformance_across_edges_and_routers() {
    let cluster = start(3, 2);
    scripts::run_all(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routers_and_edges_come_and_go_under_traffic() {
    let cluster = start(3, 2);
    let edges = cluster.nodes("edges").unwrap();
    let mut talks = talks(&cluster, &edges[..2]).await.unwrap();
    talks.say_and_hear(50).await.unwrap();

    let (added, mut talks) = beside(talks, || cluster.add("router")).await;
    let added = added.unwrap();
    talks.say_and_hear(50).await.unwrap();

    let first = cluster.nodes("routers").unwrap()[0].clone();
    let (told, mut talks) = beside(talks, || cluster.signal(&first, "TERM")).await;
    told.unwrap();
    talks.say_and_hear(200).await.unwrap();

    let (edge, mut talks) = beside(talks, || cluster.add("edge")).await;
    edge.unwrap();
    cluster.signal(&edges[2], "TERM").unwrap();
    talks.say_and_hear(50).await.unwrap();
    assert!(added.id.starts_with("router-"));
    println!("longest pause {:?} in {} messages", talks.longest, talks.said * PAIRS);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_killed_edge_are_shown_unavailable_within_ten_seconds() {
    let cluster = start(2, 2);
    let edges = cluster.nodes("edges").unwrap();
    cluster.add_users(&users("watcher", "victim")).unwrap();
    let mut watcher = log_in("watcher", &edges[0]).await.unwrap();
    let mut victim = log_in("victim", &edges[1]).await.unwrap();
    let to = format!("watcher@{}/test", testkit::settings::DOMAINS[0]);
    victim.write(format!("<presence to='{to}'/>").as_bytes()).await.unwrap();
    assert_eq!(watcher.element().await.unwrap().attribute("type"), None);
    cluster.signal(&edges[1], "KILL").unwrap();
    let killed = Instant::now();
    assert_eq!(watcher.element().await.unwrap().attribute("type"), Some("unavailable"));
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_edge_and_router_is_a_member_like_others() {
    let cluster = start(2, 1);
    let edges = cluster.nodes("edges").unwrap();
    let mut before = talks(&cluster, &edges).await.unwrap();
    before.say_and_hear(20).await.unwrap();
    // It takes its share of the slots under traffic.
    let (both, before) = beside(before, || cluster.add("all")).await;
    let both = both.unwrap();
    cluster.add_users(&users("romeo", "juliet")).unwrap();
    let mut romeo = log_in("romeo", &edges[0]).await.unwrap();
    let mut juliet = log_in("juliet", &both).await.unwrap();
    befriend(&mut romeo, "romeo", &mut juliet, "juliet").await.unwrap();
    tell(&mut romeo, &mut juliet, "juliet").await.unwrap();
    tell(&mut juliet, &mut romeo, "romeo").await.unwrap();
    let served = testkit::metrics::read(both.http).await.unwrap();
    let serving = testkit::metrics::total(&served, "dunlin_router_slots{state=\"serving\"}");
    assert!((1.0..4096.0).contains(&serving), "{serving} slots");

    // It leaves: its clients are told, their friends see them go, and the others lose nothing.
    let (told, mut before) = beside(before, || cluster.signal(&both, "TERM")).await;
    told.unwrap();
    until(&mut juliet, |seen| seen.name() == "error").await.unwrap();
    until(&mut romeo, |seen| seen.attribute("type") == Some("unavailable"))
        .await
        .unwrap();
    before.say_and_hear(200).await.unwrap();
    let mut juliet = log_in("juliet", &edges[1]).await.unwrap();
    tell(&mut romeo, &mut juliet, "juliet").await.unwrap();
    tell(&mut juliet, &mut romeo, "romeo").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_listed_and_drain_when_asked() {
    let cluster = start(3, 2);
    let (edges, routers) = (cluster.nodes("edges").unwrap(), cluster.nodes("routers").unwrap());
    let talks = talks(&cluster, &edges[..2]).await.unwrap();
    let list = cluster.node(&["list"]).unwrap();
    let is_listed = |node: &Node, state: &str| {
        list.lines()
            .any(|line| line.starts_with(&node.id) && line.contains(state))
    };
    assert!(
        edges.iter().chain(&routers).all(|node| is_listed(node, " live ")),
        "{list}"
    );

    let mut client = resumable(&cluster, &edges[2]).await.unwrap();
    let (said, talks) = beside(talks, || cluster.node(&["drain", &edges[2].id, "--wait"])).await;
    assert!(said.unwrap().contains("has left"));
    let mut end = Vec::new();
    while let Ok(element) = client.element().await {
        end.push(element.name().to_owned());
    }
    assert_eq!(end, ["a", "error"]);

    let (said, mut talks) = beside(talks, || cluster.node(&["drain", &routers[0].id, "--wait"])).await;
    assert!(said.unwrap().contains("has left"));
    talks.say_and_hear(50).await.unwrap();
    let list = cluster.node(&["list"]).unwrap();
    assert!(!list.contains(&routers[0].id) && !list.contains(&edges[2].id), "{list}");
    let refused = cluster.node(&["drain", &routers[1].id]).unwrap_err();
    assert!(refused.to_string().contains("last router"), "{refused}");
}

/// A client under stream management.
async fn resumable(cluster: &Cluster, edge: &Node) -> Result<Client> {
    cluster.add_users(&users("romeo", "juliet"))?;
    let mut client = log_in("romeo", edge).await?;
    client.write(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await?;
    until(&mut client, |seen| seen.name() == "enabled").await?;
    Ok(client)
}

/// Subscribes two to each other, and both see each other come.
async fn befriend(one: &mut Client, name: &str, other: &mut Client, other_name: &str) -> Result<()> {
    let domain = testkit::settings::DOMAINS[0];
    one.write(b"<presence/>").await?;
    other.write(b"<presence/>").await?;
    one.write(format!("<presence to='{other_name}@{domain}' type='subscribe'/>").as_bytes())
        .await?;
    until(other, |seen| seen.attribute("type") == Some("subscribe")).await?;
    let answer =
        format!("<presence to='{name}@{domain}' type='subscribed'/><presence to='{name}@{domain}' type='subscribe'/>");
    other.write(answer.as_bytes()).await?;
    until(one, |seen| is_presence_of(seen, other_name)).await?;
    until(one, |seen| seen.attribute("type") == Some("subscribe")).await?;
    one.write(format!("<presence to='{other_name}@{domain}' type='subscribed'/>").as_bytes())
        .await?;
    until(other, |seen| is_presence_of(seen, name)).await
}

fn is_presence_of(seen: &Element, name: &str) -> bool {
    let from = format!("{name}@{}/test", testkit::settings::DOMAINS[0]);
    seen.name() == "presence" && seen.attribute("type").is_none() && seen.attribute("from") == Some(&from)
}

/// One says something, the other hears it.
async fn tell(one: &mut Client, other: &mut Client, name: &str) -> Result<()> {
    let to = format!("{name}@{}/test", testkit::settings::DOMAINS[0]);
    one.write(format!("<message to='{to}' type='chat'><body>Soft!</body></message>").as_bytes())
        .await?;
    until(other, |seen| {
        seen.name() == "message" && seen.attribute("type") == Some("chat")
    })
    .await
}

/// Reads until what is wanted comes.
async fn until(client: &mut Client, is_wanted: impl Fn(&Element) -> bool) -> Result<()> {
    while !is_wanted(&client.element().await?) {}
    Ok(())
}

/// Pairs of clients, each client of a pair on another edge.
struct Talks {
    pairs: Vec<(Client, Client, String)>,
    said: usize,
    /// Longest time that a listener waited for its next message.
    longest: Duration,
}

impl Talks {
    /// Every first client says `count` things; every second one hears them all, in order.
    async fn say_and_hear(&mut self, count: usize) -> Result<()> {
        let from = self.said;
        for (speaker, _, to) in &mut self.pairs {
            for number in from..from + count {
                speaker
                    .write(
                        format!("<message to='{to}' type='chat' id='m{number}'><body>{number}</body></message>")
                            .as_bytes(),
                    )
                    .await?;
            }
        }
        self.said += count;
        for (at, (_, listener, _)) in self.pairs.iter_mut().enumerate() {
            for number in from..from + count {
                let began = Instant::now();
                hear(listener, number).await.with_context(|| format!("pair {at}"))?;
                self.longest = self.longest.max(began.elapsed());
            }
        }
        Ok(())
    }
}

/// Hears message `number` next: nothing is missing, nothing overtakes, nothing comes twice.
async fn hear(listener: &mut Client, number: usize) -> Result<()> {
    let heard = listener.element().await.with_context(|| format!("message {number}"))?;
    let (id, kind) = (heard.attribute("id"), heard.attribute("type"));
    ensure!(
        id == Some(&format!("m{number}")) && kind == Some("chat"),
        "expected m{number}, heard {heard}"
    );
    Ok(())
}

/// Lets the pairs talk without pause while `change` is made.
async fn beside<T: Send>(mut talks: Talks, change: impl FnOnce() -> T + Send) -> (T, Talks) {
    let (done, mut until) = tokio::sync::oneshot::channel();
    let talking = tokio::spawn(async move {
        while until.try_recv().is_err() {
            talks.say_and_hear(5).await?;
        }
        anyhow::Ok(talks)
    });
    let changed = tokio::task::block_in_place(change);
    let _ = done.send(());
    (changed, talking.await.unwrap().unwrap())
}

async fn talks(cluster: &Cluster, edges: &[Node]) -> Result<Talks> {
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        let (speaker, listener) = (format!("speaker{pair}"), format!("listener{pair}"));
        cluster.add_users(&users(&speaker, &listener))?;
        let to = format!("{listener}@{}/test", testkit::settings::DOMAINS[0]);
        pairs.push((
            log_in(&speaker, &edges[0]).await?,
            log_in(&listener, &edges[1]).await?,
            to,
        ));
    }
    Ok(Talks {
        pairs,
        said: 0,
        longest: Duration::ZERO,
    })
}

fn users(one: &str, other: &str) -> [(String, String); 2] {
    [one, other].map(|name| (format!("{name}@{}", testkit::settings::DOMAINS[0]), PASSWORD.to_owned()))
}

async fn log_in(name: &str, edge: &Node) -> Result<Client> {
    let mut client = Client::connect(edge.c2s.context("not an edge")?).await?;
    client
        .log_in(name, testkit::settings::DOMAINS[0], PASSWORD, "test")
        .await?;
    Ok(client)
}

fn start(edges: usize, routers: usize) -> Cluster {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binary: PathBuf = scripts::binary();
    Cluster::start(&root, &binary, edges, routers).unwrap()
}
