//! SASL negotiation (RFC 6120, 6): which mechanisms are offered, and the elements that carry an exchange. What is inside
//! is a router's affair.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use stanza::{SaslFailure, ns};
use xml::Element;

use crate::about::About;
use crate::config::{Config, HostConfig};
use crate::feature::channel_binding;
use crate::login::Login;

pub(crate) const ABOUT: About = About {
    name: "sasl",
    xeps: &[(178, "1.2"), (474, "0.5.0"), (515, "0.1.0")],
    summary: "Authenticates the client by SASL (RFC 6120, 6).",
};

/// What a client says in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Auth { mechanism: String, initial: Option<Bytes> },
    Response(Bytes),
    Abort,
}

/// The mechanisms to offer: none where TLS must come first, -PLUS only where the channel can be bound, PLAIN only under
/// TLS unless allowed, EXTERNAL only to who showed a certificate with an address (XEP-0178, 2).
pub(crate) fn offer(login: &Login, config: &Config) -> Vec<String> {
    match login.host(config) {
        Some(host) if !login.must_start_tls(config) => offer_of(host, login),
        _ => Vec::new(),
    }
}

fn offer_of(host: &HostConfig, login: &Login) -> Vec<String> {
    let tls = login.peer.tls.as_ref();
    let bindable = channel_binding::types(&login.peer).next().is_some();
    let mut out = Vec::new();
    for mechanism in &host.mechanisms {
        match mechanism.as_str() {
            "PLAIN" if tls.is_none() && !host.plain_without_tls => continue,
            "EXTERNAL" if tls.is_none_or(|tls| tls.certificate_addresses.is_empty()) => continue,
            name if name.starts_with("SCRAM-") && bindable => out.push(format!("{name}-PLUS")),
            _ => {}
        }
        out.push(mechanism.clone());
    }
    out
}

/// Announced where there is something to offer.
pub(crate) fn feature(offered: &[String]) -> Option<Element> {
    let mechanism = |name: &String| Element::new(ns::SASL, "mechanism").text(name);
    (!offered.is_empty()).then(|| Element::new(ns::SASL, "mechanisms").extend(offered.iter().map(mechanism)))
}

/// Why `mechanism` cannot be used where others are `offered` (RFC 6120, 6.5.4 and 6.5.7), if so.
pub(crate) fn refusal(mechanism: &str, offered: &[String], login: &Login, config: &Config) -> Option<SaslFailure> {
    if offered.iter().any(|offered| offered == mechanism) {
        return None;
    }
    let known = login
        .host(config)
        .is_some_and(|host| host.mechanisms.iter().any(|name| name == mechanism));
    match known && login.may_start_tls(config) {
        true => Some(SaslFailure::EncryptionRequired),
        false => Some(SaslFailure::InvalidMechanism),
    }
}

/// Reads an element of the exchange; `None` when it is not one.
///
/// # Errors
/// `incorrect-encoding` or `malformed-request`.
pub(crate) fn read(element: &Element) -> Option<Result<Said, SaslFailure>> {
    match (element.ns(), element.name()) {
        (ns::SASL, "auth") => Some(auth(element)),
        (ns::SASL, "response") => Some(data(element).map(|data| Said::Response(data.unwrap_or_default()))),
        (ns::SASL, "abort") => Some(Ok(Said::Abort)),
        _ => None,
    }
}

fn auth(element: &Element) -> Result<Said, SaslFailure> {
    let mechanism = element
        .attribute("mechanism")
        .ok_or(SaslFailure::InvalidMechanism)?
        .to_owned();
    Ok(Said::Auth {
        mechanism,
        initial: data(element)?,
    })
}

/// Nothing, `=` for empty data, or strict base64 (RFC 6120, 6.4.2; RFC 4648, 4): padded, without white space, and with
/// the unused bits zero.
fn data(element: &Element) -> Result<Option<Bytes>, SaslFailure> {
    if element.children().next().is_some() {
        return Err(SaslFailure::MalformedRequest);
    }
    match element.content().as_str() {
        "" => Ok(None),
        "=" => Ok(Some(Bytes::new())),
        text => STANDARD
            .decode(text)
            .map(|data| Some(data.into()))
            .map_err(|_| SaslFailure::IncorrectEncoding),
    }
}

/// Data for the client.
pub(crate) fn challenge(data: &[u8]) -> Element {
    let challenge = Element::new(ns::SASL, "challenge");
    if data.is_empty() {
        challenge
    } else {
        challenge.text(STANDARD.encode(data))
    }
}

/// The client is who it says, with the mechanism's last word, if any (RFC 6120, 6.4.6).
pub(crate) fn success(data: Option<&[u8]>) -> Element {
    let success = Element::new(ns::SASL, "success");
    match data {
        None => success,
        Some([]) => success.text("="),
        Some(data) => success.text(STANDARD.encode(data)),
    }
}

/// It is not (RFC 6120, 6.4.5).
pub(crate) fn failure(condition: SaslFailure) -> Element {
    Element::new(ns::SASL, "failure").push(Element::new(ns::SASL, condition.name()))
}
