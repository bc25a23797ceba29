//! Resuming: the home answers the request to go on with a former stream's session (XEP-0198, 5).

use stanza::{ResumeReply, StreamCondition};

use crate::fault::Fault;
use crate::feature::stream_management;
use crate::line::Line;
use crate::management::Management;
use crate::state::{Binding, Established, Resuming, State, Step};

impl Resuming {
    /// A client that cannot resume may bind a resource instead.
    pub(crate) fn answer(self, line: &mut Line, reply: ResumeReply) -> Step {
        let Self { mut login, id } = self;
        match reply {
            ResumeReply::Resumed { jid, since, now } => {
                line.write(&stream_management::resumed(&id, now.received, since.received));
                (line.released, line.acknowledged) = (now.sent, true);
                let established = Established {
                    counts: now,
                    management: Some(Box::new(Management::new(since, now))),
                    ..Established::new(jid, login.lang.take(), line.now)
                };
                Ok((State::Established(established), None))
            }
            ResumeReply::Refused { error, h } => {
                line.write(&stream_management::failed(&error, h));
                login.attempts += 1;
                match login.attempts < line.config.sasl_attempts {
                    true => Ok((State::Binding(Binding(login)), None)),
                    false => Err(Fault::new(StreamCondition::PolicyViolation, "too many failed attempts")),
                }
            }
            ResumeReply::TooHigh(numbers) => Err(too_high(numbers)),
        }
    }
}

/// The client has acknowledged what it was never sent.
pub(crate) fn too_high(numbers: stanza::TooHigh) -> Fault {
    Fault::new(
        StreamCondition::HandledCountTooHigh(numbers),
        "more was acknowledged than was sent",
    )
}
