//! The promises of [`Accounts`](crate::Accounts).

use bytes::Bytes;
use stanza::Timestamp;

use super::{all, bare, jid, ok};
use crate::{Account, Append, Contact, Entry, EntryId, Error, HashName, Key, Stores, Verifier};

/// An account with two verifiers.
pub(crate) fn account(text: &str) -> Account {
    Account {
        jid: bare(text),
        created: Timestamp(1_700_000_000_000_001),
        verifiers: vec![verifier(HashName::Sha1), verifier(HashName::Sha256)],
        last_seen: None,
    }
}

fn verifier(hash: HashName) -> Verifier {
    Verifier {
        hash,
        iterations: 10_000,
        salt: vec![0, 1, 255],
        stored_key: vec![2; 32],
        server_key: vec![3; 32],
    }
}

/// Several accounts come into being in one step, or none does.
pub async fn creates_all_or_none(stores: &Stores) {
    let accounts = &stores.accounts;
    ok(accounts
        .create(&[account("juliet@capulet.example"), account("nurse@capulet.example")])
        .await);
    let answer = accounts
        .create(&[account("tybalt@capulet.example"), account("nurse@capulet.example")])
        .await;
    assert!(matches!(answer, Err(Error::Precondition(_))), "{answer:?}");
    assert_eq!(ok(accounts.get(&bare("tybalt@capulet.example")).await), None);
    assert_eq!(
        ok(accounts.get(&bare("juliet@capulet.example")).await),
        Some(account("juliet@capulet.example"))
    );
    ok(accounts.create(&[]).await);
}

/// The same address twice in one call is as if it existed.
pub async fn refuses_twins_in_one_call(stores: &Stores) {
    let twins = [account("juliet@capulet.example"), account("juliet@capulet.example")];
    let answer = stores.accounts.create(&twins).await;
    assert!(matches!(answer, Err(Error::Precondition(_))), "{answer:?}");
    assert_eq!(ok(stores.accounts.get(&twins[0].jid).await), None);
}

/// New verifiers stand instead of all old ones; an account must exist.
pub async fn replaces_verifiers(stores: &Stores) {
    let romeo = account("romeo@montague.example");
    let new = [verifier(HashName::Sha512)];
    let answer = stores.accounts.set_verifiers(&romeo.jid, &new).await;
    assert!(matches!(answer, Err(Error::Precondition(_))), "{answer:?}");
    ok(stores.accounts.create(std::slice::from_ref(&romeo)).await);
    ok(stores.accounts.set_verifiers(&romeo.jid, &new).await);
    let kept = ok(stores.accounts.get(&romeo.jid).await);
    assert_eq!(kept.map(|account| account.verifiers), Some(new.to_vec()));
    ok(stores.accounts.set_verifiers(&romeo.jid, &[]).await);
    assert_eq!(
        ok(stores.accounts.get(&romeo.jid).await).map(|account| account.verifiers),
        Some(Vec::new())
    );
}

/// The end of the last session is remembered; for nobody, nothing happens.
pub async fn remembers_last_seen(stores: &Stores) {
    let romeo = account("romeo@montague.example");
    ok(stores.accounts.set_last_seen(&romeo.jid, Timestamp(7)).await);
    assert_eq!(ok(stores.accounts.get(&romeo.jid).await), None);
    ok(stores.accounts.create(std::slice::from_ref(&romeo)).await);
    ok(stores.accounts.set_last_seen(&romeo.jid, Timestamp(8)).await);
    ok(stores.accounts.set_last_seen(&romeo.jid, Timestamp(9)).await);
    let kept = ok(stores.accounts.get(&romeo.jid).await);
    assert_eq!(kept.and_then(|account| account.last_seen), Some(Timestamp(9)));
}

/// An account goes with its roster, its items and its logs; its namesake elsewhere stays.
pub async fn removes_all_it_owned(stores: &Stores) {
    let (gone, stays) = (account("romeo@montague.example"), account("romeo@verona.example"));
    let key = Key {
        space: "vcard".into(),
        name: String::new(),
    };
    ok(stores.accounts.create(&[gone.clone(), stays.clone()]).await);
    for owner in [&gone.jid, &stays.jid] {
        ok(stores
            .rosters
            .change(owner, 0, &[Contact::new(jid("juliet@capulet.example"))], &[])
            .await);
        ok(stores.items.put(owner, &key, Bytes::from_static(b"x"), None).await);
        let (at, stanza) = (Timestamp(1), Bytes::from_static(b"<message/>"));
        let entry = Entry {
            id: EntryId(1),
            at,
            with: None,
            key: None,
            stanza,
        };
        ok(stores
            .archive
            .append(&[Append {
                owner: owner.clone(),
                log: "offline",
                entry,
            }])
            .await);
    }
    assert!(ok(stores.accounts.remove(&gone.jid).await));
    assert!(!ok(stores.accounts.remove(&gone.jid).await));
    for (owner, left) in [(&gone.jid, 0), (&stays.jid, 1)] {
        assert_eq!(ok(stores.rosters.load(owner).await).version, left);
        assert_eq!(ok(stores.rosters.load(owner).await).contacts.len() as u64, left);
        assert_eq!(ok(stores.items.list(owner, "vcard").await).len() as u64, left);
        assert_eq!(ok(stores.archive.count(owner, "offline").await), left);
    }
    ok(stores.accounts.create(&[gone]).await);
}

/// Accounts are listed by domain in order of address, page by page.
pub async fn lists_a_domain_in_order(stores: &Stores) {
    let names = [
        "b@capulet.example",
        "a@capulet.example",
        "a-b@capulet.example",
        "z@montague.example",
    ];
    ok(stores.accounts.create(&names.map(account)).await);
    let first = ok(stores.accounts.list("capulet.example", None, 2).await);
    assert_eq!(first, [bare("a-b@capulet.example"), bare("a@capulet.example")]);
    let rest = ok(stores.accounts.list("capulet.example", first.last(), 2).await);
    assert_eq!(rest, [bare("b@capulet.example")]);
    assert_eq!(ok(stores.accounts.list("capulet.example", rest.last(), 2).await), []);
    assert_eq!(ok(stores.accounts.list("verona.example", None, 2).await), []);
}

/// Of several creators at once, exactly one is told that it was the one.
pub async fn one_of_two_creators_wins(stores: &Stores) {
    let both = [account("juliet@capulet.example")];
    let answers = all((0..8).map(|_| stores.accounts.create(&both))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Ok(()) | Err(Error::Precondition(_)))),
        "{answers:?}"
    );
}
