//! Finds where a stream header or a first-level child ends, byte by byte and without looking back.
//!
//! It knows just enough of XML to tell markup from text; what it lets pass is checked by [`crate::walk`] once complete.
//! Depth and counts are watched here already, so that a flood is refused before it has been collected.

use memchr::{memchr, memchr2};
use smallvec::{SmallVec, smallvec};

use crate::chars::is_space;
use crate::error::Error;
use crate::limits::Limits;

/// Where the scan stands. `position` counts from the item's first byte; bytes before it are never looked at again.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    position: usize,
    state: State,
    /// Where the names of the open elements begin.
    open: SmallVec<[usize; 6]>,
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
    /// After a slash in a start tag, which must end it.
    Slash,
    Quoted(u8),
    /// In an end tag whose name begins there.
    EndTag(usize),
    /// After `<!` and so many bytes of `[CDATA[`.
    Bang(usize),
    /// In a CDATA section, after so many closing brackets (2: two or more).
    CData(u8),
    /// In an XML declaration; true after a question mark.
    Declaration(bool),
}

/// The place of a name that is not in the item.
const ELSEWHERE: usize = usize::MAX;

const CDATA: &[u8] = b"[CDATA[";

/// The bytes that matter inside a start tag.
static TAG: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'<' | b'>' | b'/' | b'\'' | b'"');
        byte += 1;
    }
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
            open: smallvec![ELSEWHERE],
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
            State::StartTag if TAG[usize::from(byte)] => return self.start_tag(byte, limits),
            State::StartTag => self.skip_tag(window),
            State::Slash if byte == b'>' => return Ok(self.header || self.end_element()),
            State::Slash => return Err(Error::NotWellFormed("'/' in a tag")),
            State::Quoted(quote) if byte == quote => self.state = State::StartTag,
            State::Quoted(_) if byte == b'<' => return Err(Error::NotWellFormed("'<' in attribute value")),
            State::Quoted(quote) => {
                let rest = &window[self.position..];
                self.position += memchr2(quote, b'<', rest).unwrap_or(rest.len());
            }
            State::EndTag(start) if byte == b'>' => {
                self.end_tag(start, window)?;
                return Ok(self.end_element());
            }
            State::EndTag(_) => self.skip_to(b'>', window),
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
            b'/' => State::EndTag(self.position),
            b'!' => State::Bang(0),
            b'?' if self.header && self.position == 2 => State::Declaration(false),
            b'?' => return Err(Error::Restricted("processing instruction")),
            b'>' | b'<' | b'\'' | b'"' => return Err(Error::NotWellFormed("tag without name")),
            _ => return self.open(limits),
        };
        Ok(())
    }

    fn open(&mut self, limits: &Limits) -> Result<(), Error> {
        if self.open.len() >= limits.depth {
            return Err(Error::Limit("depth"));
        }
        self.open.push(self.position - 1);
        self.elements += 1;
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

    fn start_tag(&mut self, byte: u8, limits: &Limits) -> Result<bool, Error> {
        match byte {
            b'>' if self.header => return Ok(true),
            b'>' => self.state = State::Text,
            b'/' => self.state = State::Slash,
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
        if byte != CDATA[matched] || self.header || self.open.is_empty() {
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

    /// Checks that the end tag's name, from `start` on, is that of the innermost open element. What breaks this rule
    /// might otherwise never end.
    fn end_tag(&self, start: usize, window: &[u8]) -> Result<(), Error> {
        let Some(&opened) = self.open.last().filter(|opened| **opened != ELSEWHERE) else {
            return Ok(());
        };
        let name = window[start..self.position - 1].trim_ascii_end();
        let rest = window[opened..].strip_prefix(name);
        let is_whole = |rest: &[u8]| {
            rest.first()
                .is_some_and(|next| is_space(*next) || matches!(next, b'>' | b'/'))
        };
        if rest.is_some_and(is_whole) {
            Ok(())
        } else {
            Err(Error::NotWellFormed("end tag"))
        }
    }

    /// True when the item is complete: its last element ended, or the root did (none was open).
    fn end_element(&mut self) -> bool {
        self.state = State::Text;
        self.open.pop();
        self.open.is_empty()
    }
}
