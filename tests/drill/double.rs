//! Two clients that want the same resource of the same account at the same time (RFC 6120, 7.7.2.2): one stays, the other is told
//! `conflict`, and what is sent to the account arrives once.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use swarm::client::{Client, Seen};
use swarm::scram::Login;
use testkit::fleet::Fleet;
use testkit::settings::DOMAINS;
use tokio::task::{JoinError, JoinSet};

/// How many accounts.
const ACCOUNTS: usize = 40;
/// How many accounts at a time.
const AT_A_TIME: usize = 4;
const PASSWORD: &str = "twice";
/// How many accounts say something to them.
const SPEAKERS: usize = 4;

/// The accounts that this needs, `(name, password)` each.
pub(crate) fn users() -> impl Iterator<Item = (String, String)> {
    let names = (0..ACCOUNTS).map(user).chain((0..SPEAKERS).map(speaker));
    names.map(|name| (name, PASSWORD.to_owned()))
}

/// Lets every account log in twice at once.
pub(crate) async fn log_in(fleet: &Fleet) -> Result<()> {
    let edges = fleet.c2s();
    let (mut logins, mut wrong) = (JoinSet::new(), Vec::new());
    for at in 0..ACCOUNTS {
        if logins.len() == AT_A_TIME {
            wrong.extend(logins.join_next().await.and_then(failure));
        }
        let (one, other) = (edges[at % edges.len()], edges[(at + 1) % edges.len()]);
        logins.spawn(async move { twice(at, one, other).await.with_context(|| user(at)) });
    }
    while let Some(done) = logins.join_next().await {
        wrong.extend(failure(done));
    }
    ensure!(wrong.is_empty(), "{} of {ACCOUNTS}: {}", wrong.len(), wrong.join("; "));
    Ok(())
}

fn failure(done: Result<Result<()>, JoinError>) -> Option<String> {
    match done {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(error) => Some(error.to_string()),
    }
}

/// One account: the one client hears what a third says to it, the other hears nothing but that it has to go.
async fn twice(at: usize, one: SocketAddr, other: SocketAddr) -> Result<()> {
    let name = user(at);
    let (first, second) = tokio::join!(connect(&name, one, "same"), connect(&name, other, "same"));
    let mut speaker = connect(&speaker(at % SPEAKERS), one, &format!("r{at}")).await?;
    let text = format!(
        "<message to='{}@{}' type='chat' id='once'><body>once</body></message>",
        name, DOMAINS[0]
    );
    speaker.write(text.as_bytes()).await?;
    let (first, second) = tokio::join!(fate(first), fate(second));
    let fates = [first?, second?];
    ensure!(
        fates.contains(&Fate::Heard) && fates.contains(&Fate::Conflict),
        "one is to stay and one to go, but {fates:?}"
    );
    speaker.close().await
}

/// What became of a client.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Heard,
    Conflict,
    Other(String),
}

/// Reads until the message comes, or the end.
async fn fate(client: Result<Client>) -> Result<Fate> {
    let mut client = match client {
        Ok(client) => client,
        // The other one may have come first, before this one had bound.
        Err(error) if format!("{error:#}").contains("<conflict") => return Ok(Fate::Conflict),
        Err(error) => return Ok(Fate::Other(format!("{error:#}"))),
    };
    loop {
        match client.see().await? {
            Seen::Element(element) if element.attribute("id") == Some("once") => {
                client.close().await?;
                return Ok(Fate::Heard);
            }
            Seen::Element(element) if element.children().any(|child| child.name() == "conflict") => {
                return Ok(Fate::Conflict);
            }
            Seen::End => return Ok(Fate::Other("ended without a word".to_owned())),
            Seen::Element(_) | Seen::Open(_) => {}
        }
    }
}

async fn connect(name: &str, edge: SocketAddr, resource: &str) -> Result<Client> {
    let mut client = Client::connect(edge).await?;
    client.open(DOMAINS[0]).await?;
    let nonce = format!("{name}-{edge}-{resource}");
    Login::new(name, PASSWORD).authenticate(&mut client, &nonce).await?;
    client.open(DOMAINS[0]).await?;
    client.bind(resource).await?;
    client.write(b"<presence/>").await?;
    Ok(client)
}

fn user(at: usize) -> String {
    format!("twin{at}")
}

fn speaker(at: usize) -> String {
    format!("speaker{at}")
}
