//! Established: stanzas come in. What can be judged by one stanza and the stream's own address is judged here.

use bytes::Bytes;
use stanza::{InvalidStanza, Iq, Jid, Stanza, StanzaError, StreamCondition};

use crate::event::Event;
use crate::fault::Fault;
use crate::feature::{bind, session};
use crate::line::Line;
use crate::state::Established;
use crate::step::foreign;

impl Established {
    /// A stanza for the home, or nothing when it has been answered here.
    pub(crate) fn child(&self, line: &mut Line, child: &Bytes) -> Result<Option<Event>, Fault> {
        match Stanza::parse(child) {
            Ok(mut stanza) => {
                self.stamp(&mut stanza)?;
                Ok(self.own(line, &stanza).then_some(Event::Stanza(stanza)))
            }
            Err(InvalidStanza::Refused(mut stanza, error)) => {
                self.stamp(&mut stanza)?;
                self.refuse(line, &stanza, &error);
                Ok(None)
            }
            Err(InvalidStanza::Unsupported { ns, name }) => Err(foreign::unsupported(&ns, &name)),
            Err(InvalidStanza::Unanswerable(_)) => foreign::unanswerable(child).map(|()| None),
        }
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

    /// Answers what is the stream's own business; whether the stanza is somebody else's.
    fn own(&self, line: &mut Line, stanza: &Stanza) -> bool {
        match stanza {
            Stanza::Iq(iq) if self.is_for_server(iq) && bind::is_request(iq) => {
                self.refuse(line, stanza, &bind::again())
            }
            Stanza::Iq(iq) if self.is_for_server(iq) && session::is_request(iq) => {
                line.deliver_some(Some(session::result(iq)));
            }
            _ => return true,
        }
        false
    }

    fn is_for_server(&self, iq: &Iq) -> bool {
        let is_server = |to: &Jid| to.is_bare() && to.local().is_none() && to.domain() == self.address.domain();
        iq.head
            .to
            .as_ref()
            .is_none_or(|to| is_server(to) || *to == *self.address.bare())
    }

    fn refuse(&self, line: &mut Line, stanza: &Stanza, error: &StanzaError) {
        line.events.push_back(Event::Refused(error.condition));
        line.deliver_some(stanza.error(error));
    }
}
