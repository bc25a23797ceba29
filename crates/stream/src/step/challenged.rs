//! Challenged: the client answers a challenge, or gives up.

use bytes::Bytes;
use stanza::{Exchange, SaslFailure, SaslRequest};
use xml::Element;

use crate::event::Event;
use crate::feature::{sasl, sasl2};
use crate::line::Line;
use crate::login::Profile;
use crate::state::{Asking, Challenged, State, Step};
use crate::step::foreign;
use crate::step::rejection::reject_here;

impl Challenged {
    pub(crate) fn child(self, line: &mut Line, element: &Element) -> Step {
        let Self { login, exchange } = self;
        let failure = match response(&login.profile, element) {
            Some(Ok(response)) => {
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
            Some(Err(failure)) => failure,
        };
        abandon(line, exchange);
        reject_here(login, line, failure)
    }
}

/// What the client answers, or why that is a failure; `None` for what has no place in an exchange. Under SASL2 that is all but
/// `<response/>` and `<abort/>` (XEP-0388, "During Authentication").
fn response(profile: &Profile, element: &Element) -> Option<Result<Bytes, SaslFailure>> {
    match profile {
        Profile::Sasl => Some(match sasl::read(element)? {
            Ok(sasl::Said::Response(response)) => Ok(response),
            Ok(sasl::Said::Abort) => Err(SaslFailure::Aborted),
            Ok(sasl::Said::Auth { .. }) => Err(SaslFailure::MalformedRequest), // one exchange at a time
            Err(failure) => Err(failure),
        }),
        Profile::Sasl2(_) => match sasl2::read(element)? {
            Ok(sasl2::Said::Response(response)) => Some(Ok(response)),
            Ok(sasl2::Said::Abort) => Some(Err(SaslFailure::Aborted)),
            Ok(sasl2::Said::Authenticate(_)) => None,
            Err(failure) => Some(Err(failure)),
        },
    }
}

fn abandon(line: &mut Line, exchange: Exchange) {
    line.events.push_back(Event::Sasl(SaslRequest::Abort { exchange }));
}
