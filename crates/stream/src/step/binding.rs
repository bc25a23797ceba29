//! Binding: the client, known by now, asks for its resource; nothing else is heard (RFC 6120, 7.1).

use bytes::Bytes;
use stanza::{Bare, InvalidStanza, Iq, Jid, Stanza, StanzaError, StreamCondition};

use crate::event::Event;
use crate::fault::Fault;
use crate::feature::bind;
use crate::feature::stream_management::{self, Said};
use crate::line::Line;
use crate::state::{Asker, Binding, Requested, Resuming, State, Step};
use crate::step::foreign;

impl Binding {
    pub(crate) fn child(self, line: &mut Line, child: &Bytes) -> Step {
        let Some((account, grant)) = self.0.account.clone() else {
            return Err(StreamCondition::InternalServerError.into()); // not reached: only the authenticated come here
        };
        match Stanza::parse(child) {
            Ok(Stanza::Iq(iq)) if bind::is_request(&iq) => {
                check_addresses(&iq, &account)?;
                let event = Event::Bind {
                    account,
                    grant,
                    resource: bind::resource(&iq).into(),
                };
                Ok((
                    State::Requested(Requested {
                        login: self.0,
                        asker: Asker::Iq(Box::new(iq)),
                    }),
                    Some(event),
                ))
            }
            Err(InvalidStanza::Refused(stanza, error)) => self.refuse(line, &stanza, &error),
            Err(InvalidStanza::Unsupported { ns, .. }) if ns == stanza::ns::STREAM_MANAGEMENT => {
                self.manage(line, child)
            }
            Err(InvalidStanza::Unsupported { ns, name }) => Err(foreign::unsupported(&ns, &name)),
            Err(InvalidStanza::Unanswerable(_)) | Ok(_) => {
                Err(Fault::new(StreamCondition::NotAuthorized, "no resource is bound yet"))
            }
        }
    }

    /// A client may resume a session instead of binding a resource, and do nothing else of stream management (XEP-0198, 3).
    fn manage(self, line: &mut Line, child: &Bytes) -> Step {
        let said = foreign::element(child).as_ref().and_then(stream_management::read);
        let (Some(Said::Resume { id, h }), Some((account, grant))) = (said, self.0.account.clone()) else {
            line.write(&stream_management::untimely());
            return Ok((State::Binding(self), None));
        };
        let event = Event::Resume {
            account,
            grant,
            id: id.clone(),
            h,
        };
        let resuming = Resuming {
            login: self.0,
            id,
            inlined: None,
        };
        Ok((State::Resuming(resuming), Some(event)))
    }

    fn refuse(mut self, line: &mut Line, stanza: &Stanza, error: &StanzaError) -> Step {
        line.events.push_back(Event::Refused(error.condition));
        if let Stanza::Iq(iq) = stanza {
            line.deliver_some(bind::refused(iq, error));
        }
        self.0.attempts += 1;
        match self.0.attempts < line.config.sasl_attempts {
            true => Ok((State::Binding(self), None)),
            false => Err(Fault::new(StreamCondition::PolicyViolation, "too many failed attempts")),
        }
    }
}

/// The request is for the client's own server, and from nobody else.
fn check_addresses(iq: &Iq, account: &Bare) -> Result<(), Fault> {
    let is_own = |jid: &Jid| jid.bare() == *account;
    let is_server = |jid: &Jid| jid.is_bare() && jid.local().is_none() && jid.domain() == account.domain();
    if iq.head.from.as_ref().is_some_and(|from| !is_own(from)) {
        return Err(StreamCondition::InvalidFrom.into());
    }
    match iq
        .head
        .to
        .as_ref()
        .is_none_or(|to| is_server(to) || (to.is_bare() && is_own(to)))
    {
        true => Ok(()),
        false => Err(Fault::new(StreamCondition::NotAuthorized, "no resource is bound yet")),
    }
}
