//! Delivery rules (RFC 6121, 8.5) for every kind of stanza and every resource situation, and what an account deals with on
//! the way out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::sync::Arc;

use bytes::Bytes;
use dunlin_engine::{
    AccountView, Bare, Condition, Facts, Outcome, Presence, SessionId, SessionView, Stanza, Timestamp, route_incoming,
    route_outgoing,
};
use store::{Contact, Roster, Subscription};

/// Resources by situation: name and priority, `None` for connected only.
type Resources = &'static [(&'static str, Option<i8>)];

const STRANGER: &str = "r@m.example/o";

const NONE: Resources = &[];
const CONNECTED: Resources = &[("r", None)];
const NEGATIVE: Resources = &[("r", Some(-1)), ("s", Some(-128))];
const ONE: Resources = &[("r", Some(0)), ("s", Some(-1)), ("t", None)];
const MORE: Resources = &[
    ("r", Some(1)),
    ("s", Some(5)),
    ("t", Some(5)),
    ("u", Some(-1)),
    ("v", None),
];

/// RFC 6121, 8.5.4 (table 1). Where it leaves a choice: `normal` and `groupchat` to a resource that is gone are answered, and
/// the most available resources are all those with the highest priority.
#[test]
fn messages() {
    for (resources, to, [normal, chat, groupchat, headline, error]) in [
        (NONE, "", ["kept", "kept", "refused", "ignored", "ignored"]),
        (NONE, "/gone", ["refused", "kept", "refused", "ignored", "ignored"]),
        (CONNECTED, "", ["kept", "kept", "refused", "ignored", "ignored"]),
        (CONNECTED, "/r", ["r", "r", "r", "r", "r"]),
        (CONNECTED, "/gone", ["refused", "kept", "refused", "ignored", "ignored"]),
        (NEGATIVE, "", ["kept", "kept", "refused", "ignored", "ignored"]),
        (NEGATIVE, "/r", ["r", "r", "r", "r", "r"]),
        (NEGATIVE, "/gone", ["refused", "kept", "refused", "ignored", "ignored"]),
        (ONE, "", ["r", "r", "refused", "r", "ignored"]),
        (ONE, "/r", ["r", "r", "r", "r", "r"]),
        (ONE, "/s", ["s", "s", "s", "s", "s"]),
        (ONE, "/t", ["t", "t", "t", "t", "t"]),
        (ONE, "/gone", ["refused", "r", "refused", "ignored", "ignored"]),
        (MORE, "", ["s t", "s t", "refused", "r s t", "ignored"]),
        (MORE, "/r", ["r", "r", "r", "r", "r"]),
        (MORE, "/u", ["u", "u", "u", "u", "u"]),
        (MORE, "/gone", ["refused", "s t", "refused", "ignored", "ignored"]),
    ] {
        check("message", resources, to, "normal", normal);
        check("message", resources, to, "chat", chat);
        check("message", resources, to, "groupchat", groupchat);
        check("message", resources, to, "headline", headline);
        check("message", resources, to, "error", error);
        check("message", resources, to, "of-the-future", normal);
    }
}

/// RFC 6121, 8.1: where a headline to a resource that is gone may be ignored or answered, those who may know hear of it.
#[test]
fn headlines_to_nobody() {
    for (from, expected) in [
        (STRANGER, "ignored"),
        ("to@m.example/o", "ignored"),
        ("from@m.example/o", "refused"),
        ("both@m.example", "refused"),
        ("j@c.example/s", "refused"),
        ("room@m.example/other", "refused"),
    ] {
        check_from(from, "message", MORE, "/gone", "headline", expected);
        check_from(from, "message", MORE, "/gone", "error", "ignored");
        check_from(from, "message", NEGATIVE, "", "headline", "ignored");
    }
}

