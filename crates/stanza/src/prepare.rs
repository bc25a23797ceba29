//! Preparation and enforcement of the three parts of an address (RFC 7622, 3).
//!
//! Most parts are ASCII in final form; they are recognised in one pass and borrowed.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{OpaqueString, UsernameCaseMapped};

/// Longest part, in bytes.
const LONGEST: usize = 1023;

/// Longest label of a domain name, in bytes (RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;

/// The localpart (RFC 7622, 3.3), `None` when it is refused.
pub(crate) fn local(text: &str) -> Option<Cow<'_, str>> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !is_forbidden(char::from(byte));
    if text.bytes().all(plain) {
        return sized(Cow::Borrowed(text));
    }
    let text = if text.is_ascii() {
        text.to_ascii_lowercase().into()
    } else {
        stable(input(text)?, |text| UsernameCaseMapped::enforce(text))?
    };
    let allowed = |c: char| (!c.is_ascii() || c.is_ascii_graphic()) && !is_forbidden(c);
    if text.chars().all(allowed) { sized(text) } else { None }
}

/// The resourcepart (RFC 7622, 3.4), `None` when it is refused.
pub(crate) fn resource(text: &str) -> Option<Cow<'_, str>> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return sized(Cow::Borrowed(text));
    }
    sized(stable(input(text)?, |text| OpaqueString::enforce(text))?)
}

/// The domainpart (RFC 7622, 3.2), `None` when it is refused.
pub(crate) fn domain(text: &str) -> Option<Cow<'_, str>> {
    if let Some(address) = text.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    if is_plain(text) {
        return sized(Cow::Borrowed(text));
    }
    let text = international(text)?;
    if text.is_ascii() && !text.split('.').all(is_label) {
        return None;
    }
    sized(text)
}

/// Whether `text` is a domain name in final form: labels of small letters, digits and inner hyphens, no A-label.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.as_bytes().split(|byte| *byte == b'.').all(|label| {
        let inner = |end: Option<&u8>| end.is_some_and(|byte| *byte != b'-');
        label.len() <= LONGEST_LABEL
            && label.iter().all(|byte| plain(*byte))
            && inner(label.first())
            && inner(label.last())
            && !label.starts_with(b"xn--")
    })
}

/// Characters that RFC 7622, 3.3.1 takes away from the profile.
fn is_forbidden(c: char) -> bool {
    matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@')
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

/// Whether a label might be an A-label, which is kept as a U-label (RFC 7622, 3.2.1).
fn is_encoded(text: &str) -> bool {
    text.split('.').any(|label| label.starts_with("xn--"))
}

fn international(text: &str) -> Option<Cow<'_, str>> {
    if let Cow::Owned(lower) = lowercase(text)
        && lower.is_ascii()
        && !is_encoded(&lower)
    {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        return lower.bytes().all(allowed).then_some(Cow::Owned(lower));
    }
    stable(input(text)?, |text| mapped(text).ok_or(()))
}

fn lowercase(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// One pass of UTS 46 with the rules of IDNA 2008 that it knows; other full stops become dots, so one may end it again.
fn mapped(text: &str) -> Option<Cow<'_, str>> {
    let (unicode, result) = Uts46::new().to_unicode(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    result.ok()?;
    let unicode = match unicode.strip_suffix('.') {
        Some(short) => Cow::Owned(short.to_owned()),
        None => unicode,
    };
    let ascii = Uts46::new()
        .to_ascii(
            unicode.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Ignore,
        )
        .ok()?;
    ascii.split('.').all(is_label).then_some(unicode)
}

fn input(text: &str) -> Option<&str> {
    (text.len() <= 4 * LONGEST).then_some(text) // width mapping and composition can make it shorter
}

fn sized(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (1..=LONGEST).contains(&text.len()).then_some(text)
}

/// Applies `rules` until nothing changes, at most four times (RFC 8264, 7).
fn stable<E>(text: &str, rules: impl Fn(&str) -> Result<Cow<'_, str>, E>) -> Option<Cow<'_, str>> {
    let mut current = Cow::Borrowed(text);
    for _ in 0..4 {
        let next = rules(&current).ok()?.into_owned();
        if next == current {
            return Some(current);
        }
        current = Cow::Owned(next);
    }
    None
}
