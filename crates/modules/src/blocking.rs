//! Blocking (XEP-0191): a user has nothing to do with some addresses, and to them appears to be away. A block may carry a report of spam
//! or abuse (XEP-0377), which goes to those who run the server.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{
    About, AccountView, Answer, At, Bare, Condition, Cx, Effect, Effects, Element, ErrorType, Fact, Head, Hooks, Iq,
    IqType, Jid, Malformed, Message, MessageType, Module, Payload, Presence, PresenceType, Put, Reply, Request,
    SessionChange, SessionView, Stanza, StanzaError, Verdict, View, Way, ns, request,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Key, Stores, Version};

use crate::presence;

/// The module.
pub(crate) struct Blocking {
    config: BlockingConfig,
}

/// Limits of a block list, and who hears of reports.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BlockingConfig {
    /// How many addresses a user may block; more are refused with `resource-constraint`.
    pub max_items: usize,
    /// Addresses that get a message for each report of spam or abuse (XEP-0377), such as `admin@shakespeare.example`.
    pub reports_to: Vec<String>,
    /// Of how many addresses of one request reports are passed on; the others are blocked all the same.
    pub max_reports: usize,
    /// How many reports of one user are passed on within an hour; further ones block all the same. 0: no limit.
    pub reports_per_hour: u32,
}

impl Default for BlockingConfig {
    fn default() -> Self {
        Self {
            max_items: 1_000,
            reports_to: Vec::new(),
            max_reports: 10,
            reports_per_hour: 30,
        }
    }
}

/// Noted of a session that asked for the list: it is told of changes.
const FOLLOWS: &str = "blocking";
/// What reports are counted as.
const REPORTS: &str = "reports";
/// In seconds.
const HOUR: u32 = 3_600;
const REPORTING: &str = "urn:xmpp:reporting:1";

request! {
    /// `<blocklist xmlns='urn:xmpp:blocking'/>`
    Fetch = "blocklist" in ns::BLOCKING;
}

/// `<block xmlns='urn:xmpp:blocking'/>`
struct Block {
    items: Vec<(Jid, Option<Element>)>,
    element: Element,
}

/// `<unblock xmlns='urn:xmpp:blocking'/>`: these, or all.
struct Unblock {
    items: Vec<Jid>,
    element: Element,
}

impl Request for Block {
    const NS: &'static str = ns::BLOCKING;
    const NAME: &'static str = "block";

    fn read(element: &Element) -> Result<Self, Malformed> {
        let item = |item: &Element| Ok((address(item)?, item.child(REPORTING, "report").cloned()));
        let items: Vec<_> = items(element).map(item).collect::<Result<_, Malformed>>()?;
        if items.is_empty() {
            return Err(Malformed("nobody to block"));
        }
        let element = push_of("block", items.iter().map(|(jid, _)| jid));
        Ok(Self { items, element })
    }
}

impl Request for Unblock {
    const NS: &'static str = ns::BLOCKING;
    const NAME: &'static str = "unblock";

    fn read(element: &Element) -> Result<Self, Malformed> {
        let items: Vec<Jid> = items(element).map(address).collect::<Result<_, _>>()?;
        let element = push_of("unblock", &items);
        Ok(Self { items, element })
    }
}

impl Module for Blocking {
    const ABOUT: About = About {
        name: "blocking",
        rfcs: &[],
        xeps: &[(191, "1.3"), (377, "0.4.1")],
        summary: "Lets users have nothing to do with some addresses, and report them.",
    };
    type Config = BlockingConfig;

    fn new(config: BlockingConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.fact::<Blocklist>();
        on.bar(blocks);
        on.guard(Way::Out, |view, message: &Message| leaves(view, &message.head));
        on.guard(Way::Out, |view, presence: &Presence| leaves(view, &presence.head));
        on.guard(Way::Out, |view, iq: &Iq| leaves(view, &iq.head));
        on.guard(Way::In, |view, message: &Message| {
            comes(view, &message.head, message.kind != MessageType::Error)
        });
        on.guard(Way::In, |view, presence: &Presence| comes(view, &presence.head, false));
        on.guard(Way::In, |view, iq: &Iq| {
            comes(view, &iq.head, matches!(iq.kind, IqType::Get | IqType::Set))
        });
        on.feature(At::Server, ns::BLOCKING);
        on.feature(At::Server, REPORTING);
        on.get(At::Account, |cx, _: Fetch| std::future::ready(fetch(&cx)));
        on.set(At::Account, move |cx, request| {
            std::future::ready(self.block(&cx, request))
        });
        on.set(At::Account, |cx, request| std::future::ready(unblock(&cx, request)));
    }
}

/// XEP-0191, 3.3: nothing goes there.
fn leaves(view: &View<'_>, head: &Head) -> Verdict {
    match &head.to {
        Some(to) if blocks(view.account, to) => {
            let mut error = StanzaError::new(Condition::NotAcceptable).with_type(ErrorType::Cancel);
            error.application = Some(Box::new(Element::new("urn:xmpp:blocking:errors", "blocked")));
            Verdict::Bounce(error)
        }
        _ => Verdict::Pass,
    }
}

