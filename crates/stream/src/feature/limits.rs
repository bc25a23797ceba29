//! Stream limits announced (XEP-0478); the reader and the machine's deadline keep them.

use std::time::Duration;

use stanza::ns;
use xml::{Element, Limits};

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "limits",
    xeps: &[(478, "0.2.0")],
    summary: "Announces the largest stanza and the longest silence that are accepted.",
};

/// The limits in force; `idle` is left out when it is zero, which means any silence is accepted.
pub(crate) fn feature(limits: &Limits, idle: Duration) -> Element {
    let value = |name, value: String| Element::new(ns::STREAM_LIMITS, name).text(value);
    let idle = (!idle.is_zero()).then(|| value("idle-seconds", idle.as_secs().to_string()));
    Element::new(ns::STREAM_LIMITS, "limits")
        .push(value("max-bytes", limits.stanza_bytes.to_string()))
        .extend(idle)
}
