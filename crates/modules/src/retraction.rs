//! Message retraction (XEP-0424): of a message that its author took back, the archives on both sides keep only that it was there.

use std::sync::Arc;

use engine::{About, At, Effect, Effects, Element, Hooks, Message, Module, Outcome, Retraction, View, Way};

use crate::archive::is_kept;

/// The module.
pub(crate) struct Retractions;

const RETRACT: &str = "urn:xmpp:message-retract:1";

impl Module for Retractions {
    const ABOUT: About = About {
        name: "retraction",
        rfcs: &[],
        xeps: &[(424, "0.4.2")],
        summary: "Removes from archives what their authors took back.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        for at in [At::Account, At::Server] {
            on.feature(at, RETRACT);
        }
        on.feature(At::Account, "urn:xmpp:message-retract:1#tombstone");
        on.observe_with(Way::Out, RETRACT, "retract", said);
        on.observe_with(Way::In, RETRACT, "retract", heard);
    }
}

fn said(view: &View<'_>, message: &Message, effects: &mut Effects) {
    if *view.outcome == Outcome::Undecided {
        retract(view, message, effects);
    }
}

fn heard(view: &View<'_>, message: &Message, effects: &mut Effects) {
    if matches!(view.outcome, Outcome::Nobody | Outcome::Sessions(_)) {
        retract(view, message, effects);
    }
}

/// XEP-0424, 4 and 5: only who said it takes it back, and only by a message that is itself archived.
fn retract(view: &View<'_>, message: &Message, effects: &mut Effects) {
    let (Some(from), Some(to)) = (&message.head.from, &message.head.to) else {
        return;
    };
    let with = match view.way {
        Way::In => from.bare(),
        Way::Out => to.bare(),
    };
    let retract = message.payload.find(RETRACT, "retract");
    let id = retract.as_ref().and_then(|retract| retract.attribute("id"));
    if let (Some(id), Some(own), true) = (id, &message.head.id, is_kept(message)) {
        let tombstone = Element::new(RETRACT, "retracted")
            .with("id", own.to_string())
            .with("stamp", view.now.to_xmpp());
        effects.push(Effect::Retract(Retraction {
            with,
            author: from.bare(),
            id: id.to_owned(),
            tombstone,
        }));
    }
}
