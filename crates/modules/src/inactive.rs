//! What can wait for a client that nobody looks at (client state indication, XEP-0352).

use std::sync::Arc;

use engine::{About, Hooks, Message, MessageType, Module, Presence, PresenceType, ns};

/// The module.
pub(crate) struct Inactive;

impl Module for Inactive {
    const ABOUT: About = About {
        name: "inactive",
        rfcs: &[],
        xeps: &[(352, "1.0.0")],
        summary: "Lets presence and chat states wait while nobody looks at the client; of each sender the newest.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.can_wait(asks_for_nothing);
        on.can_wait(is_chat_state);
    }
}

fn asks_for_nothing(presence: &Presence) -> bool {
    matches!(presence.kind, PresenceType::Available | PresenceType::Unavailable)
}

/// Whether a message has nothing but a chat state (XEP-0085).
fn is_chat_state(message: &Message) -> bool {
    let children = message.payload.children();
    let has_state = children.iter().any(|child| child.ns() == ns::CHAT_STATES);
    let mut others = children.iter().filter(|child| child.ns() != ns::CHAT_STATES);
    let is_alone = others.all(|child| BESIDE.contains(&child.ns()) || child.is(ns::CLIENT, "thread"));
    message.kind != MessageType::Error && has_state && is_alone
}

/// What may stand beside a chat state without meaning anything alone.
const BESIDE: &[&str] = &[ns::HINTS, ns::STANZA_ID, ns::DELAY];