/// XEP-0191, 3.3: nothing comes from there; what would be answered is answered as if nobody was here.
fn comes(view: &View<'_>, head: &Head, is_answered: bool) -> Verdict {
    match &head.from {
        Some(from) if blocks(view.account, from) => match is_answered {
            true => Verdict::Bounce(Condition::ServiceUnavailable.into()),
            false => Verdict::Drop,
        },
        _ => Verdict::Pass,
    }
}

fn fetch(cx: &Cx) -> Answer {
    let list = cx.own::<Blocklist>()?;
    let reply = Reply::from(list_of(&list.items));
    Ok(match cx.session {
        Some(session) => reply.effect(Effect::Session(session, SessionChange::Flag(FOLLOWS, true))),
        None => reply,
    })
}

impl Blocking {
    fn block(&self, cx: &Cx, block: Block) -> Answer {
        let list = cx.own::<Blocklist>()?;
        let new: BTreeSet<Jid> = block.items.iter().map(|(jid, _)| jid.clone()).collect();
        let items: BTreeSet<Jid> = list.items.union(&new).cloned().collect();
        if items.len() > self.config.max_items {
            return Err(StanzaError::new(Condition::ResourceConstraint).with_text("too many addresses"));
        }
        let now = Blocklist { items, version: None };
        let mut effects = Effects::default();
        // The last that they hear.
        for session in cx.account.available() {
            let is_new = |jid: &Jid| now.contains(&cx.account, jid) && !list.contains(&cx.account, jid);
            for jid in audience(&cx.account, session, &new).filter(is_new) {
                effects.send(presence::plain(
                    PresenceType::Unavailable,
                    session.jid.jid(),
                    Some(&jid),
                ));
            }
        }
        effects.push(list.put(&now));
        for (jid, report) in self.reports(cx, list, &block) {
            self.report(cx, jid, report, &mut effects);
        }
        Ok(told(cx, block.element, effects))
    }

    /// The reports to be passed on: one of each address that was not blocked before, as far as there may be more.
    fn reports<'a>(&self, cx: &Cx, list: &Blocklist, block: &'a Block) -> Vec<(&'a Jid, &'a Element)> {
        let left = match self.config.reports_per_hour {
            0 => usize::MAX,
            most => most.saturating_sub(cx.account.meters.read(REPORTS, cx.now, HOUR)) as usize,
        };
        let mut seen = BTreeSet::new();
        let items = block.items.iter();
        items
            .filter_map(|(jid, report)| Some((jid, report.as_ref()?)))
            .filter(|(jid, _)| !list.items.contains(*jid) && seen.insert(*jid))
            .take(self.config.max_reports.min(left))
            .collect()
    }

    /// XEP-0377, 4: those who run the server hear of it.
    fn report(&self, cx: &Cx, about: &Jid, report: &Element, effects: &mut Effects) {
        let text: Vec<String> = report
            .children()
            .filter(|child| child.is(REPORTING, "text"))
            .map(Element::content)
            .collect();
        let reason = report.attribute("reason").unwrap_or("urn:xmpp:reporting:abuse");
        let by = &cx.account.jid;
        let body = format!("{by} reports {about} ({reason}) {}", text.join(" "));
        let body = Element::new(ns::CLIENT, "body").text(body.trim_end());
        let item = Element::new(ns::BLOCKING, "item")
            .with("jid", about.as_str())
            .push(report.clone());
        let payload: Payload = [body, item].into_iter().collect();
        effects.push(Effect::Meter {
            name: REPORTS,
            window: HOUR,
        });
        for to in self.config.reports_to.iter().filter_map(|to| Jid::parse(to).ok()) {
            let head = Head {
                to: Some(to),
                from: Jid::parse(&cx.host.domain).ok(),
                ..Head::default()
            };
            let kind = MessageType::Normal;
            let payload = payload.clone();
            effects.send(Message { head, kind, payload });
        }
    }
}

fn unblock(cx: &Cx, unblock: Unblock) -> Answer {
    let list = cx.own::<Blocklist>()?;
    let gone: BTreeSet<Jid> = match unblock.items.is_empty() {
        true => list.items.clone(),
        false => unblock.items.into_iter().collect(),
    };
    let now = Blocklist {
        items: list.items.difference(&gone).cloned().collect(),
        version: None,
    };
    let mut effects = Effects::default();
    effects.push(list.put(&now));
    for session in cx.account.available() {
        let is_free = |jid: &Jid| list.contains(&cx.account, jid) && !now.contains(&cx.account, jid);
        // What was not heard meanwhile.
        let heard = cx
            .account
            .roster
            .contacts
            .values()
            .filter(|contact| contact.subscription.is_to());
        for contact in heard.filter(|contact| is_free(&contact.jid)) {
            effects.send(presence::plain(
                PresenceType::Probe,
                session.jid.jid(),
                Some(&contact.jid),
            ));
        }
        for jid in audience(&cx.account, session, &gone).filter(is_free) {
            presence::current(session, &jid)
                .into_iter()
                .for_each(|presence| effects.send(presence));
        }
    }
    Ok(told(cx, unblock.element, effects))
}

