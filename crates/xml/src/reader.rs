//! From bytes to stream events, however the bytes are split.
//!
//! ```text
//!          header            '</root>'
//! Prolog ─────────▶ Content ──────────▶ Closed
//!    └──────────────────┴─── any error ───┴──▶ Failed
//! ```

use bytes::Bytes;

use crate::canonical;
use crate::chars::is_space;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::header::{self, Open, Root};
use crate::limits::Limits;
use crate::scan::Scan;

/// What a stream says, one first-level thing at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The root's start tag.
    Open(Open),
    /// A complete first-level child in *canonical form*: UTF-8, well-formed, validated, every namespace resolvable with
    /// `jabber:client` as the default namespace and no prefix bound (prefixes and default namespaces that the stream
    /// header declared are written into the fragment). So is each child of it, taken alone.
    Child(Bytes),
    /// White space between children (RFC 6120, 4.6.1: keep-alive); reported at most once per `receive`.
    Whitespace,
    /// The root's end tag.
    Close,
}

/// An incremental reader of one XML stream. After an error it yields nothing more.
///
/// ```
/// use dunlin_xml::{Event, Limits, Reader};
/// let mut reader = Reader::new(Limits::default());
/// reader.receive(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><presence");
/// assert!(matches!(reader.poll(), Ok(Some(Event::Open(open))) if open.content_ns == "jabber:client"));
/// assert_eq!(reader.poll(), Ok(None));
/// reader.receive(b"/>");
/// assert_eq!(reader.poll(), Ok(Some(Event::Child("<presence/>".into()))));
/// ```
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    /// The limits in force for the item that is being scanned.
    current: Limits,
    phase: Phase,
    scan: Scan,
    /// Bytes not yet turned into events, from `start`. Without capacity while there are none.
    buffer: Vec<u8>,
    start: usize,
    dialect: Dialect,
    /// White space may still be reported.
    report_space: bool,
}

#[derive(Debug)]
enum Phase {
    Prolog,
    Content(Root),
    /// The root was written as an empty element; its end is yet to be reported.
    Closing,
    Closed,
    Failed,
}

impl Reader {
    /// A reader that expects a root.
    pub fn new(limits: Limits) -> Self {
        Self {
            current: limits.clone(),
            limits,
            phase: Phase::Prolog,
            scan: Scan::header(),
            buffer: Vec::new(),
            start: 0,
            dialect: Dialect::Client,
            report_space: false,
        }
    }

    /// A reader that expects a root whose children speak `dialect`: what is in its content namespace is read as `jabber:client`, wherever
    /// it stands. What the root itself says is reported as it stands.
    #[must_use]
    pub fn of_dialect(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Changes the limits from the next child on (they differ before and after authentication).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Forgets everything, also bytes received and not polled: the next bytes begin a new document (a stream restart,
    /// RFC 6120, 4.3.3).
    pub fn restart(&mut self) {
        let dialect = self.dialect;
        *self = Self {
            dialect,
            ..Self::new(self.limits.clone())
        };
    }

    /// As [`Reader::restart`], but bytes received and not polled begin the new document (a restart on the same security layer,
    /// where they are as good as those to come).
    pub fn renew(&mut self) {
        let rest = self.buffer.split_off(self.start);
        self.restart();
        self.buffer = rest;
    }

    /// Takes bytes in. Between calls, once polled to the end, at most `limits.stanza_bytes` of an incomplete child are held.
    pub fn receive(&mut self, bytes: &[u8]) {
        if matches!(self.phase, Phase::Failed) {
            return;
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
        self.report_space = true;
    }

    /// How many bytes are held.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next complete event, `None` when more bytes are needed.
    ///
    /// # Errors
    /// As [`Error`]; the reader is then finished.
    pub fn poll(&mut self) -> Result<Option<Event>, Error> {
        let event = self.advance();
        if event.is_err() {
            self.phase = Phase::Failed;
            self.start = self.buffer.len();
        }
        if self.start == self.buffer.len() {
            (self.buffer, self.start) = (Vec::new(), 0);
        }
        event
    }

    fn advance(&mut self) -> Result<Option<Event>, Error> {
        match self.phase {
            Phase::Prolog => self.prolog(),
            Phase::Content(_) => match self.keep_alive() {
                true => Ok(Some(Event::Whitespace)),
                false => self.content(),
            },
            Phase::Closing => {
                self.phase = Phase::Closed;
                Ok(Some(Event::Close))
            }
            Phase::Closed => self.nothing_more(),
            Phase::Failed => Ok(None),
        }
    }

    /// Drops white space between children; whether to report it.
    fn keep_alive(&mut self) -> bool {
        self.scan.is_fresh() && self.skip_space() && std::mem::take(&mut self.report_space)
    }

    fn prolog(&mut self) -> Result<Option<Event>, Error> {
        let Some(end) = self.find_end()? else { return Ok(None) };
        let header = header::read(&self.buffer[self.start..end], &self.current, self.dialect)?;
        (self.start, self.scan) = (end, Scan::child());
        self.phase = if header.empty {
            Phase::Closing
        } else {
            Phase::Content(header.root)
        };
        Ok(Some(Event::Open(header.open)))
    }

    fn content(&mut self) -> Result<Option<Event>, Error> {
        if self.buffer.get(self.start).is_some_and(|byte| *byte != b'<') {
            return Err(Error::NotWellFormed("text between first-level elements"));
        }
        let Some(end) = self.find_end()? else { return Ok(None) };
        let Phase::Content(root) = &self.phase else {
            return Ok(None);
        };
        let item = &self.buffer[self.start..end];
        let event = match item.starts_with(b"</") {
            false => Event::Child(canonical::child(item, root.outside(self.dialect), &self.current)?),
            true if header::is_end_tag(item, &root.name) => Event::Close,
            true => return Err(Error::NotWellFormed("end tag")),
        };
        if event == Event::Close {
            self.phase = Phase::Closed;
        }
        (self.start, self.scan) = (end, Scan::child());
        Ok(Some(event))
    }

    /// Where in the buffer the item ends that begins at `start`.
    fn find_end(&mut self) -> Result<Option<usize>, Error> {
        if self.scan.is_fresh() {
            self.current.clone_from(&self.limits);
        }
        let length = self.scan.run(&self.buffer[self.start..], &self.current)?;
        Ok(length.map(|length| self.start + length))
    }

    /// Drops white space; whether there was any.
    fn skip_space(&mut self) -> bool {
        let rest = &self.buffer[self.start..];
        let space = rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len());
        self.start += space;
        space > 0
    }

    fn nothing_more(&mut self) -> Result<Option<Event>, Error> {
        self.skip_space();
        if self.start < self.buffer.len() {
            Err(Error::NotWellFormed("data after the root"))
        } else {
            Ok(None)
        }
    }
}
