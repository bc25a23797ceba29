//! What a stanza carries: bytes that are kept, and an index of the direct children.

use std::borrow::Cow;
use std::sync::OnceLock;

use bytes::Bytes;
use xml::Element;

use crate::ns;

/// Everything between a stanza's start tag and end tag, in canonical form: the default namespace in its context is
/// `jabber:client`, and no prefix is bound outside. The index of children is made on first use.
#[derive(Clone, Default)]
pub struct Payload {
    bytes: Bytes,
    children: OnceLock<std::sync::Arc<[Child]>>,
}

/// One direct child of a stanza: its name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    ns: Cow<'static, str>,
    name: Cow<'static, str>,
    range: std::ops::Range<usize>,
}

impl Payload {
    /// A payload of canonical bytes that have been validated before (by [`crate::Stanza::parse`], here or on another node).
    pub fn from_canonical(bytes: Bytes) -> Self {
        Self {
            bytes,
            children: OnceLock::new(),
        }
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The direct child elements in document order.
    pub fn children(&self) -> &[Child] {
        self.children.get_or_init(|| index(&self.bytes).into())
    }

    /// Whether there is a child `name` in namespace `ns`.
    pub fn has(&self, ns: &str, name: &str) -> bool {
        self.children().iter().any(|child| child.is(ns, name))
    }

    /// The first child `name` in namespace `ns`, as a tree.
    pub fn find(&self, ns: &str, name: &str) -> Option<Element> {
        self.children()
            .iter()
            .find(|child| child.is(ns, name))
            .and_then(|child| self.element(child))
    }

    /// `child` as a tree.
    pub fn element(&self, child: &Child) -> Option<Element> {
        Element::parse(
            self.bytes.get(child.range.clone())?,
            ns::CLIENT,
            &xml::Limits::UNLIMITED,
        )
        .ok()
    }

    /// The canonical bytes of `child`.
    pub fn slice(&self, child: &Child) -> Bytes {
        self.bytes.slice(child.range.clone())
    }

    /// This payload with `element` appended.
    #[must_use]
    pub fn push(&self, element: &Element) -> Self {
        let mut out = Vec::with_capacity(self.bytes.len() + 192);
        out.extend_from_slice(&self.bytes);
        element.write(ns::CLIENT, &mut out);
        let range = self.bytes.len()..out.len();
        let pushed = Self::from_canonical(out.into());
        // What was read once need not be read again.
        if let Some(children) = self.children.get() {
            let last = Child {
                ns: intern(element.ns()),
                name: intern(element.name()),
                range,
            };
            let children = children.iter().cloned().chain([last]).collect();
            pushed.children.get_or_init(|| children);
        }
        pushed
    }

    /// This payload without the children that `drop` chooses.
    #[must_use]
    pub fn without(&self, drop: impl Fn(&Child) -> bool) -> Self {
        let mut out = Vec::with_capacity(self.bytes.len());
        let mut from = 0;
        for child in self.children().iter().filter(|child| drop(child)) {
            out.extend_from_slice(&self.bytes[from..child.range.start]);
            from = child.range.end;
        }
        out.extend_from_slice(&self.bytes[from..]);
        Self::from_canonical(out.into())
    }
}

impl Child {
    /// The namespace.
    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// The local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is `name` in namespace `ns`.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns == ns
    }
}

impl From<Element> for Payload {
    fn from(element: Element) -> Self {
        Self::default().push(&element)
    }
}

impl FromIterator<Element> for Payload {
    fn from_iter<I: IntoIterator<Item = Element>>(elements: I) -> Self {
        let mut out = Vec::new();
        for element in elements {
            element.write(ns::CLIENT, &mut out);
        }
        Self::from_canonical(out.into())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Payload {}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

fn index(bytes: &Bytes) -> Vec<Child> {
    let children = xml::fragment::children(bytes, ns::CLIENT);
    children
        .map(|child| Child {
            ns: intern(&child.tag.ns()),
            name: intern(child.tag.name()),
            range: child.range,
        })
        .collect()
}

/// Names that nearly all traffic consists of need no allocation.
fn intern(text: &str) -> Cow<'static, str> {
    match KNOWN.iter().find(|known| **known == text) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(text.to_owned()),
    }
}

const KNOWN: &[&str] = &[
    ns::CLIENT,
    "body",
    "show",
    "status",
    "priority",
    "query",
    "c",
    ns::CAPS,
    "active",
    "composing",
    "paused",
    "http://jabber.org/protocol/chatstates",
    "request",
    "received",
    "urn:xmpp:receipts",
    "origin-id",
    "stanza-id",
    "urn:xmpp:sid:0",
    "x",
    "vcard-temp:x:update",
    "ping",
    ns::PING,
    ns::ROSTER,
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    "delay",
    ns::DELAY,
    "error",
    "thread",
    "subject",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_found() {
        let body = Element::new(ns::CLIENT, "body").text("hi");
        let id = Element::new(ns::STANZA_ID, "stanza-id").with("by", "a@b.example");
        for is_read in [false, true] {
            let mut payload = Payload::from(body.clone());
            if is_read {
                assert!(payload.has(ns::CLIENT, "body"));
            }
            payload = payload.push(&id);
            assert_eq!(
                payload.find(ns::STANZA_ID, "stanza-id").as_ref(),
                Some(&id),
                "{is_read}"
            );
            assert_eq!(payload.children(), &index(payload.bytes())[..], "{is_read}");
        }
    }
}
