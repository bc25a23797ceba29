//! Offering: the client chooses STARTTLS or a SASL mechanism.

use std::sync::Arc;

use bytes::Bytes;
use stanza::{SaslFailure, SaslRequest};
use xml::Element;

use crate::event::Event;
use crate::feature::{sasl, starttls, stream_management};
use crate::line::Line;
use crate::login::Login;
use crate::state::{Asking, Closing, Offering, Securing, State, Step};
use crate::step::foreign;
use crate::step::rejection::reject_here;

impl Offering {
    pub(crate) fn child(self, line: &mut Line, element: &Element) -> Step {
        let login = self.0;
        if starttls::is_request(element) {
            return Ok(start_tls(login, line));
        }
        if stream_management::read(element).is_some() {
            line.write(&stream_management::untimely());
            return Ok((State::Offering(Self(login)), None));
        }
        match sasl::read(element) {
            None => Err(foreign::early(element.ns(), element.name())),
            Some(Err(failure)) => reject_here(login, line, failure),
            Some(Ok(sasl::Said::Auth { mechanism, initial })) => authenticate(login, line, mechanism, initial),
            Some(Ok(sasl::Said::Abort)) => reject_here(login, line, SaslFailure::Aborted),
            Some(Ok(sasl::Said::Response(_))) => reject_here(login, line, SaslFailure::MalformedRequest),
        }
    }
}

/// Goes ahead, dropping what was received and not read: it came before TLS and may be anybody's (RFC 6120, 5.4.3.3).
fn start_tls(login: Box<Login>, line: &mut Line) -> (State, Option<Event>) {
    if !login.may_start_tls(&line.config) {
        line.write(&starttls::failure());
        line.end();
        return (
            State::Closing(Closing {
                until: line.now + line.config.close_timeout,
                error: None,
            }),
            None,
        );
    }
    line.write(&starttls::proceed());
    line.open = false;
    line.reader.restart();
    (State::Securing(Securing(login)), Some(Event::StartTls))
}

fn authenticate(login: Box<Login>, line: &mut Line, mechanism: String, initial: Option<Bytes>) -> Step {
    let config = Arc::clone(&line.config);
    let refusal = sasl::refusal(&mechanism, &login, &config);
    let (None, Some(host)) = (refusal, login.host(&config)) else {
        return reject_here(login, line, refusal.unwrap_or(SaslFailure::InvalidMechanism));
    };
    let request = SaslRequest::Start {
        session: login.session,
        domain: host.domain.clone(),
        mechanism,
        offered: login.offered.clone(),
        initial,
        peer: login.peer.clone(),
    };
    Ok((
        State::Asking(Asking { login, exchange: None }),
        Some(Event::Sasl(request)),
    ))
}
