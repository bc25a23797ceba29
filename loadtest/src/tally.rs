//! What the users of one thread have done since somebody looked last.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latency::Latency;
use crate::results::Operation;
use crate::scenario::Action;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A page of the archive, until its end has come.
    ArchivePage,
    /// A session, until it is bound and the roster is there.
    Login,
    /// A message, until its receiver has it.
    Message,
    /// A ping, until it is answered.
    Ping,
    /// A change of presence, until the user itself hears of it (RFC 6121, 4.4.2).
    Presence,
    /// A change of presence, until a contact hears of it; each contact counts.
    PresenceDelivery,
    /// A session that goes on with another connection.
    Resume,
    /// The roster, until it has come.
    Roster,
    /// A session with its connection, which ends in good order or is lost.
    Session,
}

impl Kind {
    /// All of them, in the order of the enum.
    pub const ALL: [Self; 9] = [
        Self::ArchivePage,
        Self::Login,
        Self::Message,
        Self::Ping,
        Self::Presence,
        Self::PresenceDelivery,
        Self::Resume,
        Self::Roster,
        Self::Session,
    ];

    /// As results call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ArchivePage => "archive-page",
            Self::Login => "login",
            Self::Message => "message",
            Self::Ping => "ping",
            Self::Presence => "presence",
            Self::PresenceDelivery => "presence-delivery",
            Self::Resume => "resume",
            Self::Roster => "roster",
            Self::Session => "session",
        }
    }

    /// What an action is measured as; coming back is measured where it happens.
    pub fn of(action: Action) -> Option<Self> {
        match action {
            Action::ArchivePage => Some(Self::ArchivePage),
            Action::Message => Some(Self::Message),
            Action::Ping => Some(Self::Ping),
            Action::Presence => Some(Self::Presence),
            Action::Reconnect => None,
            Action::Roster => Some(Self::Roster),
        }
    }
}

/// Counts by phase and kind. Taken and begun anew once a second: sums of what was taken are the run's.
#[derive(Debug, Default)]
pub struct Tally {
    /// When each phase began, in microseconds since the run began.
    begins: Vec<u64>,
    operations: Vec<[Operation; Kind::ALL.len()]>,
    messages: Messages,
    online: u32,
    lag: Latency,
}

/// Messages in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// Given to a connection for the first time.
    pub sent: u64,
    /// Acknowledged by the server.
    pub acknowledged: u64,
    /// Received for the first time.
    pub received: u64,
    /// Come back as errors.
    pub refused: u64,
    /// Received again.
    pub duplicated: u64,
    /// Received after a later one.
    pub reordered: u64,
    /// Received by somebody else than whom they were for.
    pub misdelivered: u64,
}

/// What happened since the last pulse.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pulse {
    /// By place of the phase in the scenario, then by operation.
    pub operations: BTreeMap<usize, BTreeMap<String, Operation>>,
    /// What became of messages, in numbers.
    pub messages: Messages,
    /// How many users have a session now.
    pub online: u32,
    /// How late the generator itself was for what was due.
    pub lag: Latency,
}

impl Tally {
    /// A phase has begun: what is meant to happen from then on belongs to it.
    pub fn begin(&mut self, at: usize, began: Duration) {
        self.begins.resize(at + 1, micros(began));
        self.operations.resize_with(at + 1, Default::default);
    }

    /// The phase in which that time is.
    pub fn phase(&self, time: u64) -> usize {
        self.begins.partition_point(|began| *began <= time).saturating_sub(1)
    }

    /// Something is to happen.
    pub fn intend(&mut self, phase: usize, kind: Kind) {
        self.with(phase, kind, |operation| operation.intended += 1);
    }

    /// It came to a good end.
    pub fn done(&mut self, phase: usize, kind: Kind, took: Duration) {
        self.with(phase, kind, |operation| {
            operation.done += 1;
            operation.latency.record(took);
        });
    }

    /// It came to a good end, and how long it took does not matter.
    pub fn finish(&mut self, phase: usize, kind: Kind) {
        self.with(phase, kind, |operation| operation.done += 1);
    }

