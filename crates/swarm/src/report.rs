//! The ledger in figures: what was sent, acknowledged, received, and what should not have happened.

use std::fmt;
use std::time::Duration;

use crate::ledger::{Connected, Key, Ledger, Receipt, Record};

/// Most histories told in full, and most complaints.
const STORIES: usize = 40;

/// Most of either that are printed.
const SHOWN: usize = 12;

/// What a ledger comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that clients wanted sent.
    pub intended: u64,
    /// Messages that the server acknowledged (XEP-0198, 4).
    pub acknowledged: u64,
    /// Messages received, each counted once.
    pub received: u64,
    /// Messages that came back to their senders as errors.
    pub refused: u64,
    /// Messages that came back as errors although they were received.
    pub refused_yet_received: u64,
    /// Messages acknowledged, not refused, and never received.
    pub lost: u64,
    /// Messages acknowledged that came only when their recipients logged in anew at the end: kept, but left lying.
    pub left_lying: u64,
    /// Messages that the server neither acknowledged nor refused.
    pub unanswered: u64,
    /// Receipts beyond the first, though neither side had begun a new session.
    pub duplicated: u64,
    /// Receipts beyond the first after a side could not resume: its sender said it again, or its recipient had not acknowledged it.
    pub duplicated_between_sessions: u64,
    /// Receipts when clients logged in anew at the end, of messages they had received before.
    pub repeated_at_login: u64,
    /// Messages received after a later one of the same sending session.
    pub reordered: u64,
    /// Messages that their senders said again in a new session.
    pub resent: u64,
    /// New sessions.
    pub bound: u64,
    /// Sessions gone on with.
    pub resumed: u64,
    /// Sessions that the server did not let their clients resume.
    pub not_resumed: u64,
    /// The longest that a message of each client waited, from when it was wanted sent to when it was received: half of the clients
    /// waited no longer than this.
    pub wait_half: Duration,
    /// The same of the client that waited longest.
    pub wait_most: Duration,
    /// Why connections ended, and how often.
    pub endings: Vec<(String, u64)>,
    /// What the server must not do and did, other than with messages: the first of it.
    pub complaints: Vec<String>,
    /// Histories of the first messages that met with what should not have happened.
    pub stories: Vec<String>,
}

impl Report {
    /// A ledger in figures; waits are of messages that were wanted sent since `since`.
    pub fn of(ledger: &Ledger, since: Duration) -> Self {
        let connected = |how| ledger.connected.get(&how).copied().unwrap_or_default();
        let mut report = Self {
            bound: connected(Connected::Bound),
            resumed: connected(Connected::Resumed),
            not_resumed: connected(Connected::NotResumed),
            endings: ledger.endings.clone().into_iter().collect(),
            complaints: ledger.complaints.iter().take(STORIES).cloned().collect(),
            ..Self::default()
        };
        let mut waits: Vec<Duration> = Vec::new();
        let mut client = None;
        for (key, record) in ledger.records() {
            report.count(key, record, ledger);
            if let (true, Some(first)) = (record.intended >= since, first_of(record, ledger)) {
                let wait = first.at.saturating_sub(record.intended);
                match waits.last_mut() {
                    Some(longest) if client == Some(key.from) => *longest = wait.max(*longest),
                    _ => waits.push(wait),
                }
                client = Some(key.from);
            }
        }
        waits.sort_unstable();
        report.wait_half = waits.get(waits.len() / 2).copied().unwrap_or_default();
        report.wait_most = waits.last().copied().unwrap_or_default();
        report
    }

    /// Whether nothing was lost, doubled, overtaken or left without an answer.
    pub fn is_clean(&self) -> bool {
        let faults = [
            self.lost,
            self.duplicated,
            self.reordered,
            self.unanswered,
            self.refused_yet_received,
        ];
        faults.iter().all(|count| *count == 0) && self.complaints.is_empty()
    }

