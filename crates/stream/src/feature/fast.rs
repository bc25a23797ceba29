//! Tokens for quick logins (XEP-0484): the elements. What a token is worth is a router's affair.

use stanza::{FastUse, Peer, SaslFailure, Token, ns};
use xml::Element;

use crate::about::About;
use crate::config::HostConfig;
use crate::feature::channel_binding;

pub(crate) const ABOUT: About = About {
    name: "fast",
    xeps: &[(484, "0.2.0")],
    summary: "Gives clients tokens by which they log in again in one round trip, without a password.",
};

/// What a client says of tokens within `<authenticate/>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// `<fast/>`: it uses one.
    pub(crate) fast: Option<FastUse>,
    /// `<request-token/>`: it wants one, for this mechanism.
    pub(crate) request: Option<String>,
}

/// The mechanisms to offer: those that are bound to the channel only where it can be bound that way.
pub(crate) fn offer(host: &HostConfig, peer: &Peer) -> Vec<String> {
    let binds = |kind| channel_binding::types(peer).any(|known| known == kind);
    let usable = |mechanism: &&String| match mechanism.rsplit('-').next() {
        Some("EXPR") => binds("tls-exporter"),
        Some("ENDP") => binds("tls-server-end-point"),
        Some("NONE") => true,
        _ => false, // `UNIQ` is not safe, and not defined in TLS 1.3
    };
    host.tokens.iter().filter(usable).cloned().collect()
}

/// Announced within `<authentication/>`. There is no `tls-0rtt`: early data is not accepted.
pub(crate) fn feature(offered: &[String]) -> Option<Element> {
    let mechanism = |name: &String| Element::new(ns::FAST, "mechanism").text(name);
    (!offered.is_empty()).then(|| Element::new(ns::FAST, "fast").extend(offered.iter().map(mechanism)))
}

/// Reads what is said of tokens.
///
/// # Errors
/// `malformed-request` when `count` is not a positive number or `invalidate` not a boolean.
pub(crate) fn read(authenticate: &Element) -> Result<Wishes, SaslFailure> {
    let fast = authenticate.child(ns::FAST, "fast").map(usage);
    let request = authenticate.child(ns::FAST, "request-token");
    Ok(Wishes {
        fast: fast.transpose()?,
        request: request
            .and_then(|request| request.attribute("mechanism"))
            .map(str::to_owned),
    })
}

fn usage(element: &Element) -> Result<FastUse, SaslFailure> {
    let count = element.attribute("count").map(|count| match count.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(SaslFailure::MalformedRequest),
    });
    let invalidate = match element.attribute("invalidate") {
        None | Some("false" | "0") => false,
        Some("true" | "1") => true,
        Some(_) => return Err(SaslFailure::MalformedRequest),
    };
    Ok(FastUse {
        count: count.transpose()?,
        invalidate,
    })
}

/// A token for the client.
pub(crate) fn token(token: &Token) -> Element {
    Element::new(ns::FAST, "token")
        .with("expiry", token.expiry.to_xmpp())
        .with("token", &token.token)
}
