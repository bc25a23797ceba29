//! Messages, presence and IQs: a decoded head and a payload of kept bytes.

use std::sync::Arc;

use crate::condition::{Condition, StanzaError};
use crate::jid::Jid;
use crate::ns;
use crate::payload::Payload;

/// What every stanza has (RFC 6120, 8.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The addressee.
    pub to: Option<Jid>,
    /// The sender.
    pub from: Option<Jid>,
    /// The identifier.
    pub id: Option<Arc<str>>,
    /// `xml:lang`.
    pub lang: Option<Arc<str>>,
    /// Attributes we do not know, written as they will be sent (with a leading space, self-contained), to pass on.
    pub extra: Option<Arc<str>>,
}

/// A message (RFC 6121, 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Addresses, id, language.
    pub head: Head,
    /// The type; unknown ones count as `normal` (RFC 6121, 5.2.2).
    pub kind: MessageType,
    /// What it carries.
    pub payload: Payload,
}

/// A presence stanza (RFC 6121, 4.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Addresses, id, language.
    pub head: Head,
    /// The type.
    pub kind: PresenceType,
    /// What it carries.
    pub payload: Payload,
}

/// A query (RFC 6120, 8.2.3). `head.id` is always present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iq {
    /// Addresses, id, language.
    pub head: Head,
    /// The type.
    pub kind: IqType,
    /// What it carries.
    pub payload: Payload,
}

/// Any of the three.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in RFC 6120")]
pub enum Stanza {
    Message(Message),
    Presence(Presence),
    Iq(Iq),
}

/// Message types (RFC 6121, 5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "values of the attribute")]
pub enum MessageType {
    Chat,
    Error,
    Groupchat,
    Headline,
    #[default]
    Normal,
}

/// Presence types (RFC 6121, 4.7.1); no type is `Available`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "values of the attribute")]
pub enum PresenceType {
    #[default]
    Available,
    Error,
    Probe,
    Subscribe,
    Subscribed,
    Unavailable,
    Unsubscribe,
    Unsubscribed,
}

/// IQ types (RFC 6120, 8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "values of the attribute")]
pub enum IqType {
    Get,
    Set,
    Result,
    Error,
}

/// How available (RFC 6121, 4.7.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "values of the element")]
pub enum Show {
    Chat,
    #[default]
    Online,
    Away,
    Xa,
    Dnd,
}

/// Why well-formed XML is not a stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidStanza {
    /// Not message, presence or iq in `jabber:client`: a stream error `unsupported-stanza-type` or `invalid-namespace`.
    Unsupported {
        /// Namespace of the element.
        ns: String,
        /// Its local name.
        name: String,
    },
    /// A stanza that must be answered with an error; it has been read as far as possible (a bad `to` is left out).
    Refused(Box<Stanza>, StanzaError),
    /// A stanza so wrong that it cannot even be answered (such as an IQ of unknown type and no id).
    Unanswerable(Condition),
}

impl Stanza {
    /// Addresses, id, language.
    pub fn head(&self) -> &Head {
        match self {
            Self::Message(message) => &message.head,
            Self::Presence(presence) => &presence.head,
            Self::Iq(iq) => &iq.head,
        }
    }

    /// Addresses, id, language, to change.
    pub fn head_mut(&mut self) -> &mut Head {
        match self {
            Self::Message(message) => &mut message.head,
            Self::Presence(presence) => &mut presence.head,
            Self::Iq(iq) => &mut iq.head,
        }
    }

    /// The payload.
    pub fn payload(&self) -> &Payload {
        match self {
            Self::Message(message) => &message.payload,
            Self::Presence(presence) => &presence.payload,
            Self::Iq(iq) => &iq.payload,
        }
    }

    /// The addressee.
    pub fn to(&self) -> Option<&Jid> {
        self.head().to.as_ref()
    }

    /// The sender.
    pub fn from(&self) -> Option<&Jid> {
        self.head().from.as_ref()
    }

