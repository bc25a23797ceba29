//! The archive of an account: what it said and heard in conversations with one other party stays.

use std::sync::Arc;

use engine::{About, Effect, Effects, Hooks, Jid, Message, MessageType, Module, Outcome, Payload, View, Way, ns};

/// The module.
pub(crate) struct Archive;

impl Module for Archive {
    const ABOUT: About = About {
        name: "archive",
        rfcs: &[],
        xeps: &[(334, "1.0.0")],
        summary: "Keeps what users say and hear.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.observe(Way::Out, said);
        on.observe(Way::In, heard);
    }
}

/// What a user says to himself is written once, when he hears it.
fn said(view: &View<'_>, message: &Message, effects: &mut Effects) {
    let to_another = |to: &Jid| to.bare() != view.account.jid;
    if *view.outcome == Outcome::Undecided && message.head.to.as_ref().is_some_and(to_another) {
        archive(message, effects);
    }
}

fn heard(view: &View<'_>, message: &Message, effects: &mut Effects) {
    if matches!(view.outcome, Outcome::Nobody | Outcome::Sessions(_)) {
        archive(message, effects);
    }
}

fn archive(message: &Message, effects: &mut Effects) {
    if is_kept(message) && may_last(message) {
        effects.push(Effect::Archive {
            message: message.clone(),
            lasting: true,
        });
    }
}

/// Chat and normal messages that say something (XEP-0160, 3), unless the sender asks for the opposite (XEP-0334, 4).
pub(crate) fn is_kept(message: &Message) -> bool {
    let payload = &message.payload;
    matches!(message.kind, MessageType::Chat | MessageType::Normal)
        && !payload.has(ns::HINTS, "no-store")
        && (payload.has(ns::HINTS, "store") || is_significant(payload))
}

/// Whether it may be kept once it was delivered (XEP-0334, 4.1).
fn may_last(message: &Message) -> bool {
    !message.payload.has(ns::HINTS, "no-permanent-store")
}

/// Whether there is more than what has no meaning later or alone.
fn is_significant(payload: &Payload) -> bool {
    payload
        .children()
        .iter()
        .any(|child| !PASSING.contains(&child.ns()) && !child.is(ns::CLIENT, "thread"))
}

/// Chat states (XEP-0085), processing hints (XEP-0334), stanza ids (XEP-0359) and delay stamps.
const PASSING: &[&str] = &[ns::CHAT_STATES, ns::HINTS, ns::STANZA_ID, ns::DELAY];
