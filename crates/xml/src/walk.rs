//! A walk over one complete element: quick-xml finds the tokens, everything it lets pass is checked here.

use quick_xml::events::Event as Raw;

use crate::chars::{is_space, reference, survey};
use crate::error::Error;
use crate::limits::Limits;
use crate::scope::{Outside, Scope};
use crate::tag::{self, Attribute, Kind, Tag};

/// A step of the walk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token<'a> {
    /// An element begins; [`Walk::tag`] has its name and attributes.
    Start,
    /// The innermost open element ends (also an empty one).
    End,
    /// Character data as written, without references.
    Text(&'a str),
    /// A character written as a reference.
    Char(char),
    /// The content of a CDATA section.
    CData(&'a str),
    /// The root has ended, and nothing follows it.
    Done,
}

/// A strict walk over one element and its content.
pub(crate) struct Walk<'a> {
    text: &'a str,
    lexer: quick_xml::Reader<&'a [u8]>,
    limits: &'a Limits,
    scope: Scope<'a>,
    tag: Tag<'a>,
    depth: usize,
    elements: usize,
    empty: bool,
    verbatim: bool,
}

impl<'a> Walk<'a> {
    /// Begins at the root's `<`.
    pub(crate) fn new(bytes: &'a [u8], outside: Outside<'a>, limits: &'a Limits) -> Result<Self, Error> {
        if bytes.len() > limits.stanza_bytes {
            return Err(Error::Limit("stanza size"));
        }
        // The lexer would skip a byte order mark; to XMPP it is a character like others (RFC 6120, 11.6).
        if bytes.first() != Some(&b'<') {
            return Err(Error::NotWellFormed("no element"));
        }
        let (text, survey) = survey(bytes)?;
        let verbatim = !survey.carriage_return;
        let (lexer, scope) = (quick_xml::Reader::from_reader(bytes), Scope::new(outside));
        Ok(Self {
            text,
            lexer,
            limits,
            scope,
            tag: Tag::default(),
            depth: 0,
            elements: 0,
            empty: false,
            verbatim,
        })
    }

