//! Presence and subscriptions as they flow through one account (RFC 6121, 3 and 4).

mod scene;

use scene::{Scene, juliet};
use serde_json::json;

const ROMEO: &str = "romeo@montague.example";

/// A presence stanza as it is written.
fn presence(kind: &str, from: &str, to: &str) -> String {
    let attribute = |name: &str, value: &str| match value {
        "" => String::new(),
        value => format!(" {name}='{value}'"),
    };
    format!(
        "<presence{}{}{}/>",
        attribute("to", to),
        attribute("from", from),
        attribute("type", kind)
    )
}

/// What juliet's balcony, available with priority 1, looks like to `to`.
fn balcony(to: &str) -> String {
    let to = if to.is_empty() {
        String::new()
    } else {
        format!(" to='{to}'")
    };
    format!("<presence{to} from='juliet@capulet.example/balcony'><priority>1</priority></presence>")
}

fn check(what: &str, actual: Vec<String>, expected: &[String]) {
    assert_eq!(actual, expected, "{what}");
}

// --- subscriptions, outbound -------------------------------------------------------------------------------------------

fn send(scene: &Scene, kind: &str) -> Vec<String> {
    scene.out("balcony", &presence(kind, "", &format!("{ROMEO}/orchard")))
}

#[test]
fn the_user_sends_subscription_stanzas() {
    let own = "juliet@capulet.example";
    let sent = |kind: &str| format!("send {}", presence(kind, own, ROMEO));
    let put = |words: &str| format!("put {ROMEO} {words}");
    let current = format!("send {}", balcony(ROMEO));
    let gone = format!(
        "send {}",
        presence("unavailable", "juliet@capulet.example/balcony", ROMEO)
    );
    for (words, kind, expected) in [
        // RFC 6121, 3.1.2.
        ("", "subscribe", vec![put("none ask"), sent("subscribe")]),
        ("none", "subscribe", vec![put("none ask"), sent("subscribe")]),
        (
            "none asked hidden",
            "subscribe",
            vec![put("none ask asked"), sent("subscribe")],
        ),
        ("none ask", "subscribe", vec![sent("subscribe")]),
        ("from", "subscribe", vec![put("from ask"), sent("subscribe")]),
        ("both", "subscribe", vec![sent("subscribe")]),
        // RFC 6121, 3.1.5: the contact enters the roster and learns who is there.
        (
            "none asked hidden",
            "subscribed",
            vec![put("from"), sent("subscribed"), current.clone()],
        ),
        ("to asked", "subscribed", vec![put("both"), sent("subscribed"), current]),
        ("both", "subscribed", vec![]),
        // RFC 6121, 3.4.2: approval in advance.
        ("", "subscribed", vec![put("none approved")]),
        ("to", "subscribed", vec![put("to approved")]),
        ("none approved", "subscribed", vec![]),
        ("none approved", "unsubscribed", vec![put("none")]),
        ("to", "unsubscribed", vec![]),
        // RFC 6121, 3.2.2: unavailable while still subscribed.
        (
            "both approved",
            "unsubscribed",
            vec![put("to"), gone.clone(), sent("unsubscribed")],
        ),
        ("from", "unsubscribed", vec![put("none"), gone, sent("unsubscribed")]),
        // A request is denied.
        (
            "none asked hidden",
            "unsubscribed",
            vec![format!("remove {ROMEO}"), sent("unsubscribed")],
        ),
        ("none asked", "unsubscribed", vec![put("none"), sent("unsubscribed")]),
        // RFC 6121, 3.3.2.
        ("both", "unsubscribe", vec![put("from"), sent("unsubscribe")]),
        ("none ask", "unsubscribe", vec![put("none"), sent("unsubscribe")]),
        ("", "unsubscribe", vec![sent("unsubscribe")]),
        ("", "unsubscribed", vec![]),
    ] {
        let scene = juliet().online("balcony", 1);
        let scene = if words.is_empty() {
            scene
        } else {
            scene.contact(ROMEO, words)
        };
        let mut all = vec!["handled".to_owned()];
        all.extend(expected);
        check(&format!("{kind} in {words}"), send(&scene, kind), &all);
    }
}

#[test]
fn nobody_subscribes_to_oneself() {
    let scene = juliet().online("balcony", 1);
    for kind in ["subscribe", "subscribed", "unsubscribe", "unsubscribed"] {
        for to in ["juliet@capulet.example", "juliet@capulet.example/chamber", ""] {
            check(kind, scene.out("balcony", &presence(kind, "", to)), &["handled".into()]);
        }
        let from_self = presence(kind, "juliet@capulet.example", "juliet@capulet.example");
        check(kind, scene.incoming(&from_self), &["handled".into()]);
    }
}

