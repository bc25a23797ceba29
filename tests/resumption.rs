//! Sessions that outlive their edge and their home, on a cluster of real processes, with a ledger of what each client sent and heard
//! (XEP-0198).

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use std::path::Path;

use anyhow::{Context, Result, ensure};
use testkit::client::{Client, Resumption, Seen};
use testkit::cluster::{Cluster, Node};
use testkit::settings::DOMAINS;
use xml::Element;

#[allow(dead_code, reason = "only the binary is wanted here")]
#[path = "scripts.rs"]
mod scripts;

const PASSWORD: &str = "orchard wall";
/// Pairs of clients.
const PAIRS: usize = 20;
const SM: &str = "urn:xmpp:sm:3";

#[tokio::test(flavor = "multi_thread")]
async fn sessions_survive_an_edge_that_is_killed() {
    let cluster = start();
    let edges = cluster.nodes("edges").unwrap();
    let mut pairs = pairs(&cluster, &edges).await.unwrap();
    talk(&mut pairs, 20).await.unwrap();
    for pair in &mut pairs {
        // What is read is acknowledged; the rest is on its way when the edge dies.
        pair.hear(10).await.unwrap();
    }
    cluster.signal(&edges[1], "KILL").unwrap();
    talk(&mut pairs, 20).await.unwrap();
    for pair in &mut pairs {
        pair.resume(&edges[2]).await.unwrap();
        pair.hear(30).await.unwrap();
        pair.answers().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_survive_an_edge_that_stops() {
    let cluster = start();
    let edges = cluster.nodes("edges").unwrap();
    let mut pairs = pairs(&cluster, &edges).await.unwrap();
    talk(&mut pairs, 20).await.unwrap();
    cluster.signal(&edges[1], "TERM").unwrap();
    talk(&mut pairs, 20).await.unwrap();
    for pair in &mut pairs {
        pair.until_closed().await.unwrap();
        pair.resume(&edges[2]).await.unwrap();
        let left = 40 - pair.heard;
        pair.hear(left).await.unwrap();
        pair.answers().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_with_and_without_a_stream_survive_a_router_that_is_killed() {
    let cluster = start();
    let edges = cluster.nodes("edges").unwrap();
    let mut pairs = pairs(&cluster, &edges).await.unwrap();
    talk(&mut pairs, 10).await.unwrap();
    for pair in &mut pairs {
        pair.hear(10).await.unwrap();
        pair.answers().await.unwrap();
    }
    for pair in pairs.iter_mut().step_by(2) {
        pair.lose_connection().await.unwrap();
    }
    let router = cluster.nodes("routers").unwrap()[0].clone();
    cluster.signal(&router, "KILL").unwrap();
    talk(&mut pairs, 10).await.unwrap();
    for (at, pair) in pairs.iter_mut().enumerate() {
        if at % 2 == 0 {
            pair.resume(&edges[2]).await.unwrap();
        }
        pair.hear(10).await.unwrap();
    }
}

/// A speaker, and a listener under stream management on another edge.
struct Pair {
    speaker: Client,
    listener: Option<Client>,
    resumption: Option<Resumption>,
    /// The listener's name.
    name: String,
    to: String,
    said: usize,
    heard: usize,
    /// What the listener has said, of which the server has acknowledged nothing yet.
    answered: usize,
}

impl Pair {
    fn listener(&mut self) -> Result<&mut Client> {
        self.listener.as_mut().context("no listener")
    }

    /// The listener hears the next `count` messages: each once, none missing, none overtaken. It answers each.
    async fn hear(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let heard = self.next_message().await?;
            let id = heard.attribute("id").unwrap_or_default().to_owned();
            ensure!(
                id == format!("m{}", self.heard),
                "{}: expected m{}, heard {heard}",
                self.name,
                self.heard
            );
            self.heard += 1;
            let answer = answer(&self.speaker_jid(), self.answered);
            // An edge that has just been killed reads no more; what was not acknowledged is said again.
            let _ = self.listener()?.write(answer.as_bytes()).await;
            self.answered += 1;
        }
        Ok(())
    }

    async fn next_message(&mut self) -> Result<Element> {
        loop {
            let element = self.listener()?.element().await?;
            if element.name() == "message" {
                return Ok(element);
            }
        }
    }

    fn speaker_jid(&self) -> String {
        format!("{}@{}/test", self.name.replace("listener", "speaker"), DOMAINS[0])
    }

    /// Reads until the server ends the stream, and hears what comes before.
    async fn until_closed(&mut self) -> Result<()> {
        loop {
            match self.listener()?.see().await? {
                Seen::End => break,
                Seen::Element(element) if element.name() == "message" => {
                    let id = element.attribute("id").unwrap_or_default();
                    ensure!(
                        id == format!("m{}", self.heard),
                        "expected m{}, heard {element}",
                        self.heard
                    );
                    self.heard += 1;
                }
                Seen::Element(_) | Seen::Open(_) => {}
            }
        }
        self.lose_connection().await
    }

    async fn lose_connection(&mut self) -> Result<()> {
        let listener = self.listener.take().context("no listener")?;
        self.resumption = listener.resumption().cloned();
        Ok(())
    }

    /// Goes on over another edge, and says again what was not handled.
    async fn resume(&mut self, edge: &Node) -> Result<()> {
        if self.listener.is_some() {
            self.lose_connection().await?;
        }
        let resumption = self.resumption.clone().context("nothing to resume")?;
        let mut client = Client::connect(edge.c2s.context("not an edge")?).await?;
        client.resume(&self.name, DOMAINS[0], PASSWORD, resumption).await?;
        let resumed = client.element().await?;
        ensure!(resumed.is(SM, "resumed"), "{}: {resumed}", self.name);
        let handled: usize = resumed.attribute("h").context("no h")?.parse()?;
        ensure!(handled <= self.answered, "handled {handled} of {}", self.answered);
        for number in handled..self.answered {
            client.write(answer(&self.speaker_jid(), number).as_bytes()).await?;
        }
        self.listener = Some(client);
        Ok(())
    }

    /// The speaker hears every answer: each once, none missing, none overtaken.
    async fn answers(&mut self) -> Result<()> {
        for number in 0..self.answered {
            let heard = self.speaker.element().await?;
            let id = heard.attribute("id").unwrap_or_default();
            ensure!(
                id == format!("a{number}"),
                "{}: expected a{number}, heard {heard}",
                self.name
            );
        }
        Ok(())
    }
}

/// A listener's answer number `number` to `speaker`.
fn answer(speaker: &str, number: usize) -> String {
    format!("<message to='{speaker}' type='chat' id='a{number}'><body>yes</body></message>")
}

/// Every speaker says `count` things more.
async fn talk(pairs: &mut [Pair], count: usize) -> Result<()> {
    for pair in pairs {
        for number in pair.said..pair.said + count {
            let to = &pair.to;
            let message = format!("<message to='{to}' type='chat' id='m{number}'><body>{number}</body></message>");
            pair.speaker.write(message.as_bytes()).await?;
        }
        pair.said += count;
    }
    Ok(())
}

async fn pairs(cluster: &Cluster, edges: &[Node]) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        let (speaker, name) = (format!("speaker{pair}"), format!("listener{pair}"));
        let users = [&speaker, &name].map(|name| (format!("{name}@{}", DOMAINS[0]), PASSWORD.to_owned()));
        cluster.add_users(&users)?;
        let mut listener = log_in(&name, &edges[1]).await?;
        listener
            .write(format!("<enable xmlns='{SM}' resume='true'/>").as_bytes())
            .await?;
        let enabled = listener.element().await?;
        ensure!(enabled.is(SM, "enabled"), "{enabled}");
        pairs.push(Pair {
            speaker: log_in(&speaker, &edges[0]).await?,
            listener: Some(listener),
            resumption: None,
            to: format!("{name}@{}/test", DOMAINS[0]),
            name,
            said: 0,
            heard: 0,
            answered: 0,
        });
    }
    Ok(pairs)
}

async fn log_in(name: &str, edge: &Node) -> Result<Client> {
    let mut client = Client::connect(edge.c2s.context("not an edge")?).await?;
    client.log_in(name, DOMAINS[0], PASSWORD, "test").await?;
    Ok(client)
}

fn start() -> Cluster {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Cluster::start(&root, &scripts::binary(), 3, 2).unwrap()
}
