//! Which prefix means which namespace, here.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::dialect::Dialect;
use crate::error::Error;
use crate::ns;
use crate::tag::Attribute;

/// The namespace bound to the prefix `xmlns`; nobody may declare it.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// Most declarations in force at once. A look-up walks them, so this bounds the work for one name.
const DECLARATIONS: usize = 128;

/// What is declared outside of the text that is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outside<'a> {
    pub(crate) default_ns: &'a str,
    pub(crate) prefixes: &'a [(Box<str>, Box<str>)],
    /// What is read as `jabber:client`.
    pub(crate) dialect: Dialect,
}

/// The declarations in force, innermost last.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    outside: Outside<'a>,
    inside: SmallVec<[Declaration<'a>; 6]>,
}

#[derive(Debug)]
struct Declaration<'a> {
    depth: usize,
    prefix: &'a str,
    ns: Cow<'a, str>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(outside: Outside<'a>) -> Self {
        Self {
            outside,
            inside: SmallVec::new(),
        }
    }

    /// Takes in a declaration made by the start tag at `depth`: `prefix` (empty: default) is bound to the value. Returns whether it is
    /// read as another one.
    pub(crate) fn declare(&mut self, depth: usize, prefix: &'a str, attribute: &Attribute<'a>) -> Result<bool, Error> {
        let mut ns = attribute.value()?;
        let reserved = match prefix {
            "xml" => ns != ns::XML,
            "xmlns" => true,
            _ => ns == ns::XML || ns == XMLNS || (ns.is_empty() && !prefix.is_empty()),
        };
        if reserved {
            return Err(Error::NotWellFormed("reserved namespace or prefix declared"));
        }
        if self.inside.len() == DECLARATIONS {
            return Err(Error::Limit("namespace declarations"));
        }
        let translated = self.outside.dialect.meant(&ns) != ns;
        if translated {
            ns = Cow::Borrowed(ns::CLIENT);
        }
        self.inside.push(Declaration { depth, prefix, ns });
        Ok(translated)
    }

    /// Forgets what the element at `depth` declared.
    pub(crate) fn leave(&mut self, depth: usize) {
        while self.inside.last().is_some_and(|declaration| declaration.depth >= depth) {
            self.inside.pop();
        }
    }

    /// The namespace of `prefix` (empty: the default namespace) and whether it was declared outside.
    pub(crate) fn resolve(&self, prefix: &str) -> Result<(&str, bool), Error> {
        if prefix == "xml" {
            return Ok((ns::XML, false));
        }
        if let Some(found) = self
            .inside
            .iter()
            .rev()
            .find(|declaration| same(declaration.prefix, prefix))
        {
            return Ok((&found.ns, false));
        }
        if prefix.is_empty() {
            return Ok((self.outside.default_ns, true));
        }
        let found = self
            .outside
            .prefixes
            .iter()
            .find(|(declared, _)| same(declared, prefix));
        found
            .map(|(_, ns)| (ns.as_ref(), true))
            .ok_or(Error::NotWellFormed("undeclared prefix"))
    }
}

/// Whether two prefixes are equal. Most are empty, and comparing nothing at no address is surprisingly slow on processors
/// with masked loads.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && (a.is_empty() || a == b)
}
