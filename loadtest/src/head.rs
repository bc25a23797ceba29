//! The start tag of an element, read without the rest.

/// What a start tag says, of a fragment in the canonical form of [`xml::Event::Child`], which is well-formed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// The name.
    pub name: &'a str,
    /// The namespace, if it is declared here; else it is `jabber:client`.
    pub ns: Option<&'a str>,
    /// The attribute `id`, as it is written.
    pub id: Option<&'a str>,
    /// The attribute `type`.
    pub kind: Option<&'a str>,
    /// The attribute `h` (XEP-0198).
    pub h: Option<&'a str>,
}

impl<'a> Head<'a> {
    /// Reads it.
    pub fn of(fragment: &'a [u8]) -> Self {
        let end = tag_end(fragment);
        let text = std::str::from_utf8(&fragment[..end]).unwrap_or_default();
        let inside = text.strip_prefix('<').unwrap_or_default();
        let length = inside.find([' ', '\t', '\n', '\r', '/']).unwrap_or(inside.len());
        let (name, mut rest) = inside.split_at(length);
        let mut head = Self {
            name,
            ..Self::default()
        };
        while let Some((attribute, value, after)) = attribute(rest) {
            match attribute {
                "xmlns" => head.ns = Some(value),
                "id" => head.id = Some(value),
                "type" => head.kind = Some(value),
                "h" => head.h = Some(value),
                _ => {}
            }
            rest = after;
        }
        head
    }

    /// Whether this is a stanza (RFC 6120, 8).
    pub fn is_stanza(&self) -> bool {
        self.ns.is_none_or(|ns| ns == xml::ns::CLIENT) && matches!(self.name, "message" | "presence" | "iq")
    }
}

/// Where the start tag's `>` is: it may stand in values.
fn tag_end(fragment: &[u8]) -> usize {
    let mut quote = None;
    let is_end = |byte: &u8| match (quote, byte) {
        (None, b'>') => true,
        (None, b'\'' | b'"') => {
            quote = Some(*byte);
            false
        }
        (Some(open), _) if open == *byte => {
            quote = None;
            false
        }
        _ => false,
    };
    fragment.iter().position(is_end).unwrap_or(fragment.len())
}

/// The first attribute's name and value, and what follows it.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('=')?;
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let (value, after) = rest[1..].split_once(quote)?;
    Some((name.trim(), value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fragment: &str, expected: Head<'_>) {
        assert_eq!(Head::of(fragment.as_bytes()), expected, "{fragment}");
    }

    #[test]
    fn reads_the_start_tag_and_no_more() {
        let message = Head {
            name: "message",
            id: Some("a>b"),
            kind: Some("chat"),
            ..Head::default()
        };
        check(
            "<message from='x' id='a>b' type=\"chat\"><body id='c'>x='y'</body></message>",
            message,
        );
        let a = Head {
            name: "a",
            ns: Some("urn:xmpp:sm:3"),
            h: Some("7"),
            ..Head::default()
        };
        check("<a xmlns='urn:xmpp:sm:3' h = '7'/>", a);
        let presence = Head {
            name: "presence",
            ..Head::default()
        };
        check("<presence/>", presence);
        check("<presence>", presence);
    }

    #[test]
    fn what_is_no_element_has_no_name() {
        for text in ["", "x", "<", "<>"] {
            check(text, Head::default());
        }
    }
}
