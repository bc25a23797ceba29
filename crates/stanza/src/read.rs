//! From canonical bytes to stanzas.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use xml::fragment::{self, Attribute, Tag};

use crate::condition::{Condition, StanzaError};
use crate::jid::Jid;
use crate::ns;
use crate::payload::Payload;
use crate::stanza::{Head, InvalidStanza, Iq, IqType, Message, MessageType, Presence, PresenceType, Stanza};

impl Stanza {
    /// Reads a canonical first-level child (`xml::Event::Child`).
    ///
    /// # Errors
    /// As [`InvalidStanza`].
    pub fn parse(child: &Bytes) -> Result<Self, InvalidStanza> {
        let tag = fragment::root(child, ns::CLIENT).ok_or(InvalidStanza::Unanswerable(Condition::BadRequest))?;
        let element_ns = tag.ns();
        if element_ns != ns::CLIENT || !matches!(tag.name(), "message" | "presence" | "iq") {
            return Err(InvalidStanza::Unsupported {
                ns: element_ns.into_owned(),
                name: tag.name().to_owned(),
            });
        }
        let mut seen = Seen::default();
        for attribute in tag.attributes() {
            seen.take(&attribute, &tag);
        }
        if seen.bad_from {
            return Err(InvalidStanza::Unanswerable(Condition::JidMalformed));
        }
        let content = tag.content();
        let payload = if content.is_empty() {
            Bytes::new()
        } else {
            child.slice(content)
        };
        let payload = Payload::from_canonical(payload);
        match tag.name() {
            "message" => seen.message(payload),
            "presence" => seen.presence(payload),
            _ => seen.iq(payload),
        }
    }
}

/// The attributes of a stanza, as far as they could be read.
#[derive(Default)]
struct Seen {
    head: Head,
    kind: Option<Box<str>>,
    bad_to: bool,
    bad_from: bool,
}

impl Seen {
    fn take(&mut self, attribute: &Attribute<'_>, tag: &Tag<'_>) {
        let value = attribute.value();
        match (attribute.prefix(), attribute.name()) {
            ("", "to") => {
                self.head.to = Jid::parse(&value).ok();
                self.bad_to = self.head.to.is_none();
            }
            ("", "from") => {
                self.head.from = Jid::parse(&value).ok();
                self.bad_from = self.head.from.is_none();
            }
            ("", "id") => self.head.id = Some(Arc::from(value)),
            ("", "type") => self.kind = Some(Box::from(value)),
            ("xml", "lang") => self.head.lang = Some(Arc::from(value)),
            _ => self.keep(attribute, tag),
        }
    }

    /// Adds an unknown attribute to what is passed on, with the declaration of its prefix.
    fn keep(&mut self, attribute: &Attribute<'_>, tag: &Tag<'_>) {
        let mut extra = self.head.extra.as_deref().unwrap_or_default().to_owned();
        let (prefix, name) = (attribute.prefix(), attribute.name());
        if let (false, Some(ns)) = (prefix.is_empty(), tag.declared(prefix)) {
            let declaration = format!(" xmlns:{prefix}='{}'", escaped(&ns));
            if !extra.contains(&declaration) {
                extra.push_str(&declaration);
            }
        }
        let colon = if prefix.is_empty() { "" } else { ":" };
        // Writing to a string cannot fail.
        let _ = write!(extra, " {prefix}{colon}{name}='{}'", escaped(&attribute.value()));
        self.head.extra = Some(extra.into());
    }

    fn message(self, payload: Payload) -> Result<Stanza, InvalidStanza> {
        let kind = self.kind.as_deref().map(MessageType::from_name).unwrap_or_default();
        let error = self.bad_to.then_some(Condition::JidMalformed);
        answer(
            Message {
                head: self.head,
                kind,
                payload,
            },
            error,
        )
    }

    fn presence(self, payload: Payload) -> Result<Stanza, InvalidStanza> {
        let kind = match self.kind.as_deref() {
            None => Some(PresenceType::Available),
            Some(name) => PresenceType::from_name(name),
        };
        let error = match (self.bad_to, kind) {
            (true, _) => Some(Condition::JidMalformed),
            (false, None) => Some(Condition::BadRequest),
            (false, Some(_)) => None,
        };
        answer(
            Presence {
                head: self.head,
                kind: kind.unwrap_or_default(),
                payload,
            },
            error,
        )
    }

    fn iq(self, payload: Payload) -> Result<Stanza, InvalidStanza> {
        let kind = self.kind.as_deref().and_then(IqType::from_name);
        let children = payload.children().len();
        let is_well_made = match kind {
            Some(IqType::Get | IqType::Set) => children == 1,
            Some(IqType::Result) => children <= 1,
            Some(IqType::Error) => true,
            None => false,
        };
        let error = match (is_well_made && self.head.id.is_some(), self.bad_to) {
            (false, _) => Some(Condition::BadRequest),
            (true, true) => Some(Condition::JidMalformed),
            (true, false) => None,
        };
        let is_answerable = kind.map_or(self.head.id.is_some(), |kind| matches!(kind, IqType::Get | IqType::Set));
        match error {
            Some(condition) if !is_answerable => Err(InvalidStanza::Unanswerable(condition)),
            _ => answer(
                Iq {
                    head: self.head,
                    kind: kind.unwrap_or(IqType::Get),
                    payload,
                },
                error,
            ),
        }
    }
}

fn answer(stanza: impl Into<Stanza>, error: Option<Condition>) -> Result<Stanza, InvalidStanza> {
    let stanza = stanza.into();
    let Some(condition) = error else { return Ok(stanza) };
    let error = StanzaError::new(condition);
    if stanza.error(&error).is_none() {
        return Err(InvalidStanza::Unanswerable(condition));
    }
    Err(InvalidStanza::Refused(Box::new(stanza), error))
}

fn escaped(value: &str) -> String {
    let mut out = Vec::new();
    xml::escape_attribute(value, &mut out);
    String::from_utf8(out).unwrap_or_default()
}
