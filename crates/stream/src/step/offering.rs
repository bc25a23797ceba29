//! Offering: the client chooses STARTTLS or a SASL mechanism, or has yet to register.

use std::sync::Arc;

use bytes::Bytes;
use stanza::{Sasl2, SaslFailure, SaslRequest, ns};
use xml::Element;

use crate::event::Event;
use crate::feature::sasl2::Authenticate;
use crate::feature::{pipelining, sasl, sasl2, starttls, stream_management};
use crate::line::Line;
use crate::login::{Asked, Login, Profile};
use crate::state::{Asking, Closing, Offering, Securing, State, Step};
use crate::step::rejection::reject_here;
use crate::step::{foreign, registering};

impl Offering {
    pub(crate) fn child(self, line: &mut Line, child: &Bytes, element: &Element) -> Step {
        let mut login = self.0;
        if starttls::is_request(element) {
            return Ok(start_tls(login, line));
        }
        if stream_management::read(element).is_some() {
            line.write(&stream_management::untimely());
            return Ok((State::Offering(Self(login)), None));
        }
        if let Some(said) = sasl2::read(element) {
            login.profile = Profile::Sasl2(Box::default());
            return match said {
                Err(failure) => reject_here(login, line, failure),
                Ok(sasl2::Said::Authenticate(said)) => authenticate(login, line, *said),
                Ok(sasl2::Said::Abort) => reject_here(login, line, SaslFailure::Aborted),
                Ok(sasl2::Said::Response(_)) => reject_here(login, line, SaslFailure::MalformedRequest),
            };
        }
        if element.is(ns::CLIENT, "iq") {
            return registering::stanza(login, line, child);
        }
        login.profile = Profile::Sasl;
        match sasl::read(element) {
            None => Err(foreign::early(element.ns(), element.name())),
            Some(Err(failure)) => reject_here(login, line, failure),
            Some(Ok(sasl::Said::Auth { mechanism, initial })) => {
                let offered = login.offer.sasl.clone();
                ask(login, line, mechanism, offered, initial, None)
            }
            Some(Ok(sasl::Said::Abort)) => reject_here(login, line, SaslFailure::Aborted),
            Some(Ok(sasl::Said::Response(_))) => reject_here(login, line, SaslFailure::MalformedRequest),
        }
    }
}

/// Goes ahead, dropping what was received and not read: it came before TLS and may be anybody's (RFC 6120, 5.4.3.3).
fn start_tls(mut login: Box<Login>, line: &mut Line) -> (State, Option<Event>) {
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
    login.invited = None; // known by way of a plain connection
    line.write(&starttls::proceed());
    line.open = false;
    line.reader.restart();
    (State::Securing(Securing(login)), Some(Event::StartTls))
}

/// Under SASL2. A token is good only with the element that says that it is one, and with the id of the client that it was given
/// to (XEP-0484, "Client authenticates using FAST").
fn authenticate(mut login: Box<Login>, line: &mut Line, said: Authenticate) -> Step {
    if said.version.is_some() && said.version != login.offer.version {
        line.write(&sasl2::failure(SaslFailure::Aborted).push(pipelining::mismatch()));
        return Ok((State::Offering(Offering(login)), None));
    }
    let offer = &login.offer;
    let fast = said.token.fast.filter(|_| offer.fast.contains(&said.mechanism));
    let offered = if fast.is_some() { &offer.fast } else { &offer.sasl2 }.clone();
    if fast.is_some() && said.agent.id.is_none() {
        return reject_here(login, line, SaslFailure::MalformedRequest);
    }
    let request_token = said.token.request.filter(|mechanism| offer.fast.contains(mechanism));
    let sasl2 = Sasl2 {
        request_token: request_token.filter(|_| said.agent.id.is_some()),
        fast,
        resumes: said.wishes.resume.is_some(),
        agent: said.agent,
    };
    login.profile = Profile::Sasl2(Box::new(Asked {
        client: sasl2.agent.id,
        wishes: said.wishes,
    }));
    ask(
        login,
        line,
        said.mechanism,
        offered,
        said.initial,
        Some(Box::new(sasl2)),
    )
}

fn ask(
    login: Box<Login>,
    line: &mut Line,
    mechanism: String,
    offered: Vec<String>,
    initial: Option<Bytes>,
    sasl2: Option<Box<Sasl2>>,
) -> Step {
    let config = Arc::clone(&line.config);
    let refusal = sasl::refusal(&mechanism, &offered, &login, &config);
    let (None, Some(host)) = (refusal, login.host(&config)) else {
        return reject_here(login, line, refusal.unwrap_or(SaslFailure::InvalidMechanism));
    };
    let request = SaslRequest::Start {
        session: login.session,
        domain: host.domain.clone(),
        mechanism,
        offered,
        bindings: login.offer.bindings.clone(),
        initial,
        sasl2,
        peer: login.peer.clone(),
    };
    Ok((
        State::Asking(Asking { login, exchange: None }),
        Some(Event::Sasl(request)),
    ))
}