    /// It did not.
    pub fn fail(&mut self, phase: usize, kind: Kind, reason: &str) {
        self.with(phase, kind, |operation| match operation.failed.get_mut(reason) {
            Some(count) => *count += 1,
            None => drop(operation.failed.insert(reason.to_owned(), 1)),
        });
    }

    fn with(&mut self, phase: usize, kind: Kind, count: impl FnOnce(&mut Operation)) {
        if let Some(operations) = self.operations.get_mut(phase) {
            count(&mut operations[kind as usize]);
        }
    }

    /// Messages in numbers, to count on.
    pub fn messages(&mut self) -> &mut Messages {
        &mut self.messages
    }

    /// One more user has a session.
    pub fn came(&mut self) {
        self.online += 1;
    }

    /// One fewer.
    pub fn went(&mut self) {
        self.online = self.online.saturating_sub(1);
    }

    /// The generator woke a user so much later than it should have.
    pub fn late(&mut self, by: Duration) {
        self.lag.record(by);
    }

    /// What was counted since the last time.
    pub fn take(&mut self) -> Pulse {
        let phases = self.operations.len();
        let operations = std::mem::take(&mut self.operations);
        self.operations.resize_with(phases, Default::default);
        let is_counted = |operation: &Operation| operation.intended + operation.done + operation.failures() > 0;
        let of_phase = |operations: [Operation; Kind::ALL.len()]| -> BTreeMap<String, Operation> {
            let named = Kind::ALL
                .iter()
                .zip(operations)
                .filter(|(_, operation)| is_counted(operation));
            named
                .map(|(kind, operation)| (kind.name().to_owned(), operation))
                .collect()
        };
        let by_phase = operations.into_iter().map(of_phase).enumerate();
        Pulse {
            operations: by_phase.filter(|(_, operations)| !operations.is_empty()).collect(),
            messages: std::mem::take(&mut self.messages),
            online: self.online,
            lag: std::mem::take(&mut self.lag),
        }
    }
}

impl Messages {
    /// Adds what others have counted.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.received += other.received;
        self.refused += other.refused;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.misdelivered += other.misdelivered;
    }

    /// Sent and neither received nor refused; rather too many than too few, as a message may have been refused and received.
    pub fn under_way(&self) -> u64 {
        self.sent.saturating_sub(self.received + self.refused)
    }
}

impl Pulse {
    /// Adds the pulse of other users.
    pub fn merge(&mut self, other: Self) {
        for (phase, operations) in other.operations {
            let own = self.operations.entry(phase).or_default();
            for (name, operation) in operations {
                own.entry(name).or_default().merge(operation);
            }
        }
        self.messages.add(other.messages);
        self.online += other.online;
        self.lag.merge(&other.lag);
    }

    /// Each operation over all phases.
    pub fn by_operation(&self) -> BTreeMap<String, Operation> {
        let mut all: BTreeMap<String, Operation> = BTreeMap::new();
        for (name, operation) in self.operations.values().flatten() {
            all.entry(name.clone()).or_default().merge(operation.clone());
        }
        all
    }
}

/// Whole microseconds.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_adds_up() {
        let mut tally = Tally::default();
        tally.begin(0, Duration::ZERO);
        tally.begin(1, Duration::from_secs(1));
        assert_eq!(
            [0, 999_999, 1_000_000, 5_000_000].map(|time| tally.phase(time)),
            [0, 0, 1, 1]
        );
        let mut sum = Pulse::default();
        for _ in 0..3 {
            tally.intend(1, Kind::Ping);
            tally.done(1, Kind::Ping, Duration::from_millis(2));
            tally.fail(0, Kind::Login, "time-out");
            tally.came();
            let pulse = tally.take();
            sum.merge(pulse);
        }
        let ping = &sum.operations[&1]["ping"];
        assert_eq!((ping.intended, ping.done, ping.latency.count()), (3, 3, 3));
        assert_eq!(sum.operations[&0]["login"].failed["time-out"], 3);
        assert_eq!(sum.by_operation().len(), 2);
    }
}
