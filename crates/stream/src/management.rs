//! The counts of a stream under stream management (XEP-0198): what the client has acknowledged and what it is owed.
//!
//! One request of ours is under way at a time, so a client that answers slowly is not asked again for every stanza; after an
//! answer the next batch asks again. A client's request is answered when what it sent before is done, so that the first
//! answer is the one it waits for, or after [`PATIENCE`] with what is done by then.

use std::time::{Duration, Instant};

use stanza::{Counts, TooHigh, acknowledged};
use xml::Element;

use crate::feature::stream_management as elements;

/// How long an answer may wait for what is in work ("as soon as possible": XEP-0198, 4).
const PATIENCE: Duration = Duration::from_millis(500);

/// The counts of one stream.
#[derive(Debug)]
pub(crate) struct Management {
    /// Where the session stood when it began.
    since: Counts,
    /// The highest number of the client's stanzas that is known to be done.
    handled: u64,
    /// The highest delivery that the client has acknowledged.
    acknowledged: u64,
    /// When the client was asked and has not answered yet.
    asked: Option<Instant>,
    owed: Option<Owed>,
}

/// The client has asked.
#[derive(Debug)]
struct Owed {
    /// It is answered once this is done.
    number: u64,
    /// Or now.
    until: Instant,
}

impl Management {
    pub(crate) fn new(since: Counts, now: Counts) -> Self {
        Self {
            since,
            handled: now.received,
            acknowledged: now.sent,
            asked: None,
            owed: None,
        }
    }

    /// The client's stanzas up to `number` are done.
    pub(crate) fn done(&mut self, number: u64) {
        self.handled = self.handled.max(number);
    }

    /// The client asks, having sent up to `received`.
    pub(crate) fn ask(&mut self, received: u64, now: Instant) {
        self.owed = Some(Owed {
            number: received,
            until: now + PATIENCE,
        });
    }

    /// Whether the client waits for an answer.
    pub(crate) fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// The answer that the client waits for, when it is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Element> {
        self.owed
            .take_if(|owed| self.handled >= owed.number || now >= owed.until)
            .map(|_| self.answer())
    }

    /// What is done, for the client.
    pub(crate) fn answer(&self) -> Element {
        elements::answer(self.handled, self.since.received)
    }

    /// The client answers, having been sent up to `sent`. Returns the highest delivery that it has acknowledged.
    ///
    /// # Errors
    /// When it acknowledges more than that.
    pub(crate) fn acknowledge(&mut self, h: u32, sent: u64) -> Result<u64, TooHigh> {
        self.acknowledged = acknowledged(h, self.since.sent, self.acknowledged, sent)?;
        self.asked = None;
        Ok(self.acknowledged)
    }

    /// A request for the client, unless one is under way or everything up to `sent` is acknowledged.
    pub(crate) fn request(&mut self, sent: u64, now: Instant) -> Option<Element> {
        let asks = self.asked.is_none() && sent > self.acknowledged;
        asks.then(|| {
            self.asked = Some(now);
            elements::request()
        })
    }

    /// When an answer is due at the latest.
    pub(crate) fn owed_until(&self) -> Option<Instant> {
        self.owed.as_ref().map(|owed| owed.until)
    }

    /// When a client that has not been heard since `heard` counts as gone.
    pub(crate) fn gone_at(&self, heard: Instant, timeout: Duration) -> Option<Instant> {
        let asked = self.asked.filter(|_| !timeout.is_zero())?;
        Some(asked.max(heard) + timeout)
    }
}
