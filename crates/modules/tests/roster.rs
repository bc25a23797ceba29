//! Rosters as clients see them (RFC 6121, 2).

mod scene;

use engine::At;
use scene::{Scene, juliet};
use serde_json::json;

const OWN: &str = "juliet@capulet.example/balcony";

fn get(scene: &Scene, ver: &str) -> Vec<String> {
    scene.ask(
        OWN,
        At::Account,
        "get",
        &format!("<query xmlns='jabber:iq:roster'{ver}/>"),
    )
}

fn set(scene: &Scene, items: &str) -> Vec<String> {
    scene.ask(
        OWN,
        At::Account,
        "set",
        &format!("<query xmlns='jabber:iq:roster'>{items}</query>"),
    )
}

#[test]
fn a_get_makes_the_session_interested_and_hides_what_is_not_in_the_roster() {
    let scene = juliet()
        .connected("balcony")
        .contact("benvolio@montague.example", "asked hidden")
        .contact("nurse@capulet.example", "none ask")
        .contact("romeo@montague.example", "both approved Romeo group asked");
    assert_eq!(
        get(&scene, ""),
        [
            "session balcony: interested",
            "<query xmlns='jabber:iq:roster' ver='3'>\
             <item ask='subscribe' jid='nurse@capulet.example' subscription='none'/>\
             <item approved='true' jid='romeo@montague.example' name='Romeo' subscription='both'>\
             <group>Friends</group></item></query>",
        ]
    );
}

#[test]
fn only_the_owner_sees_and_changes_it() {
    let scene = juliet().connected("balcony").contact("romeo@montague.example", "both");
    for kind in ["get", "set"] {
        let payload = "<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>";
        assert_eq!(
            scene.ask("romeo@montague.example/x", At::Account, kind, payload),
            ["forbidden"]
        );
    }
}

#[test]
fn versions_give_differences() {
    let push = |ver: &str, item: &str| format!("<query xmlns='jabber:iq:roster' ver='{ver}'>{item}</query></iq>");
    let mut scene = juliet()
        .connected("balcony")
        .contact("a@example.org", "none") // version 1
        .contact("b@example.org", "none") // 2
        .contact("c@example.org", "none hidden asked"); // 3
    std::sync::Arc::make_mut(&mut scene.account.roster).apply(
        &[scene::contact("a@example.org", "to")], // 4
        &["b@example.org".parse().unwrap()],
    );
    let full = |ver: &str| {
        format!("<query xmlns='jabber:iq:roster'{ver}><item jid='a@example.org' subscription='to'/></query>")
    };
    let interested = "session balcony: interested".to_owned();
    // The client has nothing, something strange, something from the future: all of it.
    for ver in ["", "x", "5"] {
        assert_eq!(
            get(&scene, &format!(" ver='{ver}'")),
            [interested.clone(), full(" ver='4'")]
        );
    }
    // The client is up to date.
    assert_eq!(get(&scene, " ver='4'"), [interested.clone(), "result".into()]);
    // The client missed the last change, which was of two contacts: only the second push bears its version.
    let lines = get(&scene, " ver='3'");
    assert_eq!(lines[..2], [interested.clone(), "result".into()]);
    assert!(
        lines[2].starts_with("deliver each balcony: <iq from='juliet@capulet.example' id='push-3-"),
        "{}",
        lines[2]
    );
    assert!(
        lines[2].ends_with(&push("3", "<item jid='a@example.org' subscription='to'/>")),
        "{}",
        lines[2]
    );
    assert!(
        lines[3].ends_with(&push("4", "<item jid='b@example.org' subscription='remove'/>")),
        "{}",
        lines[3]
    );
    assert_eq!(lines.len(), 4);
    // Too old: all of it.
    std::sync::Arc::make_mut(&mut scene.account.roster).oldest = 3;
    assert_eq!(get(&scene, " ver='2'"), [interested, full(" ver='4'")]);
}

