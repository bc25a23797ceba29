//! Requested: the home answers the request to bind a resource.

use stanza::{BindReply, Full, Iq, StanzaError, StreamCondition};

use crate::fault::Fault;
use crate::feature::bind;
use crate::line::Line;
use crate::login::Login;
use crate::state::{Asker, Binding, Established, Requested, State, Step};
use crate::step::{component, inlined};

impl Requested {
    pub(crate) fn answer(self, line: &mut Line, reply: BindReply) -> Step {
        let Self { login, asker } = self;
        match (asker, reply) {
            (Asker::Iq(request), BindReply::Bound(address, _)) => Ok((bound(login, line, &request, address), None)),
            (Asker::Iq(request), BindReply::Refused(error)) => refused(login, line, &request, &error),
            (Asker::Inlined(welcome, session), BindReply::Bound(address, said)) => {
                Ok(inlined::bound(login, line, (address, said), welcome, session))
            }
            (Asker::Inlined(..), BindReply::Refused(error)) => inlined::unbound(login, line, &error),
            (Asker::Component, reply) => component::bound(line, reply),
        }
    }
}

fn bound(mut login: Box<Login>, line: &mut Line, request: &Iq, address: Full) -> State {
    line.deliver_some(Some(bind::result(request, &address)));
    State::Established(Established::new(address, login.lang.take(), line.now))
}

/// The client may ask again until it has used up its attempts.
fn refused(mut login: Box<Login>, line: &mut Line, request: &Iq, error: &StanzaError) -> Step {
    line.deliver_some(bind::refused(request, error));
    login.attempts += 1;
    match login.attempts < line.config.sasl_attempts {
        true => Ok((State::Binding(Binding(login)), None)),
        false => Err(Fault::new(StreamCondition::PolicyViolation, "too many failed attempts")),
    }
}
