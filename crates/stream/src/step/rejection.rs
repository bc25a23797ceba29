//! A failed SASL step (RFC 6120, 6.4.5; XEP-0388, "Failure"): told, counted, and one too many.

use stanza::{SaslFailure, StanzaError, StreamCondition, ns};
use xml::Element;

use crate::event::Event;
use crate::fault::Fault;
use crate::feature::{sasl, sasl2};
use crate::line::Line;
use crate::login::{Login, Profile};
use crate::state::{Offering, State, Step};

/// What fails before a router was asked is told to the shell, which knows of the rest.
pub(crate) fn reject_here(login: Box<Login>, line: &mut Line, failure: SaslFailure) -> Step {
    line.events.push_back(Event::Rejected(failure));
    reject(login, line, failure)
}

/// Says what failed; the client may try again until it has used up its attempts.
pub(crate) fn reject(login: Box<Login>, line: &mut Line, failure: SaslFailure) -> Step {
    let said = match login.profile {
        Profile::Sasl => sasl::failure(failure),
        Profile::Sasl2(_) => sasl2::failure(failure),
    };
    tell(login, line, &said)
}

/// Too many log in at once: nobody was asked, and the client should come again.
pub(crate) fn overloaded(login: Box<Login>, line: &mut Line) -> Step {
    let failure = SaslFailure::TemporaryAuthFailure;
    let (said, ns) = match login.profile {
        Profile::Sasl => (sasl::failure(failure), ns::SASL),
        Profile::Sasl2(_) => (sasl2::failure(failure), ns::SASL2),
    };
    let text = Element::new(ns, "text")
        .with("xml:lang", "en")
        .text("too many log in at once; please come again");
    tell(login, line, &said.push(text))
}

/// The client is who it says, but cannot have the session that it asked for together with that.
pub(crate) fn refuse_session(login: Box<Login>, line: &mut Line, error: &StanzaError) -> Step {
    let why = Element::new(ns::STANZAS, error.condition.name());
    let said = sasl2::failure(SaslFailure::TemporaryAuthFailure).push(why);
    tell(login, line, &said)
}

fn tell(mut login: Box<Login>, line: &mut Line, said: &Element) -> Step {
    line.write(said);
    login.attempts += 1;
    match login.attempts < line.config.sasl_attempts {
        true => Ok((State::Offering(Offering(login)), None)),
        false => Err(Fault::new(StreamCondition::PolicyViolation, "too many failed attempts")),
    }
}
