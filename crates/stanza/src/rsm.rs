//! Result set management (XEP-0059): which page of a long list is asked for, and which one is answered.

use xml::Element;

use crate::ns;

/// Which page is asked for (XEP-0059, 2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// At most so many; 0: only how many there are.
    pub max: Option<u32>,
    /// Only what follows this id.
    pub after: Option<String>,
    /// Only what precedes this id, and of that the last page; empty: the last page of all.
    pub before: Option<String>,
    /// The page that begins at this place.
    pub index: Option<u64>,
}

/// Which page is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The first and the last id; `None` when the page is empty.
    pub ends: Option<(String, String)>,
    /// The place of the first in the whole list, if known.
    pub index: Option<u64>,
    /// How many the whole list has, if known.
    pub count: Option<u64>,
}

impl Asked {
    /// Reads a `set` element; `None` when it is another one, or its numbers are none.
    pub fn read(element: &Element) -> Option<Self> {
        if !element.is(ns::RSM, "set") {
            return None;
        }
        let content = |name| element.child(ns::RSM, name).map(Element::content);
        Some(Self {
            max: content("max").map(|max| max.trim().parse()).transpose().ok()?,
            after: content("after"),
            before: content("before"),
            index: content("index").map(|index| index.trim().parse()).transpose().ok()?,
        })
    }
}

impl Answered {
    /// The `set` element.
    pub fn to_element(&self) -> Element {
        let item = |name: &'static str, text: &str| Element::new(ns::RSM, name).text(text);
        let ends = self.ends.iter().flat_map(|(first, last)| {
            let first = item("first", first).with_some("index", self.index.map(|index| index.to_string()));
            [first, item("last", last)]
        });
        let count = self.count.map(|count| item("count", &count.to_string()));
        Element::new(ns::RSM, "set").extend(ends).extend(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(inner: &str) -> Option<Asked> {
        let xml = format!("<set xmlns='http://jabber.org/protocol/rsm'>{inner}</set>");
        Asked::read(&Element::parse(xml.as_bytes(), "", &xml::Limits::UNLIMITED).unwrap())
    }

    #[test]
    fn what_is_asked() {
        let nothing = Asked::default();
        let last = |max| Asked {
            max,
            before: Some(String::new()),
            ..Asked::default()
        };
        let after = Asked {
            max: Some(10),
            after: Some("a".into()),
            ..Asked::default()
        };
        for (inner, expected) in [
            ("", Some(nothing)),
            ("<max>10</max><after>a</after>", Some(after)),
            ("<before/>", Some(last(None))),
            ("<max>0</max><before/>", Some(last(Some(0)))),
            (
                "<index>371</index>",
                Some(Asked {
                    index: Some(371),
                    ..Asked::default()
                }),
            ),
            ("<max>-1</max>", None),
            ("<max>many</max>", None),
        ] {
            assert_eq!(set(inner), expected, "{inner}");
        }
        assert_eq!(Asked::read(&Element::new("urn:x", "set")), None);
    }

    #[test]
    fn what_is_answered() {
        let page = Answered {
            ends: Some(("a".into(), "b".into())),
            index: Some(0),
            count: Some(2),
        };
        assert_eq!(
            page.to_element().to_string(),
            "<set xmlns='http://jabber.org/protocol/rsm'><first index='0'>a</first><last>b</last><count>2</count></set>"
        );
        assert_eq!(
            Answered::default().to_element().to_string(),
            "<set xmlns='http://jabber.org/protocol/rsm'/>"
        );
    }
}
