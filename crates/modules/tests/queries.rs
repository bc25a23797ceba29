//! What the server and its accounts answer: discovery, capabilities, ping, version, time, last activity.

mod scene;

use engine::{At, Client, Timestamp};
use scene::{NOW, Scene, juliet};
use serde_json::json;
use stanza::ClientId;
use store::Account;

const OWN: &str = "juliet@capulet.example/balcony";
const ROMEO: &str = "romeo@montague.example/orchard";
const STRANGER: &str = "tybalt@capulet.example/street";

fn scene() -> Scene {
    juliet()
        .online("balcony", 1)
        .contact("romeo@montague.example", "from")
        .contact("tybalt@capulet.example", "to")
}

/// Who asks, what of, and what comes back.
fn check(scene: &Scene, at: At, payload: &str, table: &[(&str, &str)]) {
    for (from, expected) in table {
        assert_eq!(scene.ask(from, at, "get", payload), [*expected], "{from}: {payload}");
    }
}

#[test]
fn ping() {
    let payload = "<ping xmlns='urn:xmpp:ping'/>";
    check(&scene(), At::Server, payload, &[(OWN, "result"), (STRANGER, "result")]);
    check(
        &scene(),
        At::Account,
        payload,
        &[(OWN, "result"), (ROMEO, "result"), (STRANGER, "service-unavailable")],
    );
}

#[test]
fn version() {
    let payload = "<query xmlns='jabber:iq:version'/>";
    let full = "<query xmlns='jabber:iq:version'><name>Dunlin</name><version>0.1.0</version></query>";
    check(&scene(), At::Server, payload, &[(STRANGER, full)]);
    let hidden = Scene::new(json!({ "version": { "show_version": false } }));
    let short = "<query xmlns='jabber:iq:version'><name>Dunlin</name><version></version></query>";
    check(&hidden, At::Server, payload, &[(STRANGER, short)]);
    check(&scene(), At::Account, payload, &[(OWN, "service-unavailable")]);
}

#[test]
fn time() {
    let answer = "<time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>2026-11-21T12:00:00.000Z</utc></time>";
    check(
        &scene(),
        At::Server,
        "<time xmlns='urn:xmpp:time'/>",
        &[(STRANGER, answer)],
    );
}

#[test]
fn legacy_session() {
    let set = |from, at| {
        scene().ask(
            from,
            at,
            "set",
            "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>",
        )
    };
    assert_eq!(set(OWN, At::Account), ["result"]);
    assert_eq!(set(OWN, At::Server), ["result"]);
    assert_eq!(set(STRANGER, At::Account), ["service-unavailable"]);
}

#[test]
fn registration() {
    let query = |inside: &str| format!("<query xmlns='jabber:iq:register'>{inside}</query>");
    let known = query(
        "<instructions>You are registered; you can give another password.</instructions><registered/><username>juliet</username><password/>",
    );
    for at in [At::Server, At::Account] {
        check(&scene(), at, &query(""), &[(OWN, &known)]);
    }
    check(
        &scene(),
        At::Account,
        &query(""),
        &[(ROMEO, "forbidden"), (STRANGER, "forbidden")],
    );
    check(&scene(), At::Server, &query(""), &[(ROMEO, "registration-required")]);
    let password = |username: &str| query(&format!("<username>{username}</username><password>new</password>"));
    let closed = Scene::new(json!({ "registration": { "change_password": false, "remove_account": false } }));
    let (open, closed) = (scene(), closed.online("balcony", 1));
    let changed = &["password new", "result", "end all but balcony Reset"][..];
    for (scene, from, at, payload, expected) in [
        (&open, OWN, At::Server, password("juliet"), changed),
        (&open, OWN, At::Account, password("JULIET"), changed),
        (&open, OWN, At::Server, password("romeo"), &["not-acceptable"]),
        (
            &open,
            OWN,
            At::Server,
            password("juliet@capulet.example"),
            &["not-acceptable"],
        ),
        (&open, OWN, At::Server, password(""), &["bad-request"]),
        (&open, OWN, At::Account, query("<remove/>"), &["retire", "result"]),
        (&open, OWN, At::Server, query("<remove/>"), &["retire", "result"]),
        (
            &open,
            OWN,
            At::Server,
            query("<remove/><username>juliet</username>"),
            &["bad-request"],
        ),
        (&open, ROMEO, At::Account, query("<remove/>"), &["forbidden"]),
        (&open, ROMEO, At::Server, query("<remove/>"), &["registration-required"]),
        (&closed, OWN, At::Server, password("juliet"), &["not-allowed"]),
        (&closed, OWN, At::Account, query("<remove/>"), &["not-allowed"]),
    ] {
        assert_eq!(
            scene.ask(from, at, "set", &payload),
            expected,
            "{from} {at:?}: {payload}"
        );
    }
}

