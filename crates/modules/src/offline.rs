//! Offline messages (XEP-0160): a message that finds nobody is kept, with a stamp (XEP-0203), until somebody comes.

use std::sync::Arc;

use engine::{
    About, At, Effect, Effects, Hooks, Message, MessageType, Module, Outcome, Payload, Presence, PresenceType, View,
    Way, ns,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanza::delay;

/// The module.
pub(crate) struct Offline {
    config: OfflineConfig,
}

/// How much is kept.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OfflineConfig {
    /// How many messages are kept for one user; more are answered with `service-unavailable`.
    pub max_messages: u32,
}

impl Default for OfflineConfig {
    fn default() -> Self {
        Self { max_messages: 1_000 }
    }
}

impl Module for Offline {
    const ABOUT: About = About {
        name: "offline",
        rfcs: &[("6121", "8.5.2.2")],
        xeps: &[(160, "1.0.1"), (203, "2.0")],
        summary: "Keeps messages for users who are away.",
    };
    type Config = OfflineConfig;

    fn new(config: OfflineConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.keep_limit(self.config.max_messages);
        on.feature(At::Server, ns::OFFLINE);
        on.observe(Way::In, keep);
        on.observe(Way::Out, flush);
    }
}

/// Keeps a message that nobody is there to take (XEP-0160, 2 and 3).
fn keep(view: &View<'_>, message: &Message, effects: &mut Effects) {
    if *view.outcome != Outcome::Nobody || !is_kept(message) {
        return;
    }
    let Ok(domain) = engine::Jid::parse(view.account.jid.domain()) else {
        return;
    };
    let payload = message.payload.push(&delay(&domain, view.now, Some("Offline Storage")));
    effects.push(Effect::Keep(Message {
        payload,
        ..message.clone()
    }));
}

/// A resource begins to take messages: with its first presence, or when its priority is no longer negative.
fn flush(view: &View<'_>, presence: &Presence, effects: &mut Effects) {
    let (PresenceType::Available, None, Some(session)) = (presence.kind, &presence.head.to, view.session) else {
        return;
    };
    if presence.priority() >= 0 && session.priority() < Some(0) {
        effects.push(Effect::Flush(session.id));
    }
}

/// Chat and normal messages that say something (XEP-0160, 3), unless the sender asks for the opposite (XEP-0334, 4).
fn is_kept(message: &Message) -> bool {
    let payload = &message.payload;
    matches!(message.kind, MessageType::Chat | MessageType::Normal)
        && !payload.has(HINTS, "no-store")
        && (payload.has(HINTS, "store") || is_significant(payload))
}

/// Whether there is more than what has no meaning later or alone.
fn is_significant(payload: &Payload) -> bool {
    payload
        .children()
        .iter()
        .any(|child| !PASSING.contains(&child.ns()) && !child.is(ns::CLIENT, "thread"))
}

const HINTS: &str = "urn:xmpp:hints";

/// Chat states (XEP-0085), processing hints (XEP-0334), stanza ids (XEP-0359) and delay stamps.
const PASSING: &[&str] = &[
    "http://jabber.org/protocol/chatstates",
    HINTS,
    "urn:xmpp:sid:0",
    ns::DELAY,
];
