//! What a user does in a session: its deeds, each at its time, and what it writes.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::timeout;

use super::{Arrival, Ending, GOODBYE, Late, User, Woken};
use crate::board::{Call, Order};
use crate::link::Link;
use crate::login::{Bound, Entered, SM, reason};
use crate::scenario::{Action, Protocol};
use crate::schedule::Deed;
use crate::session::Asked;
use crate::stanza::{Request, Stanza};
use crate::tally::{Kind, micros};

impl User {
    /// A session begins, or goes on.
    pub(super) fn begin(&mut self, link: &mut Link, entered: Entered, arrival: Arrival) {
        let now = self.now();
        {
            let mut tally = self.crew.tally.lock();
            tally.came();
            tally.intend(self.phase, Kind::Session);
        }
        match entered {
            Entered::Resumed(h) => self.go_on(link, h, arrival, now),
            Entered::Bound(Bound { enabled, archived }) => {
                if self.session.id.is_some() {
                    let mut tally = self.crew.tally.lock();
                    tally.fail(arrival.phase, Kind::Resume, "not resumed");
                    tally.intend(arrival.phase, Kind::Login);
                }
                self.renew();
                if let Some(enabled) = enabled.filter(|enabled| enabled.name() == "enabled") {
                    self.session.enabled(enabled.attribute("id"));
                }
                self.greet(link, arrival, now);
                self.begin_to_catch_up(link, archived, now);
            }
        }
        self.release(link, now);
    }

    /// Writes what had to wait for the session: until it has begun in full, what is written could be lost with it, or come twice.
    pub(super) fn release(&mut self, link: &mut Link, now: Duration) {
        if !self.is_ready() {
            return;
        }
        while let Some(late) = self.backlog.pop_front() {
            self.send(link, late, now);
        }
        self.close_loop(link, now);
    }

    /// Whether the session has begun in full: stanzas are counted on both sides, if at all, and the roster is there.
    fn is_ready(&self) -> bool {
        self.arrival.is_none() && self.session.is_settled()
    }

    /// The former session goes on: what the server has not handled is written once more (XEP-0198, 5).
    fn go_on(&mut self, link: &mut Link, h: u32, arrival: Arrival, now: Duration) {
        self.acknowledged(h);
        for stanza in self.session.waiting() {
            stanza.write(&self.crew.world, self.at, self.session.number, link.output());
        }
        self.session.hasten(now);
        let took = now.saturating_sub(arrival.since);
        self.crew.tally.lock().done(arrival.phase, Kind::Resume, took);
    }

    /// Another session: what was not acknowledged in the former one is to be sent again, what was not answered never will be.
    fn renew(&mut self) {
        let (unacknowledged, unanswered) = self.session.renew();
        for stanza in unacknowledged.into_iter().rev() {
            if let Stanza::Message { to, number, intended } = stanza {
                let number = Some(number);
                self.backlog.push_front(Late { to, number, intended });
            }
        }
        let mut tally = self.crew.tally.lock();
        for asked in unanswered {
            if let Some(kind) = asked.kind {
                tally.fail(asked.phase, kind, "disconnected");
            }
        }
    }

    /// What a new session begins with.
    fn greet(&mut self, link: &mut Link, mut arrival: Arrival, now: Duration) {
        let login = &self.crew.world.scenario.login;
        let (manages, resume) = (login.stream_management, login.resume);
        let (carbons, roster, presence) = (login.carbons, login.roster, login.presence);
        let is_bare = login.protocol == Protocol::Sasl;
        if manages && is_bare {
            let resume = if resume { " resume='true'" } else { "" };
            let enable = format!("<enable xmlns='{SM}'{resume}/>");
            link.output().extend_from_slice(enable.as_bytes());
            self.session.manage();
        }
        if carbons && is_bare {
            self.ask(link, Request::Carbons, None, micros(now), now);
        }
        if roster {
            arrival.roster = Some(self.ask(link, Request::Roster, None, micros(now), now));
        }
        if presence {
            self.write(link, Stanza::Available, now);
        }
        if self.inactive {
            link.output().extend_from_slice(b"<inactive xmlns='urn:xmpp:csi:0'/>");
        }
        self.arrival = Some(arrival);
        if !roster {
            self.arrived(link, now);
        }
    }

