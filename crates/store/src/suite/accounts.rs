//! The promises of [`Accounts`](crate::Accounts).

use bytes::Bytes;
use stanza::{Bare, Timestamp};

use super::{all, bare, jid, ok};
use crate::{Account, Append, Contact, Entry, EntryId, Error, HashName, Key, Stores, Verifier};

/// An account with two verifiers.
pub(crate) fn account(text: &str) -> Account {
    Account {
        jid: bare(text),
        created: Timestamp(1_700_000_000_000_001),
        verifiers: vec![verifier(HashName::Sha1), verifier(HashName::Sha256)],
        last_seen: None,
        disabled: false,
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

/// An account is disabled and enabled again, and otherwise stays as it is; a retired one is neither.
pub async fn disables_and_enables(stores: &Stores) {
    let romeo = account("romeo@montague.example");
    assert!(
        !ok(stores.accounts.set_disabled(&romeo.jid, true).await),
        "nobody to disable"
    );
    ok(stores.accounts.create(std::slice::from_ref(&romeo)).await);
    for disabled in [true, true, false] {
        assert!(ok(stores.accounts.set_disabled(&romeo.jid, disabled).await));
        let expected = Account {
            disabled,
            ..romeo.clone()
        };
        assert_eq!(ok(stores.accounts.get(&romeo.jid).await), Some(expected));
    }
    ok(stores.accounts.retire(&romeo.jid).await);
    assert!(!ok(stores.accounts.set_disabled(&romeo.jid, true).await));
}

/// A retired account cannot be got, changed, listed or retired again, and its address is taken; what it owned is still there.
pub async fn a_retired_account_is_none_but_taken(stores: &Stores) {
    let (accounts, romeo) = (&stores.accounts, account("romeo@montague.example"));
    assert!(!ok(accounts.retire(&romeo.jid).await), "nobody to retire");
    ok(accounts.create(std::slice::from_ref(&romeo)).await);
    own_something(stores, &romeo.jid).await;
    assert!(ok(accounts.retire(&romeo.jid).await));
    assert!(!ok(accounts.retire(&romeo.jid).await), "retired twice");
    assert_eq!(ok(accounts.get(&romeo.jid).await), None);
    assert_eq!(ok(accounts.list("montague.example", None, 10).await), []);
    let answer = accounts.set_verifiers(&romeo.jid, &[]).await;
    assert!(matches!(answer, Err(Error::Precondition(_))), "{answer:?}");
    let answer = accounts.create(std::slice::from_ref(&romeo)).await;
    assert!(matches!(answer, Err(Error::Precondition(_))), "{answer:?}");
    check_owned(stores, &romeo.jid, 1).await;
}

/// A retired account goes with its roster, its items and its logs; its namesake elsewhere stays, as does one that is not retired.
pub async fn removes_all_it_owned(stores: &Stores) {
    let (gone, stays) = (account("romeo@montague.example"), account("romeo@verona.example"));
    ok(stores.accounts.create(&[gone.clone(), stays.clone()]).await);
    for owner in [&gone.jid, &stays.jid] {
        own_something(stores, owner).await;
    }
    assert!(!ok(stores.accounts.remove(&gone.jid).await), "not retired");
    check_owned(stores, &gone.jid, 1).await;
    assert!(ok(stores.accounts.retire(&gone.jid).await));
    assert!(ok(stores.accounts.remove(&gone.jid).await));
    assert!(!ok(stores.accounts.remove(&gone.jid).await));
    check_owned(stores, &gone.jid, 0).await;
    check_owned(stores, &stays.jid, 1).await;
    ok(stores.accounts.create(&[gone]).await);
}

/// Retired accounts of all domains are listed page by page until they are removed.
pub async fn lists_the_retired(stores: &Stores) {
    let names = [
        "a@capulet.example",
        "b@montague.example",
        "c@capulet.example",
        "d@capulet.example",
    ];
    ok(stores.accounts.create(&names.map(account)).await);
    assert_eq!(ok(stores.accounts.retired(None, 10).await), []);
    for name in &names[..3] {
        ok(stores.accounts.retire(&bare(name)).await);
    }
    let first = ok(stores.accounts.retired(None, 2).await);
    let rest = ok(stores.accounts.retired(first.last(), 2).await);
    assert_eq!((first.len(), rest.len()), (2, 1));
    let mut all = [first, rest].concat();
    all.sort();
    assert_eq!(all, [bare(names[0]), bare(names[1]), bare(names[2])]);
    ok(stores.accounts.remove(&bare(names[1])).await);
    assert_eq!(ok(stores.accounts.retired(None, 10).await).len(), 2);
}

/// What somebody wrote under an address without an account, or after its removal, is not the next account's.
pub async fn begins_with_nothing(stores: &Stores) {
    let romeo = account("romeo@montague.example");
    own_something(stores, &romeo.jid).await;
    ok(stores.accounts.create(std::slice::from_ref(&romeo)).await);
    check_owned(stores, &romeo.jid, 0).await;
}

/// What is left under an address goes, unless there is an account, and nothing of a namesake's.
pub async fn clears_what_is_left(stores: &Stores) {
    let (romeo, stays) = (account("romeo@montague.example"), bare("romeo@verona.example"));
    for owner in [&romeo.jid, &stays] {
        own_something(stores, owner).await;
    }
    ok(stores.accounts.clear(&romeo.jid).await);
    check_owned(stores, &romeo.jid, 0).await;
    check_owned(stores, &stays, 1).await;
    ok(stores.accounts.clear(&romeo.jid).await);
    ok(stores.accounts.create(std::slice::from_ref(&romeo)).await);
    own_something(stores, &romeo.jid).await;
    for retire in [false, true] {
        if retire {
            ok(stores.accounts.retire(&romeo.jid).await);
        }
        let refused = stores.accounts.clear(&romeo.jid).await;
        assert!(matches!(refused, Err(Error::Precondition(_))), "{refused:?}");
        check_owned(stores, &romeo.jid, 1).await;
    }
}

/// A contact, an item and a kept message.
async fn own_something(stores: &Stores, owner: &Bare) {
    let key = Key {
        space: "vcard".into(),
        name: String::new(),
    };
    let contact = Contact::new(jid("juliet@capulet.example"));
    ok(stores.rosters.change(owner, 0, &[contact], &[]).await);
    ok(stores.items.put(owner, &key, Bytes::from_static(b"x"), None).await);
    let entry = Entry {
        id: EntryId(1),
        at: Timestamp(1),
        with: None,
        key: None,
        stanza: Bytes::from_static(b"<message/>"),
    };
    let append = Append {
        owner: owner.clone(),
        log: "offline",
        entry,
    };
    ok(stores.archive.append(&[append]).await);
}

/// Of each of these there are `left`.
async fn check_owned(stores: &Stores, owner: &Bare, left: u64) {
    assert_eq!(ok(stores.rosters.load(owner).await).version, left);
    assert_eq!(ok(stores.rosters.load(owner).await).contacts.len() as u64, left);
    assert_eq!(ok(stores.items.list(owner, "vcard").await).len() as u64, left);
    assert_eq!(ok(stores.archive.count(owner, "offline").await), left);
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
