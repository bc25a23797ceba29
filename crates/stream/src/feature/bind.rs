//! Resource binding (RFC 6120, 7).

use stanza::{Condition, Full, Iq, IqType, Payload, Stanza, StanzaError, ns};
use xml::Element;

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "bind",
    xeps: &[],
    summary: "Gives the stream its resource and so its full address (RFC 6120, 7).",
};

pub(crate) fn feature() -> Element {
    Element::new(ns::BIND, "bind")
}

/// Whether `iq` asks to bind.
pub(crate) fn is_request(iq: &Iq) -> bool {
    iq.kind == IqType::Set && iq.payload.has(ns::BIND, "bind")
}

/// The resource asked for, if `iq` asks for one rather than for any (RFC 6120, 7.6 and 7.7).
pub(crate) fn resource(iq: &Iq) -> Option<String> {
    let resource = iq
        .payload
        .find(ns::BIND, "bind")?
        .child(ns::BIND, "resource")?
        .content();
    (!resource.is_empty()).then_some(resource)
}

/// The answer to a request that was granted.
pub(crate) fn result(request: &Iq, address: &Full) -> Stanza {
    let jid = Element::new(ns::BIND, "jid").text(address.as_str());
    let payload = Payload::from(Element::new(ns::BIND, "bind").push(jid));
    unaddressed(request.result(payload).into())
}

/// The answer to a request that was refused.
pub(crate) fn refused(request: &Iq, error: &StanzaError) -> Option<Stanza> {
    Stanza::Iq(request.clone()).error(error).map(unaddressed)
}

/// Binding a second resource is not offered on this stream (RFC 6120, 7.1: one resource for each stream).
pub(crate) fn again() -> StanzaError {
    StanzaError::new(Condition::NotAllowed).with_text("a resource is bound already")
}

/// Before there is an address nobody is addressed.
fn unaddressed(mut stanza: Stanza) -> Stanza {
    (stanza.head_mut().to, stanza.head_mut().from) = (None, None);
    stanza
}
