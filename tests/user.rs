//! `dunlin user export` and `purge` beside a running server, as an operator runs them.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testkit::client::Client;
use testkit::process::Server;
use testkit::settings::DOMAINS;
use xml::{Element, Limits};

#[path = "scripts.rs"]
#[allow(dead_code, reason = "the binary only")]
mod scripts;

const PASSWORD: &str = "orchard wall";
const OWN: &str = "urn:dunlin:export:0";

/// An address at the first domain.
fn at(name: &str) -> String {
    format!("{name}@{}", DOMAINS[0])
}

async fn start(names: &[&str]) -> Server {
    let server = Server::start(&scripts::binary()).await.unwrap();
    let users: Vec<_> = names.iter().map(|name| (at(name), PASSWORD.to_owned())).collect();
    server.add_users(&users).unwrap();
    server
}

async fn log_in(server: &Server, name: &str) -> Client {
    let mut client = Client::connect(server.address("c2s").unwrap()).await.unwrap();
    client.log_in(name, DOMAINS[0], PASSWORD, "test").await.unwrap();
    client
}

/// Says something and waits until its home has dealt with all that came before.
async fn say(client: &mut Client, xml: &str) {
    client.write(xml.as_bytes()).await.unwrap();
    let ping = "<iq type='get' id='done'><ping xmlns='urn:xmpp:ping'/></iq>";
    client.write(ping.as_bytes()).await.unwrap();
    while client.element().await.unwrap().attribute("id") != Some("done") {}
}

/// What a command prints when all is well: on standard output, and on the other.
fn run(server: &Server, arguments: &[&str]) -> (String, String) {
    let output = server.beside(arguments).unwrap();
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {told}");
    (said, told)
}

