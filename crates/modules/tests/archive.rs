//! Reading an archive (XEP-0313) in which most messages only wait: they are passed over, in steps, without a gap and not for ever.

#![allow(clippy::unwrap_used, reason = "tests")]

mod scene;

use engine::{At, Timestamp};
use scene::{Scene, juliet};
use stanza::{ArchiveId, stanza_id};
use store::{Append, Entry};

const OWN: &str = "juliet@capulet.example/balcony";

/// Message `n` of the archive, which stays, or goes once somebody took it.
fn append(scene: &Scene, n: u128, stays: bool) -> Append {
    let (id, owner) = (ArchiveId(n), scene.account.jid.clone());
    let stamp = stays.then(|| stanza_id(&owner, id).to_string());
    let text = format!(
        "<message from='romeo@montague.example/orchard' type='chat' id='m{n}'><body>Soft!</body>{}</message>",
        stamp.unwrap_or_default()
    );
    let entry = Entry {
        id,
        at: Timestamp(n as i64),
        with: None,
        key: None,
        stanza: text.into(),
    };
    Append {
        owner,
        log: "archive",
        entry,
    }
}

/// Juliet's archive of so many messages, of which only those at `staying` stay.
fn scene(messages: u128, staying: &[u128]) -> Scene {
    let scene = juliet().online("balcony", 0);
    let all = (1..=messages).map(|n| append(&scene, n, staying.contains(&n)));
    let all: Vec<Append> = all.collect();
    futures::executor::block_on(scene.stores.archive.append(&all)).unwrap();
    scene
}

/// The numbers of the messages of a page, and whether it is the last; `None` when it was refused.
fn page(scene: &Scene, max: usize, from: &str) -> Option<(Vec<u128>, bool)> {
    let query = format!(
        "<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>{max}</max>{from}</set></query>"
    );
    let lines = scene.ask(OWN, At::Account, "set", &query);
    let fin = lines.iter().find(|line| line.starts_with("<fin"))?;
    let number = |line: &String| line.split(" id='m").nth(1)?.split('\'').next()?.parse().ok();
    Some((
        lines.iter().filter_map(number).collect(),
        fin.contains("complete='true'"),
    ))
}

/// What a client finds that reads page after page until it is told that there is no more.
fn walk(scene: &Scene, max: usize, backwards: bool) -> Vec<u128> {
    let (mut all, mut from) = (Vec::new(), if backwards { "<before/>" } else { "" }.to_owned());
    loop {
        let (mut found, complete) = page(scene, max, &from).unwrap();
        assert!(complete || !found.is_empty(), "nothing, and no end: {from}");
        if complete && found.is_empty() {
            return all;
        }
        let (first, last) = (ArchiveId(found[0]), ArchiveId(found[found.len() - 1]));
        if backwards {
            from = format!("<before>{first}</before>");
            found.append(&mut all);
            all = found;
        } else {
            from = format!("<after>{last}</after>");
            all.append(&mut found);
        }
        if complete {
            return all;
        }
    }
}

#[test]
fn pages_have_no_gap_where_messages_only_wait() {
    let staying = [1, 2, 3, 340, 341, 700, 1_000];
    let scene = scene(1_100, &staying);
    for max in [1, 2, 3, 50] {
        for backwards in [false, true] {
            assert_eq!(walk(&scene, max, backwards), staying, "{max} {backwards}");
        }
    }
    let waiting = self::scene(1_100, &[]);
    assert_eq!(page(&waiting, 10, ""), Some((vec![], true)));
    assert_eq!(page(&waiting, 0, ""), Some((vec![], false)), "who counts looks at none");
}

/// Ten thousand are passed over in one request, about: a client is told no, not made to wait, and its archive has ends all the same.
#[test]
fn nobody_looks_for_ever() {
    let (near, far) = (scene(9_001, &[1, 9_001]), scene(12_001, &[1, 12_001]));
    let (after, before) = (format!("<after>{}</after>", ArchiveId(1)), |last| {
        format!("<before>{}</before>", ArchiveId(last))
    });
    assert_eq!(page(&near, 2, &after), Some((vec![9_001], true)));
    assert_eq!(page(&near, 2, &before(9_001)), Some((vec![1], true)));
    assert_eq!(page(&far, 2, &after), None);
    assert_eq!(page(&far, 2, &before(12_001)), None);
    let refused =
        format!("<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>{after}</set></query>");
    assert_eq!(far.ask(OWN, At::Account, "set", &refused), ["resource-constraint"]);
    let metadata = far
        .ask(OWN, At::Account, "get", "<metadata xmlns='urn:xmpp:mam:2'/>")
        .concat();
    for end in [1, 12_001] {
        assert!(metadata.contains(&ArchiveId(end).to_string()), "{metadata}");
    }
}
