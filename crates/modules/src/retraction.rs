//! Message retraction (XEP-0424): of a message that its author took back, the archives on both sides keep only that it was there.

use std::sync::Arc;

use engine::{About, At, Effect, Effects, Element, Hooks, Message, Module, Outcome, Retraction, View, Way};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::archive::is_kept;

/// The module.
pub(crate) struct Retractions {
    config: RetractionConfig,
}

/// How often something is taken back.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetractionConfig {
    /// How many messages are looked for in an hour in one user's archive, as their authors took them back; of more, the archive keeps what was said. Clients hear of
    /// it all the same.
    pub per_hour: u32,
}

impl Default for RetractionConfig {
    fn default() -> Self {
        Self { per_hour: 200 }
    }
}

const RETRACT: &str = "urn:xmpp:message-retract:1";
const METER: &str = "retractions";
/// In seconds.
const HOUR: u32 = 3_600;

impl Module for Retractions {
    const ABOUT: About = About {
        name: "retraction",
        rfcs: &[],
        xeps: &[(424, "0.4.2")],
        summary: "Removes from archives what their authors took back.",
    };
    type Config = RetractionConfig;

    fn new(config: RetractionConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        for at in [At::Account, At::Server] {
            on.feature(at, RETRACT);
        }
        on.feature(At::Account, "urn:xmpp:message-retract:1#tombstone");
        let most = self.config.per_hour;
        on.observe_with(Way::Out, RETRACT, "retract", move |view, message, effects| {
            if *view.outcome == Outcome::Undecided {
                retract(view, message, most, effects);
            }
        });
        on.observe_with(Way::In, RETRACT, "retract", move |view, message, effects| {
            if matches!(view.outcome, Outcome::Nobody | Outcome::Sessions(_)) {
                retract(view, message, most, effects);
            }
        });
    }
}

/// XEP-0424, 4 and 5: only who said it takes it back, and only by a message that is itself archived.
fn retract(view: &View<'_>, message: &Message, most: u32, effects: &mut Effects) {
    let (Some(from), Some(to)) = (&message.head.from, &message.head.to) else {
        return;
    };
    let with = match view.way {
        Way::In => from.bare(),
        Way::Out => to.bare(),
    };
    let retract = message.payload.find(RETRACT, "retract");
    let id = retract.as_ref().and_then(|retract| retract.attribute("id"));
    let is_free = view.account.meters.read(METER, view.now, HOUR) < most;
    if let (Some(id), Some(own), true) = (id, &message.head.id, is_free && is_kept(message)) {
        effects.push(Effect::Meter {
            name: METER,
            window: HOUR,
        });
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
