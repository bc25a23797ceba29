//! Reports of spam and abuse (XEP-0377, 4): which of them reach those who run the server.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod scene;

use engine::At;
use scene::Scene;
use serde_json::json;

const OWN: &str = "juliet@capulet.example/balcony";

fn scene() -> Scene {
    let settings =
        json!({ "blocking": { "reports_to": ["nurse@capulet.example"], "max_reports": 2, "reports_per_hour": 3 } });
    Scene::new(settings).online("balcony", 1)
}

/// Of whom reports go out, when the items of one request are these: with a report, or without (`-`).
fn check(scene: &Scene, items: &[&str], expected: &[&str]) {
    let item = |who: &&str| match who.strip_prefix('-') {
        Some(who) => format!("<item jid='{who}@spam.example'/>"),
        None => format!(
            "<item jid='{who}@spam.example'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item>"
        ),
    };
    let items: String = items.iter().map(item).collect();
    let lines = scene.ask(
        OWN,
        At::Account,
        "set",
        &format!("<block xmlns='urn:xmpp:blocking'>{items}</block>"),
    );
    let told = lines.iter().filter(|line| line.starts_with("send <message"));
    let of = |line: &String| {
        let (_, rest) = line.split_once(" reports ").unwrap();
        rest.split_once('@').unwrap().0.to_owned()
    };
    let told: Vec<String> = told.map(of).collect();
    assert_eq!(told, expected, "{items}: {lines:?}");
    assert_eq!(
        lines.iter().filter(|line| *line == "meter reports").count(),
        expected.len()
    );
    assert!(lines.contains(&"put blocking list".to_owned()));
}

#[test]
fn reports_are_passed_on_within_limits() {
    let mut scene = scene();
    scene.load();
    check(&scene, &["a"], &["a"]);
    check(&scene, &["a", "a", "-b", "a"], &["a"]);
    check(&scene, &["a", "b", "c"], &["a", "b"]);
    scene.count("reports", 3_600);
    scene.count("reports", 3_600);
    check(&scene, &["a", "b", "c"], &["a"]);
    scene.count("reports", 3_600);
    check(&scene, &["a"], &[]);
}

/// What is blocked already was reported then, or is not worth it.
#[test]
fn nobody_is_reported_again() {
    let mut scene = scene();
    scene.keep(
        "blocking",
        "list",
        "<blocklist xmlns='urn:xmpp:blocking'><item jid='a@spam.example'/></blocklist>",
    );
    check(&scene, &["a", "b"], &["b"]);
}
