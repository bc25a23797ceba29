//! Typed requests: what an IQ asks, read once.

use stanza::{Condition, StanzaError};
use xml::Element;

/// A typed IQ payload: its name is the key of the handler table.
pub trait Request: Sized + Send + 'static {
    /// Namespace.
    const NS: &'static str;
    /// Local name.
    const NAME: &'static str;
    /// Whether it may hold a secret: an error in answer to it then does not repeat it.
    const SECRET: bool = false;
    /// Reads it; what is unknown inside is passed over.
    ///
    /// # Errors
    /// [`Malformed`] when something required is missing or wrong: answered with `bad-request`.
    fn read(element: &Element) -> Result<Self, Malformed>;
}

/// Something required is missing or wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl From<Malformed> for StanzaError {
    fn from(malformed: Malformed) -> Self {
        StanzaError::new(Condition::BadRequest).with_text(malformed.0)
    }
}

/// Declares a request that is its empty element: `request! { Ping = "ping" in ns::PING; }`.
#[macro_export]
macro_rules! request {
    ($($(#[$doc:meta])* $type:ident = $name:literal in $ns:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $type;

        impl $crate::Request for $type {
            const NS: &'static str = $ns;
            const NAME: &'static str = $name;
            fn read(_: &$crate::Element) -> Result<Self, $crate::Malformed> {
                Ok(Self)
            }
        }
    )+};
}
