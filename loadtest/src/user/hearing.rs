//! What a user hears in a session, and what that means.

use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use xml::{Element, Event, Limits};

use super::{Ending, User};
use crate::head::Head;
use crate::ledger::Receipt;
use crate::link::Link;
use crate::login::{SM, refusal};
use crate::stanza::{Stanza, answered};
use crate::tag::Tag;
use crate::tally::Kind;
use crate::world::escaped;

const PING: &str = "urn:xmpp:ping";
const ROSTER: &str = "jabber:iq:roster";

impl User {
    /// Hears all that was read.
    pub(super) fn hear_all(&mut self, link: &mut Link) -> Option<Ending> {
        let now = self.now();
        loop {
            match link.event() {
                Ok(Some(Event::Child(fragment))) => {
                    if let Some(ending) = self.hear(link, &fragment, now) {
                        return Some(ending);
                    }
                }
                Ok(Some(Event::Close)) => return Some(Ending::Lost("stream closed".to_owned())),
                Ok(Some(Event::Open(_) | Event::Whitespace)) => {}
                Ok(None) => return None,
                Err(error) => return Some(Ending::Lost(error.to_string())),
            }
        }
    }

    fn hear(&mut self, link: &mut Link, fragment: &Bytes, now: Duration) -> Option<Ending> {
        let head = Head::of(fragment);
        if head.is_stanza() {
            if self.deaf {
                return None;
            }
            self.session.heard();
            match head.name {
                "message" => self.hear_message(link, &head, fragment, now),
                "presence" => self.hear_presence(fragment, now),
                _ => self.hear_iq(link, &head, fragment, now),
            }
            return None;
        }
        match (head.ns, head.name) {
            (Some(SM), "a") => {
                if let Some(h) = head.h.and_then(|h| h.parse().ok()) {
                    self.acknowledged(h);
                }
            }
            (Some(SM), "r") if !self.deaf => {
                let answer = format!("<a xmlns='{SM}' h='{}'/>", self.session.read());
                link.output().extend_from_slice(answer.as_bytes());
            }
            (Some(SM), "enabled") => {
                self.session
                    .enabled(head.id.filter(|_| self.crew.world.scenario.login.resume));
                self.release(link, now);
            }
            (Some(SM), "failed") => {
                self.session.unmanage();
                self.release(link, now);
            }
            (Some(xml::ns::STREAMS), "error") => {
                let condition = parse(fragment).map_or_else(|| "error".to_owned(), |error| refusal("stream", &error).0);
                return Some(Ending::Lost(condition));
            }
            _ => {}
        }
        None
    }

    fn hear_message(&mut self, link: &mut Link, head: &Head<'_>, fragment: &Bytes, now: Duration) {
        let run = self.crew.world.run;
        let Some(tag) = head.id.and_then(Tag::read).filter(|tag| tag.run == run) else {
            return self.hear_archived(fragment, now);
        };
        self.note_archived(fragment);
        if head.kind == Some("error") {
            return self.hear_refusal(&tag, fragment);
        }
        if tag.to != self.at {
            self.crew.tally.lock().messages().misdelivered += 1;
            return;
        }
        let receipt = self.book.hear(&tag);
        let mut tally = self.crew.tally.lock();
        match receipt {
            Receipt::Again => {
                tally.messages().duplicated += 1;
                return;
            }
            Receipt::Overtaken => tally.messages().reordered += 1,
            Receipt::First => {}
        }
        tally.messages().received += 1;
        let phase = tally.phase(tag.intended);
        tally.done(phase, Kind::Message, since(tag.intended, now));
        drop(tally);
        // An answer belongs to the closed loop that its question is of.
        if phase == self.phase && self.saturation() > 0 {
            self.send_at_once(link, tag.from, now);
        }
    }

    fn hear_refusal(&mut self, tag: &Tag, fragment: &Bytes) {
        if tag.from == self.at && self.book.refuse(tag.to, tag.number) {
            let condition = parse(fragment).map_or_else(|| "error".to_owned(), |error| refusal("refused", &error).0);
            let mut tally = self.crew.tally.lock();
            tally.messages().refused += 1;
            let phase = tally.phase(tag.intended);
            tally.fail(phase, Kind::Message, &condition);
        }
    }

