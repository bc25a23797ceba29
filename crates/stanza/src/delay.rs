//! Delayed delivery (XEP-0203): when a stanza was first sent.

use xml::Element;

use crate::jid::Jid;
use crate::ns;
use crate::time::Timestamp;

/// A delay stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Who kept the stanza.
    pub from: Option<Jid>,
    /// When it was first sent.
    pub at: Timestamp,
    /// Why it was kept.
    pub reason: Option<String>,
}

impl Delay {
    /// Reads a `delay` element; `None` when it is another one or its stamp is no time.
    pub fn read(element: &Element) -> Option<Self> {
        if !element.is(ns::DELAY, "delay") {
            return None;
        }
        let at = Timestamp::from_xmpp(element.attribute("stamp")?)?;
        let reason = Some(element.content()).filter(|reason| !reason.is_empty());
        Some(Self {
            from: element.attribute("from").and_then(|from| Jid::parse(from).ok()),
            at,
            reason,
        })
    }
}

/// The `delay` element by which `from` says that it received a stanza at `at`.
pub fn delay(from: &Jid, at: Timestamp, reason: Option<&str>) -> Element {
    let element = Element::new(ns::DELAY, "delay")
        .with("from", from.as_str())
        .with("stamp", at.to_xmpp());
    match reason {
        Some(reason) => element.text(reason),
        None => element,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let from = Jid::parse("capulet.example").unwrap();
        let at = Timestamp(1_031_699_305_123_000);
        let element = delay(&from, at, Some("Offline Storage"));
        assert_eq!(
            element.to_string(),
            "<delay xmlns='urn:xmpp:delay' from='capulet.example' stamp='2002-09-10T23:08:25.123Z'>Offline Storage</delay>"
        );
        assert_eq!(
            Delay::read(&element),
            Some(Delay {
                from: Some(from),
                at,
                reason: Some("Offline Storage".into())
            })
        );
        assert_eq!(
            Delay::read(&Element::new(ns::DELAY, "delay").with("stamp", "yesterday")),
            None
        );
    }
}