#[test]
fn what_a_request_says_travels_with_it() {
    let scene = juliet().online("balcony", 1).contact(ROMEO, "both");
    let lines = scene.out(
        "balcony",
        &format!("<presence to='{ROMEO}' id='s1' type='subscribe' xml:lang='en'><status>Hi</status></presence>"),
    );
    let sent = format!(
        "send <presence to='{ROMEO}' from='juliet@capulet.example' id='s1' type='subscribe' xml:lang='en'>\
         <status>Hi</status></presence>"
    );
    check("sent", lines, &["handled".into(), sent]);
}

// --- subscriptions, inbound --------------------------------------------------------------------------------------------

#[test]
fn subscription_stanzas_arrive() {
    let own = "juliet@capulet.example";
    let arrived = |kind: &str| presence(kind, ROMEO, own);
    let told = |kind: &str| format!("deliver balcony: {}", arrived(kind));
    let put = |words: &str| format!("put {ROMEO} {words}");
    let approved = format!("send {}", presence("subscribed", own, ROMEO));
    let current = format!("send {}", balcony(ROMEO));
    let gone = format!(
        "send {}",
        presence("unavailable", "juliet@capulet.example/balcony", ROMEO)
    );
    for (words, kind, expected) in [
        // RFC 6121, 3.1.3: kept, and delivered to who is there.
        ("", "subscribe", vec![put("none asked hidden"), told("subscribe")]),
        ("to", "subscribe", vec![put("to asked"), told("subscribe")]),
        ("none asked hidden", "subscribe", vec![]),
        // Answered at once: subscribed already, or approved in advance (3.4.2).
        ("from", "subscribe", vec![approved.clone(), current.clone()]),
        ("both", "subscribe", vec![approved.clone(), current.clone()]),
        (
            "none approved",
            "subscribe",
            vec![put("from approved"), approved.clone(), current.clone()],
        ),
        (
            "to approved",
            "subscribe",
            vec![put("both approved"), approved, current],
        ),
        // RFC 6121, 3.1.6: the approval comes before the push.
        ("none ask", "subscribed", vec![told("subscribed"), put("to")]),
        ("from ask", "subscribed", vec![told("subscribed"), put("both")]),
        ("none", "subscribed", vec![]),
        ("both", "subscribed", vec![]),
        ("", "subscribed", vec![]),
        // RFC 6121, 3.2.3.
        ("both", "unsubscribed", vec![told("unsubscribed"), put("from")]),
        ("none ask", "unsubscribed", vec![told("unsubscribed"), put("none")]),
        ("from", "unsubscribed", vec![]),
        // RFC 6121, 3.3.3.
        (
            "both",
            "unsubscribe",
            vec![told("unsubscribe"), put("to"), gone.clone()],
        ),
        ("from", "unsubscribe", vec![told("unsubscribe"), put("none"), gone]),
        (
            "none asked hidden",
            "unsubscribe",
            vec![told("unsubscribe"), format!("remove {ROMEO}")],
        ),
        ("to", "unsubscribe", vec![]),
        ("", "unsubscribe", vec![]),
    ] {
        let scene = juliet().online("balcony", 1).connected("chamber");
        let scene = if words.is_empty() {
            scene
        } else {
            scene.contact(ROMEO, words)
        };
        let mut all = vec!["handled".to_owned()];
        all.extend(expected);
        let stanza = presence(kind, &format!("{ROMEO}/orchard"), own);
        check(&format!("{kind} in {words}"), scene.incoming(&stanza), &all);
    }
}

/// RFC 6121, 3.1.3: a request to one resource, there or not, is one to the account.
#[test]
fn a_request_to_a_full_address() {
    let scene = juliet().online("balcony", 1);
    let own = "juliet@capulet.example";
    let expected = [
        "handled".into(),
        format!("put {ROMEO} none asked hidden"),
        format!("deliver balcony: {}", presence("subscribe", ROMEO, own)),
    ];
    for resource in ["balcony", "attic"] {
        let stanza = presence("subscribe", &format!("{ROMEO}/orchard"), &format!("{own}/{resource}"));
        check(resource, scene.incoming(&stanza), &expected);
    }
}

