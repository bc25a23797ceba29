//! The stream of an external component (XEP-0114, 3). A router is asked as it is for SASL: the component's name begins an exchange, whose
//! challenge is the stream's id and whose response is the handshake.

use std::borrow::Cow;

use bytes::Bytes;
use stanza::{
    Bare, BindReply, Child, Condition, InvalidStanza, Jid, Payload, ResourceRequest, SaslFailure, SaslReply,
    SaslRequest, Stanza, StreamCondition, ns,
};
use xml::{Element, Open};

use crate::event::Event;
use crate::fault::Fault;
use crate::line::Line;
use crate::state::{Asker, Asking, Challenged, Established, Opening, Requested, State, Step};
use crate::step::{foreign, opening};

/// The component's header: its `to` is the component itself. Whether there is such a component is for a router to say.
pub(crate) fn header(opening: Opening, open: &Open) -> Step {
    let mut login = opening.0;
    opening::check_names(open, ns::COMPONENT)?;
    let component = named(open)?;
    let request = SaslRequest::Start {
        session: login.session,
        domain: component.as_str().to_owned(),
        mechanism: ns::COMPONENT.to_owned(),
        offered: Vec::new(),
        bindings: Vec::new(),
        initial: None,
        sasl2: None,
        peer: login.peer.clone(),
    };
    login.from = Some(component);
    let asking = Asking { login, exchange: None };
    Ok((State::Asking(asking), Some(Event::Sasl(request))))
}

fn named(open: &Open) -> Result<Bare, Fault> {
    let Some(to) = open.attribute("to") else {
        return Err(Fault::new(StreamCondition::ImproperAddressing, "a header needs a 'to'"));
    };
    let component = Bare::parse(to).ok().filter(|to| to.local().is_none());
    component.ok_or_else(|| StreamCondition::HostUnknown.into())
}

/// The router knows the component, which gets its stream's id; or it has proved who it is; or neither.
pub(crate) fn answer(asking: Asking, line: &mut Line, reply: SaslReply) -> Step {
    let Asking { mut login, exchange } = asking;
    match (exchange, reply) {
        (None, SaslReply::Challenge { exchange, data }) => {
            let from = login.from.as_ref().map(|component| component.as_str());
            line.greet(from, &String::from_utf8_lossy(&data));
            Ok((State::Challenged(Challenged { login, exchange }), None))
        }
        (Some(_), SaslReply::Success { account, grant, .. }) if login.from.as_ref() == Some(&account) => {
            line.know();
            login.account = Some((account.clone(), grant.clone()));
            let bind = Event::Bind {
                account,
                grant,
                resource: ResourceRequest::Any,
            };
            let asker = Asker::Component;
            Ok((State::Requested(Requested { login, asker }), Some(bind)))
        }
        (_, SaslReply::Failure(SaslFailure::TemporaryAuthFailure)) => {
            Err(StreamCondition::RemoteConnectionFailed.into())
        }
        (None, SaslReply::Failure(_)) => Err(StreamCondition::HostUnknown.into()),
        (Some(_), SaslReply::Failure(_)) => Err(StreamCondition::NotAuthorized.into()),
        (..) => Err(StreamCondition::InternalServerError.into()),
    }
}

/// Too many log in at once: nobody was asked.
pub(crate) fn overloaded() -> Step {
    Err(Fault::new(
        StreamCondition::ResourceConstraint,
        "too many log in at once; please come again",
    ))
}

/// `<handshake>…</handshake>`; nothing else is heard before.
pub(crate) fn handshake(challenged: Challenged, line: &mut Line, element: &Element) -> Step {
    let Challenged { login, exchange } = challenged;
    if !element.is(ns::CLIENT, "handshake") {
        line.events.push_back(Event::Sasl(SaslRequest::Abort { exchange }));
        return Err(foreign::early(element.ns(), element.name()));
    }
    let request = SaslRequest::Respond {
        exchange: exchange.clone(),
        response: Bytes::from(element.content().into_bytes()),
    };
    let exchange = Some(exchange);
    Ok((State::Asking(Asking { login, exchange }), Some(Event::Sasl(request))))
}

/// The home has taken the connection in, under an address that the component never sees.
pub(crate) fn bound(line: &mut Line, reply: BindReply) -> Step {
    match reply {
        BindReply::Bound(address, _) => {
            line.write(&Element::new(ns::COMPONENT, "handshake"));
            Ok((State::Established(Established::new(address, None, line.now)), None))
        }
        BindReply::Refused(error) => Err(match error.condition {
            Condition::Conflict => StreamCondition::Conflict.into(),
            Condition::NotAuthorized => StreamCondition::NotAuthorized.into(),
            _ => StreamCondition::ResourceConstraint.into(),
        }),
    }
}

/// A stanza as it can be written on a component's stream, where what is in the stanza's own namespace names none: a client may have
/// written that out.
pub(crate) fn in_dialect(stanza: &Stanza) -> Cow<'_, Stanza> {
    let payload = stanza.payload();
    if !payload.children().iter().any(|child| names_it(payload, child)) {
        return Cow::Borrowed(stanza);
    }
    let children = payload.children().iter().filter_map(|child| payload.element(child));
    let (anew, mut own) = (children.collect(), stanza.clone());
    match &mut own {
        Stanza::Message(message) => message.payload = anew,
        Stanza::Presence(presence) => presence.payload = anew,
        Stanza::Iq(iq) => iq.payload = anew,
    }
    Cow::Owned(own)
}

fn names_it(payload: &Payload, child: &Child) -> bool {
    let element = payload.slice(child);
    let tag = element.split(|byte| *byte == b'>').next().unwrap_or_default();
    child.ns() == ns::CLIENT && tag.windows(5).any(|name| name == b"xmlns")
}

impl Established {
    /// What a component says: stanzas from anybody at its domain. Each counts, as those of clients do.
    pub(crate) fn trusted(&mut self, line: &mut Line, child: &Bytes) -> Result<Option<Event>, Fault> {
        let answer = match Stanza::parse(child) {
            Ok(stanza) => {
                self.check_from(&stanza)?;
                if stanza.to().is_none() {
                    return Err(Fault::new(StreamCondition::ImproperAddressing, "a stanza needs a 'to'"));
                }
                return Ok(Some(Event::Stanza(self.count(), stanza)));
            }
            Err(InvalidStanza::Refused(stanza, error)) => {
                self.check_from(&stanza)?;
                line.events.push_back(Event::Refused(error.condition));
                stanza.error(&error)
            }
            Err(InvalidStanza::Unsupported { ns, name }) => return Err(foreign::unsupported(&ns, &name)),
            Err(InvalidStanza::Unanswerable(_)) => {
                foreign::unanswerable(child)?;
                None
            }
        };
        Ok(Some(Event::Answered(self.count(), answer)))
    }

    /// The domain must be the component's; that is the only restriction.
    fn check_from(&self, stanza: &Stanza) -> Result<(), Fault> {
        match stanza.from().map(Jid::domain) {
            None => Err(Fault::new(
                StreamCondition::ImproperAddressing,
                "a stanza needs a 'from'",
            )),
            Some(domain) if domain != self.address.domain() => Err(StreamCondition::InvalidFrom.into()),
            Some(_) => Ok(()),
        }
    }
}
