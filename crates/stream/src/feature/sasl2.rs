//! The extensible SASL profile (XEP-0388): one round trip for all that a client wants before its first stanza. Here stand the
//! elements; what is asked for beside authentication is read by the features it belongs to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use stanza::{ClientId, Jid, SaslFailure, UserAgent, ns};
use xml::Element;

use crate::about::About;
use crate::config::{Config, TlsPolicy};
use crate::feature::inline::{self, Wishes};
use crate::feature::{fast, pipelining};
use crate::login::{Login, Offer};

pub(crate) const ABOUT: About = About {
    name: "sasl2",
    xeps: &[(388, "1.0.4")],
    summary: "Authenticates the client and opens or resumes its session in one round trip.",
};

/// The longest name of software or device that is kept, in bytes.
const LONGEST_NAME: usize = 128;

/// What a client says in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Authenticate(Box<Authenticate>),
    Response(Bytes),
    Abort,
}

/// `<authenticate/>`: who the client is and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authenticate {
    pub(crate) mechanism: String,
    pub(crate) initial: Option<Bytes>,
    pub(crate) agent: UserAgent,
    pub(crate) token: fast::Wishes,
    pub(crate) wishes: Wishes,
    /// The version of our features that the client has in mind (XEP-0509).
    pub(crate) version: Option<String>,
}

/// The mechanisms to offer of those of RFC 6120: none before TLS (XEP-0388, 6), unless TLS ends in front of us; a password in
/// plain only under TLS that we see.
pub(crate) fn offer(sasl: &[String], login: &Login, config: &Config) -> Vec<String> {
    let under_tls = login.peer.tls.is_some();
    let sane = |mechanism: &&String| under_tls || *mechanism != "PLAIN";
    match under_tls || config.tls == TlsPolicy::Off {
        true => sasl.iter().filter(sane).cloned().collect(),
        false => Vec::new(),
    }
}

/// Announced where there is a mechanism to offer, with what can be done in the same round trip.
pub(crate) fn feature(offer: &Offer) -> Option<Element> {
    let mechanism = |name: &String| Element::new(ns::SASL2, "mechanism").text(name);
    let inline = Element::new(ns::SASL2, "inline").extend(inline::features(&offer.fast, &offer.inline));
    (!offer.sasl2.is_empty()).then(|| {
        Element::new(ns::SASL2, "authentication")
            .extend(offer.sasl2.iter().map(mechanism))
            .push(inline)
    })
}

/// Reads an element of the profile; `None` when it is not one that a client may send. There are no tasks here, as we never ask
/// for one by `<continue/>`, so `<next/>` and `<task-data/>` are none.
///
/// # Errors
/// `incorrect-encoding` or `malformed-request`.
pub(crate) fn read(element: &Element) -> Option<Result<Said, SaslFailure>> {
    match (element.ns(), element.name()) {
        (ns::SASL2, "authenticate") => Some(authenticate(element).map(|said| Said::Authenticate(Box::new(said)))),
        (ns::SASL2, "response") => Some(data(element).map(Said::Response)),
        (ns::SASL2, "abort") => Some(Ok(Said::Abort)),
        _ => None,
    }
}

fn authenticate(element: &Element) -> Result<Authenticate, SaslFailure> {
    let mechanism = element.attribute("mechanism").ok_or(SaslFailure::InvalidMechanism)?;
    let initial = element.child(ns::SASL2, "initial-response").map(data).transpose()?;
    let agent = element.child(ns::SASL2, "user-agent").map(user_agent).transpose()?;
    Ok(Authenticate {
        mechanism: mechanism.to_owned(),
        initial,
        agent: agent.unwrap_or_default(),
        token: fast::read(element)?,
        wishes: inline::read(element)?,
        version: pipelining::read(element),
    })
}

/// Strict base64, and nothing for empty data (XEP-0388, "SASL Data Encoding"). White space around it is forgiven.
fn data(element: &Element) -> Result<Bytes, SaslFailure> {
    if element.children().next().is_some() {
        return Err(SaslFailure::MalformedRequest);
    }
    let decoded = STANDARD.decode(element.content().trim_ascii());
    decoded.map(Into::into).map_err(|_| SaslFailure::IncorrectEncoding)
}

/// An id that is no UUID v4 names nobody (XEP-0388, "Initiation").
fn user_agent(element: &Element) -> Result<UserAgent, SaslFailure> {
    let id = element.attribute("id").map(ClientId::parse).transpose();
    let name = |name| element.child(ns::SASL2, name).map(shortened);
    Ok(UserAgent {
        id: id.map_err(|_| SaslFailure::MalformedRequest)?,
        software: name("software"),
        device: name("device"),
    })
}

fn shortened(element: &Element) -> String {
    let mut text = element.content();
    text.truncate(text.floor_char_boundary(LONGEST_NAME));
    text
}

/// Data for the client.
pub(crate) fn challenge(data: &[u8]) -> Element {
    carrying("challenge", data)
}

/// The client is who it says, with the mechanism's last word, if any. What else was asked for follows as children.
pub(crate) fn success(data: Option<&[u8]>, authorized: &Jid) -> Element {
    let additional = data.map(|data| carrying("additional-data", data));
    let identifier = Element::new(ns::SASL2, "authorization-identifier").text(authorized.as_str());
    Element::new(ns::SASL2, "success").extend(additional).push(identifier)
}

fn carrying(name: &'static str, data: &[u8]) -> Element {
    let element = Element::new(ns::SASL2, name);
    match data {
        [] => element,
        data => element.text(STANDARD.encode(data)),
    }
}

/// It is not (RFC 6120, 6.5).
pub(crate) fn failure(condition: SaslFailure) -> Element {
    Element::new(ns::SASL2, "failure").push(Element::new(ns::SASL, condition.name()))
}