#[test]
fn a_request_waits_for_somebody_to_come() {
    let stanza = format!(
        "<presence to='juliet@capulet.example' from='{ROMEO}' id='s' type='subscribe'><status>It is I</status></presence>"
    );
    let scene = juliet().connected("balcony");
    check(
        "nobody there",
        scene.incoming(&stanza),
        &["handled".into(), format!("put {ROMEO} none asked hidden")],
    );

    let mut contact = scene::contact(ROMEO, "hidden");
    contact.pending_in = Some(stanza.clone().into_bytes());
    let mut scene = scene;
    std::sync::Arc::make_mut(&mut scene.account.roster).apply(&[contact], &[]);
    let lines = scene.out("balcony", "<presence/>");
    assert!(lines.contains(&format!("deliver balcony: {stanza}")), "{lines:?}");
    // Again for the next resource; not when the same one changes its presence.
    let scene = scene.online("chamber", 0);
    assert!(
        !scene
            .out("chamber", "<presence/>")
            .iter()
            .any(|line| line.contains("subscribe"))
    );
}

#[test]
fn what_is_kept_of_a_stranger_is_bounded() {
    let scene = Scene::new(json!({ "presence": { "max_requests": 1, "max_request_bytes": 200 } }));
    let long = "x".repeat(200);
    let stanza = format!(
        "<presence to='juliet@capulet.example' from='{ROMEO}' id='{long}' type='subscribe'><status>{long}</status></presence>"
    );
    let decision = {
        let view = scene.look();
        scene.pipeline.incoming(&view, &scene::parse(&stanza))
    };
    let engine::Effect::Roster(change) = &decision.effects.0[0] else {
        panic!("{decision:?}")
    };
    let kept = String::from_utf8(change.put[0].pending_in.clone().unwrap()).unwrap();
    assert_eq!(kept, presence("subscribe", ROMEO, "juliet@capulet.example"));

    let full = scene.contact("paris@verona.example", "hidden asked");
    check("full", full.incoming(&stanza), &["resource-constraint".into()]);
    let known = full.contact(ROMEO, "from");
    assert_eq!(known.incoming(&stanza)[0], "handled");
}

/// XEP-0077, 3.2: of a removed account every subscription is cancelled, and every request withdrawn or denied.
#[test]
fn a_removed_account_leaves_nobody_subscribed() {
    let scene = juliet()
        .contact("a@example.org", "both")
        .contact("b@example.org", "from")
        .contact("c@example.org", "to")
        .contact("d@example.org", "none ask")
        .contact("e@example.org", "asked hidden")
        .contact("f@example.org", "none approved");
    let sent = |kind: &str, to: &str| format!("send {}", presence(kind, "juliet@capulet.example", to));
    check(
        "removed",
        scene.removed(),
        &[
            sent("unsubscribed", "a@example.org"),
            sent("unsubscribe", "a@example.org"),
            sent("unsubscribed", "b@example.org"),
            sent("unsubscribe", "c@example.org"),
            sent("unsubscribe", "d@example.org"),
            sent("unsubscribed", "e@example.org"),
        ],
    );
}

// --- broadcast ---------------------------------------------------------------------------------------------------------

/// Juliet's contacts of every kind.
fn contacts(scene: Scene) -> Scene {
    scene
        .contact("both@example.org", "both")
        .contact("from@example.org", "from ask")
        .contact("none@example.org", "none approved")
        .contact("to@example.org", "to")
}

#[test]
fn initial_presence() {
    let scene = contacts(juliet().online("balcony", 1).connected("chamber"));
    let own = "<presence from='juliet@capulet.example/chamber'><show>away</show></presence>";
    check(
        "initial",
        scene.out("chamber", "<presence><show>away</show></presence>"),
        &[
            "handled".into(),
            "session chamber: available 0".into(),
            format!("broadcast both@example.org from@example.org: {own}"),
            format!("deliver each balcony chamber: {own}"),
            "broadcast both@example.org to@example.org: <presence from='juliet@capulet.example' type='probe'/>".into(),
            "broadcast from@example.org: <presence from='juliet@capulet.example' type='subscribe'/>".into(),
            format!("deliver chamber: {}", balcony("juliet@capulet.example/chamber")),
            "flush chamber".into(),
            // Whether there is a message of the day is looked up after that.
            "send <iq to='juliet@capulet.example' from='capulet.example' id='motd-660c819a17000' type='set'><look \
             xmlns='urn:dunlin:motd'/></iq>"
                .into(),
        ],
    );
}

