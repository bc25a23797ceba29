//! Messages that find nobody (XEP-0160), and those that stay.

mod scene;

use bytes::Bytes;
use engine::Stanza;
use scene::{Scene, juliet};
use serde_json::json;

const BODY: &str = "<body>Soft!</body>";
const STATE: &str = "<active xmlns='http://jabber.org/protocol/chatstates'/>";

fn message(scene: &Scene, kind: &str, payload: &str) -> Vec<String> {
    scene.incoming(&written(kind, payload))
}

fn written(kind: &str, payload: &str) -> String {
    let kind = if kind == "normal" {
        String::new()
    } else {
        format!(" type='{kind}'")
    };
    let addresses = "to='juliet@capulet.example' from='romeo@montague.example/orchard'";
    format!("<message {addresses}{kind}>{payload}</message>")
}

/// What stays says where it stands.
fn stamped(payload: &str) -> String {
    format!(
        "{payload}<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@capulet.example' id='{:032x}'/>",
        7
    )
}

#[test]
fn what_is_kept() {
    const NO_STORE: &str = "<no-store xmlns='urn:xmpp:hints'/>";
    const NO_PERMANENT_STORE: &str = "<no-permanent-store xmlns='urn:xmpp:hints'/>";
    const STORE: &str = "<store xmlns='urn:xmpp:hints'/>";
    let scene = juliet().connected("garden").online("chamber", -1);
    for (kind, payload, is_kept) in [
        ("chat", BODY.to_owned(), true),
        ("normal", BODY.to_owned(), true),
        ("chat", format!("{BODY}{STATE}"), true),
        (
            "normal",
            "<x xmlns='jabber:x:conference' jid='room@muc.example'/>".into(),
            true,
        ),
        ("chat", "<received xmlns='urn:xmpp:receipts' id='1'/>".into(), true),
        ("chat", STATE.into(), false),
        ("chat", format!("<thread>1</thread>{STATE}"), false),
        ("chat", format!("{STATE}{STORE}"), true),
        ("chat", format!("{BODY}{NO_STORE}"), false),
        ("chat", format!("{BODY}{NO_PERMANENT_STORE}"), true),
        ("chat", String::new(), false),
    ] {
        let lines = message(&scene, kind, &payload);
        if is_kept {
            let lasting = !payload.contains("no-permanent-store");
            let kept = written(kind, &if lasting { stamped(&payload) } else { payload.clone() });
            let archive = lasting.then(|| format!("archive {kept}"));
            let want = ["nobody".to_owned(), format!("keep {kept}")].into_iter().chain(archive);
            assert_eq!(lines, want.collect::<Vec<_>>(), "{kind} {payload}");
        } else {
            assert_eq!(lines, ["service-unavailable"], "{kind} {payload}");
        }
    }
    assert_eq!(message(&scene, "groupchat", BODY), ["service-unavailable"]);
    assert_eq!(message(&scene, "headline", BODY), ["ignored"]);
    assert_eq!(message(&scene, "error", BODY), ["ignored"]);
}

#[test]
fn somebody_there_takes_it() {
    let scene = juliet().online("balcony", 0).online("chamber", -1);
    let kept = written("chat", &stamped("<body>Soft!</body>"));
    let lines = message(&scene, "chat", "<body>Soft!</body>");
    assert_eq!(
        lines,
        [
            "to balcony".to_owned(),
            format!("keep {kept}"),
            format!("archive {kept}")
        ]
    );
    assert_eq!(message(&scene, "chat", STATE), ["to balcony"], "nothing to keep");
}

#[test]
fn what_is_said_stays_too() {
    let scene = juliet().online("balcony", 0);
    let to = |jid: &str, payload: &str| {
        format!("<message to='{jid}' from='juliet@capulet.example/balcony' type='chat'>{payload}</message>")
    };
    let said = to("romeo@montague.example", BODY);
    let own = to("romeo@montague.example", &stamped(BODY));
    assert!(scene.out("balcony", &said).contains(&format!("archive {own}")));
    let to_oneself = scene.out("balcony", &to("juliet@capulet.example", BODY));
    assert!(
        !to_oneself.iter().any(|line| line.starts_with("archive")),
        "once, when heard"
    );
}

