//! A start tag, read strictly.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::chars::{attribute_value, is_space, take_name};
use crate::error::Error;
use crate::limits::Limits;

/// A start tag as written; prefixes are not resolved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tag<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) local: &'a str,
    pub(crate) attributes: SmallVec<[Attribute<'a>; 8]>,
    /// It ends with `/>`.
    pub(crate) empty: bool,
    /// An attribute value holds white space other than blanks, which readers turn into blanks.
    pub(crate) irregular: bool,
}

/// An attribute as written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) local: &'a str,
    /// What stands between the quotes; its references have been checked.
    pub(crate) raw: &'a str,
    pub(crate) kind: Kind,
    /// The value is other than `raw`: it holds references, or white space other than blanks.
    pub(crate) coded: bool,
}

/// What an attribute's name makes of it (Namespaces in XML, 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In no namespace.
    Plain,
    /// In the namespace of its prefix.
    Prefixed,
    /// `xmlns`: declares the default namespace.
    Default,
    /// `xmlns:prefix`: declares a prefix.
    Prefix,
}

impl<'a> Attribute<'a> {
    /// The prefix that this attribute declares (empty: the default namespace), `None` when it is no declaration.
    pub(crate) fn declares(&self) -> Option<&'a str> {
        match self.kind {
            Kind::Default => Some(""),
            Kind::Prefix => Some(self.local),
            Kind::Plain | Kind::Prefixed => None,
        }
    }

    /// The value, unescaped and normalised (XML 1.0, 3.3.3).
    pub(crate) fn value(&self) -> Result<Cow<'a, str>, Error> {
        if self.coded {
            attribute_value(self.raw)
        } else {
            Ok(Cow::Borrowed(self.raw))
        }
    }
}

impl Kind {
    fn of(prefix: &str, local: &str) -> Self {
        match prefix {
            "" if local == "xmlns" => Self::Default,
            "" => Self::Plain,
            "xmlns" => Self::Prefix,
            _ => Self::Prefixed,
        }
    }
}

/// Reads the start tag that begins with the first byte of `text`; how long it is.
pub(crate) fn read<'a>(text: &'a str, limits: &Limits, tag: &mut Tag<'a>) -> Result<usize, Error> {
    tag.attributes.clear();
    tag.irregular = false;
    let mut at = 1;
    (tag.prefix, tag.local) = name(text, &mut at, limits)?;
    loop {
        let spaced = skip_space(text, &mut at);
        match text.as_bytes().get(at) {
            Some(b'>') => {
                tag.empty = false;
                return Ok(at + 1);
            }
            Some(b'/') if text.as_bytes().get(at + 1) == Some(&b'>') => {
                tag.empty = true;
                return Ok(at + 2);
            }
            _ if !spaced => return Err(Error::NotWellFormed("name or attribute without end")),
            _ => attribute(text, &mut at, limits, tag)?,
        }
    }
}

fn attribute<'a>(text: &'a str, at: &mut usize, limits: &Limits, tag: &mut Tag<'a>) -> Result<(), Error> {
    if tag.attributes.len() >= limits.attributes {
        return Err(Error::Limit("attributes"));
    }
    let (prefix, local) = name(text, at, limits)?;
    skip_space(text, at);
    if text.as_bytes().get(*at) != Some(&b'=') {
        return Err(Error::NotWellFormed("attribute without value"));
    }
    *at += 1;
    skip_space(text, at);
    let Some(quote @ (b'\'' | b'"')) = text.as_bytes().get(*at) else {
        return Err(Error::NotWellFormed("attribute value without quotes"));
    };
    let start = *at + 1;
    let (end, found) = value(text.as_bytes(), start, *quote)?;
    *at = end + 1;
    let raw = &text[start..end];
    if found & REFERENCE != 0 {
        attribute_value(raw)?;
    }
    tag.irregular |= found & CONTROL != 0;
    tag.attributes.push(Attribute {
        prefix,
        local,
        raw,
        kind: Kind::of(prefix, local),
        coded: found != 0,
    });
    Ok(())
}

/// Where the value that begins at `start` ends, and what it holds of [`REFERENCE`] and [`CONTROL`].
fn value(bytes: &[u8], start: usize, quote: u8) -> Result<(usize, u8), Error> {
    let (mut found, mut at) = (0, start);
    while let Some(skip) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|byte| VALUE[usize::from(*byte)] != 0))
    {
        at += skip;
        match VALUE[usize::from(bytes[at])] {
            STOP if bytes[at] == quote => return Ok((at, found)),
            STOP if bytes[at] == b'<' => return Err(Error::NotWellFormed("'<' in attribute value")),
            STOP => {}
            other => found |= other,
        }
        at += 1;
    }
    Err(Error::NotWellFormed("attribute value without end"))
}

/// A quote, or `<`.
const STOP: u8 = 1;
/// An ampersand.
const REFERENCE: u8 = 2;
/// White space that readers turn into blanks.
const CONTROL: u8 = 4;

/// What each byte is to an attribute value.
static VALUE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'\'' | b'"' | b'<' => STOP,
            b'&' => REFERENCE,
            ..b' ' => CONTROL,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// Prefix and local part of the name at `at`.
fn name<'a>(text: &'a str, at: &mut usize, limits: &Limits) -> Result<(&'a str, &'a str), Error> {
    let rest = text.get(*at..).unwrap_or_default();
    let (length, prefix, local) = take_name(rest)?;
    if length > limits.name_bytes {
        return Err(Error::Limit("name length"));
    }
    *at += length;
    Ok((prefix, local))
}

/// Whether there was any.
fn skip_space(text: &str, at: &mut usize) -> bool {
    let start = *at;
    while text.as_bytes().get(*at).is_some_and(|byte| is_space(*byte)) {
        *at += 1;
    }
    *at > start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Vec<String>, Error> {
        let mut tag = Tag::default();
        let length = read(text, &Limits::default(), &mut tag)?;
        assert_eq!(length, text.len());
        Ok(tag
            .attributes
            .iter()
            .map(|a| format!("{}|{}|{}", a.prefix, a.local, a.raw))
            .collect())
    }

    #[test]
    fn well_formed_tags() {
        let table: [(&str, &[&str]); 5] = [
            ("<a>", &[]),
            ("<a/>", &[]),
            ("<p:a b='1'\n\tc = \"it's\" >", &["|b|1", "|c|it's"]),
            ("<a xml:lang='en'/>", &["xml|lang|en"]),
            ("<a b='&amp;/>'/>", &["|b|&amp;/>"]),
        ];
        for (text, expected) in table {
            assert_eq!(
                check(text).as_deref(),
                Ok(expected.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice()),
                "{text}"
            );
        }
    }

    #[test]
    fn ill_formed_tags() {
        for text in [
            "<>",
            "</>",
            "< a>",
            "<a b>",
            "<a b=>",
            "<a b=c>",
            "<a b='1'c='2'>",
            "<a b='1>",
            "<a b='<'>",
            "<a b='&'>",
            "<a b='&x'>",
            "<a / >",
            "<a/ b='1'>",
            "<a =''>",
            "<a 'b'>",
            "<a b:='1'>",
            "<1>",
            "<a//>",
            "<a b='&#0;'>",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
