//! Stream management (XEP-0198): the elements. What they mean for a stream's counts stands in [`crate::management`].

use stanza::{Condition, EnableReply, Resumption, StanzaError, handled, ns};
use xml::Element;

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "stream_management",
    xeps: &[(198, "1.6.3")],
    summary: "Acknowledges stanzas, and lets a client go on with a session whose connection broke.",
};

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Enable(Enable),
    Resume {
        id: String,
        h: u32,
    },
    /// `<r/>`
    Request,
    /// `<a/>`
    Acknowledge(u32),
    /// Of this namespace, but not what it defines.
    Malformed,
}

/// `<enable/>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enable {
    /// Whether the client wants to be able to resume.
    pub(crate) resume: bool,
    /// Within how many seconds at most, if it says so.
    pub(crate) max: Option<u32>,
}

/// Announced once a resource can be bound (XEP-0198, 2).
pub(crate) fn feature() -> Element {
    Element::new(ns::STREAM_MANAGEMENT, "sm")
}

/// Reads an element of stream management; `None` when it is not one.
pub(crate) fn read(element: &Element) -> Option<Said> {
    if element.ns() != ns::STREAM_MANAGEMENT {
        return None;
    }
    let h = || element.attribute("h").and_then(|h| h.parse().ok());
    let said = match element.name() {
        "enable" => enable(element),
        "resume" => element
            .attribute("previd")
            .zip(h())
            .map(|(id, h)| Said::Resume { id: id.to_owned(), h }),
        "r" => Some(Said::Request),
        "a" => h().map(Said::Acknowledge),
        _ => None,
    };
    Some(said.unwrap_or(Said::Malformed))
}

/// `resume` is a boolean, `max` a positive integer (XEP-0198, 12): one that is too large to count to is no limit.
fn enable(element: &Element) -> Option<Said> {
    let resume = match element.attribute("resume") {
        None | Some("false" | "0") => false,
        Some("true" | "1") => true,
        Some(_) => return None,
    };
    let max = match element.attribute("max") {
        None => None,
        Some(max) if !max.is_empty() && max.bytes().all(|digit| digit.is_ascii_digit()) => max.parse().ok(),
        Some(_) => return None,
    };
    Some(Said::Enable(Enable { resume, max }))
}

/// The answer to `<enable/>`; `location`: where a client should try first to resume.
pub(crate) fn enabled(reply: &EnableReply, location: Option<&str>) -> Element {
    match reply {
        EnableReply::Refused(error) => failed(error, None),
        EnableReply::Enabled(None) => Element::new(ns::STREAM_MANAGEMENT, "enabled"),
        EnableReply::Enabled(Some(Resumption { id, max })) => {
            let enabled = Element::new(ns::STREAM_MANAGEMENT, "enabled")
                .with("id", id)
                .with("max", max.to_string())
                .with("resume", "true");
            match location {
                Some(location) => enabled.with("location", location),
                None => enabled,
            }
        }
    }
}

/// The stream `id` goes on; so much of what the client sent is done.
pub(crate) fn resumed(id: &str, received: u64, since: u64) -> Element {
    Element::new(ns::STREAM_MANAGEMENT, "resumed")
        .with("h", handled(received, since).to_string())
        .with("previd", id)
}

/// It cannot be enabled or resumed (XEP-0198, 6).
pub(crate) fn failed(error: &StanzaError, h: Option<u32>) -> Element {
    let condition = Element::new(ns::STANZAS, error.condition.name());
    let failed = Element::new(ns::STREAM_MANAGEMENT, "failed").push(condition);
    match h {
        Some(h) => failed.with("h", h.to_string()),
        None => failed,
    }
}

/// Not now (XEP-0198, 3).
pub(crate) fn untimely() -> Element {
    failed(&Condition::UnexpectedRequest.into(), None)
}

/// `<a/>`: so much of what the client sent is done.
pub(crate) fn answer(received: u64, since: u64) -> Element {
    Element::new(ns::STREAM_MANAGEMENT, "a").with("h", handled(received, since).to_string())
}

/// `<r/>`
pub(crate) fn request() -> Element {
    Element::new(ns::STREAM_MANAGEMENT, "r")
}