#[test]
fn subsequent_presence() {
    let scene = contacts(juliet().online("balcony", 1).online("chamber", 0));
    let own = "<presence from='juliet@capulet.example/chamber'><priority>5</priority></presence>";
    check(
        "subsequent",
        scene.out("chamber", "<presence><priority>5</priority></presence>"),
        &[
            "handled".into(),
            "session chamber: available 5".into(),
            format!("broadcast both@example.org from@example.org: {own}"),
            format!("deliver each balcony chamber: {own}"),
        ],
    );
}

#[test]
fn unavailable_presence_reaches_whoever_knew() {
    let scene = contacts(juliet().online("balcony", 1).online("chamber", 0).connected("garden"))
        .directed("room@muc.example/juliet")
        .directed("both@example.org");
    let gone = |resource: &str| {
        format!("<presence from='juliet@capulet.example/{resource}' type='unavailable'><status>bye</status></presence>")
    };
    let bye = "<presence type='unavailable'><status>bye</status></presence>";
    check(
        "available",
        scene.out("chamber", bye),
        &[
            "handled".into(),
            "session chamber: unavailable".into(),
            format!("broadcast both@example.org from@example.org: {}", gone("chamber")),
            format!("deliver each balcony chamber: {}", gone("chamber")),
        ],
    );
    check(
        "never available",
        scene.out("garden", bye),
        &[
            "handled".into(),
            "session garden: unavailable".into(),
            format!("broadcast both@example.org room@muc.example/juliet: {}", gone("garden")),
        ],
    );
}

#[test]
fn the_server_speaks_for_a_session_that_ended() {
    let scene = contacts(juliet().online("balcony", 1).connected("garden").online("chamber", 0))
        .directed("room@muc.example/juliet")
        .directed("from@example.org/home");
    let gone = presence("unavailable", "juliet@capulet.example/chamber", "");
    check(
        "available",
        scene.closed("chamber"),
        &[
            format!("broadcast both@example.org from@example.org room@muc.example/juliet: {gone}"),
            format!("deliver each balcony: {gone}"),
        ],
    );
    check("connected", scene.closed("garden"), &[]);
}

#[test]
fn priorities_that_are_none() {
    let scene = juliet().connected("balcony");
    for (priority, is_valid) in [
        ("<priority>127</priority>", true),
        ("<priority> -128 </priority>", true),
        ("<priority>128</priority>", false),
        ("<priority>high</priority>", false),
        ("<priority/>", false),
        ("<priority>1</priority><priority>1</priority>", false),
    ] {
        let outcome = &scene.out("balcony", &format!("<presence>{priority}</presence>"))[0];
        assert_eq!(outcome, if is_valid { "handled" } else { "bad-request" }, "{priority}");
    }
}

#[test]
fn other_types_are_never_broadcast() {
    let scene = contacts(juliet().online("balcony", 1));
    for kind in ["error", "probe", "subscribe"] {
        check(kind, scene.out("balcony", &presence(kind, "", "")), &["handled".into()]);
    }
}

// --- directed presence -------------------------------------------------------------------------------------------------

#[test]
fn directed_presence_is_remembered_where_nobody_else_tells() {
    let scene = contacts(juliet().online("balcony", 1))
        .directed("room@muc.example/juliet")
        .connected("garden");
    for (resource, kind, to, expected) in [
        (
            "balcony",
            "",
            "other@muc.example/j",
            Some("session balcony: knows other@muc.example/j"),
        ),
        ("balcony", "", "room@muc.example/juliet", None),
        ("balcony", "", "both@example.org/home", None),
        (
            "balcony",
            "",
            "to@example.org",
            Some("session balcony: knows to@example.org"),
        ),
        ("balcony", "", "juliet@capulet.example", None),
        (
            "garden",
            "",
            "juliet@capulet.example/balcony",
            Some("session garden: knows juliet@capulet.example/balcony"),
        ),
        ("balcony", "unavailable", "other@muc.example/j", None),
        (
            "garden",
            "",
            "both@example.org",
            Some("session garden: knows both@example.org"),
        ),
    ] {
        let mut all = vec!["travels".to_owned()];
        all.extend(expected.map(str::to_owned));
        check(to, scene.out(resource, &presence(kind, "", to)), &all);
    }
    let scene = juliet().online("balcony", 1).directed("room@muc.example/juliet");
    check(
        "leaves",
        scene.out("balcony", &presence("unavailable", "", "room@muc.example/juliet")),
        &[
            "travels".into(),
            "session balcony: forgets room@muc.example/juliet".into(),
        ],
    );
}

