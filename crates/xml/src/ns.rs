//! Well-known XML namespaces.

/// The namespace bound to the prefix `xml`.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Stanzas between clients and servers (RFC 6120, 4.8.2). In a canonical fragment it is the default namespace.
pub const CLIENT: &str = "jabber:client";
/// The stream itself (RFC 6120, 4.8.1).
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// Stanzas between external components and servers (XEP-0114).
pub const COMPONENT: &str = "jabber:component:accept";