#[test]
fn clients() {
    let list = "<list xmlns='urn:xmpp:cam:0'/>";
    let client = |id: &str, software: Option<&str>| Client {
        id: ClientId::parse(id).unwrap(),
        software: software.map(str::to_owned),
        device: Some("Phone".to_owned()),
        seen: Timestamp(NOW.0 - 60_000_000),
    };
    let (here, away) = (
        "d4565fa7-4d72-4749-b3d3-740edbf87770",
        "d4565fa7-4d72-4749-b3d3-740edbf87771",
    );
    let mut scene = scene().online("chamber", 0);
    scene.clients = vec![client(here, Some("Client")), client(away, None)];
    scene.account.sessions[1].client = ClientId::parse(here).ok();
    let one = |id: &str, connected: bool, seen: &str, fast: &str, agent: &str| {
        format!(
            "<client connected='{connected}' id='{id}' type='session'><last-seen>{seen}</last-seen><auth><password/>{fast}</auth>\
             <permission status='unrestricted'/>{agent}</client>"
        )
    };
    let (now, then) = ("2026-11-21T12:00:00.000Z", "2026-11-21T11:59:00.000Z");
    let agent = "<user-agent><software>Client</software><device>Phone</device></user-agent>";
    let all = [
        one(here, true, now, "<fast/>", agent),
        one(
            away,
            false,
            then,
            "<fast/>",
            "<user-agent><device>Phone</device></user-agent>",
        ),
        one("session:balcony", true, now, "", ""),
    ];
    let all = format!("<clients xmlns='urn:xmpp:cam:0'>{}</clients>", all.concat());
    let forbidden = "forbidden";
    check(
        &scene,
        At::Account,
        list,
        &[(OWN, &all), (ROMEO, forbidden), (STRANGER, forbidden)],
    );
    for (from, id, expected) in [
        (OWN, here, "service-unavailable"),
        (OWN, "session:balcony", "service-unavailable"),
        (OWN, "session:chamber", "item-not-found"), // it goes by its client
        (OWN, "", "item-not-found"),
        (ROMEO, here, forbidden),
    ] {
        let revoke = format!("<revoke xmlns='urn:xmpp:cam:0' id='{id}'/>");
        assert_eq!(scene.ask(from, At::Account, "set", &revoke), [expected], "{from} {id}");
    }
    let nobody = "<revoke xmlns='urn:xmpp:cam:0'/>";
    assert_eq!(scene.ask(OWN, At::Account, "set", nobody), ["bad-request"]);
}

#[test]
fn last_activity() {
    let payload = "<query xmlns='jabber:iq:last'/>";
    let seconds = |seconds: u32| format!("<query xmlns='jabber:iq:last' seconds='{seconds}'/>");
    check(&scene(), At::Server, payload, &[(STRANGER, &seconds(60))]);
    let here = seconds(0);
    check(
        &scene(),
        At::Account,
        payload,
        &[(OWN, &here), (ROMEO, &here), (STRANGER, "forbidden")],
    );

    let away = juliet().contact("romeo@montague.example", "both");
    let last_seen = Timestamp(NOW.0 - 903_500_000);
    let account = |last_seen| Account {
        jid: away.account.jid.clone(),
        created: Timestamp(NOW.0 - 9_000_000_000),
        verifiers: Vec::new(),
        last_seen,
        disabled: false,
    };
    futures::executor::block_on(away.stores.accounts.create(&[account(None)])).unwrap();
    check(
        &away,
        At::Account,
        payload,
        &[(ROMEO, &seconds(9_000)), (STRANGER, "forbidden")],
    );
    futures::executor::block_on(away.stores.accounts.set_last_seen(&away.account.jid, last_seen)).unwrap();
    check(&away, At::Account, payload, &[(ROMEO, &seconds(903))]);
}

#[test]
fn last_activity_of_a_resource_is_protected() {
    let iq = |from: &str, kind: &str| {
        let to = "juliet@capulet.example/balcony";
        format!("<iq to='{to}' from='{from}' id='l' type='{kind}'><query xmlns='jabber:iq:last'/></iq>")
    };
    assert_eq!(scene().incoming(&iq(ROMEO, "get")), ["to balcony"]);
    assert_eq!(scene().incoming(&iq(STRANGER, "get")), ["forbidden"]);
    assert_eq!(scene().incoming(&iq(STRANGER, "result")), ["to balcony"]);
}

fn info(node: &str) -> String {
    format!("<query xmlns='http://jabber.org/protocol/disco#info'{node}/>")
}

