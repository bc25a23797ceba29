//! The machine itself: it hands each input to the state that waits for it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use stanza::{
    BindReply, EnableReply, Full, Jid, Peer, RegisterReply, ResumeReply, SaslReply, SaslRequest, SessionId, Stanza,
    StreamCondition, TlsFacts, ns,
};
use xml::{Dialect, Element, Limits};

use crate::config::Config;
use crate::event::{Closed, Event};
use crate::fault::Fault;
use crate::feature::stream_management;
use crate::line::Line;
use crate::login::{Login, Offer, Profile};
use crate::management::Management;
use crate::state::{Closing, Enabling, Opening, Securing, State, Step};
use crate::step::{component, rejection};

/// One XML stream, from the first byte to the close.
///
/// ```text
///             header             starttls              secured
///  Opening ───────────▶ Offering ─────────▶ Securing ───────────▶ Opening
///                        │    ▲
///                   auth │    │ failure, abort
///                        ▼    │
///                        Asking ◀──────────▶ Challenged
///                        │      response, challenge
///                success │
///                        ▼   header           bind               bound
///                     Opening ──────▶ Binding ─────▶ Requested ─────────▶ Established
///                                      ▲ │ ▲   refused    │                     ▲
///                              refused │ │ └──────────────┘                     │
///                                      │ ▼ resume                    resumed    │
///                                   Resuming ───────────────────────────────────┘
///
///  SASL2 (XEP-0388): no restart, and the client is told of success when its wishes have been looked at
///  Asking ──success──▶ Resuming ──refused──▶ Requested ──bound──▶ Established (perhaps enabling)
///                         └──resumed──▶ Established    without a wish to bind: Binding
///
///  any state ──stream error, close──▶ Closing ──their closing tag, time, hang-up──▶ Over
///  any state ──their closing tag, hang-up───────────────────────────────────────▶ Over
/// ```
///
/// A component (XEP-0114): Opening ──header──▶ Asking ──known, id──▶ Challenged ──handshake──▶ Asking ──success──▶ Requested ──bound──▶
/// Established
///
/// Offering ◀──register, answer──▶ Registering: a client without an account asks for one (XEP-0077), and logs in then.
///
/// After each call the shell polls until there is nothing left, then writes the output. Input that comes while an answer is
/// awaited is kept, within the limits of the stream, and read after the answer.
#[derive(Debug)]
pub struct Stream {
    line: Line,
    state: State,
    /// Bytes received since input was last read to the end.
    unread: usize,
}

impl Stream {
    /// A stream that waits for its header. `seed` is 128 random bits from which the stream ids are made (RFC 6120, 4.7.3:
    /// unpredictable; the session's id stays inside); `peer.tls` is set on a direct-TLS listener.
    pub fn new(config: Arc<Config>, session: SessionId, peer: Peer, seed: u128, now: Instant) -> Self {
        Self::of(Dialect::Client, config, session, peer, seed, now)
    }

    /// The same, for who speaks `dialect`.
    pub fn of(dialect: Dialect, config: Arc<Config>, session: SessionId, peer: Peer, seed: u128, now: Instant) -> Self {
        let until = now + config.negotiation_timeout;
        let login = Login {
            session,
            peer,
            host: 0,
            lang: None,
            from: None,
            offer: Offer::default(),
            profile: Profile::default(),
            attempts: 0,
            invited: None,
            registered: false,
            requests: 0,
            asked: false,
            until,
            account: None,
        };
        Self {
            line: Line::new(config, dialect, seed, now),
            state: State::Opening(Opening(Box::new(login))),
            unread: 0,
        }
    }

