//! Strangers: those that a user does not know are heard, but not without limit, and with less to say than friends. What they did is counted in
//! the memory of the account's home, while it holds the account (`router.idle_account_s`).

use std::sync::Arc;

use engine::{
    About, Condition, Effect, Effects, ErrorType, Hooks, Jid, Message, MessageType, Module, Outcome, Presence,
    PresenceType, StanzaError, Verdict, View, Way,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The module.
pub(crate) struct Strangers {
    config: StrangersConfig,
}

/// What those may do who are not in a user's roster, and to whom no client of the user has sent presence.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StrangersConfig {
    /// Whether their messages are taken at all; else they are refused with `policy-violation`.
    pub messages: bool,
    /// How many messages of theirs a user takes in an hour; more are refused with `policy-violation`, to be tried later. 0: no limit. Servers
    /// that are open to the public are better with one.
    pub messages_per_hour: u32,
    /// How many bytes a message of theirs may have; larger ones are refused with `policy-violation`. 0: as many as anybody's.
    pub max_message_bytes: usize,
    /// How many of their requests to subscribe a user takes in an hour; more are dropped. 0: no limit but that of `presence.max_requests`.
    pub requests_per_hour: u32,
}

impl Default for StrangersConfig {
    fn default() -> Self {
        Self {
            messages: true,
            messages_per_hour: 0,
            max_message_bytes: 0,
            requests_per_hour: 0,
        }
    }
}

impl Module for Strangers {
    const ABOUT: About = About {
        name: "strangers",
        rfcs: &[("6121", "13")],
        xeps: &[],
        summary: "Sets limits to what users hear from those that they do not know.",
    };
    type Config = StrangersConfig;

    fn new(config: StrangersConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        let StrangersConfig {
            messages_per_hour,
            requests_per_hour,
            ..
        } = self.config;
        let guard = self.clone();
        on.guard(Way::In, move |view, message| guard.message(view, message));
        on.guard(Way::In, move |view, presence| self.presence(view, presence));
        if messages_per_hour > 0 {
            on.observe(Way::In, heard);
        }
        if requests_per_hour > 0 {
            on.observe(Way::In, asked);
        }
    }
}

impl Strangers {
    fn message(&self, view: &View<'_>, message: &Message) -> Verdict {
        if !is_said(message) || !is_strange(view, message.head.from.as_ref()) {
            return Verdict::Pass;
        }
        let is_full = is_full(view, MESSAGES, self.config.messages_per_hour);
        let most = self.config.max_message_bytes;
        let is_large = most > 0 && message.payload.bytes().len() > most;
        if !self.config.messages || is_full || is_large {
            let kind = if is_full { ErrorType::Wait } else { ErrorType::Modify };
            return Verdict::Bounce(StanzaError::new(Condition::PolicyViolation).with_type(kind));
        }
        Verdict::Pass
    }

    fn presence(&self, view: &View<'_>, presence: &Presence) -> Verdict {
        let asks = presence.kind == PresenceType::Subscribe && is_strange(view, presence.head.from.as_ref());
        match asks && is_full(view, REQUESTS, self.config.requests_per_hour) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    }
}

fn heard(view: &View<'_>, message: &Message, effects: &mut Effects) {
    let is_taken = matches!(view.outcome, Outcome::Nobody | Outcome::Sessions(_));
    if is_taken && is_said(message) && is_strange(view, message.head.from.as_ref()) {
        effects.push(Effect::Meter {
            name: MESSAGES,
            window: HOUR,
        });
    }
}

fn asked(view: &View<'_>, presence: &Presence, effects: &mut Effects) {
    if presence.kind == PresenceType::Subscribe && is_strange(view, presence.head.from.as_ref()) {
        effects.push(Effect::Meter {
            name: REQUESTS,
            window: HOUR,
        });
    }
}

/// Whether a message asks for attention; what comes of a room is for the room to limit.
fn is_said(message: &Message) -> bool {
    matches!(
        message.kind,
        MessageType::Chat | MessageType::Normal | MessageType::Headline
    )
}

fn is_strange(view: &View<'_>, from: Option<&Jid>) -> bool {
    let Some(from) = from else { return false };
    let account = view.account;
    let is_ours = from.bare() == account.jid || from.as_str() == account.jid.domain();
    let is_known = || account.contact(from).is_some_and(|contact| contact.in_roster);
    let is_told = || account.sessions.iter().any(|session| session.has_told(from));
    !is_ours && !is_known() && !is_told()
}

fn is_full(view: &View<'_>, name: &str, limit: u32) -> bool {
    limit > 0 && view.account.meters.read(name, view.now, HOUR) >= limit
}

const MESSAGES: &str = "strangers' messages";
const REQUESTS: &str = "strangers' requests";
/// In seconds.
const HOUR: u32 = 3_600;
