//! Inlined: a client is authenticated under SASL2, and what it wished for in the same breath is done: to resume a session, else to
//! bind a resource, and then to enable what that session is to have. It is told all at once (XEP-0388, "Success").

use stanza::{Bare, EnableReply, EnableRequest, Full, Grant, Payload, ResourceRequest, SaslFailure, StanzaError};
use xml::Element;

use crate::event::Event;
use crate::feature::bind2::{Request, SessionWishes};
use crate::feature::stream_management;
use crate::line::Line;
use crate::login::{Asked, Login, Profile};
use crate::state::{Asker, Binding, Enabling, Entering, Established, Inlined, Requested, Resuming, State, Step};
use crate::step::rejection::{refuse_session, reject};
use crate::welcome::Welcome;

/// The client has authenticated as `account`. Whoever called itself by another name must not have meant this (XEP-0388,
/// "Initiation").
pub(crate) fn begin(
    mut login: Box<Login>,
    line: &mut Line,
    (account, grant): (Bare, Grant),
    welcome: Welcome,
    asked: Box<Asked>,
) -> Step {
    if login.from.as_ref().is_some_and(|from| *from != account) {
        login.profile = Profile::Sasl2(asked);
        return reject(login, line, SaslFailure::InvalidAuthzid);
    }
    login.account = Some((account.clone(), grant.clone()));
    let mut inlined = Box::new(Inlined { welcome, asked });
    let Some((id, h)) = inlined.asked.wishes.resume.take() else {
        return Ok(bind(login, line, *inlined));
    };
    let event = Event::Resume {
        account,
        grant,
        id: id.clone(),
        h,
    };
    let inlined = Some(inlined);
    Ok((State::Resuming(Resuming { login, id, inlined }), Some(event)))
}

/// Binds a resource, if the client wished for that.
pub(crate) fn bind(mut login: Box<Login>, line: &mut Line, inlined: Inlined) -> (State, Option<Event>) {
    let Inlined { welcome, mut asked } = inlined;
    let known = login.account.clone();
    match (asked.wishes.bind.take(), known) {
        (Some(Request { tag, session }), Some((account, grant))) => {
            let client = asked.client;
            let is_announced = |wish: &&Element| login.offer.inline.iter().any(|name| *name == wish.ns());
            let wishes = session.others.iter().filter(is_announced).cloned().collect();
            let event = Event::Bind {
                account,
                grant,
                resource: ResourceRequest::Tagged { tag, client, wishes },
            };
            let asker = Asker::Inlined(Box::new(welcome), session);
            (State::Requested(Requested { login, asker }), Some(event))
        }
        (_, known) => {
            login.attempts = 0;
            known.inspect(|(account, _)| welcome.unbound(line, &login, account.jid()));
            (State::Binding(Binding(login)), None)
        }
    }
}

/// The resource is bound; next is what its session is to have.
pub(crate) fn bound(
    mut login: Box<Login>,
    line: &mut Line,
    (address, said): (Full, Payload),
    mut welcome: Box<Welcome>,
    session: SessionWishes,
) -> (State, Option<Event>) {
    let mut established = Established::new(address, login.lang.take(), line.now);
    welcome.said = said.children().iter().filter_map(|child| said.element(child)).collect();
    line.events.extend(session.active.map(Event::Active));
    let Some(stream_management::Enable { resume, max }) = session.manage else {
        welcome.bound(line, &login, established.address.jid(), None, false);
        return (State::Established(established), None);
    };
    let since = established.counts;
    established.enabling = Enabling::Inlined(Box::new(Entering { login, welcome }));
    let request = EnableRequest { since, resume, max };
    (State::Established(established), Some(Event::Enable(request)))
}

/// The resource is not bound, so there is no session, and no success.
pub(crate) fn unbound(mut login: Box<Login>, line: &mut Line, error: &StanzaError) -> Step {
    login.account = None;
    refuse_session(login, line, error)
}

impl Entering {
    /// The home has answered the wish for stream management at `address`.
    pub(crate) fn enabled(self, line: &mut Line, address: &Full, reply: &EnableReply) {
        let is_managed = matches!(reply, EnableReply::Enabled(_));
        let location = line.config.location.clone();
        let answer = stream_management::enabled(reply, location.as_deref());
        self.welcome
            .bound(line, &self.login, address.jid(), Some(answer), is_managed);
    }
}
