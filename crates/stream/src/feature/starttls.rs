//! STARTTLS negotiation (RFC 6120, 5; RFC 7590).

use stanza::ns;
use xml::Element;

use crate::about::About;
use crate::config::Config;
use crate::login::Login;

pub(crate) const ABOUT: About = About {
    name: "starttls",
    xeps: &[],
    summary: "Turns a plain connection into an encrypted one (RFC 6120, 5).",
};

/// Announced while there is no TLS, as required where it is.
pub(crate) fn feature(login: &Login, config: &Config) -> Option<Element> {
    let required = login.must_start_tls(config).then(|| Element::new(ns::TLS, "required"));
    login
        .may_start_tls(config)
        .then(|| Element::new(ns::TLS, "starttls").extend(required))
}

/// Whether `element` asks for TLS.
pub(crate) fn is_request(element: &Element) -> bool {
    element.is(ns::TLS, "starttls")
}

/// Go ahead (RFC 6120, 5.4.2.3).
pub(crate) fn proceed() -> Element {
    Element::new(ns::TLS, "proceed")
}

/// No TLS here (RFC 6120, 5.4.2.2); the stream is closed after it.
pub(crate) fn failure() -> Element {
    Element::new(ns::TLS, "failure")
}
