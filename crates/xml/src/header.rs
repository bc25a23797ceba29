//! The start of a stream: an XML declaration, and the root's start tag with what it declares.

use crate::chars::{is_space, survey};
use crate::dialect::Dialect;
use crate::error::Error;
use crate::limits::Limits;
use crate::scope::Outside;
use crate::tag::{self, Tag};
use crate::walk::Walk;

/// The root's start tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Namespace of the root element.
    pub ns: String,
    /// Local name of the root element.
    pub name: String,
    /// The default namespace declared on the root: the content namespace (RFC 6120, 4.8.2).
    pub content_ns: String,
    /// Unprefixed attributes and `xml:lang`, unescaped, in document order.
    pub attributes: Vec<(String, String)>,
}

impl Open {
    /// The value of attribute `name`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What is kept of the root while its stream is open.
#[derive(Debug)]
pub(crate) struct Root {
    /// The name as written, for the end tag.
    pub(crate) name: Box<str>,
    default_ns: Box<str>,
    prefixes: Box<[(Box<str>, Box<str>)]>,
}

impl Root {
    /// The declarations that hold in the root's children, which speak `dialect`.
    pub(crate) fn outside(&self, dialect: Dialect) -> Outside<'_> {
        Outside {
            default_ns: &self.default_ns,
            prefixes: &self.prefixes,
            dialect,
        }
    }
}

/// A header that has been read.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) open: Open,
    pub(crate) root: Root,
    /// The root's start tag was its end tag, too.
    pub(crate) empty: bool,
}

/// Reads a complete header, whose children will speak `dialect`.
pub(crate) fn read(bytes: &[u8], limits: &Limits, dialect: Dialect) -> Result<Header, Error> {
    let start = declaration(bytes)?;
    let space = bytes[start..].iter().position(|byte| !is_space(*byte)).unwrap_or(0);
    let element = &bytes[start + space..];
    let mut walk = Walk::new(element, Outside::default(), limits)?;
    walk.next()?;
    let (tag, scope) = (walk.tag(), walk.scope());
    let (root_ns, _) = scope.resolve(tag.prefix)?;
    let (content_ns, _) = scope.resolve("")?;
    let prefixed = tag
        .attributes
        .iter()
        .filter_map(|a| a.declares())
        .filter(|prefix| !prefix.is_empty());
    let prefixes = prefixed.map(|prefix| Ok((prefix.into(), dialect.meant(scope.resolve(prefix)?.0).into())));
    let prefixes = prefixes.collect::<Result<Box<[_]>, Error>>()?;
    let name = if tag.prefix.is_empty() {
        tag.local.into()
    } else {
        format!("{}:{}", tag.prefix, tag.local)
    };
    Ok(Header {
        root: Root {
            name: name.into(),
            default_ns: dialect.meant(content_ns).into(),
            prefixes,
        },
        empty: tag.empty,
        open: Open {
            ns: root_ns.to_owned(),
            name: tag.local.to_owned(),
            content_ns: content_ns.to_owned(),
            attributes: attributes(tag)?,
        },
    })
}

fn attributes(tag: &Tag<'_>) -> Result<Vec<(String, String)>, Error> {
    let mut out = Vec::new();
    for attribute in tag.attributes.iter().filter(|attribute| attribute.declares().is_none()) {
        let name = match (attribute.prefix, attribute.local) {
            ("", local) => local,
            ("xml", "lang") => "xml:lang",
            _ => continue,
        };
        out.push((name.to_owned(), attribute.value()?.into_owned()));
    }
    Ok(out)
}

/// Checks the XML declaration (XML 1.0, 2.8), if there is one; its length.
fn declaration(bytes: &[u8]) -> Result<usize, Error> {
    if !bytes.starts_with(b"<?") {
        return Ok(0);
    }
    let end = memchr::memmem::find(bytes, b"?>").ok_or(Error::NotWellFormed("XML declaration"))?;
    let (text, _) = survey(&bytes[..end])?;
    let inside = text
        .strip_prefix("<?xml")
        .filter(|rest| rest.bytes().next().is_some_and(is_space));
    let inside = inside.ok_or(Error::Restricted("processing instruction"))?;
    let element = format!("<xml{inside}>"); // its pseudo attributes are written as attributes are
    let mut tag = Tag::default();
    if element.ends_with("/>") {
        return Err(Error::NotWellFormed("XML declaration"));
    }
    tag::read(
        &element,
        &Limits {
            attributes: 3,
            ..Limits::default()
        },
        &mut tag,
    )?;
    check_declaration(&tag)?;
    Ok(end + 2)
}

fn check_declaration(tag: &Tag<'_>) -> Result<(), Error> {
    let mut expected = ["version", "encoding", "standalone"].into_iter();
    let mut version = false;
    for attribute in &tag.attributes {
        if !attribute.prefix.is_empty() || !expected.any(|name| name == attribute.local) {
            return Err(Error::NotWellFormed("XML declaration"));
        }
        match (attribute.local, attribute.raw) {
            ("version", "1.0") => version = true,
            ("standalone", "yes" | "no") => {}
            ("encoding", encoding) if encoding.eq_ignore_ascii_case("utf-8") => {}
            ("encoding", _) => return Err(Error::Encoding("declared encoding is not UTF-8")),
            _ => return Err(Error::NotWellFormed("XML declaration")),
        }
    }
    if version {
        Ok(())
    } else {
        Err(Error::NotWellFormed("XML declaration without version"))
    }
}

/// Whether `bytes`, from `</` to `>`, end the element called `name`.
pub(crate) fn is_end_tag(bytes: &[u8], name: &str) -> bool {
    let inside = bytes.strip_prefix(b"</").and_then(|rest| rest.strip_suffix(b">"));
    let rest = inside.and_then(|inside| inside.strip_prefix(name.as_bytes()));
    rest.is_some_and(|rest| rest.iter().all(|byte| is_space(*byte)))
}
