//! The roster (RFC 6121, 2): who the user's contacts are, on every client alike.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{
    About, Answer, Condition, Cx, Effect, Effects, Element, Hooks, Jid, Malformed, Module, Presence, PresenceType,
    Reply, Request, RosterChange, SessionChange, StanzaError, Verdict, View, Way, ns, roster_item, roster_push,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Contact, Roster};

use crate::presence;

/// The module.
pub(crate) struct Rosters {
    config: RosterConfig,
}

/// Limits of a roster.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RosterConfig {
    /// How many contacts a user may have; more are refused with `resource-constraint`.
    pub max_contacts: usize,
    /// How many groups a contact may be in; more are refused with `not-acceptable`.
    pub max_groups: usize,
    /// How many bytes the name of a contact or group may have; longer ones are refused with `not-acceptable`.
    pub max_name_bytes: usize,
}

impl Default for RosterConfig {
    fn default() -> Self {
        Self {
            max_contacts: 10_000,
            max_groups: 100,
            max_name_bytes: 1_023,
        }
    }
}

/// `<query xmlns='jabber:iq:roster'/>` of type get: the version the client has, if it says.
struct Fetch {
    version: Option<String>,
}

/// The same of type set: one item as the client sent it.
struct Change {
    item: Element,
}

impl Request for Fetch {
    const NS: &'static str = ns::ROSTER;
    const NAME: &'static str = "query";

    fn read(element: &Element) -> Result<Self, Malformed> {
        Ok(Self {
            version: element.attribute("ver").map(str::to_owned),
        })
    }
}

impl Request for Change {
    const NS: &'static str = ns::ROSTER;
    const NAME: &'static str = "query";

    fn read(element: &Element) -> Result<Self, Malformed> {
        let mut items = element.children().filter(|child| child.is(ns::ROSTER, "item"));
        match (items.next(), items.next()) {
            (Some(item), None) => Ok(Self { item: item.clone() }),
            _ => Err(Malformed("a roster set holds exactly one item")),
        }
    }
}

impl Module for Rosters {
    const ABOUT: About = About {
        name: "roster",
        rfcs: &[("6121", "2")],
        xeps: &[],
        summary: "Keeps each user's list of contacts, the same on every client.",
    };
    type Config = RosterConfig;

    fn new(config: RosterConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        let guard = self.clone();
        on.guard(Way::Out, move |view, presence| guard.check(view, presence));
        on.get(engine::At::Account, fetch);
        on.set(engine::At::Account, move |cx, request| {
            std::future::ready(self.change(&cx, request))
        });
        on.stream_feature(|_, _| Element::new(ns::ROSTER_VERSIONING, "ver"));
    }
}

/// Answers with the roster, or with what has changed in it (RFC 6121, 2.1.3, 2.1.4 and 2.6).
async fn fetch(cx: Cx, request: Fetch) -> Answer {
    if !cx.is_owner() {
        return Err(Condition::Forbidden.into());
    }
    let roster = &cx.account.roster;
    let reply = match request.version.as_deref().map(|version| differences(&cx, version)) {
        Some(Some(pushes)) => pushes.into_iter().fold(Reply::empty(), |reply, push| reply.then(push)),
        // The version goes with it even when the client did not ask for it (RFC 6121, 2.6.3).
        Some(None) | None => Reply::from(full(roster).with("ver", cx.account.roster_version(roster.version))),
    };
    match cx.session {
        Some(session) => Ok(reply.effect(Effect::Session(session, SessionChange::Interested))),
        None => Ok(reply),
    }
}

/// The whole roster.
fn full(roster: &Roster) -> Element {
    let contacts = roster.contacts.values().filter(|contact| contact.in_roster);
    Element::new(ns::ROSTER, "query").extend(contacts.map(roster_item))
}

/// What has changed since `version`, as interim pushes (RFC 6121, 2.6.3), if that is known and worth the while.
fn differences(cx: &Cx, version: &str) -> Option<Vec<Effect>> {
    let (roster, session) = (&cx.account.roster, cx.session?);
    let own = version.split('-').next().unwrap_or_default();
    let seen: u64 = own
        .parse()
        .ok()
        .filter(|seen| cx.account.roster_version(*seen) == version)
        .filter(|seen| (roster.oldest..=roster.version).contains(seen))?;
    let put = roster
        .contacts
        .values()
        .filter(|contact| contact.in_roster && contact.version > seen);
    let removed = roster.removed.iter().filter(|(_, at)| *at > seen);
    let mut changes: Vec<(u64, Result<&Contact, &Jid>)> = put
        .map(|contact| (contact.version, Ok(contact)))
        .chain(removed.map(|(jid, at)| (*at, Err(jid))))
        .collect();
    if changes.len() > roster.contacts.len().max(FEW) {
        return None;
    }
    changes.sort_by_key(|(version, _)| *version);
    let pushes = changes.iter().enumerate().map(|(at, (version, change))| {
        // A client that stops in between must not think that it has seen all of a version.
        let is_last = changes.get(at + 1).is_none_or(|(next, _)| next != version);
        let version = cx.account.roster_version(if is_last { *version } else { version - 1 });
        let push = roster_push(&cx.account.jid, version, *change);
        Effect::Deliver {
            to: vec![session],
            stanza: Arc::new(push.into()),
            readdress: true,
        }
    });
    Some(pushes.collect())
}

