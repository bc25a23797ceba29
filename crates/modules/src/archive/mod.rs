//! The archive of an account (XEP-0313): what it said and heard in conversations with one other party stays, and its clients can
//! read it.

mod config;
mod filter;
mod prefs;
mod query;

use std::sync::Arc;

use config::ArchiveConfig;
pub(crate) use config::READS;
use engine::{
    About, At, Effect, Effects, Element, Hooks, Jid, Message, MessageType, Module, Outcome, Payload, Retention, View,
    Way, ns,
};
use prefs::Prefs;

/// The module.
pub(crate) struct Archive {
    config: Arc<ArchiveConfig>,
}

impl Module for Archive {
    const ABOUT: About = About {
        name: "archive",
        rfcs: &[],
        xeps: &[
            (59, "1.0.1"),
            (297, "1.0"),
            (313, "1.1.3"),
            (334, "1.0.0"),
            (359, "0.7.0"),
            (431, "0.2.0"),
            (441, "0.2.0"),
        ],
        summary: "Keeps what users say and hear, and lets their clients read it.",
    };
    type Config = ArchiveConfig;

    fn new(config: ArchiveConfig) -> Self {
        Self {
            config: Arc::new(config),
        }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.retention(Retention {
            max_age: self.config.max_age,
            max_messages: self.config.max_messages,
        });
        on.fact::<Prefs>();
        for way in [Way::Out, Way::In] {
            on.strip::<Message>(way, ns::STANZA_ID, "stanza-id", is_forged);
        }
        let (sent, received) = (self.clone(), self.clone());
        on.stamp(Way::Out, move |view, message, stamps| sent.stamp(view, message, stamps));
        on.stamp(Way::In, move |view, message, stamps| {
            received.stamp(view, message, stamps)
        });
        let (sent, received) = (self.clone(), self.clone());
        on.observe(Way::Out, move |view, message, effects| {
            sent.said(view, message, effects)
        });
        on.observe(Way::In, move |view, message, effects| {
            received.heard(view, message, effects)
        });
        on.feature(At::Account, "urn:xmpp:mam:2#extended");
        on.feature(At::Account, "urn:xmpp:mam:2#groupchat-field");
        on.feature(At::Account, ns::STANZA_ID);
        on.feature(At::Account, "urn:xmpp:fulltext:0");
        query::install(&self.config, on);
        prefs::install(&self.config, on);
    }
}

/// XEP-0359, 4: nobody but the account's own server says under which id its archive holds a message.
fn is_forged(view: &View<'_>, element: &Element) -> bool {
    let by = element.attribute("by").and_then(|by| Jid::parse(by).ok());
    by.is_none_or(|by| by == *view.account.jid.jid())
}

impl Archive {
    /// XEP-0313, 5: the account's own copy says where it stands.
    fn stamp(&self, view: &View<'_>, message: &Message, stamps: &mut Vec<Element>) {
        if other_party(view, message).is_some_and(|other| self.stays(view, message, other)) {
            stamps.push(stanza::stanza_id(&view.account.jid, view.archive_id));
        }
    }

    fn said(&self, view: &View<'_>, message: &Message, effects: &mut Effects) {
        if *view.outcome == Outcome::Undecided {
            self.archive(view, message, effects);
        }
    }

    fn heard(&self, view: &View<'_>, message: &Message, effects: &mut Effects) {
        if matches!(view.outcome, Outcome::Nobody | Outcome::Sessions(_)) {
            self.archive(view, message, effects);
        }
    }

    fn archive(&self, view: &View<'_>, message: &Message, effects: &mut Effects) {
        if other_party(view, message).is_some_and(|other| self.stays(view, message, other)) {
            effects.push(Effect::Archive {
                message: message.clone(),
                lasting: true,
            });
        }
    }

    /// Whether a message stays in the account's archive.
    fn stays(&self, view: &View<'_>, message: &Message, other: &Jid) -> bool {
        is_kept(message) && may_last(message) && self.wants(view, other)
    }

    /// What the user wants (XEP-0441), also of what was sent.
    fn wants(&self, view: &View<'_>, other: &Jid) -> bool {
        let is_contact = || {
            let contacts = &view.account.roster.contacts;
            contacts
                .get(other.bare().jid())
                .is_some_and(|contact| contact.in_roster)
        };
        match view.fact::<Prefs>() {
            Some(prefs) => prefs.wants(self.config.default, other, is_contact),
            None => true,
        }
    }
}

/// With whom the message was exchanged. What a user says to himself is archived once, when he hears it.
fn other_party<'a>(view: &View<'_>, message: &'a Message) -> Option<&'a Jid> {
    match view.way {
        Way::In => message.head.from.as_ref(),
        Way::Out => message.head.to.as_ref().filter(|to| to.bare() != view.account.jid),
    }
}

/// Chat and normal messages that say something (XEP-0160, 3; XEP-0313, 6.1.1), unless the sender asks for the opposite (XEP-0334, 4).
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