#[test]
fn what_was_kept_comes_with_the_first_presence_that_takes_messages() {
    let presence = |priority: i8| format!("<presence><priority>{priority}</priority></presence>");
    let connected = juliet().connected("balcony");
    let negative = juliet().online("balcony", -1);
    let online = juliet().online("balcony", 0);
    for (scene, stanza, flushes) in [
        (&connected, presence(0), true),
        (&connected, presence(-1), false),
        (&negative, presence(0), true),
        (&negative, presence(-2), false),
        (&online, presence(1), false),
        (&connected, "<presence type='unavailable'/>".into(), false),
        (&connected, "<presence to='romeo@montague.example'/>".into(), false),
    ] {
        let lines = scene.out("balcony", &stanza);
        assert_eq!(
            lines.contains(&"flush balcony".to_owned()),
            flushes,
            "{stanza}: {lines:?}"
        );
    }
}

#[test]
fn presence_and_chat_states_can_wait() {
    let pipeline = scene::pipeline(&json!({}));
    let states = "xmlns='http://jabber.org/protocol/chatstates'";
    let cases = [
        ("<presence/>".to_owned(), true),
        ("<presence type='unavailable'/>".to_owned(), true),
        ("<presence type='subscribe'/>".to_owned(), false),
        ("<presence type='error'/>".to_owned(), false),
        ("<iq type='get' id='1'><x xmlns='y'/></iq>".to_owned(), false),
        ("<message/>".to_owned(), false),
        ("<message><body>Soft!</body></message>".to_owned(), false),
        (format!("<message type='chat'><composing {states}/></message>"), true),
        (
            format!("<message><thread>t</thread><paused {states}/><no-store xmlns='urn:xmpp:hints'/></message>"),
            true,
        ),
        (
            format!("<message><body>Soft!</body><active {states}/></message>"),
            false,
        ),
        (format!("<message><gone {states}/><x xmlns='y'/></message>"), false),
        (format!("<message type='error'><gone {states}/></message>"), false),
    ];
    for (text, waits) in cases {
        let stanza = Stanza::parse(&Bytes::from(text.clone())).unwrap();
        assert_eq!(pipeline.can_wait(&stanza), waits, "{text}");
    }
}

#[test]
fn strangers_are_heard_within_limits() {
    let settings = json!({ "strangers": { "messages_per_hour": 2, "max_message_bytes": 100, "requests_per_hour": 1 } });
    let scene = || {
        Scene::new(settings.clone())
            .online("balcony", 0)
            .directed("room@muc.example/me")
    };
    let of = |from: &str, kind: &str, body: &str| {
        format!("<message to='juliet@capulet.example' from='{from}' type='{kind}'><body>{body}</body></message>")
    };
    let known = scene().contact("romeo@montague.example", "to");
    let mut full = scene();
    for _ in 0..2 {
        full.count("strangers' messages", 3_600);
        full.count("strangers' requests", 3_600);
    }
    let long = "a".repeat(200);
    for (scene, from, kind, body, is_heard) in [
        (&known, "romeo@montague.example/orchard", "chat", &long[..], true),
        (&known, "paris@verona.example", "chat", "Soft!", true),
        (&known, "paris@verona.example", "chat", &long, false),
        (&full, "paris@verona.example", "chat", "Soft!", false),
        (&full, "paris@verona.example", "headline", "Soft!", false),
        (&full, "juliet@capulet.example/chamber", "chat", "Soft!", true),
        (&full, "capulet.example", "chat", "Soft!", true),
        (&full, "room@muc.example/other", "chat", "Soft!", true),
    ] {
        let lines = scene.incoming(&of(from, kind, body));
        let heard = lines.first().is_some_and(|line| line == "to balcony");
        assert_eq!(heard, is_heard, "{from} {kind}: {lines:?}");
        let is_counted = lines.contains(&"meter strangers' messages".to_owned());
        assert_eq!(
            is_counted,
            is_heard && from.starts_with("paris"),
            "{from} {kind}: {lines:?}"
        );
    }
    let request = "<presence type='subscribe' to='juliet@capulet.example' from='paris@verona.example'/>";
    assert!(
        scene()
            .incoming(request)
            .contains(&"meter strangers' requests".to_owned())
    );
    assert_eq!(full.incoming(request), ["ignored"]);
}
