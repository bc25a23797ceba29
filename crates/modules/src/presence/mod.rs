//! Presence and subscriptions (RFC 6121, 3 and 4).

mod broadcast;
mod notice;
mod probe;
mod request;
mod subscription;

use std::sync::Arc;

use engine::{
    About, AccountCx, AccountEvent, Condition, Effects, Element, Hooks, Jid, Module, Outcome, Presence, PresenceType,
    SessionEvent, StanzaError, Verdict, View, Way, ns,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use notice::{current, plain};
pub(crate) use request::cancel;

/// The module.
pub(crate) struct Presences {
    config: PresenceConfig,
}

/// Limits of what presence keeps for a user.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PresenceConfig {
    /// How many addresses outside its roster a session may have sent presence to at a time (such as rooms); more is
    /// answered with `resource-constraint`.
    pub max_directed: usize,
    /// How many subscription requests may wait for a user's answer; more are answered with `resource-constraint`.
    pub max_requests: usize,
    /// Of a waiting request the content is kept up to so many bytes; of a larger one only who asks.
    pub max_request_bytes: usize,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            max_directed: 1_000,
            max_requests: 1_000,
            max_request_bytes: 4_096,
        }
    }
}

impl Module for Presences {
    const ABOUT: About = About {
        name: "presence",
        rfcs: &[("6121", "3"), ("6121", "4")],
        xeps: &[],
        summary: "Tells subscribed contacts who is available, and manages who is subscribed.",
    };
    type Config = PresenceConfig;

    fn new(config: PresenceConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        let (sent, received, handled) = (self.clone(), self.clone(), self);
        on.guard(Way::Out, move |view, presence| sent.check_sent(view, presence));
        on.guard(Way::In, move |view, presence| received.check_received(view, presence));
        on.observe(Way::Out, outgoing);
        on.observe(Way::In, move |view, presence, effects| {
            handled.incoming(view, presence, effects)
        });
        on.session(closed);
        on.account(|cx, event| std::future::ready(Ok(removed(&cx, event))));
        on.stream_feature(|_, _| Element::new(ns::PRE_APPROVAL, "sub"));
    }
}

impl Presences {
    /// Broadcast presence must have a priority that everybody reads alike; directed presence is remembered within a limit.
    fn check_sent(&self, view: &View<'_>, presence: &Presence) -> Verdict {
        match (&presence.head.to, view.session) {
            (None, _) if !has_valid_priority(presence) => refuse(Condition::BadRequest, "invalid priority"),
            (Some(to), Some(session))
                if presence.kind == PresenceType::Available
                    && session.directed.len() >= self.config.max_directed
                    && broadcast::is_new(view, session, to) =>
            {
                refuse(
                    Condition::ResourceConstraint,
                    "too many addresses have been sent directed presence",
                )
            }
            _ => Verdict::Pass,
        }
    }

    fn check_received(&self, view: &View<'_>, presence: &Presence) -> Verdict {
        if presence.kind != PresenceType::Subscribe || is_known(view, presence.head.from.as_ref()) {
            return Verdict::Pass;
        }
        let waiting = view
            .account
            .roster
            .contacts
            .values()
            .filter(|contact| contact.pending_in.is_some());
        if waiting.count() < self.config.max_requests {
            return Verdict::Pass;
        }
        Verdict::Bounce(Condition::ResourceConstraint.into())
    }

    fn incoming(&self, view: &View<'_>, presence: &Presence, effects: &mut Effects) {
        match (presence.kind, view.outcome) {
            (PresenceType::Unavailable, _) => broadcast::gone(view.account, presence, effects),
            (PresenceType::Probe, Outcome::Handle) => probe::answer(view.account, presence, effects),
            (_, Outcome::Handle) => request::incoming(view, presence, self.config.max_request_bytes, effects),
            _ => {}
        }
    }
}

fn outgoing(view: &View<'_>, presence: &Presence, effects: &mut Effects) {
    let Some(session) = view.session else { return };
    match (presence.kind, &presence.head.to) {
        (PresenceType::Available, None) => broadcast::available(view, session, presence, effects),
        (PresenceType::Unavailable, None) => broadcast::unavailable(view, session, presence, effects),
        (PresenceType::Available | PresenceType::Unavailable, Some(_)) => {
            broadcast::directed(view, session, presence, effects);
        }
        (PresenceType::Error | PresenceType::Probe, _) => {}
        _ => request::outgoing(view, presence, effects),
    }
}

fn closed(view: &View<'_>, event: SessionEvent, effects: &mut Effects) {
    if let (SessionEvent::Closed, Some(session)) = (event, view.session) {
        broadcast::closed(view, session, effects);
    }
}

/// The account was removed: its subscriptions are cancelled, both ways (XEP-0077, 3.2, as if each contact were removed: RFC 6121,
/// 2.5.2). Of availability the end of its sessions told.
fn removed(cx: &AccountCx, event: AccountEvent) -> Effects {
    let AccountEvent::Removed = event;
    let mut effects = Effects::default();
    for contact in cx.account.roster.contacts.values() {
        cancel(&cx.account, contact, &mut effects);
    }
    effects
}

/// RFC 6121, 4.7.2.3: at most one priority, an integer from -128 to +127.
fn has_valid_priority(presence: &Presence) -> bool {
    let mut found = presence
        .payload
        .children()
        .iter()
        .filter(|child| child.is(ns::CLIENT, "priority"));
    let Some(priority) = found.next() else { return true };
    let is_number = || {
        presence
            .payload
            .element(priority)
            .is_some_and(|element| element.content().trim().parse::<i8>().is_ok())
    };
    found.next().is_none() && is_number()
}

fn is_known(view: &View<'_>, jid: Option<&Jid>) -> bool {
    jid.is_some_and(|jid| view.account.roster.contacts.contains_key(jid.bare().jid()))
}

fn refuse(condition: Condition, text: &str) -> Verdict {
    Verdict::Bounce(StanzaError::new(condition).with_text(text))
}
