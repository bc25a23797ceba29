//! First-level elements that cannot be used at all (RFC 6120, 4.9.3).

use stanza::{Jid, StreamCondition, ns};
use xml::{Element, Limits};

use crate::fault::Fault;

/// The stream error for an element that nobody waits for before a resource is bound.
pub(crate) fn early(namespace: &str, name: &str) -> Fault {
    match is_stanza(name) && namespace == ns::CLIENT {
        true => Fault::new(StreamCondition::NotAuthorized, "a stanza before its time"),
        false => unsupported(namespace, name),
    }
}

/// A first-level element, read whole.
pub(crate) fn element(child: &[u8]) -> Option<Element> {
    Element::parse(child, ns::CLIENT, &Limits::UNLIMITED).ok()
}

/// The stream error for an element that is not a stanza of this stream.
pub(crate) fn unsupported(namespace: &str, name: &str) -> Fault {
    match is_stanza(name) && namespace != ns::CLIENT {
        true => StreamCondition::InvalidNamespace.into(),
        false => StreamCondition::UnsupportedStanzaType.into(),
    }
}

/// A stanza that may not be answered, such as an error to nowhere, is dropped; one whose `from` is no address at all is not
/// the client's own (RFC 6120, 4.9.3.9).
pub(crate) fn unanswerable(child: &[u8]) -> Result<(), Fault> {
    match element(child).is_some_and(|element| element.attribute("from").is_some_and(|from| Jid::parse(from).is_err()))
    {
        true => Err(Fault::new(StreamCondition::InvalidFrom, "the 'from' is not an address")),
        false => Ok(()),
    }
}

fn is_stanza(name: &str) -> bool {
    matches!(name, "message" | "presence" | "iq")
}
