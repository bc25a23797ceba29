//! How a user learns what was kept for it when the server leaves that to the archive: with Bind2, offline messages are dropped, as the archive
//! has them (XEP-0386, 5).

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use xml::Element;

use super::User;
use crate::head::Head;
use crate::link::Link;
use crate::login::MAM;
use crate::session::Asked;
use crate::stanza::Request;
use crate::tag::Tag;
use crate::tally::Kind;
use crate::world::escaped;

const RSM: &str = "http://jabber.org/protocol/rsm";

impl User {
    /// A session begins. The first one tells how far the archive is; each other asks for what is new.
    pub(super) fn begin_to_catch_up(&mut self, link: &mut Link, archived: Option<String>, now: Duration) {
        self.catching_up = None;
        let Some(archived) = archived else { return };
        match self.archived {
            None => self.archived = Some(archived.into()),
            Some(_) => self.catch_up(link, now),
        }
    }

    fn catch_up(&mut self, link: &mut Link, now: Duration) {
        let asked = Asked {
            id: self.session.next_id(),
            kind: None,
            phase: self.phase,
            intended: 0,
            until: now + self.crew.world.scenario.patience.answer.0,
        };
        self.catching_up = Some(asked.id);
        let after = match self.archived.as_deref() {
            Some("") | None => String::new(),
            Some(id) => format!("<after>{}</after>", escaped(id)),
        };
        let (id, page) = (asked.id, self.crew.world.scenario.messages.page);
        // A vector takes everything.
        let _ = write!(
            link.output(),
            "<iq type='set' id='q{id}'><query xmlns='{MAM}'><set xmlns='{RSM}'><max>{page}</max>{after}</set></query></iq>"
        );
        let stanza = self.session.ask(Request::CatchUp, asked);
        self.count(link, stanza, now);
    }

    /// The end of a page has come, or something else instead of it.
    pub(super) fn end_page(&mut self, link: &mut Link, answer: Option<&Element>, now: Duration) {
        self.catching_up = None;
        let Some(fin) = answer.and_then(|answer| answer.child(MAM, "fin")) else {
            // A ping was answered: see `Request::CatchUp`. What is refused will not be granted by asking again.
            if answer.is_some_and(|answer| answer.attribute("type") == Some("result")) {
                self.catch_up(link, now);
            }
            return;
        };
        if let Some(last) = fin.child(RSM, "set").and_then(|set| set.child(RSM, "last")) {
            self.archived = Some(last.content().into());
        }
        if fin.attribute("complete") != Some("true") {
            self.catch_up(link, now);
        }
    }

    /// A message that is not of this run by its own id may be a page's line.
    pub(super) fn hear_archived(&mut self, fragment: &Bytes, now: Duration) {
        const INNER: &[u8] = b"<message";
        if self.archived.is_none() {
            return;
        }
        let Some(at) = memmem::rfind(fragment, INNER).filter(|at| *at > 0) else {
            return;
        };
        let head = Head::of(&fragment[at..]);
        let tag = head.id.filter(|_| head.kind != Some("error")).and_then(Tag::read);
        let Some(tag) = tag.filter(|tag| tag.run == self.crew.world.run && tag.to == self.at) else {
            return;
        };
        if self.book.find(&tag) {
            let mut tally = self.crew.tally.lock();
            tally.messages().received += 1;
            let phase = tally.phase(tag.intended);
            let took = now.saturating_sub(Duration::from_micros(tag.intended));
            tally.done(phase, Kind::Message, took);
        }
    }

    /// A message says where in the archive it is (XEP-0359).
    pub(super) fn note_archived(&mut self, fragment: &Bytes) {
        if self.archived.is_none() || self.catching_up.is_some() {
            return;
        }
        let place = memmem::find(fragment, b"<stanza-id");
        if let Some(id) = place.and_then(|at| Head::of(&fragment[at..]).id) {
            self.archived = Some(id.into());
        }
    }
}
