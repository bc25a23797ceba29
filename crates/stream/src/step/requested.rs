//! Requested: the home answers the request to bind a resource.

use stanza::{BindReply, StreamCondition};

use crate::fault::Fault;
use crate::feature::bind;
use crate::line::Line;
use crate::state::{Binding, Established, Requested, State, Step};

impl Requested {
    pub(crate) fn answer(self, line: &mut Line, reply: BindReply) -> Step {
        let Self { mut login, request } = self;
        match reply {
            BindReply::Bound(address) => {
                line.deliver_some(Some(bind::result(&request, &address)));
                let established = Established::new(address, login.lang.take(), line.now);
                Ok((State::Established(established), None))
            }
            BindReply::Refused(error) => {
                line.deliver_some(bind::refused(&request, &error));
                login.attempts += 1;
                match login.attempts < line.config.sasl_attempts {
                    true => Ok((State::Binding(Binding(login)), None)),
                    false => Err(Fault::new(StreamCondition::PolicyViolation, "too many failed attempts")),
                }
            }
        }
    }
}
