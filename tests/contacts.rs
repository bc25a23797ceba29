//! A user with a thousand contacts, on a cluster: a login costs each of those who are there one stanza, and a connection that breaks and is
//! resumed costs nobody anything.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;

use testkit::client::Client;
use testkit::many::Many;
use testkit::runner::Stage;

const DOMAIN: &str = "capulet.example";
const PASSWORD: &str = "orchard wall";
const CONTACTS: usize = 1_000;
/// Of those, so many are there.
const PRESENT: usize = 12;
const ROSTER: &str = "jabber:iq:roster";

#[tokio::test(start_paused = true)]
async fn a_thousand_contacts() {
    let many = Many::start().await.unwrap();
    befriend(&many).await;
    let mut friends = Vec::new();
    for at in 0..PRESENT {
        let mut client = log_in(&many, at, &friend(at)).await;
        client.write(b"<presence/>").await.unwrap();
        present(&mut client, &[friend(at)]).await;
        friends.push(client);
    }
    let mut juliet = log_in(&many, 0, "juliet").await;
    assert_eq!(roster(&mut juliet).await, CONTACTS);
    juliet.write(b"<presence/>").await.unwrap();
    let names: Vec<String> = (0..PRESENT).map(friend).chain(["juliet".to_owned()]).collect();
    present(&mut juliet, &names).await;
    for client in &mut friends {
        present(client, &["juliet".to_owned()]).await;
    }
    juliet = break_and_resume(&many, juliet).await;
    for at in 0..PRESENT {
        let message = format!(
            "<message to='{}@{DOMAIN}/r' type='chat'><body>Ay me!</body></message>",
            friend(at)
        );
        juliet.write(message.as_bytes()).await.unwrap();
    }
    for client in &mut friends {
        // Whatever the break had caused would have come before.
        assert_eq!(client.element().await.unwrap().name(), "message");
    }
}

fn friend(at: usize) -> String {
    format!("friend{at}")
}

/// Both sides of each friendship, as requests and answers would have left them.
async fn befriend(many: &Many) {
    let friends: Vec<String> = (0..CONTACTS).map(friend).collect();
    let all: Vec<String> = friends.iter().cloned().chain(["juliet".to_owned()]).collect();
    many.create_accounts(&all, DOMAIN, PASSWORD).await.unwrap();
    many.befriend("juliet", &friends, DOMAIN).await.unwrap();
    for friend in &friends {
        many.befriend(friend, &["juliet".to_owned()], DOMAIN).await.unwrap();
    }
}

async fn log_in(many: &Many, index: usize, name: &str) -> Client {
    let mut client = many.connect(index).await.unwrap();
    client.log_in(name, DOMAIN, PASSWORD, "r").await.unwrap();
    client
}

async fn roster(client: &mut Client) -> usize {
    let request = b"<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";
    client.write(request).await.unwrap();
    let answer = client.element().await.unwrap();
    let items = answer.child(ROSTER, "query").unwrap().children();
    items
        .filter(|item| item.attribute("subscription") == Some("both"))
        .count()
}

/// Those are there, each told once, and nobody else.
async fn present(client: &mut Client, names: &[String]) {
    let mut left: BTreeSet<String> = names.iter().map(|name| format!("{name}@{DOMAIN}/r")).collect();
    while !left.is_empty() {
        let element = client.element().await.unwrap();
        let from = element.attribute("from").unwrap_or_default();
        assert_eq!(element.name(), "presence", "{element}");
        if element.attribute("type") != Some("unavailable") {
            assert!(left.remove(from), "{element}");
        }
    }
}

/// Loses the connection under stream management, and goes on over another edge.
async fn break_and_resume(many: &Many, mut client: Client) -> Client {
    client
        .write(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        .await
        .unwrap();
    while client.element().await.unwrap().name() != "enabled" {}
    let resumption = client.resumption().unwrap().clone();
    drop(client);
    let mut next = many.connect(1).await.unwrap();
    next.resume("juliet", DOMAIN, PASSWORD, resumption).await.unwrap();
    assert_eq!(next.element().await.unwrap().name(), "resumed");
    next
}
