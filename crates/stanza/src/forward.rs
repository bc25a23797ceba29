//! Stanza forwarding (XEP-0297): a stanza within another, as bytes that need not be read again.

use bytes::Bytes;
use xml::Element;

use crate::ns;
use crate::payload::Payload;
use crate::stanza::Stanza;

/// A payload that is `wrapper`, an element without content, with the canonical `stanza` forwarded in it, and a `delay` if there is one.
pub fn forward(wrapper: &Element, delay: Option<&Element>, stanza: &[u8]) -> Payload {
    let mut out = Vec::with_capacity(stanza.len() + 512);
    open(wrapper, ns::CLIENT, &mut out);
    open(&Element::new(ns::FORWARD, "forwarded"), wrapper.ns(), &mut out);
    if let Some(delay) = delay {
        delay.write(ns::FORWARD, &mut out);
    }
    // A canonical stanza begins with `<` and its name, in a context where its namespace is the default.
    let name = stanza.iter().position(|byte| matches!(byte, b' ' | b'/' | b'>'));
    let (name, rest) = stanza.split_at(name.unwrap_or(stanza.len()));
    out.extend_from_slice(name);
    out.extend_from_slice(b" xmlns='jabber:client'");
    out.extend_from_slice(rest);
    out.extend_from_slice(b"</forwarded></");
    out.extend_from_slice(wrapper.name().as_bytes());
    out.push(b'>');
    Payload::from_canonical(out.into())
}

/// The stanza forwarded within `wrapper`, if there is exactly one.
pub fn forwarded(wrapper: &Element) -> Option<Stanza> {
    let forwarded = wrapper.child(ns::FORWARD, "forwarded")?;
    let mut stanzas = forwarded.children().filter(|child| child.ns() == ns::CLIENT);
    let (stanza, None) = (stanzas.next()?, stanzas.next()) else {
        return None;
    };
    let mut out = Vec::new();
    stanza.write(ns::CLIENT, &mut out);
    Stanza::parse(&Bytes::from(out)).ok()
}

/// Writes the start tag of an element without content.
fn open(element: &Element, default_ns: &str, out: &mut Vec<u8>) {
    element.write(default_ns, out);
    if out.ends_with(b"/>") {
        out.truncate(out.len() - 2);
        out.push(b'>');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Jid, Timestamp, delay};

    #[test]
    fn forwarded_as_it_was() {
        let stanza = b"<message from='a@b.example/c' type='chat'><body>1 &lt; 2</body><x xmlns='urn:x'><body xmlns='jabber:client'/></x></message>";
        let wrapper = Element::new(ns::MAM, "result").with("id", "7");
        let delay = delay(&Jid::parse("b.example").unwrap(), Timestamp(0), None);
        let payload = forward(&wrapper, Some(&delay), stanza);
        let element = payload.find(ns::MAM, "result").expect("well-formed");
        assert_eq!(
            element.to_string(),
            "<result xmlns='urn:xmpp:mam:2' id='7'><forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' from='b.example' stamp='1970-01-01T00:00:00.000Z'/>\
             <message xmlns='jabber:client' from='a@b.example/c' type='chat'><body>1 &lt; 2</body><x xmlns='urn:x'>\
             <body xmlns='jabber:client'/></x></message></forwarded></result>"
        );
        assert_eq!(Payload::from(element.clone()), payload, "canonical");
        let mut out = Vec::new();
        forwarded(&element).expect("a stanza").write(&mut out);
        assert_eq!(out, stanza);
        assert!(forward(&wrapper, None, b"<message/>").find(ns::MAM, "result").is_some());
    }
}
