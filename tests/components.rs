//! External components (XEP-0114) of a cluster of real processes: their connections stay while routers come and go, nothing is lost or overtaken
//! as long as that happens in order, and when a router is killed they are heard again.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::client::{Client, Seen};
use testkit::cluster::Cluster;
use testkit::settings::{COMPONENT_SECRET, COMPONENTS, DOMAINS};
use tokio::sync::oneshot;
use tokio::time::timeout;
use xml::Element;

#[path = "scripts.rs"]
#[allow(dead_code, reason = "only the binary is wanted")]
mod scripts;

const PASSWORD: &str = "orchard wall";
/// How long one answer may take where some are lost.
const IMPATIENCE: Duration = Duration::from_secs(2);
/// How often is asked then.
const ATTEMPTS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn components_stay_while_their_homes_come_and_go() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cluster = Cluster::start(&root, &scripts::binary(), 2, 2).unwrap();
    let mut user = user(&cluster).await.unwrap();
    for (at, domain) in COMPONENTS.into_iter().enumerate() {
        echo(&cluster, at, domain).await.unwrap();
    }
    user.say_and_hear().await.unwrap();

    let (added, mut user) = beside(user, || cluster.add("router")).await;
    added.unwrap();
    user.say_and_hear().await.unwrap();

    let routers = cluster.nodes("routers").unwrap();
    let (told, mut user) = beside(user, || cluster.signal(&routers[0], "TERM")).await;
    told.unwrap();
    for _ in 0..50 {
        user.say_and_hear().await.unwrap();
    }

    cluster.signal(&routers[1], "KILL").unwrap();
    user.is_answered_again().await.unwrap();
    println!("{} rounds", user.said);
}

/// A user who talks with every component.
struct User {
    client: Client,
    said: usize,
}

impl User {
    /// Says something to each component and hears each say it once, and nothing else.
    async fn say_and_hear(&mut self) -> Result<()> {
        self.said += 1;
        for domain in COMPONENTS {
            let id = self.said;
            let text = format!("<message to='{domain}' id='{id}'><body>{id}</body></message>");
            self.client.write(text.as_bytes()).await?;
        }
        let mut heard = Vec::new();
        for _ in COMPONENTS {
            let answer = self.client.element().await?;
            let id = answer.attribute("id").and_then(|id| id.parse().ok());
            ensure!(id == Some(self.said), "in round {}: {answer}", self.said);
            heard.extend(answer.attribute("from").map(str::to_owned));
        }
        heard.sort();
        let mut all = COMPONENTS.map(str::to_owned);
        all.sort();
        ensure!(heard == all, "heard {heard:?}");
        Ok(())
    }

    /// Asks each component until it answers: what was on its way to a router that died may be lost.
    async fn is_answered_again(&mut self) -> Result<()> {
        for domain in COMPONENTS {
            let mut answered = false;
            for attempt in 0..ATTEMPTS {
                let id = format!("{domain}-{attempt}");
                let text = format!("<iq type='get' to='{domain}' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>");
                self.client.write(text.as_bytes()).await?;
                answered = timeout(IMPATIENCE, self.result(&id)).await.unwrap_or(Ok(false))?;
                if answered {
                    break;
                }
            }
            ensure!(answered, "{domain} does not answer any more");
        }
        Ok(())
    }

    /// Whether the request `id` is answered by more than an error.
    async fn result(&mut self, id: &str) -> Result<bool> {
        loop {
            let answer = self.client.element().await?;
            if answer.attribute("id") == Some(id) {
                return Ok(answer.attribute("type") == Some("result"));
            }
        }
    }
}

async fn user(cluster: &Cluster) -> Result<User> {
    let (name, domain) = ("juliet", DOMAINS[0]);
    cluster.add_users(&[(format!("{name}@{domain}"), PASSWORD.to_owned())])?;
    let edges = cluster.nodes("edges")?;
    let mut client = Client::connect(edges[0].c2s.context("not an edge")?).await?;
    client.log_in(name, domain, PASSWORD, "balcony").await?;
    Ok(User { client, said: 0 })
}

/// Connects a component, to one edge or the other, that says again what it hears.
async fn echo(cluster: &Cluster, at: usize, domain: &'static str) -> Result<()> {
    let edges = cluster.nodes("edges")?;
    let address = edges[at % edges.len()].component.context("not an edge")?;
    let mut client = Client::connect(address).await?.of_component();
    let id = client.open_as_component(domain).await?.context("no id")?;
    let handshake = format!("<handshake>{}</handshake>", testkit::handshake(&id, COMPONENT_SECRET));
    client.write(handshake.as_bytes()).await?;
    let answer = client.element().await?;
    ensure!(answer.name() == "handshake", "{answer}");
    tokio::spawn(async move {
        while let Ok(Seen::Element(element)) = client.see_whenever().await {
            let Some(answer) = said_again(&element) else { continue };
            if client.send(&answer).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn said_again(element: &Element) -> Option<Element> {
    let attribute = |name| element.attribute(name).map(str::to_owned);
    let answer = Element::new("jabber:client", element.name().to_owned())
        .with("to", attribute("from")?)
        .with("from", attribute("to")?)
        .with("id", attribute("id")?);
    match (element.name(), element.attribute("type")) {
        ("iq", Some("get")) => Some(answer.with("type", "result")),
        ("message", None) => Some(answer),
        _ => None,
    }
}

/// Lets the user talk without pause while `change` is made.
async fn beside<T: Send>(mut user: User, change: impl FnOnce() -> T + Send) -> (T, User) {
    let (done, mut until) = oneshot::channel();
    let talking = tokio::spawn(async move {
        while until.try_recv().is_err() {
            user.say_and_hear().await?;
        }
        anyhow::Ok(user)
    });
    let changed = tokio::task::block_in_place(change);
    let _ = done.send(());
    (changed, talking.await.unwrap().unwrap())
}
