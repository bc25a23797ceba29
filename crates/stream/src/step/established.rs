//! Established: stanzas come in. What can be judged by one stanza and the stream's own address is judged here.

use bytes::Bytes;
use stanza::{EnableRequest, InvalidStanza, Iq, Jid, Stanza, StanzaError, StreamCondition, ns};
use xml::Dialect;

use crate::event::Event;
use crate::fault::Fault;
use crate::feature::stream_management::{self, Enable, Said};
use crate::feature::{bind, client_state, session};
use crate::line::Line;
use crate::state::{Enabling, Established};
use crate::step::{foreign, resuming};

impl Established {
    /// A stanza for the home, judged or not. Each counts, also one that is dropped without an answer (XEP-0198, 4).
    pub(crate) fn child(&mut self, line: &mut Line, child: &Bytes) -> Result<Option<Event>, Fault> {
        if line.dialect == Dialect::Component {
            return self.trusted(line, child);
        }
        let answer = match Stanza::parse(child) {
            Ok(mut stanza) => {
                self.stamp(&mut stanza)?;
                match self.own(line, &stanza) {
                    None => return Ok(Some(Event::Stanza(self.count(), stanza))),
                    Some(answer) => answer,
                }
            }
            Err(InvalidStanza::Refused(mut stanza, error)) => {
                self.stamp(&mut stanza)?;
                refuse(line, &stanza, &error)
            }
            Err(InvalidStanza::Unsupported { ns, .. }) if ns == ns::STREAM_MANAGEMENT => {
                return self.manage(line, child);
            }
            Err(InvalidStanza::Unsupported { ns, name }) if ns == ns::CLIENT_STATE => {
                let active = client_state::read(&name).ok_or_else(|| foreign::unsupported(&ns, &name))?;
                return Ok(Some(Event::Active(active)));
            }
            Err(InvalidStanza::Unsupported { ns, name }) => return Err(foreign::unsupported(&ns, &name)),
            Err(InvalidStanza::Unanswerable(_)) => {
                foreign::unanswerable(child)?;
                None
            }
        };
        Ok(Some(Event::Answered(self.count(), answer)))
    }

    pub(crate) fn count(&mut self) -> u64 {
        self.counts.received += 1;
        self.counts.received
    }

    /// An element of stream management (XEP-0198, 3 to 5).
    fn manage(&mut self, line: &mut Line, child: &Bytes) -> Result<Option<Event>, Fault> {
        let said = foreign::element(child).as_ref().and_then(stream_management::read);
        match (said, &mut self.management) {
            (Some(Said::Enable(Enable { resume, max })), None) => {
                self.enabling = Enabling::Asked;
                let since = self.counts;
                return Ok(Some(Event::Enable(EnableRequest { since, resume, max })));
            }
            (Some(Said::Request), Some(management)) => management.ask(self.counts.received, line.now),
            (Some(Said::Acknowledge(h)), Some(management)) => {
                let acknowledged = management.acknowledge(h, self.counts.sent);
                line.released = acknowledged.map_err(resuming::too_high)?;
            }
            (Some(Said::Enable(_)), Some(_)) => {
                line.write(&stream_management::untimely());
                return Err(Fault::new(StreamCondition::PolicyViolation, "enabled already"));
            }
            (Some(Said::Malformed) | None, _) => {
                return Err(Fault::new(
                    StreamCondition::BadFormat,
                    "not an element of stream management",
                ));
            }
            (Some(Said::Resume { .. } | Said::Request | Said::Acknowledge(_)), _) => {
                line.write(&stream_management::untimely());
            }
        }
        Ok(None)
    }

    /// Only the stream's own address may be written as sender (RFC 6120, 8.1.2.1); from here on it is the full one.
    /// A stanza that names no language is in the stream's (RFC 6120, 8.1.5).
    fn stamp(&self, stanza: &mut Stanza) -> Result<(), Fault> {
        let address: &Jid = self.address.jid();
        let head = stanza.head_mut();
        if head
            .from
            .as_ref()
            .is_some_and(|from| from != address && *from != *address.bare())
        {
            return Err(StreamCondition::InvalidFrom.into());
        }
        head.from = Some(address.clone());
        if head.lang.is_none() {
            head.lang.clone_from(&self.lang);
        }
        Ok(())
    }

    /// The answer to what is the stream's own business; `None` when the stanza is somebody else's.
    fn own(&self, line: &mut Line, stanza: &Stanza) -> Option<Option<Stanza>> {
        match stanza {
            Stanza::Iq(iq) if self.is_for_server(iq) && bind::is_request(iq) => {
                Some(refuse(line, stanza, &bind::again()))
            }
            Stanza::Iq(iq) if self.is_for_server(iq) && session::is_request(iq) => Some(Some(session::result(iq))),
            _ => None,
        }
    }

    fn is_for_server(&self, iq: &Iq) -> bool {
        let is_server = |to: &Jid| to.is_bare() && to.local().is_none() && to.domain() == self.address.domain();
        iq.head
            .to
            .as_ref()
            .is_none_or(|to| is_server(to) || *to == *self.address.bare())
    }
}

/// Refuses a stanza, and has it counted. Returns the answer.
fn refuse(line: &mut Line, stanza: &Stanza, error: &StanzaError) -> Option<Stanza> {
    line.events.push_back(Event::Refused(error.condition));
    stanza.error(error)
}