/// RFC 6121, 4.6.1: whoever goes itself need not be told any more.
#[test]
fn who_went_is_forgotten() {
    const ROOM: &str = "room@muc.example/juliet";
    let scene = juliet().online("balcony", 1).directed(ROOM);
    let scene = scene.online("chamber", 1).directed(ROOM).connected("garden");
    let forgets = |session: &str| format!("session {session}: forgets {ROOM}");
    for (from, to, expected) in [
        (ROOM, "/chamber", vec!["to chamber".to_owned(), forgets("chamber")]),
        (ROOM, "/garden", vec!["to garden".to_owned()]),
        (
            ROOM,
            "",
            vec!["to balcony chamber".to_owned(), forgets("balcony"), forgets("chamber")],
        ),
        ("room@muc.example/other", "/chamber", vec!["to chamber".to_owned()]),
    ] {
        let to = format!("juliet@capulet.example{to}");
        check(&to, scene.incoming(&presence("unavailable", from, &to)), &expected);
    }
}

#[test]
fn directed_presence_is_bounded() {
    let scene = Scene::new(json!({ "presence": { "max_directed": 1 } }))
        .online("balcony", 1)
        .directed("a@muc.example/j");
    let to = |jid: &str, kind: &str| scene.out("balcony", &presence(kind, "", jid)).remove(0);
    assert_eq!(to("b@muc.example/j", ""), "resource-constraint");
    assert_eq!(to("a@muc.example/j", ""), "travels");
    assert_eq!(to("b@muc.example/j", "unavailable"), "travels");
}

#[test]
fn presence_arrives() {
    let scene = juliet().online("balcony", 1).connected("garden").online("chamber", -1);
    for (kind, to, expected) in [
        ("", "juliet@capulet.example", "to balcony chamber"),
        ("unavailable", "juliet@capulet.example", "to balcony chamber"),
        ("error", "juliet@capulet.example", "to balcony chamber"),
        ("", "juliet@capulet.example/garden", "to garden"),
        ("error", "juliet@capulet.example/garden", "to garden"),
        ("", "juliet@capulet.example/attic", "ignored"),
    ] {
        check(
            to,
            scene.incoming(&presence(kind, "stranger@example.org/x", to)),
            &[expected.into()],
        );
    }
}

// --- probes ------------------------------------------------------------------------------------------------------------

#[test]
fn probes_are_answered() {
    let scene = juliet()
        .online("balcony", 1)
        .connected("garden")
        .directed("other@muc.example/j");
    let scene = contacts(scene.online("chamber", 0)).directed("room@muc.example");
    let chamber = |to: &str| {
        format!("send <presence to='{to}' from='juliet@capulet.example/chamber'><priority>0</priority></presence>")
    };
    let mere = |resource: &str, to: &str| {
        format!(
            "send {}",
            presence("", &format!("juliet@capulet.example/{resource}"), to)
        )
    };
    let own = "juliet@capulet.example";
    let gone = |from: &str, to: &str| format!("send {}", presence("unavailable", from, to));
    let refused = |to: &str| format!("send {}", presence("unsubscribed", own, to));
    let both = "both@example.org/home";
    for (from, to, expected) in [
        (both, own, vec![format!("send {}", balcony(both)), chamber(both)]),
        (
            "from@example.org",
            own,
            vec![
                format!("send {}", balcony("from@example.org")),
                chamber("from@example.org"),
            ],
        ),
        // Of one resource no more than that it is there (RFC 6121, 4.3.2).
        (both, "juliet@capulet.example/chamber", vec![mere("chamber", both)]),
        (
            both,
            "juliet@capulet.example/garden",
            vec![gone("juliet@capulet.example/garden", both)],
        ),
        (
            both,
            "juliet@capulet.example/attic",
            vec![gone("juliet@capulet.example/attic", both)],
        ),
        (
            "juliet@capulet.example/garden",
            "juliet@capulet.example/chamber",
            vec![mere("chamber", "juliet@capulet.example/garden")],
        ),
        ("to@example.org/x", own, vec![refused("to@example.org")]),
        ("none@example.org/x", own, vec![refused("none@example.org")]),
        ("stranger@example.org/x", own, vec![refused("stranger@example.org")]),
        // Who was sent directed presence may ask, of that resource, and hears no more than that it is there (4.6.6).
        ("room@muc.example", own, vec![mere("chamber", "room@muc.example")]),
        (
            "room@muc.example/nick",
            "juliet@capulet.example/chamber",
            vec![mere("chamber", "room@muc.example/nick")],
        ),
        // Also of one that was never broadcast.
        (
            "other@muc.example/j",
            "juliet@capulet.example/garden",
            vec![mere("garden", "other@muc.example/j")],
        ),
        (
            "room@muc.example",
            "juliet@capulet.example/balcony",
            vec![refused("room@muc.example")],
        ),
    ] {
        let mut all = vec!["handled".to_owned()];
        all.extend(expected);
        check(
            &format!("{from} asks {to}"),
            scene.incoming(&presence("probe", from, to)),
            &all,
        );
    }
    let away = contacts(juliet().connected("garden"));
    check(
        "nobody there",
        away.incoming(&presence("probe", both, own)),
        &["handled".into(), gone(own, both)],
    );
}

