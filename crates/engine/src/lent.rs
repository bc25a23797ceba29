//! Contacts that are lent to an account: the server says that they know each other. What the user keeps of a lent contact (a name, more
//! groups) is his; that it is there, and that both see each other, is not, and is never written into his roster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stanza::{Bare, Jid};
use store::{Ask, Contact, Roster, Subscription};

use crate::effect::RosterChange;

/// The contacts that are lent to an account, each with the groups in which it appears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loan {
    /// Groups by contact, shared by all to whom the same is lent; the account itself, if it is among them, does not count.
    pub contacts: Arc<BTreeMap<Jid, BTreeSet<String>>>,
    /// Whether every user of the account's domain is among them: somebody who is not is new.
    pub everyone: bool,
}

/// A loan, and the user's own roster beneath it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lent {
    to: Bare,
    loan: Loan,
    own: Arc<Roster>,
    mark: String,
}

impl Loan {
    /// Adds another.
    pub fn extend(&mut self, other: Self) {
        self.everyone |= other.everyone;
        let contacts = Arc::make_mut(&mut self.contacts);
        for (jid, groups) in &*other.contacts {
            contacts.entry(jid.clone()).or_default().extend(groups.iter().cloned());
        }
    }
}

impl Lent {
    /// A loan to `to` on top of the user's own roster.
    pub fn new(to: Bare, loan: Loan, own: Arc<Roster>) -> Self {
        let mark = format!("{:x}", mark(&loan));
        Self { to, loan, own, mark }
    }

    /// The roster as the user sees it.
    pub fn shown(&self) -> Roster {
        let own = self.own.contacts.values().cloned();
        let is_new = |jid: &&Jid| self.has(jid) && !self.own.contacts.contains_key(*jid);
        let new = self.loan.contacts.keys().filter(is_new).cloned().map(Contact::new);
        let shown = own.chain(new).map(|contact| (contact.jid.clone(), self.show(contact)));
        Roster {
            // Made in one go, as it may be long.
            contacts: shown.collect(),
            version: self.own.version,
            removed: self.own.removed.clone(),
            oldest: self.own.oldest,
        }
    }

    /// A contact of the user's own as the user sees it.
    pub fn show(&self, contact: Contact) -> Contact {
        let Some(lent) = self.groups(&contact.jid) else {
            return contact;
        };
        let mut groups: Vec<String> = lent.iter().cloned().collect();
        groups.extend(contact.groups.into_iter().filter(|group| !lent.contains(group)));
        Contact {
            groups,
            subscription: Subscription::Both,
            ask: Ask::None,
            pending_in: None,
            in_roster: true,
            ..contact
        }
    }

    /// What is the user's own of a contact as the user sees it, to be kept.
    pub fn keep(&self, shown: &Contact) -> Contact {
        let Some(lent) = self.groups(&shown.jid) else {
            return shown.clone();
        };
        let before = self.own.contacts.get(&shown.jid);
        let before = before.cloned().unwrap_or_else(|| Contact::new(shown.jid.clone()));
        let own = shown.groups.iter().filter(|group| !lent.contains(*group));
        Contact {
            name: shown.name.clone(),
            groups: own.cloned().collect(),
            in_roster: true,
            ..before
        }
    }

    /// This loan after the user's own roster has changed.
    #[must_use]
    pub fn after(&self, put: &[Contact], remove: &[Jid]) -> Self {
        let mut lent = self.clone();
        Arc::make_mut(&mut lent.own).apply(put, remove);
        lent
    }

    /// Whether `jid` is lent.
    pub fn has(&self, jid: &Jid) -> bool {
        self.groups(jid).is_some()
    }

    fn groups(&self, jid: &Jid) -> Option<&BTreeSet<String>> {
        self.loan.contacts.get(jid).filter(|_| jid != self.to.jid())
    }

    /// Whether everybody of the domain is to be lent.
    pub fn has_everyone(&self) -> bool {
        self.loan.everyone
    }

    /// What tells this loan from others: part of the roster's version as clients see it.
    pub fn mark(&self) -> &str {
        &self.mark
    }
}

/// What a user sees change when `before` becomes `after`, of contacts that are or were lent.
pub fn loan_change(before: (&Roster, Option<&Lent>), after: (&Roster, Option<&Lent>)) -> RosterChange {
    let groups = |lent: Option<&'_ Lent>, jid: &Jid| lent.and_then(|lent| lent.groups(jid)).cloned();
    let differs = |jid: &&Jid| groups(before.1, jid) != groups(after.1, jid);
    let lent = before.1.into_iter().chain(after.1);
    let jids: BTreeSet<&Jid> = lent
        .flat_map(|lent| lent.loan.contacts.keys())
        .filter(differs)
        .collect();
    let mut change = RosterChange::default();
    for jid in jids {
        match after.0.contacts.get(jid) {
            Some(contact) => change.put.push(contact.clone()),
            None => change.remove.push(jid.clone()),
        }
    }
    change
}

