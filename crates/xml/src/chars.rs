//! Characters, names and references of XML 1.0 (fifth edition) and of Namespaces in XML.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

use crate::error::Error;

/// What a look at all bytes of a document found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Survey {
    /// There is a carriage return, which readers turn into a line feed.
    pub(crate) carriage_return: bool,
}

/// Checks that `bytes` are UTF-8 and hold nothing but characters of XML (XML 1.0, 2.2).
pub(crate) fn survey(bytes: &[u8]) -> Result<(&str, Survey), Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::NotWellFormed("invalid UTF-8"))?;
    let (mut control, mut carriage_return, mut any) = (false, false, 0);
    for &byte in bytes {
        control |= byte < b' ' && byte != b'\n' && byte != b'\t' && byte != b'\r';
        carriage_return |= byte == b'\r';
        any |= byte;
    }
    if control || (any >= 0x80 && has_noncharacter(bytes)) {
        return Err(Error::NotWellFormed("character not allowed in XML"));
    }
    Ok((text, Survey { carriage_return }))
}

/// U+FFFE and U+FFFF are the only scalar values above U+001F that XML leaves out.
fn has_noncharacter(bytes: &[u8]) -> bool {
    memchr_iter(0xEF, bytes).any(|at| matches!(bytes.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF])))
}

/// Whether `byte` is white space (XML 1.0, 2.3).
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The qualified name at the start of `text`: its length, prefix (empty when there is none) and local part.
pub(crate) fn take_name(text: &str) -> Result<(usize, &str, &str), Error> {
    let (mut colon, mut begun) = (None, false);
    for (at, byte) in text.bytes().enumerate() {
        match ASCII[usize::from(byte)] {
            START => begun = true,
            INNER if begun => {}
            UNSURE if byte == b':' && begun && colon.is_none() => (colon, begun) = (Some(at), false),
            OTHER if begun => {
                let (prefix, from) = colon.map_or(("", 0), |colon| (&text[..colon], colon + 1));
                return Ok((at, prefix, &text[from..at]));
            }
            _ => break,
        }
    }
    take_unusual_name(text)
}

/// As [`take_name`], with characters beyond ASCII; and all names that are none.
fn take_unusual_name(text: &str) -> Result<(usize, &str, &str), Error> {
    let end = text
        .bytes()
        .position(|byte| ASCII[usize::from(byte)] == OTHER)
        .unwrap_or(text.len());
    let (prefix, local) = split_name(&text[..end], memchr(b':', &text.as_bytes()[..end]))?;
    Ok((end, prefix, local))
}

fn split_name(name: &str, colon: Option<usize>) -> Result<(&str, &str), Error> {
    let split = match colon {
        None => is_ncname(name).then_some(("", name)),
        Some(at) => {
            Some((&name[..at], &name[at + 1..])).filter(|(prefix, local)| is_ncname(prefix) && is_ncname(local))
        }
    };
    split.ok_or(Error::NotWellFormed("invalid name"))
}

/// Whether `name` is an `NCName` (Namespaces in XML, 3).
fn is_ncname(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}

/// No part of a name.
const OTHER: u8 = 0;
/// A byte that may be part of a name and needs a closer look: the colon and all beyond ASCII.
const UNSURE: u8 = 1;
/// A character that may stand in a name, but not begin it.
const INNER: u8 = 2;
/// A character that may begin a name.
const START: u8 = 3;

/// What each byte is to a name.
static ASCII: [u8; 256] = {
    let mut table = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => START,
            b'0'..=b'9' | b'-' | b'.' => INNER,
            b':' | 0x80.. => UNSURE,
            _ => OTHER,
        };
        byte += 1;
    }
    table
};

fn is_name_start(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

fn is_name_char(c: char) -> bool {
    is_name_start(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// The character that `&name;` stands for: one of the five predefined, or a character reference to a legal character.
pub(crate) fn reference(name: &str) -> Result<char, Error> {
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => match name.strip_prefix('#') {
            Some(number) => numbered(number).ok_or(Error::NotWellFormed("invalid character reference")),
            None if is_ncname(name) => Err(Error::Restricted("entity reference")),
            None => Err(Error::NotWellFormed("invalid entity reference")),
        },
    }
}

fn numbered(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // `from_str_radix` would take a sign, which XML does not.
    if !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    (!matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')).then_some(c)
}

/// The value that `raw`, taken from between quotes, stands for (XML 1.0, 3.3.3).
pub(crate) fn attribute_value(raw: &str) -> Result<Cow<'_, str>, Error> {
    if !raw.bytes().any(|b| b == b'&' || b < b' ') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(tail) = rest.strip_prefix('&') {
            let (name, tail) = tail.split_once(';').ok_or(Error::NotWellFormed("bare ampersand"))?;
            out.push(reference(name)?);
            rest = tail;
        } else {
            out.push(' ');
            rest = rest.strip_prefix("\r\n").unwrap_or(&rest[1..]);
        }
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// Appends character data with its line ends normalised (XML 1.0, 2.11).
pub(crate) fn push_text(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = memchr(b'\r', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        out.push('\n');
        rest = &rest[at + 1..];
        rest = rest.strip_prefix('\n').unwrap_or(rest);
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_the_five_and_legal_characters() {
        let table = [
            ("amp", Some('&')),
            ("#65", Some('A')),
            ("#x41", Some('A')),
            ("#xD", Some('\r')),
            ("#x10FFFF", Some('\u{10FFFF}')),
            ("#X41", None),
            ("#+65", None),
            ("#", None),
            ("#x", None),
            ("#0", None),
            ("#xB", None),
            ("#xD800", None),
            ("#xFFFE", None),
            ("#x110000", None),
            ("#99999999999999999999", None),
            ("nbsp", None),
            ("AMP", None),
            ("", None),
        ];
        for (name, expected) in table {
            assert_eq!(reference(name).ok(), expected, "{name}");
        }
        assert_eq!(reference("lol9"), Err(Error::Restricted("entity reference")));
    }

    #[test]
    fn names_split_at_one_colon() {
        let split = |name: &'static str| {
            let (length, prefix, local) = take_name(name).ok()?;
            (length == name.len()).then_some((prefix, local))
        };
        assert_eq!(split("a:b"), Some(("a", "b")));
        assert_eq!(split("é-1.2"), Some(("", "é-1.2")));
        assert_eq!(split("a1:é"), Some(("a1", "é")));
        for bad in [
            "", ":", "a:", ":a", "a:b:c", "é:b:c", "a::b", "1a", "-a", ".a", "a:1", "a b", "a\u{D7}",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn attribute_values_are_normalised() {
        let table = [
            ("a\tb\nc\r\nd\re", "a b c d e"),
            ("&#10;&lt;&#x9;", "\n<\t"),
            ("plain", "plain"),
        ];
        for (raw, expected) in table {
            assert_eq!(attribute_value(raw).as_deref(), Ok(expected));
        }
        assert!(attribute_value("a & b").is_err());
    }
}
