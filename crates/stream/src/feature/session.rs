//! Legacy session establishment (RFC 3921, 3), for clients that still ask for it. It does nothing.

use stanza::{Iq, IqType, Payload, Stanza, ns};
use xml::Element;

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "session",
    xeps: &[],
    summary: "Answers the session request of older clients, which means nothing any more (RFC 3921, 3).",
};

/// Announced as optional, so that newer clients leave it out.
pub(crate) fn feature() -> Element {
    Element::new(ns::SESSION, "session").push(Element::new(ns::SESSION, "optional"))
}

/// Whether `iq` asks for a session.
pub(crate) fn is_request(iq: &Iq) -> bool {
    iq.kind == IqType::Set && iq.payload.has(ns::SESSION, "session")
}

/// Yes.
pub(crate) fn result(request: &Iq) -> Stanza {
    request.result(Payload::default()).into()
}