    /// The error answer to this stanza, addresses swapped, payload kept (RFC 6120, 8.3.1). `None` where an answer is
    /// forbidden or leads nowhere: to an error, to an IQ result, to unavailable presence.
    pub fn error(&self, error: &StanzaError) -> Option<Stanza> {
        let head = self.head();
        let head = Head {
            to: head.from.clone(),
            from: head.to.clone(),
            id: head.id.clone(),
            ..Head::default()
        };
        let payload = self.payload().push(&error.to_element());
        match self {
            Self::Message(message) => match message.kind {
                MessageType::Error => None,
                _ => Some(
                    Message {
                        head,
                        kind: MessageType::Error,
                        payload,
                    }
                    .into(),
                ),
            },
            Self::Presence(presence) => match presence.kind {
                PresenceType::Error | PresenceType::Unavailable => None,
                _ => Some(
                    Presence {
                        head,
                        kind: PresenceType::Error,
                        payload,
                    }
                    .into(),
                ),
            },
            Self::Iq(iq) => match iq.kind {
                IqType::Error | IqType::Result => None,
                IqType::Get | IqType::Set => Some(
                    Iq {
                        head,
                        kind: IqType::Error,
                        payload,
                    }
                    .into(),
                ),
            },
        }
    }
}

impl Iq {
    /// The empty or filled result for this request, addresses swapped.
    pub fn result(&self, payload: impl Into<Payload>) -> Iq {
        let head = Head {
            to: self.head.from.clone(),
            from: self.head.to.clone(),
            id: self.head.id.clone(),
            ..Head::default()
        };
        Iq {
            head,
            kind: IqType::Result,
            payload: payload.into(),
        }
    }

    /// Whether this is the answer to `request`, which came to whoever gives it (RFC 6120, 8.2.3).
    pub fn answers(&self, request: &Stanza) -> bool {
        matches!(self.kind, IqType::Result | IqType::Error)
            && matches!(request, Stanza::Iq(request)
                if matches!(request.kind, IqType::Get | IqType::Set)
                    && request.head.id == self.head.id
                    && request.head.from == self.head.to)
    }
}

impl Presence {
    /// The priority (RFC 6121, 4.7.2.3), 0 when absent or out of range.
    pub fn priority(&self) -> i8 {
        let child = self
            .payload
            .children()
            .iter()
            .find(|child| child.is(ns::CLIENT, "priority"));
        // Asked for each message: a plain number between two tags is read without a tree.
        let plain = child.and_then(|child| plain_number(&self.payload.slice(child)));
        let read = || self.child_text("priority").and_then(|text| text.parse().ok());
        plain.or_else(|| child.and_then(|_| read())).unwrap_or(0)
    }

    /// The availability; a value that RFC 6121 does not know counts as none.
    pub fn show(&self) -> Show {
        match self.child_text("show").as_deref() {
            Some("chat") => Show::Chat,
            Some("away") => Show::Away,
            Some("xa") => Show::Xa,
            Some("dnd") => Show::Dnd,
            _ => Show::Online,
        }
    }

    fn child_text(&self, name: &str) -> Option<String> {
        let text = self.payload.find(ns::CLIENT, name)?.content();
        Some(text.trim().to_owned())
    }
}

/// The number that is the whole content of `element`, if it is written as such.
fn plain_number(element: &[u8]) -> Option<i8> {
    let start = element.iter().position(|byte| *byte == b'>')? + 1;
    let text = element.get(start..)?.split(|byte| *byte == b'<').next()?;
    let end = start + text.len();
    // One element: nothing but its end tag follows.
    let is_plain = element.get(end..)?.starts_with(b"</priority>") && element.len() == end + b"</priority>".len();
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

impl From<Message> for Stanza {
    fn from(message: Message) -> Self {
        Self::Message(message)
    }
}

impl From<Presence> for Stanza {
    fn from(presence: Presence) -> Self {
        Self::Presence(presence)
    }
}

impl From<Iq> for Stanza {
    fn from(iq: Iq) -> Self {
        Self::Iq(iq)
    }
}
