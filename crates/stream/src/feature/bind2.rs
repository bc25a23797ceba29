//! Resource binding within authentication (XEP-0386). What the home is to enable for the session, and what it says of that, is not
//! looked at here.

use stanza::{SaslFailure, ns};
use xml::Element;

use crate::about::About;
use crate::feature::stream_management::Enable;

pub(crate) const ABOUT: About = About {
    name: "bind2",
    xeps: &[(386, "1.1.0")],
    summary: "Binds a resource and enables what the session needs in the round trip of authentication.",
};

/// `<bind/>`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// The beginning of the resource, unprepared.
    pub(crate) tag: Option<String>,
    pub(crate) session: SessionWishes,
}

/// What a client wants of the session that it binds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionWishes {
    /// Stream management (XEP-0198).
    pub(crate) manage: Option<Enable>,
    /// Whether somebody looks at the client (XEP-0352), if it says so.
    pub(crate) active: Option<bool>,
    /// What else; the home is told of what it has announced.
    pub(crate) others: Vec<Element>,
}

/// Announced within `<authentication/>`, with the names of what can be enabled.
pub(crate) fn feature<'a>(names: impl Iterator<Item = &'a str>) -> Element {
    let feature = |name: &str| Element::new(ns::BIND2, "feature").with("var", name);
    let inline = Element::new(ns::BIND2, "inline").extend(names.map(feature));
    Element::new(ns::BIND2, "bind").push(inline)
}

/// Reads `<bind/>`, of which the wishes for the session have been read.
///
/// # Errors
/// `malformed-request`.
pub(crate) fn read(bind: &Element, session: SessionWishes) -> Result<Request, SaslFailure> {
    let tag = bind.child(ns::BIND2, "tag");
    if tag.is_some_and(|tag| tag.children().next().is_some()) {
        return Err(SaslFailure::MalformedRequest);
    }
    Ok(Request {
        tag: tag.map(Element::content).filter(|tag| !tag.is_empty()),
        session,
    })
}

/// A resource is bound, and this is what came of the wishes for the session.
pub(crate) fn bound(answers: impl IntoIterator<Item = Element>) -> Element {
    Element::new(ns::BIND2, "bound").extend(answers)
}
