//! Delivery rules (RFC 6121, 8.5) for every kind of stanza and every resource situation, and what an account deals with on
//! the way out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use dunlin_engine::{
    AccountView, Bare, Condition, Facts, Outcome, Presence, SessionId, SessionView, Stanza, Timestamp, route_incoming,
    route_outgoing,
};
use store::Roster;

/// Resources by situation: name and priority, `None` for connected only.
type Resources = &'static [(&'static str, Option<i8>)];

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

/// RFC 6121, 8.5.2.1.2, 8.5.2.2.2, 8.5.3.1 and 8.5.3.2.2.
#[test]
fn presence() {
    for (resources, to, [available, error]) in [
        (NONE, "", ["ignored", "ignored"]),
        (NONE, "/gone", ["ignored", "ignored"]),
        (CONNECTED, "", ["ignored", "ignored"]),
        (CONNECTED, "/r", ["r", "r"]),
        (NEGATIVE, "", ["r s", "ignored"]),
        (NEGATIVE, "/s", ["s", "s"]),
        (ONE, "", ["r s", "ignored"]),
        (ONE, "/gone", ["ignored", "ignored"]),
        (MORE, "", ["r s t u", "ignored"]),
        (MORE, "/v", ["v", "v"]),
    ] {
        check("presence", resources, to, "", available);
        check("presence", resources, to, "unavailable", available);
        check("presence", resources, to, "error", error);
        for kind in ["probe", "subscribe", "subscribed", "unsubscribe", "unsubscribed"] {
            check("presence", resources, to, kind, "handled");
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
        (NEGATIVE, "/r", ["r", "r"]),
        (MORE, "", ["handled", "ignored"]),
        (MORE, "/v", ["v", "v"]),
        (MORE, "/gone", ["refused", "ignored"]),
    ] {
        check("iq", resources, to, "get", request);
        check("iq", resources, to, "set", request);
        check("iq", resources, to, "result", answer);
        check("iq", resources, to, "error", answer);
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
    let xml = format!("<{name} to='j@c.example{to}' from='r@m.example/o' id='1'{kind}>{child}</{name}>");
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
        id: SessionId(at as u128),
        jid: jid.with_resource(name).unwrap(),
        presence: priority.map(|priority| Arc::new(available(priority))),
        since: Timestamp(0),
        interested: false,
        directed: BTreeSet::new(),
    };
    let sessions = resources.iter().enumerate().map(session).collect();
    AccountView {
        sessions,
        jid,
        roster: Arc::new(Roster::default()),
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