/// RFC 6121, 8.5.2.1.2, 8.5.2.2.2, 8.5.3.1 and 8.5.3.2.2: availability and errors, requests and probes, and the other
/// subscription stanzas, which a full address that is not there ignores. An error to the bare address is for all (3.1.2).
#[test]
fn presence() {
    for (resources, to, [available, asks, tells]) in [
        (NONE, "", ["ignored", "handled", "handled"]),
        (NONE, "/gone", ["ignored", "handled", "ignored"]),
        (CONNECTED, "", ["ignored", "handled", "handled"]),
        (CONNECTED, "/r", ["r", "handled", "handled"]),
        (CONNECTED, "/gone", ["ignored", "handled", "ignored"]),
        (NEGATIVE, "", ["r s", "handled", "handled"]),
        (NEGATIVE, "/s", ["s", "handled", "handled"]),
        (NEGATIVE, "/gone", ["ignored", "handled", "ignored"]),
        (ONE, "", ["r s", "handled", "handled"]),
        (ONE, "/t", ["t", "handled", "handled"]),
        (ONE, "/gone", ["ignored", "handled", "ignored"]),
        (MORE, "", ["r s t u", "handled", "handled"]),
        (MORE, "/v", ["v", "handled", "handled"]),
        (MORE, "/gone", ["ignored", "handled", "ignored"]),
    ] {
        for kind in ["", "unavailable", "error"] {
            check("presence", resources, to, kind, available);
        }
        for kind in ["probe", "subscribe"] {
            check("presence", resources, to, kind, asks);
        }
        for kind in ["subscribed", "unsubscribe", "unsubscribed"] {
            check("presence", resources, to, kind, tells);
        }
    }
}

/// RFC 6121, 8.5.2.1.3, 8.5.2.2.3, 8.5.3.1 and 8.5.3.2.3.
#[test]
fn requests() {
    for (resources, to, [request, answer]) in [
        (NONE, "", ["handled", "ignored"]),
        (NONE, "/gone", ["refused", "ignored"]),
        (CONNECTED, "", ["handled", "ignored"]),
        (CONNECTED, "/r", ["r", "r"]),
        (CONNECTED, "/gone", ["refused", "ignored"]),
        (NEGATIVE, "", ["handled", "ignored"]),
        (NEGATIVE, "/r", ["r", "r"]),
        (NEGATIVE, "/gone", ["refused", "ignored"]),
        (ONE, "", ["handled", "ignored"]),
        (ONE, "/t", ["t", "t"]),
        (ONE, "/gone", ["refused", "ignored"]),
        (MORE, "", ["handled", "ignored"]),
        (MORE, "/v", ["v", "v"]),
        (MORE, "/gone", ["refused", "ignored"]),
    ] {
        for kind in ["get", "set"] {
            check_from("from@m.example/o", "iq", resources, to, kind, request);
        }
        for kind in ["result", "error"] {
            check("iq", resources, to, kind, answer);
        }
    }
}

/// RFC 6121, 8.5.3.1: a request shows that the resource is there, so it reaches it only from those who may know.
#[test]
fn requests_reveal_presence() {
    for (from, to, expected) in [
        (STRANGER, "/s", "refused"),
        ("to@m.example/o", "/s", "refused"),
        ("from@m.example/o", "/s", "s"),
        ("both@m.example/o", "/v", "v"),
        ("j@c.example/r", "/s", "s"),
        ("c.example", "/s", "s"),
        ("m.example", "/s", "refused"),
        // The last one sent directed presence to a room: whoever speaks through that may ask it, and no other.
        ("room@m.example/other", "/v", "v"),
        ("room@m.example", "/v", "v"),
        ("room@m.example/other", "/s", "refused"),
    ] {
        for kind in ["get", "set"] {
            check_from(from, "iq", MORE, to, kind, expected);
        }
        check_from(from, "iq", MORE, to, "result", &to[1..]);
    }
}

