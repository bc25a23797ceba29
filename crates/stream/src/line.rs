//! What every state works with: the configuration, the reader, the bytes to write and the clock's last word.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use stanza::Stanza;
use xml::{Dialect, Element, Reader, escape_attribute};

use crate::config::Config;
use crate::event::Event;
use crate::fault::Fault;

/// The small context of the machine.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) config: Arc<Config>,
    pub(crate) dialect: Dialect,
    pub(crate) reader: Reader,
    pub(crate) output: Vec<u8>,
    /// Events that no input brought about, such as the abort of an exchange.
    pub(crate) events: VecDeque<Event>,
    pub(crate) now: Instant,
    /// The highest delivery that the home need not keep any more; outlives the state that knows it.
    pub(crate) released: u64,
    /// It is what the client has acknowledged, and so does not hang on what is still to be written.
    pub(crate) acknowledged: bool,
    /// Our header is out and our closing tag is not.
    pub(crate) open: bool,
    seed: u128,
    headers: u32,
}

/// The attributes of our header that depend on the peer's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reply<'a> {
    pub(crate) from: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
    pub(crate) lang: Option<&'a str>,
}

impl Line {
    pub(crate) fn new(config: Arc<Config>, dialect: Dialect, seed: u128, now: Instant) -> Self {
        let reader = Reader::new(config.limits_before.clone());
        Self {
            config,
            dialect,
            reader: reader.of_dialect(dialect),
            output: Vec::new(),
            events: VecDeque::new(),
            now,
            released: 0,
            acknowledged: false,
            open: false,
            seed,
            headers: 0,
        }
    }

    /// Writes our header (RFC 6120, 4.7). Its id is unguessable, and another one after each restart.
    pub(crate) fn header(&mut self, reply: Reply<'_>) {
        self.headers += 1;
        let id = format!("{:032x}-{}", self.seed, self.headers);
        self.begin(&id);
        let known = [
            ("from", reply.from),
            ("to", reply.to),
            ("xml:lang", Some(reply.lang.unwrap_or("en"))),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                self.attribute(name, value);
            }
        }
        self.raw(b" version='1.0'>");
        self.open = true;
    }

    /// Writes our header to a component (XEP-0114, 3), with an id that a router made. It has no version, as there are no features.
    pub(crate) fn greet(&mut self, from: Option<&str>, id: &str) {
        self.begin(id);
        if let Some(from) = from {
            self.attribute("from", from);
        }
        self.raw(b">");
        self.open = true;
    }

    fn begin(&mut self, id: &str) {
        let content = self.dialect.content_ns();
        self.raw(b"<?xml version='1.0'?><stream:stream xmlns='");
        self.raw(content.as_bytes());
        self.raw(b"' xmlns:stream='http://etherx.jabber.org/streams'");
        self.attribute("id", id);
    }

    /// Writes the features element (RFC 6120, 4.3.2).
    pub(crate) fn features(&mut self, features: impl IntoIterator<Item = Element>) {
        self.raw(b"<stream:features>");
        for feature in features {
            self.write(&feature);
        }
        self.raw(b"</stream:features>");
    }

    /// Writes an element on the stream.
    pub(crate) fn write(&mut self, element: &Element) {
        element.write(self.dialect.content_ns(), &mut self.output);
    }

    /// Writes a stanza on the stream, if there is one.
    pub(crate) fn deliver_some(&mut self, stanza: Option<Stanza>) {
        if let Some(stanza) = stanza {
            stanza.write(&mut self.output);
        }
    }

    /// The stream has been replaced by another that has yet to begin, on the same security layer; what the client has sent
    /// ahead belongs to that one.
    pub(crate) fn restart(&mut self) {
        self.know();
        self.reader.renew();
        self.open = false;
    }

    /// The client is known: the limits of those who are hold from here on.
    pub(crate) fn know(&mut self) {
        self.reader.set_limits(self.config.limits_after.clone());
    }

    /// Writes a stream error and the closing tag, after a header if there is none yet (RFC 6120, 4.9.1.2).
    pub(crate) fn error(&mut self, fault: &Fault) {
        if !self.open && self.dialect == Dialect::Component {
            let id = format!("{:032x}", self.seed);
            self.greet(None, &id);
        } else if !self.open {
            let config = Arc::clone(&self.config);
            self.header(Reply {
                from: config.hosts.first().map(|host| host.domain.as_str()),
                ..Reply::default()
            });
        }
        let error = match fault.text {
            Some(text) => fault.condition.to_element_with_text(text),
            None => fault.condition.to_element(),
        };
        self.raw(b"<stream:error>");
        for child in error.children() {
            self.write(child);
        }
        self.raw(b"</stream:error>");
        self.end();
    }

    /// Writes the closing tag, if there is something to close.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            self.raw(b"</stream:stream>");
        }
    }

    /// Nothing is left to do: keeps no memory for what may come.
    pub(crate) fn rest(&mut self) {
        if self.output.is_empty() {
            self.output = Vec::new();
        }
        self.events = VecDeque::new();
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.raw(b" ");
        self.raw(name.as_bytes());
        self.raw(b"='");
        escape_attribute(value, &mut self.output);
        self.raw(b"'");
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }
}
