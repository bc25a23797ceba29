//! Client state indication (XEP-0352): the elements. What it means is for the home to say.

use stanza::ns;
use xml::Element;

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "client_state",
    xeps: &[(352, "1.0.0")],
    summary: "Hears from a client whether somebody looks at it.",
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
