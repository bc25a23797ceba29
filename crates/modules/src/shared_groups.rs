//! Shared roster groups: users of a host who are each other's contacts because its operator says so. Their rosters show it, nobody
//! asks, and nobody can take it back; names and further groups are each user's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::{About, Bare, Hooks, Jid, Loan, Module, Presence, PresenceType, Verdict, View, Way};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Stores;

/// The module.
pub(crate) struct SharedGroups {
    /// What is lent to each member that is named.
    named: BTreeMap<Jid, Contacts>,
    /// The names of groups of everyone.
    everyone: BTreeSet<String>,
    max_everyone: usize,
}

/// Groups by contact, shared by all members of the same groups.
type Contacts = Arc<BTreeMap<Jid, BTreeSet<String>>>;

/// The groups of a host.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SharedGroupsConfig {
    /// The groups.
    pub groups: Vec<Group>,
    /// Of how many users a group of everyone consists at most: the first in order of address.
    pub max_everyone: usize,
}

/// A group whose members have each other in their rosters.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// What it is called in rosters.
    pub name: String,
    /// Bare addresses of its members, users of the host; others are passed over.
    #[serde(default)]
    pub members: Vec<String>,
    /// Whether every user of the host is a member.
    #[serde(default)]
    pub everyone: bool,
}

impl Default for SharedGroupsConfig {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            max_everyone: 1_000,
        }
    }
}

impl Module for SharedGroups {
    const ABOUT: About = About {
        name: "shared_groups",
        rfcs: &[("6121", "2")],
        xeps: &[],
        summary: "Makes users of a host each other's contacts, as its operator says.",
    };
    type Config = SharedGroupsConfig;

    fn new(config: SharedGroupsConfig) -> Self {
        let everyone = config.groups.iter().filter(|group| group.everyone);
        Self {
            named: named(&config.groups),
            everyone: everyone.map(|group| group.name.clone()).collect(),
            max_everyone: config.max_everyone,
        }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        if self.named.is_empty() && self.everyone.is_empty() {
            return;
        }
        on.guard(Way::Out, keep_going_out);
        on.guard(Way::In, keep_coming_in);
        on.lend(move |stores, account| Box::pin(loan(self.clone(), stores, account)));
    }
}

/// What is lent to each member that `groups` name.
fn named(groups: &[Group]) -> BTreeMap<Jid, Contacts> {
    let mut members: Vec<BTreeSet<Jid>> = Vec::new();
    let mut of: BTreeMap<Jid, Vec<usize>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        let group = group.members.iter().filter_map(|member| Bare::parse(member).ok());
        members.push(group.map(Jid::from).collect());
        members[at]
            .iter()
            .for_each(|member| of.entry(member.clone()).or_default().push(at));
    }
    let mut shared: BTreeMap<(String, Vec<usize>), Contacts> = BTreeMap::new();
    let mut lent = |member: &Jid, of: Vec<usize>| {
        let contacts = shared
            .entry((member.domain().to_owned(), of))
            .or_insert_with_key(|(domain, of)| {
                let mut contacts: BTreeMap<Jid, BTreeSet<String>> = BTreeMap::new();
                for at in of {
                    for member in members[*at].iter().filter(|member| member.domain() == domain) {
                        contacts
                            .entry(member.clone())
                            .or_default()
                            .insert(groups[*at].name.clone());
                    }
                }
                Arc::new(contacts)
            });
        contacts.clone()
    };
    of.into_iter()
        .map(|(member, of)| {
            let contacts = lent(&member, of);
            (member, contacts)
        })
        .collect()
}

/// What is lent to `account`: the other members of its groups.
async fn loan(module: Arc<SharedGroups>, stores: &Stores, account: &Bare) -> store::Result<Option<Loan>> {
    let named = module.named.get(account.jid()).cloned().map(|contacts| Loan {
        contacts,
        everyone: false,
    });
    if module.everyone.is_empty() {
        return Ok(named);
    }
    let (users, all) = module.everyone(stores, account.domain()).await?;
    // Where all are members, one that is to be removed and not listed any more still is: it says goodbye to the others.
    if !all && !users.contains(account) {
        return Ok(named);
    }
    let groups = |user: Bare| (Jid::from(user), module.everyone.clone());
    let mut loan = Loan {
        contacts: Arc::new(users.into_iter().map(groups).collect()),
        everyone: all,
    };
    named.into_iter().for_each(|named| loan.extend(named));
    Ok(Some(loan))
}

