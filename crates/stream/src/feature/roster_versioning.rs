//! Roster versioning announced (RFC 6121, 2.6); a module does it.

use stanza::ns;
use xml::Element;

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "roster_versioning",
    xeps: &[],
    summary: "Announces that rosters have versions (RFC 6121, 2.6).",
};

pub(crate) fn feature() -> Element {
    Element::new(ns::ROSTER_VERSIONING, "ver")
}
