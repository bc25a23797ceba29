//! Challenged: the client answers a challenge, or gives up.

use stanza::{Exchange, SaslFailure, SaslRequest};
use xml::Element;

use crate::event::Event;
use crate::feature::sasl::{self, Said};
use crate::line::Line;
use crate::state::{Asking, Challenged, State, Step};
use crate::step::foreign;
use crate::step::rejection::reject_here;

impl Challenged {
    pub(crate) fn child(self, line: &mut Line, element: &Element) -> Step {
        let Self { login, exchange } = self;
        let failure = match sasl::read(element) {
            Some(Ok(Said::Response(response))) => {
                let request = SaslRequest::Respond {
                    exchange: exchange.clone(),
                    response,
                };
                let asking = Asking {
                    login,
                    exchange: Some(exchange),
                };
                return Ok((State::Asking(asking), Some(Event::Sasl(request))));
            }
            None => {
                abandon(line, exchange);
                return Err(foreign::early(element.ns(), element.name()));
            }
            Some(Ok(Said::Abort)) => SaslFailure::Aborted,
            Some(Ok(Said::Auth { .. })) => SaslFailure::MalformedRequest, // one exchange at a time
            Some(Err(failure)) => failure,
        };
        abandon(line, exchange);
        reject_here(login, line, failure)
    }
}

fn abandon(line: &mut Line, exchange: Exchange) {
    line.events.push_back(Event::Sasl(SaslRequest::Abort { exchange }));
}
