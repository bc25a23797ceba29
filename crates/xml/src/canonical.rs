//! From a validated first-level child to the fragment that travels on.

use bytes::Bytes;

use crate::element::{self, Element};
use crate::error::Error;
use crate::limits::Limits;
use crate::ns;
use crate::scope::Outside;
use crate::walk::{Token, Walk};

/// Validates `bytes`, one complete element, and makes it independent of what is declared outside.
///
/// Most children are copied as they are. Those that lean on the stream header or on a prefix of the stanza's own start
/// tag, or that hold something readers have been seen to disagree on (CDATA, line ends and tabs that must be
/// normalised), are written anew. Declarations that nothing uses are lost then.
pub(crate) fn child(bytes: &[u8], outside: Outside<'_>, limits: &Limits) -> Result<Bytes, Error> {
    let mut walk = Walk::new(bytes, outside, limits)?;
    while !matches!(walk.next()?, Token::Done) {}
    if walk.is_verbatim() {
        return Ok(Bytes::copy_from_slice(bytes));
    }
    let element: Element = element::read(bytes, outside, limits)?;
    let mut out = Vec::with_capacity(bytes.len());
    element.write(ns::CLIENT, &mut out);
    Ok(out.into())
}