    /// Takes bytes from the client. More than a stanza's worth while [`Stream::wants_input`] is false is a
    /// `policy-violation`.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        self.line.now = now;
        match &mut self.state {
            State::Established(established) => established.heard = now,
            State::Securing(_) | State::Over => return, // before TLS, and after the end, nothing is heard
            _ => {}
        }
        self.unread = self.unread.saturating_add(bytes.len());
        if !self.state.reads() && self.unread > self.most_unread() {
            let fault = Fault::new(StreamCondition::PolicyViolation, "too much input before an answer");
            return self.fail(fault, true);
        }
        self.line.reader.receive(bytes);
    }

    /// The TLS handshake asked for by [`Event::StartTls`] is done.
    pub fn secured(&mut self, tls: TlsFacts, now: Instant) {
        self.line.now = now;
        match std::mem::take(&mut self.state) {
            State::Securing(Securing(mut login)) => {
                login.peer.tls = Some(tls);
                self.unread = 0;
                self.state = State::Opening(Opening(login));
            }
            other => self.state = other,
        }
    }

    /// The router's answer to [`Event::Sasl`].
    pub fn sasl(&mut self, reply: SaslReply, now: Instant) {
        self.line.now = now;
        match (std::mem::take(&mut self.state), reply) {
            (State::Asking(asking), reply) => {
                let step = match self.line.dialect {
                    Dialect::Client => asking.answer(&mut self.line, reply),
                    Dialect::Component => component::answer(asking, &mut self.line, reply),
                };
                self.go_on(step);
            }
            (State::Over, _) => {}
            (other, SaslReply::Challenge { exchange, .. }) => {
                self.state = other; // too late: nobody will respond
                self.line.events.push_back(Event::Sasl(SaslRequest::Abort { exchange }));
            }
            (other, _) => self.state = other,
        }
    }

    /// The router's answer to [`Event::Register`].
    pub fn registered(&mut self, reply: RegisterReply, now: Instant) {
        self.line.now = now;
        match std::mem::take(&mut self.state) {
            State::Registering(registering) => {
                let step = registering.answer(&mut self.line, reply);
                self.go_on(step);
            }
            other => self.state = other,
        }
    }

    /// Instead of an answer to [`Event::Sasl`] or [`Event::Register`]: no router is asked, as too many log in at once.
    pub fn overloaded(&mut self, now: Instant) {
        self.line.now = now;
        match std::mem::take(&mut self.state) {
            State::Asking(_) if self.line.dialect == Dialect::Component => self.go_on(component::overloaded()),
            State::Asking(asking) => {
                let step = rejection::overloaded(asking.login, &mut self.line);
                self.go_on(step);
            }
            State::Registering(registering) => {
                let step = registering.overloaded(&mut self.line);
                self.go_on(step);
            }
            other => self.state = other,
        }
    }

    /// The home's answer to [`Event::Bind`].
    pub fn bound(&mut self, reply: BindReply, now: Instant) {
        self.line.now = now;
        match std::mem::take(&mut self.state) {
            State::Requested(requested) => {
                let step = requested.answer(&mut self.line, reply);
                self.go_on(step);
            }
            other => self.state = other,
        }
    }

    /// The home's answer to [`Event::Resume`].
    pub fn resumed(&mut self, reply: ResumeReply, now: Instant) {
        self.line.now = now;
        match std::mem::take(&mut self.state) {
            State::Resuming(resuming) => {
                let step = resuming.answer(&mut self.line, reply);
                self.go_on(step);
            }
            other => self.state = other,
        }
    }

    /// The home's answer to [`Event::Enable`].
    pub fn enabled(&mut self, reply: &EnableReply, now: Instant) {
        self.line.now = now;
        let State::Established(established) = &mut self.state else {
            return;
        };
        let enabling = std::mem::take(&mut established.enabling);
        if !enabling.is_under_way() {
            return;
        }
        if let EnableReply::Enabled(_) = reply {
            let counts = established.counts;
            established.management = Some(Box::new(Management::new(counts, counts)));
            self.line.acknowledged = true;
        }
        if let Enabling::Inlined(entering) = enabling {
            return entering.enabled(&mut self.line, &established.address, reply);
        }
        let location = self.line.config.location.clone();
        self.line.write(&stream_management::enabled(reply, location.as_deref()));
    }

    /// Writes delivery `number`, a stanza, to the client, addressed to `to` if given. Nothing is written unless
    /// [`Stream::takes_deliveries`].
    pub fn deliver(&mut self, number: u64, stanza: &Stanza, to: Option<&Jid>) {
        if let State::Established(established) = &mut self.state {
            established.counts.sent = number;
            if established.management.is_none() {
                self.line.released = number;
            }
            match self.line.dialect {
                Dialect::Client => stanza.write_to(to.or(stanza.to()), &mut self.line.output),
                Dialect::Component => component::in_dialect(stanza).write(&mut self.line.output),
            }
        }
    }

    /// Whether the session is established and no answer is awaited.
    pub fn takes_deliveries(&self) -> bool {
        matches!(&self.state, State::Established(established) if !established.enabling.is_under_way())
    }

    /// The highest delivery that the home need not keep for this client any more, once all output is written: under stream
    /// management what the client has acknowledged, else what was delivered.
    pub fn released(&self) -> u64 {
        self.line.released
    }

    /// Whether [`Stream::released`] holds whatever is still to be written.
    pub fn is_acknowledged(&self) -> bool {
        self.line.acknowledged
    }

    /// The client's stanzas up to `number` are done.
    pub fn done(&mut self, number: u64, now: Instant) {
        self.line.now = now;
        if let Some(management) = self.management() {
            management.done(number);
            let due = management.due(now);
            due.inspect(|answer| self.line.write(answer));
        }
    }

    /// Whether the client waits to hear what is done.
    pub fn owes(&self) -> bool {
        matches!(&self.state, State::Established(established)
            if established.management.as_ref().is_some_and(|management| management.owes()))
    }

    /// The output is about to be written: asks the client to acknowledge what is new, unless it has been asked already.
    pub fn before_write(&mut self, now: Instant) {
        if self.line.output.is_empty() {
            return;
        }
        if let State::Established(established) = &mut self.state
            && let Some(management) = &mut established.management
            && let Some(request) = management.request(established.counts.sent, now)
        {
            self.line.write(&request);
        }
    }

    /// Begins to close, with a stream error if given.
    pub fn close(&mut self, condition: Option<StreamCondition>, now: Instant) {
        self.line.now = now;
        match (&self.state, condition) {
            (State::Over | State::Closing(_), _) => {}
            (_, Some(condition)) => self.fail(condition.into(), false),
            (_, None) if self.line.open => {
                self.abandon();
                self.last_answer();
                self.line.end();
                self.state = State::Closing(self.closing(None));
            }
            (_, None) => self.end(Closed::Clean), // nothing was opened
        }
    }

    /// The connection went away.
    pub fn hang_up(&mut self) {
        match std::mem::take(&mut self.state) {
            State::Over => {}
            State::Closing(closing) => self.end(closing.outcome()),
            other => {
                self.state = other;
                self.end(Closed::HungUp);
            }
        }
    }

    /// Time has come.
    pub fn tick(&mut self, now: Instant) {
        self.line.now = now;
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if let State::Established(established) = &self.state
            && established
                .patience(&self.line.config)
                .is_none_or(|patience| now < patience)
        {
            return self.done(0, now); // only an answer is due
        }
        match std::mem::take(&mut self.state) {
            State::Closing(Closing { error: None, .. }) => self.end(Closed::TimedOut),
            State::Closing(closing) => self.end(closing.outcome()),
            other => {
                self.state = other;
                self.fail(StreamCondition::ConnectionTimeout.into(), false);
            }
        }
    }

    /// When to call [`Stream::tick`].
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Over => None,
            State::Closing(closing) => Some(closing.until),
            State::Established(established) => {
                let owed = established
                    .management
                    .as_ref()
                    .and_then(|management| management.owed_until());
                owed.into_iter().chain(established.patience(&self.line.config)).min()
            }
            negotiating => negotiating.login().map(|login| login.until),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            let event = match self.line.events.pop_front() {
                Some(event) => return Some(event),
                None if self.state.reads() => self.line.reader.poll(),
                None => break,
            };
            let event = match event {
                Ok(Some(event)) => self.read(event),
                Ok(None) => {
                    self.unread = 0;
                    break;
                }
                Err(error) => {
                    self.fail(error.into(), true);
                    None
                }
            };
            if event.is_some() {
                return event;
            }
        }
        self.line.rest();
        None
    }

    /// Bytes for the client; the shell takes them out as it writes.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.line.output
    }

    /// Whether the machine takes more bytes now: false while it waits for an answer (SASL, bind, TLS), and until what came
    /// before has been polled.
    pub fn wants_input(&self) -> bool {
        self.state.reads() && self.unread == 0
    }

    /// The address of the established session.
    pub fn address(&self) -> Option<&Full> {
        match &self.state {
            State::Established(established) => Some(&established.address),
            _ => None,
        }
    }

    /// Reads one event of the stream.
    fn read(&mut self, event: xml::Event) -> Option<Event> {
        match event {
            xml::Event::Whitespace => None,
            xml::Event::Close => {
                self.closed_by_peer();
                None
            }
            xml::Event::Open(open) => {
                let step = match std::mem::take(&mut self.state) {
                    State::Opening(opening) => match self.line.dialect {
                        Dialect::Client => opening.header(&mut self.line, &open),
                        Dialect::Component => component::header(opening, &open),
                    },
                    other => Ok((other, None)), // Closing: too late
                };
                self.settle(step)
            }
            xml::Event::Child(child) => self.child(&child),
        }
    }

    fn child(&mut self, child: &Bytes) -> Option<Event> {
        if let State::Established(established) = &mut self.state {
            return match established.child(&mut self.line, child) {
                Ok(event) => event,
                Err(fault) => self.refuse(fault, child),
            };
        }
        if matches!(self.state, State::Closing(_)) {
            return None; // what still comes is no longer heard
        }
        let element = Element::parse(child, ns::CLIENT, &Limits::UNLIMITED).ok()?;
        if element.is(ns::STREAMS, "error") {
            self.peer_error();
            return None;
        }
        let step = match std::mem::take(&mut self.state) {
            State::Offering(offering) => offering.child(&mut self.line, child, &element),
            State::Challenged(challenged) => match self.line.dialect {
                Dialect::Client => challenged.child(&mut self.line, &element),
                Dialect::Component => component::handshake(challenged, &mut self.line, &element),
            },
            State::Binding(binding) => binding.child(&mut self.line, child),
            other => Ok((other, None)), // not reached: no other state reads children
        };
        self.settle(step)
    }

    /// After an answer: enters the next state, or closes with the error; what is to be asked next is polled.
    fn go_on(&mut self, step: Step) {
        let next = self.settle(step);
        self.line.events.extend(next);
    }

    /// Enters the next state, or closes with the error.
    fn settle(&mut self, step: Step) -> Option<Event> {
        match step {
            Ok((state, event)) => {
                self.state = state;
                event
            }
            Err(fault) => {
                self.fail(fault, false);
                None
            }
        }
    }

    /// Sends a stream error and closes; without waiting for the client's closing tag where it could not be read.
    fn fail(&mut self, fault: Fault, deaf: bool) {
        match std::mem::take(&mut self.state) {
            State::Closing(closing) => return self.end(closing.outcome()),
            State::Securing(_) => return self.end(Closed::Error(fault.condition)), // not a word between plain and TLS
            other => self.state = other,
        }
        self.abandon();
        self.last_answer();
        self.line.error(&fault);
        match deaf {
            true => self.end(Closed::Error(fault.condition)),
            false => self.state = State::Closing(self.closing(Some(fault.condition))),
        }
    }

    /// A stanza cannot be used in the established session; unless it is a stream error, that is one.
    fn refuse(&mut self, fault: Fault, child: &Bytes) -> Option<Event> {
        match Element::parse(child, ns::CLIENT, &Limits::UNLIMITED) {
            Ok(element) if element.is(ns::STREAMS, "error") => self.peer_error(),
            _ => self.fail(fault, false),
        }
        None
    }

    /// The client found fault with us; we close without an answer (RFC 6120, 4.9.1.1).
    fn peer_error(&mut self) {
        self.line.end();
        self.end(Closed::PeerError);
    }

    fn closed_by_peer(&mut self) {
        match std::mem::take(&mut self.state) {
            State::Closing(closing) => self.end(closing.outcome()),
            other => {
                self.state = other;
                self.last_answer();
                self.line.end();
                self.end(Closed::Clean);
            }
        }
    }

    fn closing(&self, error: Option<StreamCondition>) -> Closing {
        Closing {
            until: self.line.now + self.line.config.close_timeout,
            error: error.map(Box::new),
        }
    }

    fn end(&mut self, closed: Closed) {
        self.abandon();
        self.line.events.push_back(Event::Closed(closed));
        self.state = State::Over;
    }

    /// A client under stream management learns before the end what is done.
    fn last_answer(&mut self) {
        let answer = self.management().map(|management| management.answer());
        answer.inspect(|answer| self.line.write(answer));
    }

    fn management(&mut self) -> Option<&mut Management> {
        match &mut self.state {
            State::Established(established) => established.management.as_deref_mut(),
            _ => None,
        }
    }

    /// Gives up the exchange that a router holds.
    fn abandon(&mut self) {
        if let Some(exchange) = self.state.exchange().cloned() {
            self.line.events.push_back(Event::Sasl(SaslRequest::Abort { exchange }));
        }
    }

    /// How much input may wait for an answer.
    fn most_unread(&self) -> usize {
        let known = self.state.login().is_some_and(|login| login.account.is_some());
        if known {
            self.line.config.limits_after.stanza_bytes
        } else {
            self.line.config.limits_before.stanza_bytes
        }
    }
}