fn items(node: &str) -> String {
    format!("<query xmlns='http://jabber.org/protocol/disco#items'{node}/>")
}

#[test]
fn the_server_tells_what_it_can() {
    let answer = scene().ask(STRANGER, At::Server, "get", &info("")).remove(0);
    let expected = "<query xmlns='http://jabber.org/protocol/disco#info'>\
        <identity category='server' type='im' name='Dunlin'/>\
        <feature var='http://jabber.org/protocol/caps'/>\
        <feature var='http://jabber.org/protocol/commands'/>\
        <feature var='http://jabber.org/protocol/disco#info'/>\
        <feature var='http://jabber.org/protocol/disco#items'/>\
        <feature var='jabber:iq:last'/>\
        <feature var='jabber:iq:private'/>\
        <feature var='jabber:iq:register'/>\
        <feature var='jabber:iq:version'/>\
        <feature var='msgoffline'/>\
        <feature var='urn:ietf:params:xml:ns:xmpp-session'/>\
        <feature var='urn:xmpp:blocking'/>\
        <feature var='urn:xmpp:carbons:2'/>\
        <feature var='urn:xmpp:carbons:rules:0'/><feature var='urn:xmpp:message-retract:1'/>\
        <feature var='urn:xmpp:ping'/>\
        <feature var='urn:xmpp:reporting:1'/>\
        <feature var='urn:xmpp:time'/>\
        <feature var='vcard-temp'/></query>";
    assert_eq!(answer, expected);
    check(&scene(), At::Server, &info(" node='other'"), &[(OWN, "item-not-found")]);
    check(
        &scene(),
        At::Server,
        &items(""),
        &[(OWN, "<query xmlns='http://jabber.org/protocol/disco#items'/>")],
    );
    check(
        &scene(),
        At::Server,
        &items(" node='other'"),
        &[(OWN, "item-not-found")],
    );
}

#[test]
fn an_account_tells_those_who_may_know() {
    let answer = scene().ask(ROMEO, At::Account, "get", &info("")).remove(0);
    assert!(
        answer.contains("<identity category='account' type='registered'/>"),
        "{answer}"
    );
    assert!(answer.contains("<feature var='jabber:iq:roster'/>"), "{answer}");
    check(
        &scene(),
        At::Account,
        &info(""),
        &[(OWN, &answer), (STRANGER, "service-unavailable")],
    );
    check(
        &scene(),
        At::Account,
        &info(" node='other'"),
        &[(ROMEO, "item-not-found"), (STRANGER, "service-unavailable")],
    );
    let resources = "<query xmlns='http://jabber.org/protocol/disco#items'>\
        <item jid='juliet@capulet.example/balcony'/></query>";
    check(
        &scene(),
        At::Account,
        &items(""),
        &[(ROMEO, resources), (STRANGER, "service-unavailable")],
    );
}

#[test]
fn capabilities_match_what_is_told() {
    let scene = Scene::new(
        json!({ "contact": { "abuse": ["mailto:abuse@capulet.example"], "admin": ["xmpp:b@capulet.example", "xmpp:a@capulet.example"] } }),
    );
    let features = scene.pipeline.stream_features("capulet.example");
    let caps = features.iter().find(|element| element.name() == "c").unwrap();
    assert_eq!(caps.attribute("hash"), Some("sha-1"));
    let node = format!("{}#{}", caps.attribute("node").unwrap(), caps.attribute("ver").unwrap());
    let answer = scene
        .ask(STRANGER, At::Server, "get", &info(&format!(" node='{node}'")))
        .remove(0);
    assert!(answer.starts_with(&format!(
        "<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'>"
    )));
    let form = "<x xmlns='jabber:x:data' type='result'>\
        <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>\
        <field var='abuse-addresses' type='list-multi'><value>mailto:abuse@capulet.example</value></field>\
        <field var='admin-addresses' type='list-multi'><value>xmpp:b@capulet.example</value>\
        <value>xmpp:a@capulet.example</value></field></x>";
    assert!(answer.contains(form), "{answer}");
    let names: Vec<_> = features.iter().map(|feature| feature.name().to_owned()).collect();
    assert_eq!(names, ["ver", "sub", "c"]);
}

#[test]
fn nobody_answers_what_nobody_knows() {
    check(
        &scene(),
        At::Server,
        "<query xmlns='urn:example:unknown'/>",
        &[(OWN, "service-unavailable")],
    );
    assert_eq!(
        scene().ask(OWN, At::Server, "set", "<ping xmlns='urn:xmpp:ping'/>"),
        ["service-unavailable"]
    );
}
