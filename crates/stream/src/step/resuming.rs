//! Resuming: the home answers the request to go on with a former stream's session (XEP-0198, 5).

use stanza::{Counts, Full, ResumeReply, StanzaError, StreamCondition};

use crate::fault::Fault;
use crate::feature::stream_management;
use crate::line::Line;
use crate::management::Management;
use crate::state::{Binding, Established, Inlined, Resuming, State, Step};
use crate::step::inlined;

impl Resuming {
    /// A client that cannot resume may bind a resource instead.
    pub(crate) fn answer(self, line: &mut Line, reply: ResumeReply) -> Step {
        match reply {
            ResumeReply::Resumed { jid, since, now } => Ok((self.resumed(line, jid, since, now), None)),
            ResumeReply::Refused { error, h } => self.refused(line, &error, h),
            ResumeReply::TooHigh(numbers) => Err(too_high(numbers)),
        }
    }

    fn resumed(mut self, line: &mut Line, address: Full, since: Counts, now: Counts) -> State {
        let resumed = stream_management::resumed(&self.id, now.received, since.received);
        match self.inlined {
            Some(inlined) => inlined.welcome.resumed(line, address.jid(), resumed),
            None => line.write(&resumed),
        }
        (line.released, line.acknowledged) = (now.sent, true);
        State::Established(Established {
            counts: now,
            management: Some(Box::new(Management::new(since, now))),
            ..Established::new(address, self.login.lang.take(), line.now)
        })
    }

    fn refused(self, line: &mut Line, error: &StanzaError, h: Option<u32>) -> Step {
        let Self { mut login, inlined, .. } = self;
        let failed = stream_management::failed(error, h);
        if let Some(Inlined { mut welcome, asked }) = inlined.map(|inlined| *inlined) {
            welcome.failed = Some(failed);
            return Ok(inlined::bind(login, line, Inlined { welcome, asked }));
        }
        line.write(&failed);
        login.attempts += 1;
        match login.attempts < line.config.sasl_attempts {
            true => Ok((State::Binding(Binding(login)), None)),
            false => Err(Fault::new(StreamCondition::PolicyViolation, "too many failed attempts")),
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