#[test]
fn on_the_way_out() {
    for (xml, expected) in [
        ("<message to='a@b'/>", Outcome::Undecided),
        ("<iq to='a@b' id='1' type='result'/>", Outcome::Undecided),
        ("<presence/>", Outcome::Handle),
        ("<presence type='unavailable'/>", Outcome::Handle),
        ("<presence type='error'/>", Outcome::Handle),
        ("<presence to='a@b'/>", Outcome::Undecided),
        ("<presence to='a@b' type='unavailable'/>", Outcome::Undecided),
        ("<presence to='a@b' type='error'/>", Outcome::Undecided),
        ("<presence to='a@b' type='probe'/>", Outcome::Undecided),
        ("<presence to='a@b' type='subscribe'/>", Outcome::Handle),
        ("<presence to='a@b' type='subscribed'/>", Outcome::Handle),
        ("<presence to='a@b' type='unsubscribe'/>", Outcome::Handle),
        ("<presence to='a@b' type='unsubscribed'/>", Outcome::Handle),
    ] {
        assert_eq!(route_outgoing(&parse(xml)), expected, "{xml}");
    }
}

/// `expected`: resources, or `kept` (nobody to take it), `refused` (service-unavailable), `ignored`, `handled`.
fn check(name: &str, resources: Resources, to: &str, kind: &str, expected: &str) {
    check_from(STRANGER, name, resources, to, kind, expected);
}

fn check_from(from: &str, name: &str, resources: Resources, to: &str, kind: &str, expected: &str) {
    let kind = if kind.is_empty() {
        String::new()
    } else {
        format!(" type='{kind}'")
    };
    let child = if name == "iq" {
        "<ping xmlns='urn:xmpp:ping'/>"
    } else {
        ""
    };
    let xml = format!("<{name} to='j@c.example{to}' from='{from}' id='1'{kind}>{child}</{name}>");
    let account = account(resources);
    let outcome = match route_incoming(&account, &parse(&xml)) {
        Outcome::Sessions(sessions) => {
            let names: Vec<_> = sessions
                .iter()
                .map(|id| account.session(*id).unwrap().jid.resource().to_owned())
                .collect();
            names.join(" ")
        }
        Outcome::Nobody => "kept".into(),
        Outcome::Handle => "handled".into(),
        Outcome::Ignore => "ignored".into(),
        Outcome::Bounce(error) if error.condition == Condition::ServiceUnavailable => "refused".into(),
        other => panic!("{other:?}"),
    };
    assert_eq!(outcome, expected, "{xml} with {resources:?}");
}

fn account(resources: Resources) -> AccountView {
    let jid = Bare::parse("j@c.example").unwrap();
    let session = |(at, (name, priority)): (usize, &(&str, Option<i8>))| SessionView {
        presence: priority.map(|priority| Arc::new(available(priority))),
        ..SessionView::new(SessionId(at as u128), jid.with_resource(name).unwrap(), Timestamp(0))
    };
    let mut sessions: Vec<_> = resources.iter().enumerate().map(session).collect();
    if let Some(last) = sessions.last_mut() {
        last.directed.insert("room@m.example/j".parse().unwrap());
    }
    let mut roster = Roster::default();
    for subscription in [Subscription::To, Subscription::From, Subscription::Both] {
        let jid = format!("{}@m.example", subscription.name());
        let contact = Contact {
            subscription,
            ..Contact::new(jid.parse().unwrap())
        };
        roster.apply(&[contact], &[]);
    }
    AccountView {
        sessions,
        jid,
        roster: Arc::new(roster),
        meters: dunlin_engine::Meters::default(),
        lent: None,
        away_since: None,
        facts: Facts::default(),
    }
}

fn available(priority: i8) -> Presence {
    let Stanza::Presence(presence) = parse(&format!("<presence><priority>{priority}</priority></presence>")) else {
        panic!()
    };
    presence
}

fn parse(xml: &str) -> Stanza {
    Stanza::parse(&Bytes::copy_from_slice(xml.as_bytes())).unwrap()
}
