//! Subscription pre-approval announced (RFC 6121, 3.4); a module does it.

use stanza::ns;
use xml::Element;

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "pre_approval",
    xeps: &[],
    summary: "Announces that subscriptions can be approved before they are asked for (RFC 6121, 3.4).",
};

pub(crate) fn feature() -> Element {
    Element::new(ns::PRE_APPROVAL, "sub")
}
