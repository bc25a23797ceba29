//! A failed SASL step (RFC 6120, 6.4.5): told, counted, and one too many.

use stanza::{SaslFailure, StreamCondition};

use crate::event::Event;
use crate::fault::Fault;
use crate::feature::sasl;
use crate::line::Line;
use crate::login::Login;
use crate::state::{Offering, State, Step};

/// What fails before a router was asked is told to the shell, which knows of the rest.
pub(crate) fn reject_here(login: Box<Login>, line: &mut Line, failure: SaslFailure) -> Step {
    line.events.push_back(Event::Rejected(failure));
    reject(login, line, failure)
}

/// Says what failed; the client may try again until it has used up its attempts.
pub(crate) fn reject(mut login: Box<Login>, line: &mut Line, failure: SaslFailure) -> Step {
    line.write(&sasl::failure(failure));
    login.attempts += 1;
    match login.attempts < line.config.sasl_attempts {
        true => Ok((State::Offering(Offering(login)), None)),
        false => Err(Fault::new(StreamCondition::PolicyViolation, "too many failed attempts")),
    }
}