    /// The session is there, with all that it begins with.
    pub(super) fn arrived(&mut self, link: &mut Link, now: Duration) {
        if let Some(arrival) = self.arrival.take() {
            let took = now.saturating_sub(arrival.since);
            self.crew.tally.lock().done(arrival.phase, Kind::Login, took);
        }
        self.release(link, now);
    }

    /// Lives in a session until it ends.
    pub(super) async fn converse(&mut self, link: &mut Link) -> Ending {
        // Some may have come with the last word of the login.
        if let Some(ending) = self.hear_all(link) {
            return ending;
        }
        loop {
            if let Some(ending) = self.act(link) {
                return ending;
            }
            let due = [self.agenda.due(), self.session.due(), self.turns()];
            let due = due.into_iter().flatten().min();
            let ending = match self.wait(Some(link), due).await {
                Woken::Call(Call::Alarm) => None,
                Woken::Call(Call::Order(seen, order)) => {
                    self.obey(seen, order);
                    self.turn_to(link)
                }
                Woken::Read(Ok(0)) => Some(Ending::Lost("disconnected".to_owned())),
                Woken::Read(Ok(_)) => self.hear_all(link),
                Woken::Read(Err(error)) => Some(Ending::Lost(reason(&error))),
            };
            if let Some(ending) = ending {
                return ending;
            }
        }
    }

    /// Does in a session what another order asks for.
    fn turn_to(&mut self, link: &mut Link) -> Option<Ending> {
        let now = self.now();
        match self.order {
            Order::End => return Some(Ending::Left),
            Order::Phase(..) => self.release(link, now),
            Order::Settle | Order::Collect(_) => self.session.hasten(now),
            Order::Wait => {}
        }
        (!self.wanted).then_some(Ending::Left)
    }

    /// Does what is due.
    fn act(&mut self, link: &mut Link) -> Option<Ending> {
        let now = self.now();
        while let Some((time, deed)) = self.agenda.take(now) {
            match deed {
                Deed::Act(Action::Reconnect) => return Some(Ending::Reconnected(time)),
                Deed::Act(action) => self.do_now(link, action, time, now),
                Deed::Cut => return Some(Ending::Cut),
                Deed::Enter => {}
                Deed::Leave => return Some(Ending::Left),
                Deed::Renew => return Some(Ending::Renewed(time)),
            }
        }
        while let Some(asked) = self.session.overdue(now) {
            self.give_up(asked);
            self.release(link, now);
        }
        if self.session.asks(now) {
            ask_for_acknowledgement(link);
        }
        None
    }

    fn give_up(&mut self, asked: Asked) {
        let mut tally = self.crew.tally.lock();
        if let Some(kind) = asked.kind {
            tally.fail(asked.phase, kind, "time-out");
        }
        if self.arrival.is_some_and(|arrival| arrival.roster == Some(asked.id)) {
            self.arrival = None;
            tally.fail(asked.phase, Kind::Login, "time-out");
        }
    }

    fn do_now(&mut self, link: &mut Link, action: Action, time: Duration, now: Duration) {
        let Some(kind) = Kind::of(action) else { return };
        let intended = micros(time);
        self.crew.tally.lock().intend(self.phase, kind);
        match Request::of(action) {
            Some(request) => drop(self.ask(link, request, Some(kind), intended, now)),
            None if kind == Kind::Presence => {
                let number = self.presences;
                self.presences = number.wrapping_add(1);
                self.write(link, Stanza::Presence { number, intended }, now);
            }
            None => {
                let late = Late {
                    to: self.peer(),
                    number: None,
                    intended,
                };
                if self.is_ready() {
                    self.send(link, late, now);
                } else {
                    self.keep(late);
                }
            }
        }
    }

