//! The reference model: what was said, what was promised, what was heard. It knows nothing of nodes.
//!
//! A *chain* is a session as its client sees it: from binding through all resumptions to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::Plan;
use crate::pulse::Pulse;

/// Which client, and which session of it.
pub(crate) type Chain = (usize, u64);

/// Which client a message is for, and whether it says which of the client's resources: such a message finds a resource that is not
/// available yet (RFC 6121, 8.5.3.1), so it may overtake one that does not.
pub(crate) type To = (usize, bool);

/// Everything that is known from the clients' side.
pub(crate) struct Ledger {
    pulse: Arc<Pulse>,
    /// The shortcomings of such worlds.
    shortcomings: Vec<&'static Shortcoming>,
    refuses: bool,
    messages: BTreeMap<String, Message>,
    queries: BTreeMap<String, Query>,
    /// By sender's chain and recipient: the highest number that was heard at all.
    heard: BTreeMap<(Chain, To), u64>,
    /// The same by the recipient's chain.
    heard_in: BTreeMap<(Chain, To, Chain), u64>,
    violations: Vec<String>,
    /// Violations of promises that are known to be broken so far ([`FALLS_SHORT`]).
    known: Vec<String>,
    log: Vec<String>,
}

/// Where the server falls short so far. What stands here does not fail a world; it is counted. A line that goes away is progress; none is
/// ever added without its reason.
pub(crate) const FALLS_SHORT: &[Shortcoming] = &[
    Shortcoming {
        words: "answered 2 times",
        worlds: |plan| plan.is_rough,
        why: "what a home had done when it died is done again by the next one: only messages have keys (decision 11)",
    },
    Shortcoming {
        words: "never answered",
        worlds: Plan::has_cuts,
        why: "only messages are in a store: what a home sent over a link that is cut is gone when the slot moves before the link is whole, and what comes \
              for a session that its edge cannot attach in time finds nobody",
    },
];

/// A violation that is known.
pub(crate) struct Shortcoming {
    /// What the violation is called.
    words: &'static str,
    /// In which worlds.
    worlds: fn(&Plan) -> bool,
    /// Why.
    why: &'static str,
}

struct Message {
    from: Chain,
    to: To,
    number: u64,
    promise: Promise,
    got: Vec<Chain>,
}

/// What the server has said about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// Nothing yet.
    None,
    /// It was acknowledged: it arrives, once.
    Handled,
    /// It was acknowledged with the news that its session is over: it arrives, or was refused, and the error went with the session.
    Ended,
    /// It came back as an error, or its session ended before it was acknowledged: it may have arrived.
    Unknown,
}

struct Query {
    from: Chain,
    answers: u32,
    /// Nobody promises an answer any more: its session is over, or that of the client which answered.
    excused: bool,
}

impl Ledger {
    /// Of the world of `plan`.
    pub(crate) fn new(pulse: Arc<Pulse>, plan: &Plan) -> Self {
        Self {
            pulse,
            shortcomings: FALLS_SHORT.iter().filter(|known| (known.worlds)(plan)).collect(),
            refuses: plan.refuses(),
            messages: BTreeMap::new(),
            queries: BTreeMap::new(),
            heard: BTreeMap::new(),
            heard_in: BTreeMap::new(),
            violations: Vec::new(),
            known: Vec::new(),
            log: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, what: impl AsRef<str>) {
        if std::env::var_os("SIM_LOG").is_some() {
            println!("{:>6} {}", self.pulse.now(), what.as_ref());
        }
        self.log.push(format!("{:>6} {}", self.pulse.now(), what.as_ref()));
    }

    pub(crate) fn violated(&mut self, what: String) {
        if let Some(known) = self.shortcomings.iter().find(|known| what.contains(known.words)) {
            self.note(format!("KNOWN {what} ({})", known.why));
            self.known.push(what);
        } else {
            self.note(format!("VIOLATION {what}"));
            self.violations.push(what);
        }
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn into_log(self) -> (Vec<String>, Vec<String>, Vec<String>) {
        (self.violations, self.known, self.log)
    }

    /// How many messages were said, and how often one was heard.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (
            self.messages.len(),
            self.messages.values().map(|message| message.got.len()).sum(),
        )
    }

    pub(crate) fn said(&mut self, id: &str, from: Chain, to: To, number: u64) {
        self.note(format!("{from:?} says {id}"));
        let message = Message {
            from,
            to,
            number,
            promise: Promise::None,
            got: Vec::new(),
        };
        self.messages.insert(id.to_owned(), message);
    }

