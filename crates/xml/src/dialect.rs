//! Who is at the other end of a stream, as far as XML shows it: in which namespace stanzas are.

use crate::ns;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// A client (RFC 6120, 4.8.2).
    #[default]
    Client,
    /// An external component (XEP-0114).
    Component,
}

impl Dialect {
    /// The content namespace: that of stanzas.
    pub fn content_ns(self) -> &'static str {
        match self {
            Self::Client => ns::CLIENT,
            Self::Component => ns::COMPONENT,
        }
    }

    /// The namespace that is meant by `ns`: stanzas are those of clients, whoever sends them.
    pub(crate) fn meant(self, ns: &str) -> &str {
        if self != Self::Client && ns == self.content_ns() {
            ns::CLIENT
        } else {
            ns
        }
    }
}