    /// The start tag that was read last.
    pub(crate) fn tag(&self) -> &Tag<'a> {
        &self.tag
    }

    /// What is in force inside the start tag that was read last.
    pub(crate) fn scope(&self) -> &Scope<'a> {
        &self.scope
    }

    /// Whether what was read means the same, to every reader, where only a default namespace is declared: and so
    /// does each child of the root, taken alone, where the root's default namespace is in force.
    pub(crate) fn is_verbatim(&self) -> bool {
        self.verbatim
    }

    /// The next token.
    pub(crate) fn next(&mut self) -> Result<Token<'a>, Error> {
        if self.empty {
            self.empty = false;
            return Ok(self.end());
        }
        let from = self.position();
        match self.lexer.read_event() {
            Ok(Raw::Start(_)) => self.start(from),
            Ok(Raw::Empty(_)) => {
                self.empty = true;
                self.start(from)
            }
            Ok(Raw::End(_)) => Ok(self.end()),
            Ok(Raw::Text(_)) => self.characters(from),
            Ok(Raw::GeneralRef(_)) => self.reference(from),
            Ok(Raw::CData(_)) => self.cdata(from),
            Ok(Raw::Eof) if self.depth == 0 && self.elements > 0 => Ok(Token::Done),
            Ok(Raw::Eof) => Err(Error::NotWellFormed("element without end")),
            Ok(Raw::Comment(_)) => Err(Error::Restricted("comment")),
            Ok(Raw::PI(_) | Raw::Decl(_)) => Err(Error::Restricted("processing instruction")),
            Ok(Raw::DocType(_)) => Err(Error::Restricted("document type")),
            Err(_) => Err(Error::NotWellFormed("markup")),
        }
    }

    fn position(&self) -> usize {
        usize::try_from(self.lexer.buffer_position()).unwrap_or(usize::MAX)
    }

    /// The text of the token that began at `from`, without so many bytes on either side.
    fn slice(&self, from: usize, before: usize, after: usize) -> Result<&'a str, Error> {
        let end = self.position().saturating_sub(after);
        self.text.get(from + before..end).ok_or(Error::NotWellFormed("markup"))
    }

    fn start(&mut self, from: usize) -> Result<Token<'a>, Error> {
        if self.depth == 0 && self.elements > 0 {
            return Err(Error::NotWellFormed("second root"));
        }
        self.depth += 1;
        self.elements += 1;
        if self.depth > self.limits.depth {
            return Err(Error::Limit("depth"));
        }
        if self.elements > self.limits.elements {
            return Err(Error::Limit("elements"));
        }
        let text = self.slice(from, 0, 0)?;
        if tag::read(text, self.limits, &mut self.tag)? != text.len() {
            return Err(Error::NotWellFormed("tag"));
        }
        self.verbatim &= !self.tag.irregular;
        self.declarations()?;
        self.names()?;
        Ok(Token::Start)
    }

    fn declarations(&mut self) -> Result<(), Error> {
        for attribute in &self.tag.attributes {
            let Some(prefix) = attribute.declares() else { continue };
            self.verbatim &= !self.scope.declare(self.depth, prefix, attribute)?;
            // A prefix declared on the root would reach into its children, and `xml` need not be declared.
            self.verbatim &= prefix.is_empty() || (self.depth > 1 && prefix != "xml");
        }
        Ok(())
    }

    /// Resolves the element's name and its attributes' names; no two attributes may have the same.
    fn names(&mut self) -> Result<(), Error> {
        let (ns, outside) = self.scope.resolve(self.tag.prefix)?;
        if ns == crate::ns::XML {
            return Err(Error::NotWellFormed("element in the xml namespace"));
        }
        self.verbatim &= !outside || (self.tag.prefix.is_empty() && ns == crate::ns::CLIENT);
        for (at, attribute) in self.tag.attributes.iter().enumerate() {
            if attribute.kind == Kind::Prefixed {
                self.verbatim &= !self.scope.resolve(attribute.prefix)?.1;
            }
            if self.tag.attributes[..at]
                .iter()
                .any(|other| self.is_same(other, attribute))
            {
                return Err(Error::NotWellFormed("attribute given twice"));
            }
        }
        Ok(())
    }

    /// Whether two attributes have the same expanded name (Namespaces in XML, 6.3).
    fn is_same(&self, a: &Attribute<'_>, b: &Attribute<'_>) -> bool {
        if a.kind != b.kind || a.local != b.local {
            return false;
        }
        let namespace = |attribute: &Attribute<'_>| self.scope.resolve(attribute.prefix).map(|(ns, _)| ns);
        a.kind != Kind::Prefixed || a.prefix == b.prefix || namespace(a) == namespace(b)
    }

    fn end(&mut self) -> Token<'a> {
        self.scope.leave(self.depth);
        self.depth = self.depth.saturating_sub(1);
        Token::End
    }

    fn characters(&self, from: usize) -> Result<Token<'a>, Error> {
        let text = self.slice(from, 0, 0)?;
        if self.depth == 0 && !text.bytes().all(is_space) {
            return Err(Error::NotWellFormed("text outside of the element"));
        }
        if memchr::memchr(b']', text.as_bytes()).is_some() && text.contains("]]>") {
            return Err(Error::NotWellFormed("']]>' in text"));
        }
        Ok(Token::Text(text))
    }

    fn reference(&self, from: usize) -> Result<Token<'a>, Error> {
        if self.depth == 0 {
            return Err(Error::NotWellFormed("text outside of the element"));
        }
        reference(self.slice(from, 1, 1)?).map(Token::Char)
    }

    fn cdata(&mut self, from: usize) -> Result<Token<'a>, Error> {
        if self.depth == 0 {
            return Err(Error::NotWellFormed("text outside of the element"));
        }
        self.verbatim = false;
        self.slice(from, "<![CDATA[".len(), "]]>".len()).map(Token::CData)
    }
}