    pub(crate) fn asked(&mut self, id: &str, from: Chain) {
        self.note(format!("{from:?} asks {id}"));
        let query = Query {
            from,
            answers: 0,
            excused: false,
        };
        self.queries.insert(id.to_owned(), query);
    }

    /// The server has acknowledged a message; `late`: when its session was over.
    pub(crate) fn handled(&mut self, id: &str, late: bool) {
        if let Some(message) = self
            .messages
            .get_mut(id)
            .filter(|message| message.promise == Promise::None)
        {
            message.promise = if late { Promise::Ended } else { Promise::Handled };
        }
    }

    /// A message was acknowledged by the last that its session heard, as it was ended.
    pub(crate) fn handled_last(&mut self, id: &str) {
        if let Some(message) = self
            .messages
            .get_mut(id)
            .filter(|message| message.promise == Promise::Handled)
        {
            message.promise = Promise::Ended;
        }
    }

    /// Nobody knows whether a message was handled.
    pub(crate) fn unknown(&mut self, id: &str) {
        if let Some(message) = self.messages.get_mut(id) {
            message.promise = Promise::Unknown;
        }
    }

    /// A message was heard by `client`'s chain.
    pub(crate) fn heard(&mut self, id: &str, by: Chain) {
        self.note(format!("{by:?} hears {id}"));
        let Some(message) = self.messages.get_mut(id) else {
            return self.violated(format!("{id}: heard by {by:?}, said by nobody"));
        };
        let (from, to, number) = (message.from, message.to, message.number);
        let (again, first) = (message.got.contains(&by), message.got.is_empty());
        message.got.push(by);
        if to.0 != by.0 {
            return self.violated(format!("{id}: heard by {by:?}"));
        }
        if again {
            return self.violated(format!("{id}: heard twice by {by:?}"));
        }
        let last = self.heard_in.entry((from, to, by)).or_default();
        let overtaken = std::mem::replace(last, number.max(*last)) > number;
        let ever = self.heard.entry((from, to)).or_default();
        let late = std::mem::replace(ever, number.max(*ever)) > number && first;
        if overtaken || late {
            self.violated(format!("{id}: heard by {by:?} after a later one"));
        }
    }

    /// A query was answered.
    pub(crate) fn answered(&mut self, id: &str, by: Chain) {
        self.note(format!("{by:?} is answered {id}"));
        let Some(query) = self.queries.get_mut(id) else {
            return self.violated(format!("{id}: an answer for {by:?}, who asked nothing"));
        };
        if query.excused {
            return; // its address has another session by now
        }
        query.answers += 1;
        let (from, answers) = (query.from, query.answers);
        if from != by {
            self.violated(format!("{id}: asked in another session than {by:?}"));
        } else if answers > 1 {
            self.violated(format!("{id}: answered {answers} times"));
        }
    }

    /// The answer to a query is lost with the session of the client that gave it.
    pub(crate) fn excused(&mut self, id: &str) {
        if let Some(query) = self.queries.get_mut(id) {
            query.excused = true;
        }
    }

    /// A session is over.
    pub(crate) fn over(&mut self, chain: Chain) {
        self.note(format!("{chain:?} is over"));
        for query in self.queries.values_mut().filter(|query| query.from == chain) {
            query.excused = true;
        }
    }

    /// Once everything has come to rest: every query of the sessions `here` has its answer.
    pub(crate) fn check_queries(&mut self, here: &[Chain]) {
        let open = |query: &Query| query.answers == 0 && !query.excused && here.contains(&query.from);
        let open: Vec<String> = self
            .queries
            .iter()
            .filter(|(_, query)| open(query))
            .map(|(id, query)| format!("{id}: never answered to {:?}", query.from))
            .collect();
        open.into_iter().for_each(|what| self.violated(what));
    }

    /// Once everybody has heard what was kept: what was promised arrived.
    pub(crate) fn check_messages(&mut self) {
        let is_due = |promise| promise == Promise::Handled || (promise == Promise::Ended && !self.refuses);
        let lost: Vec<String> = self
            .messages
            .iter()
            .filter(|(_, message)| is_due(message.promise) && message.got.is_empty())
            .map(|(id, message)| format!("{id}: acknowledged to {:?} and lost", message.from))
            .collect();
        lost.into_iter().for_each(|what| self.violated(what));
    }
}
