//! From stanzas to bytes.

use xml::escape_attribute;

use crate::jid::Jid;
use crate::stanza::{MessageType, Stanza};

impl Stanza {
    /// Appends the stanza as it goes on a `jabber:client` stream.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_to(self.to(), out);
    }

    /// Appends the stanza addressed to `to` instead of its own addressee (fan-out without a copy).
    pub fn write_to(&self, to: Option<&Jid>, out: &mut Vec<u8>) {
        let name = self.name();
        let (head, payload) = (self.head(), self.payload().bytes());
        out.reserve(payload.len() + 256);
        out.push(b'<');
        out.extend_from_slice(name.as_bytes());
        attribute(" to='", to.map(Jid::as_str), out);
        attribute(" from='", head.from.as_ref().map(Jid::as_str), out);
        attribute(" id='", head.id.as_deref(), out);
        attribute(" type='", self.kind_name(), out);
        attribute(" xml:lang='", head.lang.as_deref(), out);
        out.extend_from_slice(head.extra.as_deref().unwrap_or_default().as_bytes());
        if payload.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(payload);
        out.extend_from_slice(b"</");
        out.extend_from_slice(name.as_bytes());
        out.push(b'>');
    }

    /// The element name: `message`, `presence` or `iq`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Presence(_) => "presence",
            Self::Iq(_) => "iq",
        }
    }

    /// The value of the `type` attribute, unless that is the default.
    pub fn kind_name(&self) -> Option<&'static str> {
        match self {
            Self::Message(message) => Some(message.kind.name()).filter(|_| message.kind != MessageType::Normal),
            Self::Presence(presence) => presence.kind.name(),
            Self::Iq(iq) => Some(iq.kind.name()),
        }
    }
}

fn attribute(name: &str, value: Option<&str>, out: &mut Vec<u8>) {
    let Some(value) = value else { return };
    out.extend_from_slice(name.as_bytes());
    escape_attribute(value, out);
    out.push(b'\'');
}
