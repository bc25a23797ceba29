//! In-band registration before authentication (XEP-0077, 3.1), also by invitation (XEP-0445): the elements. Who may have an
//! account is a router's affair.

use stanza::{Iq, IqType, Payload, RegisterStep, Stanza, StanzaError, ns};
use xml::Element;

use crate::about::About;
use crate::config::{Config, HostConfig};
use crate::login::Login;

pub(crate) const ABOUT: About = About {
    name: "registration",
    xeps: &[(77, "2.4"), (445, "0.2.0")],
    summary: "Lets a client that has no account ask for one, also with an invitation.",
};

/// Whether registration is offered on this stream: where the host allows it, and a password may be sent (XEP-0077, 11).
pub(crate) fn is_offered(login: &Login, config: &Config) -> bool {
    let allows = |host: &HostConfig| host.registration && (login.peer.tls.is_some() || host.plain_without_tls);
    !login.must_start_tls(config) && login.host(config).is_some_and(allows)
}

/// Announced where it is offered; an invitation is good wherever one may register.
pub(crate) fn features(is_offered: bool) -> impl Iterator<Item = Element> {
    let namespaces = [ns::REGISTER_FEATURE, ns::INVITED_REGISTRATION];
    let announced = namespaces.into_iter().filter(move |_| is_offered);
    announced.map(|namespace| Element::new(namespace, "register"))
}

/// What `iq` asks for, if it is about registration at `domain`: a step, or why it is none.
pub(crate) fn read(iq: &Iq, domain: &str) -> Option<Result<RegisterStep, StanzaError>> {
    if iq.head.to.as_ref().is_some_and(|to| to.as_str() != domain) {
        return None;
    }
    match (iq.kind, iq.payload.find(ns::REGISTER, "query")) {
        (IqType::Get, Some(_)) => return Some(Ok(RegisterStep::Form)),
        (IqType::Set, Some(query)) => return Some(account(&query)),
        _ => {}
    }
    let preauth = iq.payload.find(ns::PREAUTH, "preauth")?;
    (iq.kind == IqType::Set).then(|| match preauth.attribute("token") {
        Some(token) => Ok(RegisterStep::Present(token.to_owned())),
        None => Err(error(stanza::Condition::BadRequest, "an invitation has a token")),
    })
}

/// XEP-0077, 3.1: whoever leaves out what is required, or leaves it empty, gets `not-acceptable`; 3.2: who is not registered and
/// wants to be removed, `unexpected-request`.
fn account(query: &Element) -> Result<RegisterStep, StanzaError> {
    if query.child(ns::REGISTER, "remove").is_some() {
        return Err(error(
            stanza::Condition::UnexpectedRequest,
            "log in to remove your account",
        ));
    }
    let field = |name| {
        query
            .child(ns::REGISTER, name)
            .map(Element::content)
            .unwrap_or_default()
    };
    let (username, password) = (field("username"), field("password"));
    match username.is_empty() || password.is_empty() {
        true => Err(error(
            stanza::Condition::NotAcceptable,
            "username and password are required",
        )),
        false => Ok(RegisterStep::Create { username, password }),
    }
}

/// What has to be given to register (XEP-0077, 3.1).
pub(crate) fn form(instructions: &str, username: Option<&str>) -> Element {
    let field = |name| Element::new(ns::REGISTER, name);
    let name = field("username");
    Element::new(ns::REGISTER, "query")
        .push(field("instructions").text(instructions))
        .push(match username {
            Some(username) => name.text(username),
            None => name,
        })
        .push(field("password"))
}

/// The answer to a request that was granted.
pub(crate) fn result(request: &Iq, payload: Option<Element>) -> Stanza {
    request.result(payload.into_iter().collect::<Payload>()).into()
}

/// The answer to one that was not. It does not repeat what was asked: a password may be in it (XEP-0077, 3.3).
pub(crate) fn refused(request: &Iq, error: &StanzaError) -> Option<Stanza> {
    let bare = Iq {
        payload: Payload::default(),
        ..request.clone()
    };
    Stanza::Iq(bare).error(error)
}

/// An error with a text for people to read.
pub(crate) fn error(condition: stanza::Condition, text: &str) -> StanzaError {
    StanzaError::new(condition).with_text(text)
}