    /// Begins the closed loop of the phase, if it has one and that is not done: with half of a pair's messages from either side.
    fn close_loop(&mut self, link: &mut Link, now: Duration) {
        let flight = self.saturation();
        if flight == 0 || self.looped.replace(self.phase) == Some(self.phase) {
            return;
        }
        let circle = &self.crew.world.circle;
        let to = circle.contact(self.at, 0);
        let own = match circle.count() {
            1 => (flight + u32::from(self.at < to)) / 2,
            _ => flight,
        };
        for _ in 0..own {
            self.send_at_once(link, to, now);
        }
    }

    /// Messages in flight per pair in this phase.
    pub(super) fn saturation(&self) -> u32 {
        match self.order {
            Order::Phase(at, _) => self
                .crew
                .world
                .scenario
                .phases
                .get(at)
                .map_or(0, |phase| phase.saturate),
            _ => 0,
        }
    }

    /// A message that nobody has planned: it is to be sent now.
    pub(super) fn send_at_once(&mut self, link: &mut Link, to: u32, now: Duration) {
        self.crew.tally.lock().intend(self.phase, Kind::Message);
        let late = Late {
            to,
            number: None,
            intended: micros(now),
        };
        self.send(link, late, now);
    }

    fn send(&mut self, link: &mut Link, late: Late, now: Duration) {
        let Late { to, number, intended } = late;
        let number = number.unwrap_or_else(|| {
            self.crew.tally.lock().messages().sent += 1;
            self.book.send(to)
        });
        self.write(link, Stanza::Message { to, number, intended }, now);
    }

    /// Asks the server for something. Returns the request's id.
    fn ask(&mut self, link: &mut Link, request: Request, kind: Option<Kind>, intended: u64, now: Duration) -> u32 {
        let asked = Asked {
            id: self.session.next_id(),
            kind,
            phase: self.phase,
            intended,
            until: now + self.crew.world.scenario.patience.answer.0,
        };
        let stanza = self.session.ask(request, asked);
        self.write(link, stanza, now);
        asked.id
    }

    fn write(&mut self, link: &mut Link, stanza: Stanza, now: Duration) {
        stanza.write(&self.crew.world, self.at, self.session.number, link.output());
        self.count(link, stanza, now);
    }

    /// A stanza is in the output: it is counted, and an acknowledgement is asked for if it is time.
    pub(super) fn count(&mut self, link: &mut Link, stanza: Stanza, now: Duration) {
        let messages = &self.crew.world.scenario.messages;
        if self
            .session
            .write(stanza, now, messages.ack_every, messages.ack_after.0)
        {
            ask_for_acknowledgement(link);
        }
    }

    /// Logs out, and hears what comes until the server's end. What comes then under stream management is not heard: it cannot be
    /// acknowledged any more, so the server keeps it for the next session (XEP-0198, 4).
    pub(super) async fn leave(&mut self, mut link: Link) {
        self.deaf = self.session.is_managed();
        if self.deaf {
            let h = self.session.read();
            let last = format!("<a xmlns='{SM}' h='{h}'/>");
            link.output().extend_from_slice(last.as_bytes());
            ask_for_acknowledgement(&mut link);
        }
        link.output().extend_from_slice(b"</stream:stream>");
        let end = async {
            while self.hear_all(&mut link).is_none() {
                let turn = poll_fn(|cx| link.poll_turn(cx, true));
                if !turn.await.is_ok_and(|count| count > 0) {
                    return;
                }
            }
        };
        // A server that does not answer is left all the same.
        let _ = timeout(GOODBYE, end).await;
        self.deaf = false;
        // Nothing is sent again: what was written before the end of the stream was written in good order.
        let (_, unanswered) = self.session.renew();
        unanswered.into_iter().for_each(|asked| self.give_up(asked));
    }
}

fn ask_for_acknowledgement(link: &mut Link) {
    link.output().extend_from_slice(format!("<r xmlns='{SM}'/>").as_bytes());
}
