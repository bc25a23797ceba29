//! Finds where a stream header or a first-level child ends, byte by byte and without looking back.
//!
//! It knows just enough of XML to tell markup from text; what it lets pass is checked by [`crate::walk`] once complete.
//! Depth and counts are watched here already, so that a flood is refused before it has been collected.

use memchr::memchr;

use crate::chars::is_space;
use crate::error::Error;
use crate::limits::Limits;

/// Where the scan stands. `position` counts from the item's first byte; bytes before it are never looked at again.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    position: usize,
    state: State,
    depth: usize,
    elements: usize,
    attributes: usize,
    /// A header ends with its first start tag.
    header: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Text,
    /// After `<`.
    Markup,
    StartTag,
    Quoted(u8),
    EndTag,
    /// After `<!` and so many bytes of `[CDATA[`.
    Bang(usize),
    /// In a CDATA section, after so many closing brackets (2: two or more).
    CData(u8),
    /// In an XML declaration; true after a question mark.
    Declaration(bool),
}

const CDATA: &[u8] = b"[CDATA[";

/// The bytes that matter inside a start tag.
const TAG: [bool; 256] = {
    let mut table = [false; 256];
    (
        table[b'<' as usize],
        table[b'>' as usize],
        table[b'\'' as usize],
        table[b'"' as usize],
    ) = (true, true, true, true);
    table
};

impl Scan {
    /// A scan for the end of the stream header: an XML declaration, white space, and the root's start tag.
    pub(crate) fn header() -> Self {
        Self {
            header: true,
            ..Self::default()
        }
    }

    /// A scan for the end of a first-level child, or of the root's end tag.
    pub(crate) fn child() -> Self {
        Self::default()
    }

    /// A scan for the end of an element whose start tag has just been read.
    pub(crate) fn content() -> Self {
        Self {
            depth: 1,
            ..Self::default()
        }
    }

    /// Whether nothing has been scanned.
    pub(crate) fn is_fresh(&self) -> bool {
        self.position == 0
    }

    /// Goes on in `item`, which begins where it began before. The item's length once its end is found.
    pub(crate) fn run(&mut self, item: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        let window = &item[..item.len().min(limits.stanza_bytes)];
        while let Some(&byte) = window.get(self.position) {
            if self.step(byte, window, limits)? {
                return Ok(Some(self.position));
            }
        }
        // An item of exactly the limit would have ended by now.
        if window.len() == limits.stanza_bytes {
            Err(Error::Limit("stanza size"))
        } else {
            Ok(None)
        }
    }

    /// Takes one byte or a run of uninteresting ones. True at the end of the item.
    fn step(&mut self, byte: u8, window: &[u8], limits: &Limits) -> Result<bool, Error> {
        self.position += 1;
        match self.state {
            State::Text if byte == b'<' => self.state = State::Markup,
            State::Text if !self.header => self.skip_to(b'<', window),
            State::Text if is_space(byte) => {}
            State::Text => return Err(Error::NotWellFormed("text outside of the root")),
            State::Markup => self.markup(byte, limits)?,
            State::StartTag if TAG[usize::from(byte)] => return self.start_tag(byte, window, limits),
            State::StartTag => self.skip_tag(window),
            State::Quoted(quote) if byte == quote => self.state = State::StartTag,
            State::Quoted(quote) => self.skip_to(quote, window),
            State::EndTag if byte == b'>' => return Ok(self.end_element()),
            State::EndTag => self.skip_to(b'>', window),
            State::Bang(matched) => self.bang(byte, matched)?,
            State::CData(2) if byte == b'>' => self.state = State::Text,
            State::CData(brackets) if byte == b']' => self.state = State::CData((brackets + 1).min(2)),
            State::CData(_) => self.state = State::CData(0),
            State::Declaration(true) if byte == b'>' => self.state = State::Text,
            State::Declaration(_) => self.state = State::Declaration(byte == b'?'),
        }
        Ok(false)
    }

    fn skip_to(&mut self, byte: u8, window: &[u8]) {
        let rest = &window[self.position..];
        self.position += memchr(byte, rest).unwrap_or(rest.len());
    }

    fn markup(&mut self, byte: u8, limits: &Limits) -> Result<(), Error> {
        self.state = match byte {
            b'/' if self.header => return Err(Error::NotWellFormed("end tag before the root")),
            b'/' => State::EndTag,
            b'!' => State::Bang(0),
            b'?' if self.header && self.position == 2 => State::Declaration(false),
            b'?' => return Err(Error::Restricted("processing instruction")),
            b'>' | b'<' | b'\'' | b'"' => return Err(Error::NotWellFormed("tag without name")),
            _ => return self.open(limits),
        };
        Ok(())
    }

    fn open(&mut self, limits: &Limits) -> Result<(), Error> {
        self.depth += 1;
        self.elements += 1;
        if self.depth > limits.depth {
            return Err(Error::Limit("depth"));
        }
        if self.elements > limits.elements {
            return Err(Error::Limit("elements"));
        }
        (self.state, self.attributes) = (State::StartTag, 0);
        Ok(())
    }

    fn skip_tag(&mut self, window: &[u8]) {
        let rest = &window[self.position..];
        self.position += rest
            .iter()
            .position(|byte| TAG[usize::from(*byte)])
            .unwrap_or(rest.len());
    }

    fn start_tag(&mut self, byte: u8, window: &[u8], limits: &Limits) -> Result<bool, Error> {
        match byte {
            b'>' if self.header => return Ok(true),
            b'>' if window[..self.position].ends_with(b"/>") => return Ok(self.end_element()),
            b'>' => self.state = State::Text,
            b'<' => return Err(Error::NotWellFormed("'<' in a tag")),
            b'\'' | b'"' => {
                self.attributes += 1;
                if self.attributes > limits.attributes {
                    return Err(Error::Limit("attributes"));
                }
                self.state = State::Quoted(byte);
            }
            _ => {}
        }
        Ok(false)
    }

    fn bang(&mut self, byte: u8, matched: usize) -> Result<(), Error> {
        if byte != CDATA[matched] || self.header || self.depth == 0 {
            return Err(match byte {
                b'-' if matched == 0 => Error::Restricted("comment"),
                b'D' if matched == 0 => Error::Restricted("document type"),
                _ => Error::NotWellFormed("markup declaration"),
            });
        }
        self.state = if matched + 1 == CDATA.len() {
            State::CData(0)
        } else {
            State::Bang(matched + 1)
        };
        Ok(())
    }

    /// True when the item is complete: its last element ended, or the root did (depth 0 before).
    fn end_element(&mut self) -> bool {
        self.state = State::Text;
        self.depth = self.depth.saturating_sub(1);
        self.depth == 0
    }
}