/// FNV-1a over everything that a client sees of a loan: the same on every router and in every release.
fn mark(loan: &Loan) -> u64 {
    let names = loan.contacts.iter().flat_map(|(jid, groups)| {
        let groups = groups.iter().flat_map(|group| [group.as_str(), "\u{1}"]);
        [jid.as_str(), "\u{2}"].into_iter().chain(groups)
    });
    names.flat_map(str::bytes).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        text.parse().unwrap()
    }

    fn loan(contacts: &[(&str, &str)]) -> Loan {
        let one = |(name, group): &(&str, &str)| (jid(name), BTreeSet::from([(*group).to_owned()]));
        Loan {
            contacts: Arc::new(contacts.iter().map(one).collect()),
            everyone: false,
        }
    }

    fn to() -> Bare {
        Bare::parse("potpan@v.example").unwrap()
    }

    fn contact(name: &str, groups: &[&str], subscription: Subscription) -> Contact {
        Contact {
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            subscription,
            in_roster: true,
            ..Contact::new(jid(name))
        }
    }

    fn own() -> Arc<Roster> {
        let mut roster = Roster::default();
        let asked = Contact {
            ask: Ask::Subscribe,
            in_roster: true,
            ..Contact::new(jid("gregory@v.example"))
        };
        roster.apply(
            &[asked, contact("romeo@m.example", &["Friends"], Subscription::To)],
            &[],
        );
        Arc::new(roster)
    }

    #[test]
    fn what_is_shown() {
        let lent = Lent::new(
            to(),
            loan(&[
                ("gregory@v.example", "House"),
                ("sampson@v.example", "House"),
                ("potpan@v.example", "House"),
            ]),
            own(),
        );
        let shown = lent.shown();
        assert_eq!((shown.version, shown.contacts.len()), (1, 3));
        for name in ["gregory@v.example", "sampson@v.example"] {
            let shown = &shown.contacts[&jid(name)];
            assert_eq!((shown.subscription, shown.ask), (Subscription::Both, Ask::None));
            assert_eq!(
                (shown.groups.as_slice(), shown.in_roster),
                (&["House".to_owned()][..], true)
            );
        }
        let romeo = contact("romeo@m.example", &["Friends"], Subscription::To);
        assert_eq!(shown.contacts[&romeo.jid], Contact { version: 1, ..romeo });
    }

    /// The user names a lent contact and puts it into groups; what is lent is not written.
    #[test]
    fn what_is_kept() {
        let lent = Lent::new(to(), loan(&[("gregory@v.example", "House")]), own());
        let given = Contact {
            name: Some("Greg".into()),
            ..contact("gregory@v.example", &["Fencing"], Subscription::Both)
        };
        let kept = lent.keep(&given);
        assert_eq!((kept.subscription, kept.ask), (Subscription::None, Ask::Subscribe));
        assert_eq!(
            (kept.name.as_deref(), kept.groups.as_slice()),
            (Some("Greg"), &["Fencing".to_owned()][..])
        );
        let shown = lent.show(kept.clone());
        assert_eq!(shown.groups, ["House", "Fencing"]);
        assert_eq!(lent.keep(&shown), kept);
        let after = lent.after(&[kept], &[]).shown();
        assert_eq!(
            (after.version, &after.contacts[&jid("gregory@v.example")].groups),
            (2, &shown.groups)
        );
        let other = contact("romeo@m.example", &[], Subscription::To);
        assert_eq!(lent.keep(&other), other);
    }

    #[test]
    fn what_changes() {
        let before = Lent::new(
            to(),
            loan(&[("gregory@v.example", "House"), ("sampson@v.example", "House")]),
            own(),
        );
        let after = Lent::new(
            to(),
            loan(&[("sampson@v.example", "House"), ("abraham@v.example", "House")]),
            own(),
        );
        assert_ne!(before.mark(), after.mark());
        let change = loan_change((&before.shown(), Some(&before)), (&after.shown(), Some(&after)));
        let put: Vec<&str> = change.put.iter().map(|contact| contact.jid.as_str()).collect();
        assert_eq!(
            (put, change.remove.len()),
            (vec!["abraham@v.example", "gregory@v.example"], 0)
        );
        let change = loan_change((&before.shown(), Some(&before)), (&own(), None));
        assert_eq!(change.remove, [jid("sampson@v.example")]);
    }
}