/// RFC 6121, 4.3.2, rule 3: subscribers learn since when nobody is there, and nobody else does.
#[test]
fn probes_learn_when_the_last_one_went() {
    let mut scene = contacts(juliet().connected("garden"));
    scene.account.away_since = Some(scene::NOW);
    let own = "juliet@capulet.example";
    let line = scene.incoming(&presence("probe", "both@example.org", own)).remove(1);
    assert!(
        line.contains("type='unavailable'") && line.contains(&format!("stamp='{}'", scene::NOW.to_xmpp())),
        "{line}"
    );
    let line = scene.incoming(&presence("probe", "to@example.org", own)).remove(1);
    assert!(!line.contains("stamp"), "{line}");
    // A resource that is gone while others are there: since when is not known.
    let scene = scene.online("balcony", 0);
    let line = scene.incoming(&presence("probe", "both@example.org", "juliet@capulet.example/attic"));
    assert!(!line[1].contains("stamp"), "{line:?}");
}

/// RFC 6121, 4.3.2.1: the id of the presence that is passed on; else the id of the probe.
#[test]
fn ids_of_answers_to_probes() {
    let probe = |from: &str, to: &str| format!("<presence to='{to}' from='{from}' id='p1' type='probe'/>");
    let own = "juliet@capulet.example";
    let mut scene = contacts(juliet().online("balcony", 1));
    let line = |scene: &Scene, from: &str, to: &str| scene.incoming(&probe(from, to)).remove(1);
    assert!(!line(&scene, "both@example.org", own).contains("id='p1'"));
    assert!(line(&scene, "none@example.org", own).contains("id='p1' type='unsubscribed'"));
    let session = &mut scene.account.sessions[0];
    let mut pres1 = (**session.presence.as_ref().unwrap()).clone();
    pres1.head.id = Some("pres1".into());
    session.presence = Some(std::sync::Arc::new(pres1));
    for to in [own, "juliet@capulet.example/balcony"] {
        assert!(line(&scene, "both@example.org", to).contains("id='pres1'"), "{to}");
    }
    scene.account.sessions.clear();
    assert!(line(&scene, "both@example.org", own).contains("id='p1' type='unavailable'"));
}

/// RFC 6121, 4.3: a probe that leaves for another domain bears the bare address; at home only the one that came hears the answers.
#[test]
fn probes_bear_the_bare_address() {
    let scene = juliet()
        .online("balcony", 1)
        .connected("chamber")
        .contact("nurse@capulet.example", "both")
        .contact("paris@capulet.example", "none ask")
        .contact(ROMEO, "to");
    let lines = scene.out("chamber", "<presence/>");
    let probes: Vec<_> = lines
        .into_iter()
        .filter(|line| line.contains("probe") || line.contains("'subscribe'"))
        .collect();
    check(
        "probes",
        probes,
        &[
            "broadcast nurse@capulet.example: <presence from='juliet@capulet.example/chamber' type='probe'/>".into(),
            format!("broadcast {ROMEO}: <presence from='juliet@capulet.example' type='probe'/>"),
        ],
    );
}

/// RFC 6121, 4.4.2 and 4.5.2: a contact that answered with an error is told all the same; only a subscription stanza ends that.
#[test]
fn an_error_stops_no_broadcast() {
    let scene = contacts(juliet().online("balcony", 1));
    let error = "<presence to='juliet@capulet.example/balcony' from='both@example.org' type='error'><error type='cancel'>\
                 <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>";
    check("error", scene.incoming(error), &["to balcony".into()]);
    let lines = scene.out("balcony", "<presence><show>away</show></presence>");
    assert!(
        lines[2].starts_with("broadcast both@example.org from@example.org: "),
        "{lines:?}"
    );
}
