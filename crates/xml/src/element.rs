//! A small owned tree, for payloads that somebody looks into.

use std::borrow::Cow;

use crate::chars::{is_space, push_text};
use crate::dialect::Dialect;
use crate::error::Error;
use crate::escape::{escape_attribute, escape_text};
use crate::limits::Limits;
use crate::ns;
use crate::scope::Outside;
use crate::walk::{Token, Walk};

/// An element with its namespace, attributes and children.
///
/// ```
/// use dunlin_xml::Element;
/// let ping = Element::new("urn:xmpp:ping", "ping").with("a", "1").push(Element::new("urn:xmpp:ping", "x").text("hi"));
/// assert_eq!(ping.to_string(), "<ping xmlns='urn:xmpp:ping' a='1'><x>hi</x></ping>");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    ns: Cow<'static, str>,
    name: Cow<'static, str>,
    attributes: Vec<(Cow<'static, str>, String)>,
    children: Vec<Node>,
}

/// What an element contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Character data, unescaped.
    Text(String),
}

impl Element {
    /// An empty element `name` in namespace `ns`.
    pub fn new(ns: impl Into<Cow<'static, str>>, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            ns: ns.into(),
            name: name.into(),
            attributes: Vec::new(),
            children: Vec::new(),
        }
    }

    /// Reads one element from `bytes`, in whose context `default_ns` is the default namespace and no prefix is bound.
    ///
    /// # Errors
    /// As [`Error`]; trailing bytes other than white space are `NotWellFormed`.
    pub fn parse(bytes: &[u8], default_ns: &str, limits: &Limits) -> Result<Self, Error> {
        let space = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
        read(
            &bytes[space..],
            Outside {
                default_ns,
                prefixes: &[],
                dialect: Dialect::Client,
            },
            limits,
        )
    }

    /// This element with attribute `name` set. A name with a prefix other than `xml` needs an attribute `xmlns:prefix`
    /// on the same element; [`Element::parse`] makes both.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// This element with attribute `name` set if there is a value.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Sets attribute `name`.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.attributes.iter_mut().find(|(n, _)| *n == name) {
            Some((_, v)) => *v = value,
            None => self.attributes.push((name, value)),
        }
    }

    /// This element with `child` appended.
    #[must_use]
    pub fn push(mut self, child: Element) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// This element with `children` appended.
    #[must_use]
    pub fn extend(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// This element with character data appended.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }

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

    /// The value of attribute `name`, unescaped.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All attributes in document order. Those with a namespace carry their prefix, and unless that is `xml`, an
    /// attribute `xmlns:prefix` stands before the first of them.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(n, v)| (n.as_ref(), v.as_str()))
    }

    /// All nodes in document order.
    pub fn nodes(&self) -> &[Node] {
        &self.children
    }

    /// The child elements in document order.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child `name` in namespace `ns`.
    pub fn child(&self, ns: &str, name: &str) -> Option<&Element> {
        self.children().find(|child| child.is(ns, name))
    }

    /// All character data directly inside, joined.
    pub fn content(&self) -> String {
        self.children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// Appends this element where `default_ns` is the default namespace.
    pub fn write(&self, default_ns: &str, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(self.name.as_bytes());
        if self.ns != default_ns {
            out.extend_from_slice(b" xmlns='");
            escape_attribute(&self.ns, out);
            out.push(b'\'');
        }
        for (name, value) in &self.attributes {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"='");
            escape_attribute(value, out);
            out.push(b'\'');
        }
        if self.children.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        for child in &self.children {
            match child {
                Node::Element(element) => element.write(&self.ns, out),
                Node::Text(text) => escape_text(text, out),
            }
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'>');
    }
}

/// Reads one complete element that begins at the first byte.
pub(crate) fn read(bytes: &[u8], outside: Outside<'_>, limits: &Limits) -> Result<Element, Error> {
    let mut walk = Walk::new(bytes, outside, limits)?;
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match (walk.next()?, open.last_mut()) {
            (Token::Start, _) => open.push(begin(&walk)?),
            (Token::End, _) => root = close(&mut open).or(root),
            (Token::Text(text) | Token::CData(text), Some(parent)) => parent.append(|out| push_text(text, out)),
            (Token::Char(c), Some(parent)) => parent.append(|out| out.push(c)),
            (Token::Text(_) | Token::CData(_) | Token::Char(_), None) => {}
            (Token::Done, _) => return root.ok_or(Error::NotWellFormed("no element")),
        }
    }
}

/// The element whose start tag was read last.
fn begin(walk: &Walk<'_>) -> Result<Element, Error> {
    let (tag, scope) = (walk.tag(), walk.scope());
    let mut element = Element::new(scope.resolve(tag.prefix)?.0.to_owned(), tag.local.to_owned());
    for attribute in tag.attributes.iter().filter(|attribute| attribute.declares().is_none()) {
        let value = attribute.value()?.into_owned();
        let name = match attribute.prefix {
            "" => attribute.local.to_owned(),
            prefix => format!("{prefix}:{}", attribute.local),
        };
        if !matches!(attribute.prefix, "" | "xml") {
            element.set(
                format!("xmlns:{}", attribute.prefix),
                scope.resolve(attribute.prefix)?.0,
            );
        }
        element.attributes.push((name.into(), value));
    }
    Ok(element)
}

/// Hangs the innermost open element into its parent; returns it when it has none.
fn close(open: &mut Vec<Element>) -> Option<Element> {
    let element = open.pop()?;
    match open.last_mut() {
        Some(parent) => {
            parent.children.push(Node::Element(element));
            None
        }
        None => Some(element),
    }
}

impl Element {
    /// Lets `edit` append to the text at the end; neighbouring character data is one node, and none is empty.
    fn append(&mut self, edit: impl FnOnce(&mut String)) {
        if let Some(Node::Text(text)) = self.children.last_mut() {
            return edit(text);
        }
        let mut text = String::new();
        edit(&mut text);
        if !text.is_empty() {
            self.children.push(Node::Text(text));
        }
    }
}

impl std::fmt::Display for Element {
    /// Writes the element as inside a `jabber:client` stream.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = Vec::new();
        self.write(ns::CLIENT, &mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}
