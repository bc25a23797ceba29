//! Client state indication (XEP-0352): the elements, and what can wait for a client that nobody looks at.

use stanza::{Message, MessageType, PresenceType, Stanza, ns};
use xml::Element;

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "client_state",
    xeps: &[(352, "1.0.0")],
    summary: "Holds presence and chat states back while nobody looks at the client.",
};

/// Announced once a resource can be bound (XEP-0352, 4.1).
pub(crate) fn feature() -> Element {
    Element::new(ns::CLIENT_STATE, "csi")
}

/// Whether the client says that it is active, by the name of an element of this namespace (XEP-0352, 4.2); `None` when it says
/// nothing that is defined.
pub(crate) fn read(name: &str) -> Option<bool> {
    match name {
        "active" => Some(true),
        "inactive" => Some(false),
        _ => None,
    }
}

/// Whether a stanza can wait until somebody looks at the client: presence that asks for nothing, and messages with nothing but
/// a chat state (XEP-0085).
pub fn can_wait(stanza: &Stanza) -> bool {
    match stanza {
        Stanza::Presence(presence) => {
            matches!(presence.kind, PresenceType::Available | PresenceType::Unavailable)
        }
        Stanza::Message(message) => message.kind != MessageType::Error && is_chat_state(message),
        Stanza::Iq(_) => false,
    }
}

fn is_chat_state(message: &Message) -> bool {
    let children = message.payload.children();
    let is_beside = |child: &stanza::Child| BESIDE.contains(&child.ns()) || child.is(ns::CLIENT, "thread");
    let mut states = children.iter().filter(|child| child.ns() == ns::CHAT_STATES);
    states.next().is_some()
        && children
            .iter()
            .all(|child| child.ns() == ns::CHAT_STATES || is_beside(child))
}

/// What may stand beside a chat state without meaning anything alone.
const BESIDE: &[&str] = &[ns::HINTS, ns::STANZA_ID, ns::DELAY];

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn presence_and_chat_states_can_wait() {
        let states = "xmlns='http://jabber.org/protocol/chatstates'";
        let cases = [
            ("<presence/>".to_owned(), true),
            ("<presence type='unavailable'/>".to_owned(), true),
            ("<presence type='subscribe'/>".to_owned(), false),
            ("<presence type='error'/>".to_owned(), false),
            ("<iq type='get' id='1'><x xmlns='y'/></iq>".to_owned(), false),
            ("<message/>".to_owned(), false),
            ("<message><body>Soft!</body></message>".to_owned(), false),
            (format!("<message type='chat'><composing {states}/></message>"), true),
            (
                format!("<message><thread>t</thread><paused {states}/><no-store xmlns='urn:xmpp:hints'/></message>"),
                true,
            ),
            (
                format!("<message><body>Soft!</body><active {states}/></message>"),
                false,
            ),
            (format!("<message><gone {states}/><x xmlns='y'/></message>"), false),
            (format!("<message type='error'><gone {states}/></message>"), false),
        ];
        for (text, waits) in cases {
            let stanza = Stanza::parse(&Bytes::from(text.clone())).unwrap();
            assert_eq!(can_wait(&stanza), waits, "{text}");
        }
    }
}