/// What a command complains of.
fn refused(server: &Server, arguments: &[&str]) -> String {
    let output = server.beside(arguments).unwrap();
    assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The document's user.
fn user(document: &str) -> Element {
    let root = document.trim_start_matches("<?xml version='1.0' encoding='UTF-8'?>\n");
    let root = Element::parse(root.trim_end().as_bytes(), "", &Limits::UNLIMITED).unwrap();
    const PIE: &str = "urn:xmpp:pie:0";
    assert!(root.is(PIE, "server-data"));
    let host = root.child(PIE, "host").unwrap();
    assert_eq!(host.attribute("jid"), Some(DOMAINS[0]));
    host.child(PIE, "user").unwrap().clone()
}

/// What the messages of the document say, in order: of the archive, and of those that wait.
fn bodies(user: &Element) -> (Vec<String>, Vec<String>) {
    let body = |message: &Element| message.child("jabber:client", "body").unwrap().content();
    let result = |result: &Element| {
        let forwarded = result.child("urn:xmpp:forward:0", "forwarded").unwrap();
        assert!(forwarded.child("urn:xmpp:delay", "delay").is_some());
        body(forwarded.child("jabber:client", "message").unwrap())
    };
    let archive = user.child("urn:xmpp:pie:0#mam", "archive");
    let waiting = user.child("urn:xmpp:pie:0", "offline-messages");
    (
        archive.into_iter().flat_map(Element::children).map(result).collect(),
        waiting.into_iter().flat_map(Element::children).map(body).collect(),
    )
}

/// Puts so many entries under an address, behind the server's back.
fn fill(folder: &Path, owner: &str, entries: u32) {
    let connection = rusqlite::Connection::open(folder.join("dunlin.db")).unwrap();
    let begin = "INSERT OR IGNORE INTO logs (owner, name) VALUES (?1, 'archive')";
    connection.execute(begin, (owner,)).unwrap();
    let insert = "INSERT INTO archive (log, id, at, stanza)
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?2)
         SELECT (SELECT number FROM logs WHERE owner = ?1 AND name = 'archive'), unhex(printf('%032x', n)), n,
             CAST('<message to=''tybalt@capulet.example''><body>' || n || '</body></message>' AS BLOB)
         FROM numbers";
    connection.execute(insert, (owner, entries)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_an_account_is_exported() {
    let server = start(&["romeo", "juliet"]).await;
    let (romeo, juliet) = (at("romeo"), at("juliet"));
    let mut client = log_in(&server, "romeo").await;
    let item = format!("<item jid='{juliet}' name='Juliet &amp; I'><group>Friends</group></item>");
    say(
        &mut client,
        &format!("<iq type='set' id='r'><query xmlns='jabber:iq:roster'>{item}</query></iq>"),
    )
    .await;
    let message =
        |body: &str, hint: &str| format!("<message to='{juliet}' type='chat'><body>{body}</body>{hint}</message>");
    say(&mut client, &message("1 &lt; 2", "")).await;
    say(
        &mut client,
        &message("forget me", "<no-permanent-store xmlns='urn:xmpp:hints'/>"),
    )
    .await;
    say(&mut client, &format!("<presence to='{juliet}' type='subscribe'/>")).await;

    let (document, told) = run(&server, &["user", "export", &juliet]);
    let exported = user(&document);
    assert_eq!(exported.attribute("name"), Some("juliet"));
    assert_eq!(
        bodies(&exported),
        (vec!["1 < 2".to_owned()], vec!["forget me".to_owned()])
    );
    assert!(told.contains("2 of 2 in "), "{told}");
    let request = exported.child("jabber:client", "presence").unwrap();
    assert_eq!(request.attribute("type"), Some("subscribe"));
    assert!(exported.child(OWN, "account").unwrap().attribute("created").is_some());
    assert!(!document.contains("scram"));

    let file = server.folder().join("romeo.xml");
    let path = file.to_str().unwrap();
    run(&server, &["user", "export", &romeo, "--credentials", "--out", path]);
    let exported = user(&std::fs::read_to_string(&file).unwrap());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let roster = exported.child("jabber:iq:roster", "query").unwrap();
    let contact = roster.children().next().unwrap();
    assert_eq!(contact.attribute("name"), Some("Juliet & I"));
    let mechanisms: Vec<_> = exported
        .children()
        .filter(|child| child.is("urn:xmpp:pie:0#scram", "scram-credentials"))
        .filter_map(|child| child.attribute("mechanism"))
        .collect();
    assert_eq!(mechanisms, ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"]);

    let twice = refused(&server, &["user", "export", &romeo, "--out", path]);
    assert!(twice.contains("exists"), "{twice}");
    let nobody = refused(&server, &["user", "export", &at("tybalt")]);
    assert!(nobody.contains("there is no account"), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_archive_is_exported_page_by_page_and_purged_step_by_step() {
    let server = start(&["tybalt"]).await;
    let tybalt = at("tybalt");
    fill(server.folder(), &tybalt, 2_345);
    let (document, told) = run(&server, &["user", "export", &tybalt]);
    let (archive, waiting) = bodies(&user(&document));
    // They do not say that they stand there.
    assert_eq!(archive.len(), 0);
    assert!((1..=2_345).map(|n| n.to_string()).eq(waiting));
    assert!(told.contains("2345 of 2345 in "), "{told}");
    let (said, _) = run(&server, &["user", "purge", &tybalt]);
    assert_eq!(
        said,
        format!("removed the account {tybalt}: 0 contacts, 0 items, 2345 messages\n")
    );
    let (said, _) = run(&server, &["user", "purge", &tybalt]);
    assert_eq!(said, format!("there is nothing of {tybalt}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_without_an_account_is_purged() {
    let server = start(&["juliet"]).await;
    fill(server.folder(), &at("ghost"), 1_234);
    fill(server.folder(), &at("juliet"), 3);
    let (said, _) = run(&server, &["user", "purge", &at("ghost")]);
    let expected = format!(
        "removed what was left of {}: 0 contacts, 0 items, 1234 messages\n",
        at("ghost")
    );
    assert_eq!(said, expected);
    let (_, told) = run(&server, &["user", "export", &at("juliet")]);
    assert!(told.contains("3 of 3 in "), "{told}");
}
