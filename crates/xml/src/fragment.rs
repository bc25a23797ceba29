//! A cheap look into canonical fragments: names and places, no tree.
//!
//! What is read here has been validated before ([`crate::Event::Child`]), so nothing is checked again; on other bytes
//! the result is meaningless, but nothing panics.

use std::borrow::Cow;
use std::ops::Range;

use crate::limits::Limits;
use crate::scan::Scan;
use crate::scope::same;
use crate::tag;

/// The start tag of an element, and where its content is.
#[derive(Clone, Debug)]
pub struct Tag<'a> {
    tag: tag::Tag<'a>,
    default_ns: &'a str,
    content: Range<usize>,
}

/// An attribute as written.
#[derive(Clone, Copy, Debug)]
pub struct Attribute<'a>(tag::Attribute<'a>);

/// A direct child element.
#[derive(Clone, Debug)]
pub struct Child<'a> {
    /// The start tag; its content range counts from the start of the child.
    pub tag: Tag<'a>,
    /// Where the child is in the content that was walked.
    pub range: Range<usize>,
}

/// Walks direct child elements; see [`children`].
#[derive(Clone, Debug)]
pub struct Children<'a> {
    content: &'a [u8],
    default_ns: &'a str,
    at: usize,
}

/// The start tag of the element that `bytes` are, where `default_ns` is the default namespace.
pub fn root<'a>(bytes: &'a [u8], default_ns: &'a str) -> Option<Tag<'a>> {
    let (tag, end) = start_tag(bytes)?;
    let last = if tag.empty {
        end
    } else {
        memchr::memrchr(b'<', bytes)?.max(end)
    };
    Some(Tag {
        tag,
        default_ns,
        content: end..last,
    })
}

fn start_tag(bytes: &[u8]) -> Option<(tag::Tag<'_>, usize)> {
    let end = memchr::memchr(b'<', bytes.get(1..)?).map_or(bytes.len(), |at| at + 1);
    let mut tag = tag::Tag::default();
    // No tag holds another `<`; what follows need not be looked at.
    let length = tag::read(std::str::from_utf8(&bytes[..end]).ok()?, &Limits::UNLIMITED, &mut tag).ok()?;
    Some((tag, length))
}

/// The direct child elements in `content`, where `default_ns` is the default namespace and no prefix is bound.
pub fn children<'a>(content: &'a [u8], default_ns: &'a str) -> Children<'a> {
    Children {
        content,
        default_ns,
        at: 0,
    }
}

impl<'a> Tag<'a> {
    /// The local name.
    pub fn name(&self) -> &'a str {
        self.tag.local
    }

    /// The namespace.
    pub fn ns(&self) -> Cow<'a, str> {
        match self.declared(self.tag.prefix) {
            Some(ns) => ns,
            None => Cow::Borrowed(self.default_ns),
        }
    }

    /// The namespace that this very tag declares for `prefix` (empty: the default namespace).
    pub fn declared(&self, prefix: &str) -> Option<Cow<'a, str>> {
        let found = self
            .tag
            .attributes
            .iter()
            .find(|attribute| attribute.declares().is_some_and(|declared| same(declared, prefix)))?;
        found.value().ok()
    }

    /// All attributes but namespace declarations, in document order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + '_ {
        self.tag
            .attributes
            .iter()
            .filter(|attribute| attribute.declares().is_none())
            .map(|a| Attribute(*a))
    }

    /// Where the content is, in the bytes that begin with this tag.
    pub fn content(&self) -> Range<usize> {
        self.content.clone()
    }
}

impl<'a> Attribute<'a> {
    /// The prefix, empty when there is none.
    pub fn prefix(&self) -> &'a str {
        self.0.prefix
    }

    /// The local name.
    pub fn name(&self) -> &'a str {
        self.0.local
    }

    /// The value, unescaped and normalised.
    pub fn value(&self) -> Cow<'a, str> {
        self.0.value().unwrap_or_default()
    }

    /// The value as written between its quotes.
    pub fn raw(&self) -> &'a str {
        self.0.raw
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = Child<'a>;

    fn next(&mut self) -> Option<Child<'a>> {
        let start = self.at + memchr::memchr(b'<', self.content.get(self.at..)?)?;
        let (tag, opening) = start_tag(&self.content[start..])?;
        let mut content = opening..opening;
        self.at = start + opening;
        if !tag.empty {
            let length = Scan::content()
                .run(&self.content[self.at..], &Limits::UNLIMITED)
                .ok()??;
            self.at += length;
            content.end = memchr::memrchr(b'<', &self.content[..self.at])?.max(start + opening) - start;
        }
        Some(Child {
            tag: Tag {
                tag,
                default_ns: self.default_ns,
                content,
            },
            range: start..self.at,
        })
    }
}