    fn count(&mut self, key: Key, record: &Record, ledger: &Ledger) {
        let is_received = !record.received.is_empty();
        let (acknowledged, refused) = (record.acknowledged.is_some(), record.refused.is_some());
        let lost = acknowledged && !refused && !is_received;
        let left_lying = acknowledged && is_received && first_of(record, ledger).is_none();
        let unanswered = !acknowledged && !refused;
        let reordered = record.received.iter().any(|receipt| receipt.overtaken_by.is_some());
        let before = record
            .received
            .iter()
            .filter(|receipt| is_before(receipt, ledger))
            .count();
        let repeated = if before > 0 { record.received.len() - before } else { 0 };
        let more = (record.received.len() - repeated).saturating_sub(1) as u64;
        self.intended += 1;
        self.acknowledged += u64::from(acknowledged);
        self.received += u64::from(is_received);
        self.refused += u64::from(refused);
        self.refused_yet_received += u64::from(refused && is_received);
        self.lost += u64::from(lost);
        self.left_lying += u64::from(left_lying);
        self.unanswered += u64::from(unanswered);
        self.reordered += u64::from(reordered);
        self.resent += u64::from(is_resent(record));
        self.repeated_at_login += repeated as u64;
        let doubled = more > 0 && !is_between_sessions(record, ledger);
        if doubled {
            self.duplicated += more;
        } else {
            self.duplicated_between_sessions += more;
        }
        let is_wrong =
            lost || left_lying || unanswered || reordered || doubled || repeated > 0 || (refused && is_received);
        if is_wrong && self.stories.len() < STORIES {
            self.stories.push(story(key, record));
            for client in [key.from, record.to] {
                let journey = journey(client, ledger);
                if !self.stories.contains(&journey) {
                    self.stories.push(journey);
                }
            }
        }
    }
}

/// The first receipt before clients logged in anew.
fn first_of<'a>(record: &'a Record, ledger: &Ledger) -> Option<&'a Receipt> {
    record.received.first().filter(|first| is_before(first, ledger))
}

fn is_before(receipt: &Receipt, ledger: &Ledger) -> bool {
    ledger.collecting.is_none_or(|since| receipt.at < since)
}

/// What a client went through, in a line.
fn journey(client: usize, ledger: &Ledger) -> String {
    let steps: Vec<String> = ledger
        .journey(client)
        .iter()
        .map(|(time, what)| format!("{:.3} {what}", time.as_secs_f64()))
        .collect();
    format!("client {client}: {}", steps.join(", "))
}

fn is_resent(record: &Record) -> bool {
    let mut sessions = record.written.iter().map(|(_, session)| session);
    let first = sessions.next();
    sessions.any(|session| Some(session) != first)
}

fn is_between_sessions(record: &Record, ledger: &Ledger) -> bool {
    let before = record.received.iter().filter(|receipt| is_before(receipt, ledger));
    let mut sessions = before.map(|receipt| receipt.session);
    let first = sessions.next();
    is_resent(record) || sessions.any(|session| Some(session) != first)
}