#[test]
fn sets() {
    let scene = juliet()
        .connected("balcony")
        .contact("romeo@montague.example", "both Romeo group")
        .contact("benvolio@montague.example", "asked hidden");
    let group = |n: usize| "g".repeat(n);
    let item = |rest: &str| format!("<item jid='nurse@capulet.example'{rest}");
    for (items, expected) in [
        // RFC 6121, 2.3: what the client says of subscription, ask and approval does not count.
        (item("/>"), vec!["put nurse@capulet.example none", "result"]),
        (
            item(" name='Nurse' subscription='both' ask='subscribe' approved='true'/>"),
            vec!["put nurse@capulet.example none Nurse", "result"],
        ),
        (
            item("><group>A</group><group>B</group></item>"),
            vec!["put nurse@capulet.example none [A] [B]", "result"],
        ),
        // RFC 6121, 2.4: an update keeps the subscription; a pending request stays pending.
        (
            "<item jid='romeo@montague.example' name='Romeo M.'/>".into(),
            vec!["put romeo@montague.example both Romeo M.", "result"],
        ),
        (
            "<item jid='benvolio@montague.example' name='B'/>".into(),
            vec!["put benvolio@montague.example none asked B", "result"],
        ),
        // RFC 6121, 2.3.3.
        (String::new(), vec!["bad-request"]),
        (item("/>") + &item("/>"), vec!["bad-request"]),
        ("<item name='Nobody'/>".into(), vec!["bad-request"]),
        ("<item jid='@@'/>".into(), vec!["jid-malformed"]),
        (item("><group>A</group><group>A</group></item>"), vec!["bad-request"]),
        (item("><group/></item>"), vec!["not-acceptable"]),
        (
            item(&format!("><group>{}</group></item>", group(1_024))),
            vec!["not-acceptable"],
        ),
        (item(&format!(" name='{}'/>", group(1_024))), vec!["not-acceptable"]),
        (
            item(&format!(" name='{}'/>", group(1_023))),
            vec![&*format!("put nurse@capulet.example none {}", group(1_023)), "result"],
        ),
    ] {
        assert_eq!(set(&scene, &items), expected, "{items}");
    }
}

#[test]
fn too_many_groups() {
    let scene = juliet().connected("balcony");
    let groups: String = (0..101).map(|n| format!("<group>{n}</group>")).collect();
    assert_eq!(
        set(&scene, &format!("<item jid='a@b.example'>{groups}</item>")),
        ["not-acceptable"]
    );
}

#[test]
fn removal_gives_up_both_subscriptions() {
    let from =
        |kind: &str, from: &str| format!("send <presence to='romeo@montague.example' from='{from}' type='{kind}'/>");
    let gone = from("unavailable", "juliet@capulet.example/balcony");
    let (unsubscribed, unsubscribe) = (
        from("unsubscribed", "juliet@capulet.example"),
        from("unsubscribe", "juliet@capulet.example"),
    );
    for (words, expected) in [
        ("both", vec![&gone, &unsubscribed, &unsubscribe]),
        ("to", vec![&unsubscribe]),
        ("none ask", vec![&unsubscribe]),
        ("from", vec![&gone, &unsubscribed]),
        ("none asked", vec![&unsubscribed]),
        ("none", vec![]),
    ] {
        let scene = juliet().online("balcony", 0).contact("romeo@montague.example", words);
        let lines = set(&scene, "<item jid='romeo@montague.example' subscription='remove'/>");
        let mut all = vec!["remove romeo@montague.example".to_owned()];
        all.extend(expected.into_iter().cloned());
        all.push("result".into());
        assert_eq!(lines, all, "{words}");
    }
}

#[test]
fn what_is_not_there_cannot_be_removed() {
    let scene = juliet()
        .connected("balcony")
        .contact("benvolio@montague.example", "asked hidden");
    for jid in ["nobody@example.org", "benvolio@montague.example"] {
        assert_eq!(
            set(&scene, &format!("<item jid='{jid}' subscription='remove'/>")),
            ["item-not-found"]
        );
    }
}

#[test]
fn a_full_roster_takes_changes_but_no_more_contacts() {
    let scene = Scene::new(json!({ "roster": { "max_contacts": 2 } }))
        .connected("balcony")
        .contact("a@example.org", "none")
        .contact("b@example.org", "none asked hidden")
        .contact("c@example.org", "none");
    assert_eq!(set(&scene, "<item jid='d@example.org'/>"), ["resource-constraint"]);
    assert_eq!(set(&scene, "<item jid='b@example.org'/>"), ["resource-constraint"]);
    assert_eq!(
        set(&scene, "<item jid='a@example.org' name='A'/>"),
        ["put a@example.org none A", "result"]
    );
    for kind in ["subscribe", "subscribed"] {
        let to = |jid: &str| scene.out("balcony", &format!("<presence to='{jid}' type='{kind}'/>"));
        assert_eq!(to("d@example.org"), ["resource-constraint"]);
        assert_eq!(to("a@example.org")[0], "handled");
    }
}