impl SharedGroups {
    /// The users of a group of everyone, and whether they are all that there are.
    async fn everyone(&self, stores: &Stores, domain: &str) -> store::Result<(Vec<Bare>, bool)> {
        let most = u32::try_from(self.max_everyone).unwrap_or(u32::MAX);
        let mut users = stores.accounts.list(domain, None, most.saturating_add(1)).await?;
        let all = users.len() <= self.max_everyone;
        users.truncate(self.max_everyone);
        Ok((users, all))
    }
}

/// Members do not ask each other, nor do they part.
fn keep_going_out(view: &View<'_>, presence: &Presence) -> Verdict {
    use PresenceType::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};
    let is_subscription = matches!(presence.kind, Subscribe | Subscribed | Unsubscribe | Unsubscribed);
    verdict(view, is_subscription, presence.head.to.as_ref())
}

/// A member whose roster is not told yet that it is one does not undo it.
fn keep_coming_in(view: &View<'_>, presence: &Presence) -> Verdict {
    let parts = matches!(presence.kind, PresenceType::Unsubscribe | PresenceType::Unsubscribed);
    verdict(view, parts, presence.head.from.as_ref())
}

fn verdict(view: &View<'_>, is_meant: bool, other: Option<&Jid>) -> Verdict {
    match is_meant && other.is_some_and(|other| view.account.is_lent(other)) {
        true => Verdict::Drop,
        false => Verdict::Pass,
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use serde_json::json;

    use super::*;
    use store::{Account, memory};

    fn account(jid: &str) -> Account {
        Account {
            jid: Bare::parse(jid).unwrap(),
            created: engine::Timestamp(0),
            verifiers: Vec::new(),
            last_seen: None,
            disabled: false,
        }
    }

    /// Who is lent to whom, each with its groups, where three users have accounts.
    #[test]
    fn who_is_lent() {
        let check = |groups: serde_json::Value, most: usize, jid: &str, expected: Option<&str>| {
            let config = json!({ "groups": groups, "max_everyone": most });
            let module = Arc::new(SharedGroups::new(serde_json::from_value(config).unwrap()));
            let stores = memory::stores();
            let accounts = ["a@v.example", "b@v.example", "c@v.example", "z@m.example"].map(account);
            block_on(stores.accounts.create(&accounts)).unwrap();
            let loan = block_on(loan(module, &stores, &Bare::parse(jid).unwrap())).unwrap();
            let shown = loan.map(|loan| {
                let one = |(jid, groups): (&Jid, &BTreeSet<String>)| {
                    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
                    format!("{}: {}", jid.local().unwrap(), groups.join(" "))
                };
                let others = loan.contacts.iter().filter(|(other, _)| other.as_str() != jid);
                let contacts: Vec<String> = others.map(one).collect();
                format!(
                    "{}{}",
                    contacts.join(", "),
                    if loan.everyone { ", everyone" } else { "" }
                )
            });
            assert_eq!(shown.as_deref(), expected, "{groups} {jid}");
        };
        let pair = json!([{ "name": "P", "members": ["A@v.example", "b@v.example", "z@m.example", "@"] }]);
        check(pair.clone(), 10, "a@v.example", Some("b: P"));
        check(pair.clone(), 10, "c@v.example", None);
        check(pair, 10, "z@m.example", Some(""));
        let two = json!([{ "name": "P", "members": ["a@v.example", "b@v.example"] },
            { "name": "Q", "members": ["a@v.example", "b@v.example", "c@v.example"] }]);
        check(two.clone(), 10, "a@v.example", Some("b: P Q, c: Q"));
        check(two, 10, "c@v.example", Some("a: Q, b: Q"));
        let all = json!([{ "name": "E", "everyone": true }]);
        check(all.clone(), 10, "a@v.example", Some("b: E, c: E, everyone"));
        check(all.clone(), 2, "a@v.example", Some("b: E"));
        check(all.clone(), 2, "c@v.example", None);
        // One that is not listed any more, where all are members.
        check(all, 10, "d@v.example", Some("a: E, b: E, c: E, everyone"));
        check(json!([]), 10, "a@v.example", None);
    }
}
