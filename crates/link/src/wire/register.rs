//! Registrations of clients that have no account yet.

use ::stanza::{Invited, RegisterReply, RegisterRequest, RegisterStep, Timestamp};

use super::address::{Malformed, session_from, session_to};
use super::condition::{error_from, error_to};
use super::login::{peer_from, peer_to};
use super::pb;

/// Roughly the memory that a request takes in a queue, in bytes.
pub(crate) fn register_size(request: &RegisterRequest) -> usize {
    let said = match &request.step {
        RegisterStep::Form => 0,
        RegisterStep::Present(token) => token.len(),
        RegisterStep::Create { username, password } => username.len() + password.len(),
    };
    512 + said + request.invited.as_ref().map_or(0, |invited| invited.token.len())
}

pub(crate) fn register_to(call: u64, request: RegisterRequest) -> pb::RegisterRequest {
    use pb::register_request::{Create, Step};
    let step = match request.step {
        RegisterStep::Form => Step::Form(true),
        RegisterStep::Present(token) => Step::Present(token),
        RegisterStep::Create { username, password } => Step::Create(Create { username, password }),
    };
    pb::RegisterRequest {
        call,
        session: Some(session_to(request.session)),
        domain: request.domain,
        invited: request.invited.map(invited_to),
        connection: Some(peer_to(&request.peer)),
        step: Some(step),
    }
}

pub(crate) fn register_from(request: pb::RegisterRequest) -> Result<RegisterRequest, Malformed> {
    use pb::register_request::Step;
    let step = match request.step.ok_or(Malformed("step of a registration"))? {
        Step::Form(_) => RegisterStep::Form,
        Step::Present(token) => RegisterStep::Present(token),
        Step::Create(create) => RegisterStep::Create {
            username: create.username,
            password: create.password,
        },
    };
    Ok(RegisterRequest {
        session: session_from(request.session)?,
        domain: request.domain,
        invited: request.invited.map(invited_from),
        step,
        peer: peer_from(request.connection)?,
    })
}

pub(crate) fn register_reply_to(call: u64, reply: RegisterReply) -> pb::RegisterReply {
    use pb::register_reply::{Form, Outcome};
    let outcome = match reply {
        RegisterReply::Form { instructions, username } => Outcome::Form(Form { instructions, username }),
        RegisterReply::Accepted(invited) => Outcome::Accepted(invited_to(invited)),
        RegisterReply::Created => Outcome::Created(true),
        RegisterReply::Refused(error) => Outcome::Refused(error_to(&error)),
    };
    pb::RegisterReply {
        call,
        outcome: Some(outcome),
    }
}

pub(crate) fn register_reply_from(reply: pb::RegisterReply) -> Result<RegisterReply, Malformed> {
    use pb::register_reply::Outcome;
    Ok(match reply.outcome.ok_or(Malformed("reply to a registration"))? {
        Outcome::Form(form) => RegisterReply::Form {
            instructions: form.instructions,
            username: form.username,
        },
        Outcome::Accepted(invited) => RegisterReply::Accepted(invited_from(invited)),
        Outcome::Created(_) => RegisterReply::Created,
        Outcome::Refused(error) => RegisterReply::Refused(error_from(error)),
    })
}

fn invited_to(invited: Invited) -> pb::register_request::Invited {
    pb::register_request::Invited {
        token: invited.token,
        at: invited.at.0,
    }
}

fn invited_from(invited: pb::register_request::Invited) -> Invited {
    Invited {
        token: invited.token,
        at: Timestamp(invited.at),
    }
}

#[cfg(test)]
mod tests {
    use ::stanza::{Condition, Peer, SessionId, StanzaError};

    use super::*;

    #[test]
    fn every_step_comes_back() {
        let invited = Invited {
            token: "token".into(),
            at: Timestamp(7),
        };
        let create = RegisterStep::Create {
            username: "juliet".into(),
            password: "orchard".into(),
        };
        let steps = [RegisterStep::Form, RegisterStep::Present("token".into()), create];
        for (step, invited) in steps.into_iter().zip([None, None, Some(invited)]) {
            let request = RegisterRequest {
                session: SessionId(3),
                domain: "capulet.example".into(),
                invited,
                step,
                peer: Peer::default(),
            };
            assert_eq!(register_from(register_to(1, request.clone())), Ok(request));
        }
    }

    #[test]
    fn every_reply_comes_back() {
        let form = |username: Option<&str>| RegisterReply::Form {
            instructions: "Choose.".into(),
            username: username.map(Into::into),
        };
        let accepted = RegisterReply::Accepted(Invited {
            token: "token".into(),
            at: Timestamp(7),
        });
        let refused = RegisterReply::Refused(StanzaError::new(Condition::Conflict).with_text("taken"));
        for reply in [
            form(None),
            form(Some("juliet")),
            accepted,
            RegisterReply::Created,
            refused,
        ] {
            assert_eq!(register_reply_from(register_reply_to(1, reply.clone())), Ok(reply));
        }
    }
}