    /// A change of presence says in its status which one it is: an `id` need not reach the contacts.
    fn hear_presence(&mut self, fragment: &Bytes, now: Duration) {
        const STATUS: &[u8] = b"<status>";
        let Some(at) = memmem::find(fragment, STATUS) else {
            return;
        };
        let rest = &fragment[at + STATUS.len()..];
        let end = memchr::memchr(b'<', rest).unwrap_or(rest.len());
        let run = self.crew.world.run;
        let tag = std::str::from_utf8(&rest[..end]).ok().and_then(Tag::read);
        let Some(tag) = tag.filter(|tag| tag.run == run) else {
            return;
        };
        let mut tally = self.crew.tally.lock();
        let phase = tally.phase(tag.intended);
        let kind = if tag.from == self.at {
            Kind::Presence
        } else {
            tally.intend(phase, Kind::PresenceDelivery);
            Kind::PresenceDelivery
        };
        tally.done(phase, kind, since(tag.intended, now));
    }

    fn hear_iq(&mut self, link: &mut Link, head: &Head<'_>, fragment: &Bytes, now: Duration) {
        if matches!(head.kind, Some("get" | "set")) {
            return self.answer(link, fragment, now);
        }
        let Some(asked) = head.id.and_then(answered).and_then(|id| self.session.answer(id)) else {
            return;
        };
        if self.catching_up == Some(asked.id) {
            return self.end_page(link, parse(fragment).as_ref(), now);
        }
        let failure = (head.kind == Some("error"))
            .then(|| parse(fragment).map_or_else(|| "error".to_owned(), |error| refusal("refused", &error).0));
        if let Some(kind) = asked.kind {
            let mut tally = self.crew.tally.lock();
            match &failure {
                Some(why) => tally.fail(asked.phase, kind, why),
                None => tally.done(asked.phase, kind, since(asked.intended, now)),
            }
        }
        if self.arrival.is_some_and(|arrival| arrival.roster == Some(asked.id)) {
            self.arrived(link, now);
        }
    }

    /// Answers what the server asks: pings and roster pushes, and nothing else.
    fn answer(&mut self, link: &mut Link, fragment: &Bytes, now: Duration) {
        let Some(request) = parse(fragment) else { return };
        let id = escaped(request.attribute("id").unwrap_or_default());
        let to = request
            .attribute("from")
            .map_or_else(String::new, |from| format!(" to='{}'", escaped(from)));
        let is_known = request
            .children()
            .any(|child| child.is(PING, "ping") || child.is(ROSTER, "query"));
        let answer = if is_known {
            format!("<iq type='result' id='{id}'{to}/>")
        } else {
            format!(
                "<iq type='error' id='{id}'{to}><error type='cancel'>\
                 <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            )
        };
        link.output().extend_from_slice(answer.as_bytes());
        self.count(link, Stanza::Answer, now);
    }

    /// The server has handled so many stanzas in all.
    pub(super) fn acknowledged(&mut self, h: u32) {
        let Some(handled) = self.session.acknowledge(h) else {
            self.crew
                .tally
                .lock()
                .fail(self.phase, Kind::Session, "acknowledged more than was sent");
            return;
        };
        let mut tally = self.crew.tally.lock();
        for stanza in handled {
            if let Stanza::Message { to, number, .. } = stanza
                && self.book.acknowledge(to, number)
            {
                tally.messages().acknowledged += 1;
            }
        }
    }
}

fn parse(fragment: &Bytes) -> Option<Element> {
    Element::parse(fragment, xml::ns::CLIENT, &Limits::UNLIMITED).ok()
}

/// From a time in microseconds until now; zero when clocks of two workers disagree.
fn since(intended: u64, now: Duration) -> Duration {
    now.saturating_sub(Duration::from_micros(intended))
}