/// To whom of those that the items name the session's presence goes (RFC 6121, 4.4.2 and 4.6).
fn audience(account: &AccountView, session: &SessionView, items: &BTreeSet<Jid>) -> impl Iterator<Item = Jid> {
    let contacts = account.roster.contacts.values();
    let subscribed = contacts
        .filter(|contact| contact.subscription.is_from())
        .map(|contact| &contact.jid);
    let mut audience: BTreeSet<Jid> = subscribed
        .chain(&session.directed)
        .filter(|jid| matches(items, jid))
        .cloned()
        .collect();
    // A resource of somebody who is subscribed.
    let resources = items.iter().filter(|jid| !jid.is_bare() && account.is_seen_by(jid));
    audience.extend(resources.cloned());
    audience.into_iter()
}

/// The answer, and the push to all clients that follow the list.
fn told(cx: &Cx, push: Element, effects: Effects) -> Reply {
    let mut head = Head {
        from: Some(cx.account.jid.clone().into()),
        ..Head::default()
    };
    head.id = Some(format!("blocking-{}", cx.now.0).into());
    let push: Stanza = Iq {
        head,
        kind: IqType::Set,
        payload: push.into(),
    }
    .into();
    let follow = cx.account.sessions.iter().filter(|session| session.has_flag(FOLLOWS));
    let to = follow.map(|session| session.id).collect();
    let mut after = Effects::default();
    after.deliver_each(to, push);
    Reply {
        payload: None,
        effects,
        after,
    }
}

fn blocks(account: &AccountView, jid: &Jid) -> bool {
    account
        .facts
        .get::<Blocklist>()
        .is_some_and(|list| list.contains(account, jid))
}

/// What an account has nothing to do with.
#[derive(Debug, Default)]
struct Blocklist {
    items: BTreeSet<Jid>,
    version: Option<Version>,
}

impl Blocklist {
    /// Whether an address is blocked. The account itself and its server never are, whatever is in the list (XEP-0191, 4.1).
    fn contains(&self, account: &AccountView, jid: &Jid) -> bool {
        let is_own = || jid.bare() == account.jid || jid.as_str() == account.jid.domain();
        !self.items.is_empty() && matches(&self.items, jid) && !is_own()
    }

    /// Writes `now` in the place of this.
    fn put(&self, now: &Self) -> Effect {
        Effect::Put(Put::element::<Self>(key(), &list_of(&now.items), self.version))
    }
}

impl Fact for Blocklist {
    async fn load(stores: &Stores, account: &Bare) -> store::Result<Self> {
        let read = |list: &Element| items(list).map(address).collect::<Result<_, _>>().ok();
        let kept = engine::kept(stores, account, &key(), read).await?;
        Ok(kept.map_or_else(Self::default, |(items, version)| Self {
            items,
            version: Some(version),
        }))
    }
}

/// XEP-0191, 5: the address itself, any resource of it, or anybody at its domain.
fn matches(items: &BTreeSet<Jid>, jid: &Jid) -> bool {
    let domain = || Jid::parse(jid.domain()).is_ok_and(|domain| items.contains(&domain));
    items.contains(jid) || items.contains(jid.bare().jid()) || domain()
}

fn items(element: &Element) -> impl Iterator<Item = &Element> {
    element.children().filter(|child| child.is(ns::BLOCKING, "item"))
}

fn address(item: &Element) -> Result<Jid, Malformed> {
    let jid = item.attribute("jid").and_then(|jid| Jid::parse(jid).ok());
    jid.ok_or(Malformed("an item has an address"))
}

fn list_of<'a>(items: impl IntoIterator<Item = &'a Jid>) -> Element {
    push_of("blocklist", items)
}

fn push_of<'a>(name: &'static str, items: impl IntoIterator<Item = &'a Jid>) -> Element {
    let item = |jid: &Jid| Element::new(ns::BLOCKING, "item").with("jid", jid.as_str());
    Element::new(ns::BLOCKING, name).extend(items.into_iter().map(item))
}

fn key() -> Key {
    Key {
        space: "blocking".into(),
        name: "list".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XEP-0191, 5.
    #[test]
    fn who_is_meant() {
        let items = ["a@x.example/r", "b@x.example", "y.example/r", "z.example"];
        let items: BTreeSet<Jid> = items.iter().map(|jid| Jid::parse(jid).unwrap()).collect();
        for (jid, expected) in [
            ("a@x.example/r", true),
            ("a@x.example/s", false),
            ("a@x.example", false),
            ("b@x.example/any", true),
            ("b@x.example", true),
            ("c@x.example", false),
            ("x.example", false),
            ("y.example/r", true),
            ("y.example", false),
            ("a@y.example/r", false),
            ("z.example", true),
            ("z.example/r", true),
            ("a@z.example", true),
            ("a@z.example/r", true),
            ("a@sub.z.example", false),
        ] {
            assert_eq!(matches(&items, &Jid::parse(jid).unwrap()), expected, "{jid}");
        }
    }
}
