//! A start tag, read strictly.

use smallvec::SmallVec;

use crate::chars::{attribute_value, is_space, split_name};
use crate::error::Error;
use crate::limits::Limits;

/// A start tag as written; prefixes are not resolved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tag<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) local: &'a str,
    pub(crate) attributes: SmallVec<[Attribute<'a>; 8]>,
    /// An attribute value holds white space other than blanks, or a name is written in a way worth rewriting.
    pub(crate) irregular: bool,
}

/// An attribute as written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) local: &'a str,
    /// What stands between the quotes; its references have been checked.
    pub(crate) raw: &'a str,
}

impl Attribute<'_> {
    /// The prefix that this attribute declares (empty: the default namespace), `None` when it is no declaration.
    pub(crate) fn declares(&self) -> Option<&str> {
        match (self.prefix, self.local) {
            ("", "xmlns") => Some(""),
            ("xmlns", prefix) => Some(prefix),
            _ => None,
        }
    }
}

/// Reads `text`, which begins with `<` and ends with the tag's `>`.
pub(crate) fn read<'a>(text: &'a str, limits: &Limits, tag: &mut Tag<'a>) -> Result<(), Error> {
    tag.attributes.clear();
    tag.irregular = false;
    let inside = text
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'))
        .ok_or(Error::NotWellFormed("tag"))?;
    let inside = inside.strip_suffix('/').unwrap_or(inside);
    let (name, mut rest) = take_name(inside, limits)?;
    (tag.prefix, tag.local) = split_name(name)?;
    loop {
        let trimmed = skip_space(rest);
        if trimmed.is_empty() {
            return Ok(());
        }
        if trimmed.len() == rest.len() {
            return Err(Error::NotWellFormed("no white space before attribute"));
        }
        if tag.attributes.len() == limits.attributes {
            return Err(Error::Limit("attributes"));
        }
        rest = attribute(trimmed, limits, tag)?;
    }
}

fn attribute<'a>(text: &'a str, limits: &Limits, tag: &mut Tag<'a>) -> Result<&'a str, Error> {
    let (name, rest) = take_name(text, limits)?;
    let (prefix, local) = split_name(name)?;
    let rest = skip_space(rest)
        .strip_prefix('=')
        .ok_or(Error::NotWellFormed("attribute without value"))?;
    let rest = skip_space(rest);
    let quote = rest.bytes().next().filter(|quote| matches!(quote, b'\'' | b'"'));
    let quote = quote.ok_or(Error::NotWellFormed("attribute value without quotes"))?;
    let end =
        memchr::memchr(quote, &rest.as_bytes()[1..]).ok_or(Error::NotWellFormed("attribute value without end"))?;
    let raw = &rest[1..=end];
    tag.irregular |= check_value(raw)?;
    tag.attributes.push(Attribute { prefix, local, raw });
    Ok(&rest[end + 2..])
}

/// Checks a value; true when it holds white space that readers turn into blanks.
fn check_value(raw: &str) -> Result<bool, Error> {
    let (mut reference, mut less_than, mut control) = (false, false, false);
    for byte in raw.bytes() {
        reference |= byte == b'&';
        less_than |= byte == b'<';
        control |= byte < b' ';
    }
    if less_than {
        return Err(Error::NotWellFormed("'<' in attribute value"));
    }
    if reference {
        attribute_value(raw)?;
    }
    Ok(control)
}

fn take_name<'a>(text: &'a str, limits: &Limits) -> Result<(&'a str, &'a str), Error> {
    let end = text
        .bytes()
        .position(|b| is_space(b) || b == b'=')
        .unwrap_or(text.len());
    if end > limits.name_bytes {
        return Err(Error::Limit("name length"));
    }
    Ok(text.split_at(end))
}

fn skip_space(text: &str) -> &str {
    let end = text.bytes().position(|b| !is_space(b)).unwrap_or(text.len());
    &text[end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Vec<String>, Error> {
        let mut tag = Tag::default();
        read(text, &Limits::default(), &mut tag)?;
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
