//! Registering: a client that has no account asks for one, and a router answers (XEP-0077, 3.1; XEP-0445).

use std::sync::Arc;

use bytes::Bytes;
use stanza::{
    Condition, ErrorType, InvalidStanza, Iq, RegisterReply, RegisterRequest, RegisterStep, Stanza, StanzaError,
    StreamCondition,
};

use crate::event::Event;
use crate::fault::Fault;
use crate::feature::registration;
use crate::line::Line;
use crate::login::Login;
use crate::state::{Offering, Registering, State, Step};
use crate::step::foreign;

/// A stanza before authentication: good only if it is about registration.
pub(crate) fn stanza(mut login: Box<Login>, line: &mut Line, child: &Bytes) -> Step {
    let config = Arc::clone(&line.config);
    let domain = login.host(&config).map(|host| host.domain.as_str()).unwrap_or_default();
    let read = match Stanza::parse(child) {
        Ok(Stanza::Iq(iq)) => registration::read(&iq, domain).map(|read| (iq, read)),
        Err(InvalidStanza::Unsupported { ns, name }) => return Err(foreign::early(&ns, &name)),
        Ok(_) | Err(_) => None,
    };
    let Some((iq, read)) = read else {
        return Err(Fault::new(StreamCondition::NotAuthorized, "a stanza before its time"));
    };
    login.requests += 1;
    if login.requests > config.registration_requests {
        return Err(Fault::new(
            StreamCondition::PolicyViolation,
            "too many requests to register",
        ));
    }
    match read.and_then(|step| may_ask(&login, line, step)) {
        Ok(step) => ask(login, line, iq, step, domain),
        Err(error) => Ok(refuse(login, line, &iq, &error)),
    }
}

/// XEP-0077, 3.1: `service-unavailable` where nobody may register; 3.1.1: `not-acceptable` for a second identity.
fn may_ask(login: &Login, line: &Line, step: RegisterStep) -> Result<RegisterStep, StanzaError> {
    match step {
        _ if !registration::is_offered(login, &line.config) => Err(registration::error(
            Condition::ServiceUnavailable,
            "nobody can register on this stream",
        )),
        _ if login.registered => Err(registration::error(
            Condition::NotAcceptable,
            "you have registered already",
        )),
        step => Ok(step),
    }
}

/// Who fills in a form gets more time, once.
fn ask(mut login: Box<Login>, line: &mut Line, iq: Iq, step: RegisterStep, domain: &str) -> Step {
    if !std::mem::replace(&mut login.asked, true) {
        login.until = login.until.max(line.now + line.config.registration_timeout);
    }
    let request = RegisterRequest {
        session: login.session,
        domain: domain.to_owned(),
        invited: login.invited.clone(),
        step,
        peer: login.peer.clone(),
    };
    let request = Event::Register(Box::new(request));
    let iq = Box::new(iq);
    Ok((State::Registering(Registering { login, iq }), Some(request)))
}

impl Registering {
    pub(crate) fn answer(self, line: &mut Line, reply: RegisterReply) -> Step {
        let Self { mut login, iq } = self;
        let payload = match reply {
            RegisterReply::Refused(error) => return Ok(refuse(login, line, &iq, &error)),
            RegisterReply::Form { instructions, username } => {
                Some(registration::form(&instructions, username.as_deref()))
            }
            RegisterReply::Accepted(invited) => {
                login.invited = Some(invited);
                None
            }
            RegisterReply::Created => {
                login.registered = true;
                None
            }
        };
        line.deliver_some(Some(registration::result(&iq, payload)));
        Ok((State::Offering(Offering(login)), None))
    }

    /// Too many log in at once: nobody was asked.
    pub(crate) fn overloaded(self, line: &mut Line) -> Step {
        let error = registration::error(
            Condition::ResourceConstraint,
            "too many log in at once; please come again",
        );
        Ok(refuse(self.login, line, &self.iq, &error.with_type(ErrorType::Wait)))
    }
}

/// The client may ask again, within the limits.
fn refuse(login: Box<Login>, line: &mut Line, iq: &Iq, error: &StanzaError) -> (State, Option<Event>) {
    line.events.push_back(Event::Refused(error.condition));
    line.deliver_some(registration::refused(iq, error));
    (State::Offering(Offering(login)), None)
}
