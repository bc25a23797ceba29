//! The ledger: what became of every message, as the clients saw it. A plain value; time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

/// A message: who sends it, and its number among all that this client sends, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The sender.
    pub from: usize,
    /// Its number.
    pub number: usize,
}

/// One message's history. Sessions count from 1: a client that cannot resume begins its next one.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) to: usize,
    pub(crate) intended: Duration,
    pub(crate) written: Vec<(Duration, u32)>,
    pub(crate) acknowledged: Option<Duration>,
    pub(crate) refused: Option<Duration>,
    pub(crate) received: Vec<Receipt>,
}

/// That a message was received.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    pub(crate) at: Duration,
    pub(crate) session: u32,
    pub(crate) overtaken_by: Option<usize>,
}

/// How a client came to be connected, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Connected {
    /// With a new session.
    Bound,
    /// With the session it had.
    Resumed,
    /// The server did not let it resume.
    NotResumed,
}

/// What became of every message.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    records: Vec<Vec<Record>>,
    /// Highest number received so far, by sender, sender's session and recipient.
    highest: BTreeMap<(usize, u32, usize), usize>,
    /// What each client went through: when, and what.
    journeys: Vec<Vec<(Duration, String)>>,
    pub(crate) connected: BTreeMap<Connected, u64>,
    pub(crate) endings: BTreeMap<String, u64>,
    /// Since when clients have logged in anew, to get what had been kept for them.
    pub(crate) collecting: Option<Duration>,
    pub(crate) complaints: Vec<String>,
    entries: u64,
}

impl Ledger {
    /// For so many clients.
    pub fn new(clients: usize) -> Self {
        Self {
            records: vec![Vec::new(); clients],
            journeys: vec![Vec::new(); clients],
            ..Self::default()
        }
    }

    /// A message that client `from` wants sent to client `to` since `now`. Returns its key.
    pub fn intend(&mut self, from: usize, to: usize, now: Duration) -> Key {
        self.entries += 1;
        let own = &mut self.records[from];
        own.push(Record {
            to,
            intended: now,
            written: Vec::new(),
            acknowledged: None,
            refused: None,
            received: Vec::new(),
        });
        Key {
            from,
            number: own.len() - 1,
        }
    }

    /// Its sender has given it to its connection, in this session of its own.
    pub fn written(&mut self, key: Key, session: u32, now: Duration) {
        if let Some(record) = self.find(key) {
            record.written.push((now, session));
        }
    }

    /// The server has acknowledged it (XEP-0198, 4).
    pub fn acknowledged(&mut self, key: Key, now: Duration) {
        if let Some(record) = self.find(key) {
            record.acknowledged.get_or_insert(now);
        }
    }

    /// It came back to its sender as an error.
    pub fn refused(&mut self, key: Key, now: Duration) {
        if let Some(record) = self.find(key) {
            record.refused.get_or_insert(now);
        }
    }

    /// Client `by` has received it in its session `session`; the message says which session of its sender it was `written_in`.
    pub fn received(&mut self, key: Key, written_in: u32, by: usize, session: u32, now: Duration) {
        let highest = self.highest.entry((key.from, written_in, by)).or_insert(key.number);
        let overtaken_by = (*highest > key.number).then_some(*highest);
        *highest = key.number.max(*highest);
        let Some(record) = self.find(key) else { return };
        if record.to != by {
            let complaint = format!("client {by} received {key:?}, which was for client {}", record.to);
            self.complaints.push(complaint);
            return;
        }
        let overtaken_by = overtaken_by.filter(|_| record.received.is_empty());
        record.received.push(Receipt {
            at: now,
            session,
            overtaken_by,
        });
    }

    /// A client is connected in its session `session`, over the edge `edge`, or was told that it cannot resume.
    pub fn connected(&mut self, client: usize, how: Connected, session: u32, edge: usize, now: Duration) {
        self.entries += 1;
        *self.connected.entry(how).or_default() += 1;
        self.travelled(client, now, format!("{how:?} session {session} over edge {edge}"));
    }

    /// A client's connection ended, or could not be made.
    pub fn ended(&mut self, client: usize, why: String, now: Duration) {
        self.travelled(client, now, why.clone());
        *self.endings.entry(why).or_default() += 1;
    }

    /// From now on clients log in anew, and get what had been kept for them.
    pub fn collecting(&mut self, now: Duration) {
        self.collecting = Some(now);
    }

    /// The server did what it must not do.
    pub fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    /// Rises with every entry: while it stands still, nothing happens.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Whether every message was acknowledged and received, or refused.
    pub fn is_settled(&self) -> bool {
        let is_settled = |record: &Record| {
            record.refused.is_some() || (record.acknowledged.is_some() && !record.received.is_empty())
        };
        self.records.iter().flatten().all(is_settled)
    }

    /// Every message with its history.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Key, &Record)> {
        self.records.iter().enumerate().flat_map(|(from, own)| {
            own.iter()
                .enumerate()
                .map(move |(number, record)| (Key { from, number }, record))
        })
    }

    /// What a client went through.
    pub(crate) fn journey(&self, client: usize) -> &[(Duration, String)] {
        self.journeys.get(client).map_or(&[], Vec::as_slice)
    }

    fn travelled(&mut self, client: usize, now: Duration, what: String) {
        if let Some(journey) = self.journeys.get_mut(client) {
            journey.push((now, what));
        }
    }

    fn find(&mut self, key: Key) -> Option<&mut Record> {
        self.entries += 1;
        let found = self.records.get_mut(key.from).and_then(|own| own.get_mut(key.number));
        if found.is_none() {
            self.complaints.push(format!("{key:?} was never sent"));
        }
        found
    }
}