impl Rosters {
    /// Adds, changes or removes a contact (RFC 6121, 2.3 to 2.5).
    fn change(&self, cx: &Cx, request: Change) -> Answer {
        if !cx.is_owner() {
            return Err(Condition::Forbidden.into());
        }
        let item = request.item;
        let jid = item.attribute("jid").ok_or(Malformed("a roster item has an address"))?;
        let jid = Jid::parse(jid).map_err(|_| Condition::JidMalformed)?;
        let known = cx.account.roster.contacts.get(&jid);
        if item.attribute("subscription") == Some("remove") {
            return remove(cx, known);
        }
        let (name, groups) = (self.name(&item)?, self.groups(&item)?);
        if !known.is_some_and(|known| known.in_roster) && self.is_full(&cx.account.roster) {
            return Err(full_up());
        }
        let contact = known.cloned().unwrap_or_else(|| Contact::new(jid));
        let put = vec![Contact {
            name,
            groups,
            in_roster: true,
            ..contact
        }];
        Ok(Reply::empty().effect(Effect::Roster(RosterChange {
            put,
            ..RosterChange::default()
        })))
    }

    fn name(&self, item: &Element) -> Result<Option<String>, StanzaError> {
        let name = item.attribute("name").filter(|name| !name.is_empty());
        self.check_length(name.unwrap_or_default())?;
        Ok(name.map(str::to_owned))
    }

    fn groups(&self, item: &Element) -> Result<Vec<String>, StanzaError> {
        let groups: Vec<String> = item
            .children()
            .filter(|child| child.is(ns::ROSTER, "group"))
            .map(Element::content)
            .collect();
        if groups.len() > self.config.max_groups {
            return Err(refusal(Condition::NotAcceptable, "too many groups"));
        }
        let mut seen = BTreeSet::new();
        for group in &groups {
            self.check_length(group)?;
            if group.is_empty() {
                return Err(refusal(Condition::NotAcceptable, "a group needs a name"));
            }
            if !seen.insert(group) {
                return Err(refusal(Condition::BadRequest, "a group appears twice"));
            }
        }
        Ok(groups)
    }

    fn check_length(&self, name: &str) -> Result<(), StanzaError> {
        if name.len() > self.config.max_name_bytes {
            return Err(refusal(Condition::NotAcceptable, "the name is too long"));
        }
        Ok(())
    }

    fn is_full(&self, roster: &Roster) -> bool {
        // The quick look first: contacts out of sight only make it larger.
        roster.contacts.len() >= self.config.max_contacts
            && roster.contacts.values().filter(|contact| contact.in_roster).count() >= self.config.max_contacts
    }

    /// A request or approval brings the contact into the roster (RFC 6121, 3.1.2 and 3.4.2): not into a full one.
    fn check(&self, view: &View<'_>, presence: &Presence) -> Verdict {
        let Some(to) = &presence.head.to else {
            return Verdict::Pass;
        };
        if !matches!(presence.kind, PresenceType::Subscribe | PresenceType::Subscribed) {
            return Verdict::Pass;
        }
        let known = view.account.roster.contacts.get(to.bare().jid());
        if known.is_some_and(|known| known.in_roster) || !self.is_full(&view.account.roster) {
            return Verdict::Pass;
        }
        Verdict::Bounce(full_up())
    }
}

/// Removes a contact and gives up the subscriptions (RFC 6121, 2.5).
fn remove(cx: &Cx, known: Option<&Contact>) -> Answer {
    let known = known.filter(|known| known.in_roster).ok_or(Condition::ItemNotFound)?;
    if cx.account.is_lent(&known.jid) {
        return Err(refusal(
            Condition::NotAllowed,
            "the contact is everybody's in its group",
        ));
    }
    let mut effects = Effects::default();
    effects.push(Effect::Roster(RosterChange {
        remove: vec![known.jid.clone()],
        ..RosterChange::default()
    }));
    presence::cancel(&cx.account, known, &mut effects);
    Ok(Reply {
        effects,
        ..Reply::empty()
    })
}

fn full_up() -> StanzaError {
    refusal(Condition::ResourceConstraint, "the roster is full")
}

fn refusal(condition: Condition, text: &str) -> StanzaError {
    StanzaError::new(condition).with_text(text)
}

/// So many differences are always sent as such; beyond, only if they are not more than the roster has contacts.
const FEW: usize = 16;
