//! The promises of [`Rosters`](crate::Rosters).

use super::{all, bare, jid, ok};
use crate::{Ask, Contact, Error, REMOVED_KEPT, Roster, Stores, Subscription};

/// Nobody's roster is empty, at version 0.
pub async fn starts_empty_at_version_0(stores: &Stores) {
    assert_eq!(
        ok(stores.rosters.load(&bare("romeo@montague.example")).await),
        Roster::default()
    );
}

/// What is read is what was written, in every field.
pub async fn keeps_every_field(stores: &Stores) {
    let owner = bare("romeo@montague.example");
    let odd = Contact {
        name: Some("Júliet \"<&\n".into()),
        groups: vec!["Friends, \"Romans\"".into(), "Größe\n".into(), String::new()],
        subscription: Subscription::Both,
        ask: Ask::Subscribe,
        approved: true,
        pending_in: Some(b"<presence type='subscribe'/>\0\xff".to_vec()),
        in_roster: true,
        ..Contact::new(jid("juliet@capulet.example/balcony"))
    };
    let mut put = vec![odd, Contact::new(jid("nurse@capulet.example"))];
    for (name, subscription) in [
        ("a", Subscription::None),
        ("b", Subscription::To),
        ("c", Subscription::From),
    ] {
        put.push(Contact {
            subscription,
            ..Contact::new(jid(&format!("{name}@verona.example")))
        });
    }
    assert_eq!(ok(stores.rosters.change(&owner, 0, &put, &[]).await), 1);
    assert_eq!(ok(stores.rosters.load(&owner).await), applied(&[(&put, &[])]));
}

/// A contact that is put stands instead of the old one; a removed one is gone; the untouched keep their version.
pub async fn replaces_and_removes(stores: &Stores) {
    let owner = bare("romeo@montague.example");
    let [a, b, c] = ["a@x.example", "b@x.example", "c@x.example"].map(|text| Contact::new(jid(text)));
    let named = Contact {
        name: Some("B".into()),
        in_roster: true,
        ..b.clone()
    };
    let (first, second) = (vec![a.clone(), b, c], vec![named]);
    let gone = vec![a.jid, jid("never@x.example")];
    ok(stores.rosters.change(&owner, 0, &first, &[]).await);
    assert_eq!(ok(stores.rosters.change(&owner, 1, &second, &gone).await), 2);
    assert_eq!(
        ok(stores.rosters.load(&owner).await),
        applied(&[(&first, &[]), (&second, &gone)])
    );
}

/// A change that has not seen the newest version changes nothing.
pub async fn refuses_a_stale_version(stores: &Stores) {
    let owner = bare("romeo@montague.example");
    let (a, b) = ([Contact::new(jid("a@x.example"))], [Contact::new(jid("b@x.example"))]);
    assert!(matches!(
        stores.rosters.change(&owner, 1, &a, &[]).await,
        Err(Error::Conflict)
    ));
    ok(stores.rosters.change(&owner, 0, &a, &[]).await);
    for stale in [0, 2, u64::MAX] {
        let answer = stores.rosters.change(&owner, stale, &b, &[a[0].jid.clone()]).await;
        assert!(matches!(answer, Err(Error::Conflict)), "{stale}: {answer:?}");
    }
    assert_eq!(ok(stores.rosters.load(&owner).await), applied(&[(&a, &[])]));
}

/// Of several writers who saw the same version, one wins, both for a new roster and for an old one.
pub async fn one_of_many_writers_wins(stores: &Stores) {
    let owner = bare("romeo@montague.example");
    let puts: Vec<_> = (0..8).map(|n| [Contact::new(jid(&format!("{n}@x.example")))]).collect();
    for version in 0..3 {
        let answers = all(puts.iter().map(|put| stores.rosters.change(&owner, version, put, &[]))).await;
        let won: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(won, [&(version + 1)], "{answers:?}");
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Ok(_) | Err(Error::Conflict))),
            "{answers:?}"
        );
    }
}

/// Removed contacts are remembered with the version of their removal, until they come back.
pub async fn remembers_the_removed(stores: &Stores) {
    let owner = bare("romeo@montague.example");
    let [a, b] = ["a@x.example", "b@x.example"].map(|text| Contact::new(jid(text)));
    let steps: [(Vec<Contact>, Vec<_>); 4] = [
        (vec![a.clone(), b.clone()], vec![]),
        (vec![], vec![b.jid.clone()]),
        (vec![], vec![a.jid.clone()]),
        (vec![b.clone()], vec![]),
    ];
    for (seen, (put, remove)) in steps.iter().enumerate() {
        ok(stores.rosters.change(&owner, seen as u64, put, remove).await);
    }
    let roster = ok(stores.rosters.load(&owner).await);
    assert_eq!(roster.removed, [(a.jid, 3)]);
    let steps: Vec<_> = steps
        .iter()
        .map(|(put, remove)| (put.as_slice(), remove.as_slice()))
        .collect();
    assert_eq!(roster, applied(&steps));
}

/// A roster that forgets removed contacts says from which version on it can answer.
pub async fn forgets_the_oldest_removed(stores: &Stores) {
    let owner = bare("romeo@montague.example");
    let many: Vec<_> = (0..REMOVED_KEPT + 20)
        .map(|n| Contact::new(jid(&format!("{n:04}@x.example"))))
        .collect();
    let jids: Vec<_> = many.iter().map(|contact| contact.jid.clone()).collect();
    let (early, late) = jids.split_at(10);
    ok(stores.rosters.change(&owner, 0, &many, &[]).await);
    ok(stores.rosters.change(&owner, 1, &[], early).await);
    ok(stores.rosters.change(&owner, 2, &[], late).await);
    let roster = ok(stores.rosters.load(&owner).await);
    assert_eq!(
        (roster.version, roster.oldest, roster.removed.len()),
        (3, 3, REMOVED_KEPT)
    );
    ok(stores.rosters.change(&owner, 3, &many[..1], &[]).await);
    let roster = ok(stores.rosters.load(&owner).await);
    assert_eq!((roster.version, roster.oldest, roster.contacts.len()), (4, 3, 1));
}

/// A change of one roster is not seen in another.
pub async fn owners_are_apart(stores: &Stores) {
    let (romeo, juliet) = (bare("romeo@montague.example"), bare("juliet@capulet.example"));
    ok(stores
        .rosters
        .change(&romeo, 0, &[Contact::new(juliet.jid().clone())], &[])
        .await);
    assert_eq!(ok(stores.rosters.load(&juliet).await), Roster::default());
}

fn applied(steps: &[(&[Contact], &[stanza::Jid])]) -> Roster {
    let mut roster = Roster::default();
    for (put, remove) in steps {
        roster.apply(put, remove);
    }
    roster
}
