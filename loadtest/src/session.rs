//! A session as its client knows it: what is yet to be acknowledged, answered, asked. It outlives its connection if the server lets it
//! (XEP-0198). Time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use swarm::outgoing::Outgoing;

use crate::stanza::{Request, Stanza};
use crate::tally::Kind;

/// What a client knows of its session.
pub struct Session {
    /// Which session of its user it is, from 1.
    pub number: u32,
    /// The name to resume it by (SM-ID), if it can be.
    pub id: Option<Box<str>>,
    /// How many stanzas were read since the server began to count.
    read: u32,
    /// Whether stanzas that are written are counted, and those that are read.
    managed: bool,
    counts: bool,
    outgoing: Outgoing<Stanza>,
    acks: Acks,
    /// Requests under way, the oldest first.
    requests: VecDeque<Asked>,
    next_request: u32,
}

/// When to ask the server how far it is.
#[derive(Default)]
struct Acks {
    /// Stanzas since it was asked last.
    unasked: u32,
    /// When to ask at the latest.
    due: Option<Duration>,
}

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its id.
    pub id: u32,
    /// What it is measured as; `None` when it is not.
    pub kind: Option<Kind>,
    /// The phase that it belongs to.
    pub phase: usize,
    /// When it was to be sent, in microseconds since the run began.
    pub intended: u64,
    /// When it is given up.
    pub until: Duration,
}

impl Session {
    /// None yet.
    pub fn none() -> Self {
        Self {
            number: 0,
            id: None,
            read: 0,
            managed: false,
            counts: false,
            outgoing: Outgoing::new(),
            acks: Acks::default(),
            requests: VecDeque::new(),
            next_request: 0,
        }
    }

    /// Ends it and begins the next. Returns what was not acknowledged and what was not answered.
    pub fn renew(&mut self) -> (Vec<Stanza>, Vec<Asked>) {
        let former = std::mem::replace(self, Self::none());
        self.number = former.number + 1;
        self.next_request = former.next_request;
        (former.outgoing.into_waiting().collect(), former.requests.into())
    }

    /// The server has been asked to count: what is written from now on counts.
    pub fn manage(&mut self) {
        self.managed = true;
    }

    /// The server counts: what is read from now on counts too. With a name if the session can be resumed.
    pub fn enabled(&mut self, id: Option<&str>) {
        (self.managed, self.counts) = (true, true);
        self.id = id.map(Into::into);
    }

    /// Whether stanzas that are written are counted.
    pub fn is_managed(&self) -> bool {
        self.managed
    }

    /// The server does not count.
    pub fn unmanage(&mut self) {
        (self.managed, self.counts, self.id) = (false, false, None);
        (self.outgoing, self.acks) = (Outgoing::new(), Acks::default());
    }

    /// Whether stanzas are counted on both sides, or on neither.
    pub fn is_settled(&self) -> bool {
        self.managed == self.counts
    }

    /// A stanza was read.
    pub fn heard(&mut self) {
        self.read = self.read.wrapping_add(u32::from(self.counts));
    }

    /// How many stanzas were read since the server began to count.
    pub fn read(&self) -> u32 {
        self.read
    }

    /// A stanza is being written. True when an acknowledgement is to be asked for with it: after `every` so many stanzas, and at the latest
    /// `after` so long, when [`Session::asks`] says so.
    pub fn write(&mut self, stanza: Stanza, now: Duration, every: u32, after: Duration) -> bool {
        if !self.managed {
            return false;
        }
        self.outgoing.push(stanza);
        self.acks.unasked += 1;
        if self.acks.unasked >= every {
            self.acks = Acks::default();
            return true;
        }
        self.acks.due.get_or_insert(now + after);
        false
    }

    /// Whether it is time to ask for an acknowledgement; it then is asked for.
    pub fn asks(&mut self, now: Duration) -> bool {
        let is_due = self.acks.due.is_some_and(|due| due <= now);
        if is_due {
            self.acks = Acks::default();
        }
        is_due
    }

    /// To be asked now, if anything is waiting.
    pub fn hasten(&mut self, now: Duration) {
        if !self.outgoing.is_empty() {
            self.acks.due = Some(now);
        }
    }

    /// The server has handled `h` in all. Returns those that it had not acknowledged before; `None` when there were never so many.
    pub fn acknowledge(&mut self, h: u32) -> Option<Vec<Stanza>> {
        self.outgoing.acknowledge(h)
    }

    /// What is to be written once more in the same session, in its order.
    pub fn waiting(&self) -> impl Iterator<Item = &Stanza> {
        self.outgoing.waiting()
    }

    /// A request is being written. Returns the stanza.
    pub fn ask(&mut self, request: Request, asked: Asked) -> Stanza {
        self.requests.push_back(asked);
        Stanza::Request(request, asked.id)
    }

    /// An id that no request has had.
    pub fn next_id(&mut self) -> u32 {
        self.next_request = self.next_request.wrapping_add(1);
        self.next_request
    }

    /// A request was answered; which, if it was under way.
    pub fn answer(&mut self, id: u32) -> Option<Asked> {
        let at = self.requests.iter().position(|asked| asked.id == id)?;
        self.requests.remove(at)
    }

    /// A request that has waited for too long.
    pub fn overdue(&mut self, now: Duration) -> Option<Asked> {
        self.requests.pop_front_if(|asked| asked.until <= now)
    }

    /// When the session has to be looked after next.
    pub fn due(&self) -> Option<Duration> {
        let answer = self.requests.front().map(|asked| asked.until);
        [self.acks.due, answer].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn asks_after_so_many_stanzas_or_so_long() {
        let mut session = Session::none();
        assert!(!session.write(Stanza::Available, at(0), 3, AFTER));
        session.manage();
        let asked: Vec<bool> = (0..4)
            .map(|_| session.write(Stanza::Available, at(1), 3, AFTER))
            .collect();
        assert_eq!(asked, [false, false, true, false]);
        assert_eq!(session.due(), Some(at(6)));
        assert!(!session.asks(at(5)) && session.asks(at(6)) && !session.asks(at(7)));
        assert_eq!(session.acknowledge(4).map(|stanzas| stanzas.len()), Some(4));
        assert_eq!(session.acknowledge(5), None);
    }

    #[test]
    fn another_session_begins_with_nothing_but_its_number() {
        let mut session = Session::none();
        session.renew();
        session.manage();
        session.write(Stanza::Available, at(0), 3, AFTER);
        let asked = Asked {
            id: session.next_id(),
            kind: None,
            phase: 0,
            intended: 0,
            until: at(9),
        };
        session.ask(Request::Ping, asked);
        assert_eq!(session.renew(), (vec![Stanza::Available], vec![asked]));
        assert_eq!((session.number, session.due(), session.next_id()), (2, None, 2));
    }

    #[test]
    fn requests_are_answered_once_or_overdue() {
        let mut session = Session::none();
        for (id, until) in [(1, 10), (2, 11)] {
            let asked = Asked {
                id,
                kind: Some(Kind::Ping),
                phase: 0,
                intended: 0,
                until: at(until),
            };
            session.ask(Request::Ping, asked);
        }
        assert!(session.answer(2).is_some() && session.answer(2).is_none());
        assert_eq!(session.overdue(at(9)), None);
        assert_eq!(session.overdue(at(10)).map(|asked| asked.id), Some(1));
    }
}