fn story(key: Key, record: &Record) -> String {
    let at = |time: &Duration| format!("{:.3}", time.as_secs_f64());
    let mut story = format!(
        "{} to {}, #{}: wanted {}",
        key.from,
        record.to,
        key.number,
        at(&record.intended)
    );
    for (time, session) in &record.written {
        story += &format!(", written {} in session {session}", at(time));
    }
    match &record.acknowledged {
        Some(time) => story += &format!(", acknowledged {}", at(time)),
        None => story += ", not acknowledged",
    }
    if let Some(time) = &record.refused {
        story += &format!(", refused {}", at(time));
    }
    for receipt in &record.received {
        story += &format!(", received {} in session {}", at(&receipt.at), receipt.session);
        if let Some(later) = receipt.overtaken_by {
            story += &format!(" after #{later}");
        }
    }
    if record.received.is_empty() {
        story += ", not received";
    }
    story
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            intended,
            acknowledged,
            received,
            refused,
            ..
        } = self;
        writeln!(
            f,
            "{intended} messages: {acknowledged} acknowledged, {received} received, {refused} refused"
        )?;
        writeln!(
            f,
            "lost {}, left lying {}, unanswered {}, duplicated {} (and {} between sessions, {} at login), reordered {}, refused yet received {}",
            self.lost,
            self.left_lying,
            self.unanswered,
            self.duplicated,
            self.duplicated_between_sessions,
            self.repeated_at_login,
            self.reordered,
            self.refused_yet_received
        )?;
        writeln!(
            f,
            "sessions: {} bound, {} resumed, {} not resumed; {} messages said again",
            self.bound, self.resumed, self.not_resumed, self.resent
        )?;
        writeln!(
            f,
            "longest wait: half of the clients {:.1?}, all {:.1?}",
            self.wait_half, self.wait_most
        )?;
        for (why, count) in &self.endings {
            writeln!(f, "  ended {count}: {why}")?;
        }
        let some = self
            .complaints
            .iter()
            .take(SHOWN)
            .chain(self.stories.iter().take(SHOWN));
        for line in some {
            writeln!(f, "  ! {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One message's adventures, told in order: each letter is an entry, one second after the other. `w` written, `a`
    /// acknowledged, `e` refused, `r` received; `W` and `R` in the second session of the sender and of the recipient.
    fn tell(story: &str) -> Report {
        let mut ledger = Ledger::new(2);
        let key = ledger.intend(0, 1, Duration::ZERO);
        for (second, letter) in story.chars().enumerate() {
            let now = Duration::from_secs(second as u64 + 1);
            match letter {
                'w' => ledger.written(key, 1, now),
                'W' => ledger.written(key, 2, now),
                'a' => ledger.acknowledged(key, now),
                'e' => ledger.refused(key, now),
                'r' => ledger.received(key, 1, 1, 1, now),
                'R' => ledger.received(key, 1, 1, 2, now),
                other => panic!("no entry {other}"),
            }
        }
        Report::of(&ledger, Duration::ZERO)
    }

    #[test]
    fn each_fate_is_counted_as_what_it_is() {
        let counts = |story| {
            let report = tell(story);
            [
                report.lost,
                report.unanswered,
                report.duplicated,
                report.duplicated_between_sessions,
                report.refused_yet_received,
            ]
        };
        for (story, expected) in [
            ("war", [0, 0, 0, 0, 0]),
            ("wra", [0, 0, 0, 0, 0]),
            ("wae", [0, 0, 0, 0, 0]),
            ("we", [0, 0, 0, 0, 0]),
            ("wa", [1, 0, 0, 0, 0]),
            ("", [0, 1, 0, 0, 0]),
            ("wr", [0, 1, 0, 0, 0]),
            ("wrra", [0, 0, 1, 0, 0]),
            ("wwrrra", [0, 0, 2, 0, 0]),
            ("wrRa", [0, 0, 0, 1, 0]),
            ("wrWra", [0, 0, 0, 1, 0]),
            ("waer", [0, 0, 0, 0, 1]),
        ] {
            assert_eq!(counts(story), expected, "{story}");
        }
    }

    #[test]
    fn only_what_is_as_promised_is_clean() {
        for (story, expected) in [
            ("war", true),
            ("we", true),
            ("wrRa", true),
            ("wa", false),
            ("wrra", false),
        ] {
            assert_eq!(tell(story).is_clean(), expected, "{story}");
        }
        assert!(tell("wa").stories[0].ends_with("not received"));
    }

    #[test]
    fn what_overtakes_is_noticed_within_a_session_of_the_sender() {
        let mut ledger = Ledger::new(2);
        let keys: Vec<Key> = (0..4)
            .map(|second| ledger.intend(0, 1, Duration::from_secs(second)))
            .collect();
        for (key, written_in) in [(keys[1], 1), (keys[0], 1), (keys[3], 1), (keys[2], 2), (keys[0], 1)] {
            ledger.received(key, written_in, 1, 1, Duration::from_secs(9));
        }
        let report = Report::of(&ledger, Duration::ZERO);
        assert_eq!((report.reordered, report.duplicated), (1, 1), "{report}");
    }

    #[test]
    fn waits_are_the_longest_of_each_client_since_the_fault() {
        let mut ledger = Ledger::new(3);
        for (from, wanted, received) in [(0, 1, 90), (0, 10, 12), (0, 11, 12), (1, 10, 15), (2, 12, 13)] {
            let key = ledger.intend(from, 1, Duration::from_secs(wanted));
            ledger.received(key, 1, 1, 1, Duration::from_secs(received));
        }
        let report = Report::of(&ledger, Duration::from_secs(10));
        assert_eq!(
            (report.wait_half, report.wait_most),
            (Duration::from_secs(2), Duration::from_secs(5))
        );
    }

    #[test]
    fn what_comes_only_at_a_new_login_was_left_lying() {
        let mut ledger = Ledger::new(2);
        let keys = [ledger.intend(0, 1, Duration::ZERO), ledger.intend(0, 1, Duration::ZERO)];
        ledger.received(keys[0], 1, 1, 1, Duration::from_secs(1));
        ledger.collecting(Duration::from_secs(2));
        ledger.received(keys[1], 1, 1, 2, Duration::from_secs(3));
        keys.iter()
            .for_each(|key| ledger.acknowledged(*key, Duration::from_secs(1)));
        let report = Report::of(&ledger, Duration::ZERO);
        assert_eq!(
            (report.left_lying, report.lost, report.wait_most),
            (1, 0, Duration::from_secs(1))
        );
    }

    #[test]
    fn what_was_never_sent_or_is_for_another_is_complained_about() {
        let mut ledger = Ledger::new(3);
        let key = ledger.intend(0, 1, Duration::ZERO);
        ledger.received(key, 1, 2, 1, Duration::ZERO);
        ledger.received(Key { from: 0, number: 7 }, 1, 1, 1, Duration::ZERO);
        assert_eq!(Report::of(&ledger, Duration::ZERO).complaints.len(), 2);
    }
}
