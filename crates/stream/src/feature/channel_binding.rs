//! Channel-binding types announced (XEP-0440; RFC 9266, RFC 5929).

use stanza::{Peer, ns};
use xml::Element;

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "channel_binding",
    xeps: &[(440, "1.0.0")],
    summary: "Announces the channel-binding types that the connection can give.",
};

/// The types that this connection can give, the strongest first. `tls-unique` is never among them: it is broken before
/// TLS 1.3 and undefined in it.
pub(crate) fn types(peer: &Peer) -> impl Iterator<Item = &'static str> {
    let tls = peer.tls.as_ref();
    let exporter = tls.is_some_and(|tls| tls.exporter.is_some()).then_some("tls-exporter");
    let end_point = tls
        .is_some_and(|tls| tls.server_end_point.is_some())
        .then_some("tls-server-end-point");
    exporter.into_iter().chain(end_point)
}

/// The types to announce: those that the connection can give, where there are mechanisms that use them.
pub(crate) fn offer(peer: &Peer, mechanisms: &[String]) -> Vec<String> {
    match mechanisms.iter().any(|mechanism| mechanism.ends_with("-PLUS")) {
        true => types(peer).map(str::to_owned).collect(),
        false => Vec::new(),
    }
}

/// Announced beside the mechanisms.
pub(crate) fn feature(offered: &[String]) -> Option<Element> {
    let kind = |kind: &String| Element::new(ns::SASL_CHANNEL_BINDING, "channel-binding").with("type", kind);
    (!offered.is_empty())
        .then(|| Element::new(ns::SASL_CHANNEL_BINDING, "sasl-channel-binding").extend(offered.iter().map(kind)))
}
