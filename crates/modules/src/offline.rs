//! Offline messages (XEP-0160): a message that finds nobody is kept until somebody comes, and one that was not taken yet is not
//! lost with those that were to take it. It waits in the account's archive; once taken it goes, unless it is to stay there.

use std::sync::Arc;

use engine::{About, At, Effect, Effects, Hooks, Message, Module, Outcome, Presence, PresenceType, View, Way, ns};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::archive::{self, is_kept};

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

/// Keeps a message until somebody has taken it (XEP-0160, 2 and 3).
fn keep(view: &View<'_>, message: &Message, effects: &mut Effects) {
    let may_be_taken = matches!(view.outcome, Outcome::Nobody | Outcome::Sessions(_));
    if may_be_taken && is_kept(message) {
        effects.push(Effect::Archive {
            message: message.clone(),
            lasting: false,
        });
    }
}

/// A resource begins to take messages: with its first presence, or when its priority is no longer negative.
fn flush(view: &View<'_>, presence: &Presence, effects: &mut Effects) {
    let (PresenceType::Available, None, Some(session)) = (presence.kind, &presence.head.to, view.session) else {
        return;
    };
    if presence.priority() >= 0 && session.priority() < Some(0) {
        effects.push(Effect::Flush {
            to: session.id,
            reads_archive: session.has_flag(archive::READS),
        });
    }
}
