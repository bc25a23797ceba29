//! What can be done in the same round trip as authentication: one row for each feature that belongs to `<authenticate/>`
//! (XEP-0388) or to the `<bind/>` within it (XEP-0386).

use stanza::{SaslFailure, ns};
use xml::Element;

use crate::feature::bind2::SessionWishes;
use crate::feature::stream_management::{self, Said};
use crate::feature::{bind2, client_state, fast};

/// What a client wants once it is authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// To go on with a former session, by its SM-ID, having handled so much of it (XEP-0198).
    pub(crate) resume: Option<(String, u32)>,
    /// To bind a resource; not looked at once a session is resumed.
    pub(crate) bind: Option<bind2::Request>,
}

/// A feature of the session that can be asked for within `<bind/>`.
struct SessionFeature {
    /// Its name in service discovery.
    var: &'static str,
    /// Takes the wish out of a child of `<bind/>` that is in the namespace `var`.
    read: fn(&Element, &mut SessionWishes) -> Result<(), SaslFailure>,
}

/// What can be asked for within `<bind/>` of the stream: another feature is another row. A wish that is the home's to grant goes on with
/// the request to bind (`stanza::ResourceRequest::Tagged`).
const SESSION: &[SessionFeature] = &[
    SessionFeature {
        var: ns::CLIENT_STATE,
        read: look,
    },
    SessionFeature {
        var: ns::STREAM_MANAGEMENT,
        read: manage,
    },
];

/// What is announced within `<authentication/>`; `homes` is what the home can enable.
pub(crate) fn features(token_mechanisms: &[String], homes: &[String]) -> impl Iterator<Item = Element> {
    let names = SESSION.iter().map(|feature| feature.var);
    let names = names.chain(homes.iter().map(String::as_str));
    let always = [bind2::feature(names), stream_management::feature()];
    always.into_iter().chain(fast::feature(token_mechanisms))
}

/// Reads the wishes within `<authenticate/>`; what is not known here is no wish.
///
/// # Errors
/// `malformed-request` for one that cannot be read.
pub(crate) fn read(authenticate: &Element) -> Result<Wishes, SaslFailure> {
    let resume = authenticate.child(ns::STREAM_MANAGEMENT, "resume").map(resume);
    let bind = authenticate.child(ns::BIND2, "bind");
    Ok(Wishes {
        resume: resume.transpose()?,
        bind: bind.map(|bind| bind2::read(bind, session(bind)?)).transpose()?,
    })
}

fn resume(element: &Element) -> Result<(String, u32), SaslFailure> {
    match stream_management::read(element) {
        Some(Said::Resume { id, h }) => Ok((id, h)),
        _ => Err(SaslFailure::MalformedRequest),
    }
}

fn session(bind: &Element) -> Result<SessionWishes, SaslFailure> {
    let mut wishes = SessionWishes::default();
    for child in bind.children() {
        if let Some(feature) = SESSION.iter().find(|feature| feature.var == child.ns()) {
            (feature.read)(child, &mut wishes)?;
        } else if child.ns() != ns::BIND2 {
            wishes.others.push(child.clone());
        }
    }
    Ok(wishes)
}

fn look(element: &Element, wishes: &mut SessionWishes) -> Result<(), SaslFailure> {
    let active = client_state::read(element.name()).ok_or(SaslFailure::MalformedRequest)?;
    wishes.active = Some(active);
    Ok(())
}

fn manage(element: &Element, wishes: &mut SessionWishes) -> Result<(), SaslFailure> {
    match stream_management::read(element) {
        Some(Said::Enable(enable)) => wishes.manage = Some(enable),
        _ => return Err(SaslFailure::MalformedRequest),
    }
    Ok(())
}
