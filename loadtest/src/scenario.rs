//! A scenario: who logs in where, how they live, and what happens when. Read from TOML; what is read is complete and makes sense.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::thresholds::Threshold;
use crate::units::{Amount, Rate, Sizes, Span};

/// Everything that is to happen in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it is good for, in a sentence.
    pub purpose: String,
    /// How many users there are.
    pub users: u32,
    /// Another seed gives other times and other choices.
    #[serde(default)]
    pub seed: u64,
    /// All messages of all users at pace 1, whatever the groups say; their proportions stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How what a user does is spread over time.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// What must hold for the run to be good, such as `p99(message) < 250ms`.
    #[serde(default)]
    pub thresholds: Vec<Threshold>,
    /// Where they log in.
    #[serde(default)]
    pub server: Server,
    /// Who they are.
    #[serde(default)]
    pub accounts: Accounts,
    /// How they log in.
    #[serde(default)]
    pub login: Login,
    /// What they write.
    #[serde(default)]
    pub messages: Messages,
    /// Whom they know.
    #[serde(default)]
    pub contacts: Contacts,
    /// How long they wait.
    #[serde(default)]
    pub patience: Patience,
    /// How they live; one group that does nothing if there is none.
    #[serde(default, rename = "group", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// What happens, one after the other.
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
}

/// How what a user does is spread over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// With even gaps; users are out of step.
    Even,
    /// As independent people come: exponential gaps.
    #[default]
    Exponential,
}

/// The server under test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Domain of the accounts.
    pub domain: String,
    /// `HOST:PORT`; users spread over them, and go on to the next when one fails.
    pub targets: Vec<String>,
    /// What the connection is.
    pub tls: Tls,
    /// Whose certificates are good: `system`, `any`, or a PEM file with authorities.
    pub trust: String,
    /// Addresses of this machine to connect from, in turn: one has room for some 28,000 connections to a target.
    pub sources: Vec<IpAddr>,
}

/// What the connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// TLS from the first byte (XEP-0368).
    Direct,
    /// Plaintext.
    #[default]
    Off,
    /// Plaintext until the stream agrees on TLS (RFC 6120, 5).
    Starttls,
}

/// The accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Accounts {
    /// Local part and password; `{n}` is the user's number.
    pub user: String,
    /// The password.
    pub password: String,
    /// The first user's number.
    pub first: u32,
    /// A file with given accounts instead: a local part and a password a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// How sessions begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// By which mechanism.
    pub mechanism: Mechanism,
    /// By which protocol.
    pub protocol: Protocol,
    /// A token instead of the password from the second login on (XEP-0484; with `sasl2`).
    pub fast: bool,
    /// The resource that is asked for.
    pub resource: String,
    /// Whether stanzas are counted and acknowledged (XEP-0198).
    pub stream_management: bool,
    /// Whether a connection that is lost is resumed (XEP-0198, 5).
    pub resume: bool,
    /// Whether the roster is read at login.
    pub roster: bool,
    /// Whether presence is sent at login.
    pub presence: bool,
    /// Whether copies are asked for (XEP-0280).
    pub carbons: bool,
}

/// How the password is proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// The strongest that the server offers.
    #[default]
    Auto,
    /// `PLAIN`.
    Plain,
    /// `SCRAM-SHA-1`.
    #[serde(rename = "scram-sha-1")]
    ScramSha1,
    /// `SCRAM-SHA-256`.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
}

/// How a session is agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// RFC 6120: SASL, a new stream, then the resource.
    #[default]
    Sasl,
    /// XEP-0388 and XEP-0386: all in one.
    Sasl2,
}

/// What users write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Messages {
    /// Bytes of the body.
    pub body: Sizes,
    /// Whether they go to the full address.
    pub to_resource: bool,
    /// After how many stanzas an acknowledgement is asked for (XEP-0198), and at the latest after `ack_after`.
    pub ack_every: u32,
    /// The longest until an acknowledgement is asked for.
    pub ack_after: Span,
    /// Results that a page of the archive has (XEP-0313).
    pub page: u32,
}

/// Who knows whom: each user has `count` contacts, who have it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contacts {
    /// The graph.
    pub graph: Graph,
    /// How many each has, an even number; in pairs it is one.
    pub count: u32,
}

/// A graph of users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Graph {
    /// Each with its neighbour: 0 and 1, 2 and 3, …
    #[default]
    Pairs,
    /// The seed says who.
    Random,
    /// Those with the next numbers.
    Ring,
}

/// How long clients wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patience {
    /// For a session.
    pub login: Span,
    /// For the answer to a request.
    pub answer: Span,
    /// At the end, for messages under way, while none comes.
    pub settle: Span,
    /// For all to be online, in phases without a length.
    pub ramp: Span,
}

/// Users who live alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What they are called.
    #[serde(default)]
    pub name: String,
    /// Their weight among the groups.
    #[serde(default = "one")]
    pub share: f64,
    /// How often each of them does what, at pace 1.
    #[serde(default)]
    pub rates: BTreeMap<Action, Rate>,
    /// Whether they say that nobody is looking (XEP-0352).
    #[serde(default)]
    pub inactive: bool,
    /// When they read nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
}

/// Every so often nothing is read for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// From the beginning of one pause to that of the next.
    pub every: Span,
    /// How long one lasts.
    #[serde(rename = "for")]
    pub length: Span,
}

/// What a user does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Reads the last page of its archive (XEP-0313).
    ArchivePage,
    /// Writes to a contact.
    Message,
    /// Asks the server for a sign of life (XEP-0199).
    Ping,
    /// Becomes away, or available again.
    Presence,
    /// Loses its connection and comes back at once, with its session if the server lets it.
    Reconnect,
    /// Reads its roster.
    Roster,
}

/// A time in which things are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// What it is called.
    pub name: String,
    /// How long it lasts; without, until everybody is online who is to be.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<Span>,
    /// How many are to be online from now on; without, as many as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<Amount>,
    /// How fast they come; without, all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logins: Option<Rate>,
    /// How fast they go; without, all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logouts: Option<Rate>,
    /// How much faster than usual everybody lives: 0 for not at all, 5 for a spike.
    #[serde(default = "one")]
    pub pace: f64,
    /// Messages in flight per pair, each answered at once: as fast as the server can.
    #[serde(default)]
    pub saturate: u32,
    /// How often, over all users, one logs out and in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<Rate>,
    /// How many lose their connection when the phase begins; they come back at the rate of `logins`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<Amount>,
    /// What is done to the server.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// A command that is run at a moment of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// After the phase began.
    pub at: Span,
    /// What it is called in the report.
    pub name: String,
    /// What the shell is to run.
    pub run: String,
}

fn one() -> f64 {
    1.0
}

const fn seconds(count: u64) -> Span {
    Span(Duration::from_secs(count))
}

impl Default for Server {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
            targets: vec!["127.0.0.1:5222".to_owned()],
            tls: Tls::default(),
            trust: "system".to_owned(),
            sources: Vec::new(),
        }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            user: "u{n}".to_owned(),
            password: "password-{n}".to_owned(),
            first: 0,
            file: None,
        }
    }
}

impl Default for Login {
    fn default() -> Self {
        Self {
            mechanism: Mechanism::default(),
            protocol: Protocol::default(),
            fast: false,
            resource: "load".to_owned(),
            stream_management: true,
            resume: true,
            roster: true,
            presence: true,
            carbons: false,
        }
    }
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            body: Sizes { least: 100, most: 100 },
            to_resource: false,
            ack_every: 10,
            ack_after: seconds(5),
            page: 20,
        }
    }
}

impl Default for Contacts {
    fn default() -> Self {
        Self {
            graph: Graph::default(),
            count: 10,
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            login: seconds(20),
            answer: seconds(20),
            settle: seconds(10),
            ramp: seconds(300),
        }
    }
}

impl Default for Group {
    fn default() -> Self {
        Self {
            name: String::new(),
            share: 1.0,
            rates: BTreeMap::new(),
            inactive: false,
            pause: None,
        }
    }
}

/// Why a scenario is not one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read; says where.
    #[error("{0}")]
    Syntax(String),
    /// It does not make sense; one line each.
    #[error("{}", .0.join("\n"))]
    Sense(Vec<String>),
}

impl Scenario {
    /// Reads a scenario that makes sense.
    ///
    /// # Errors
    /// As [`Error`].
    pub fn read(text: &str) -> Result<Self, Error> {
        let scenario: Self = toml::from_str(text).map_err(|error| Error::Syntax(error.to_string()))?;
        let complaints = scenario.complaints();
        if complaints.is_empty() {
            Ok(scenario)
        } else {
            Err(Error::Sense(complaints))
        }
    }

    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut complain = |is_wrong: bool, what: &str| {
            if is_wrong {
                complaints.push(what.to_owned());
            }
        };
        complain(self.users == 0, "users: at least one is needed");
        complain(self.phases.is_empty(), "phase: at least one [[phase]] is needed");
        complain(
            self.server.targets.is_empty(),
            "server.targets: at least one HOST:PORT is needed",
        );
        complain(
            self.accounts.file.is_none() && self.users > 1 && !self.accounts.user.contains("{n}"),
            "accounts.user: `{n}` must stand in it, or all users are one",
        );
        complain(
            self.login.fast && self.login.protocol != Protocol::Sasl2,
            "login.fast: needs login.protocol = \"sasl2\"",
        );
        complain(
            self.messages.to_resource && self.login.protocol == Protocol::Sasl2,
            "messages.to_resource: with login.protocol = \"sasl2\" the server chooses resources",
        );
        complain(self.messages.ack_every == 0, "messages.ack_every: at least 1");
        complain(
            self.contacts.graph == Graph::Pairs && !self.users.is_multiple_of(2) && self.users > 1,
            "users: an odd number does not make pairs",
        );
        complain(
            self.contacts.graph != Graph::Pairs
                && (!self.contacts.count.is_multiple_of(2)
                    || self.contacts.count == 0
                    || self.contacts.count >= self.users),
            "contacts.count: an even number below the number of users",
        );
        complain(
            self.groups
                .iter()
                .any(|group| !(group.share.is_finite() && group.share > 0.0)),
            "group.share: above 0",
        );
        complain(
            self.rate.is_some() && self.messages_per_second() == 0.0,
            "rate: no group has a rate of `message` that it could scale",
        );
        for phase in &self.phases {
            complaints.extend(phase.complaints(&self.phases));
        }
        complaints
    }

    /// Messages per second of all users at pace 1, as the groups say.
    pub fn messages_per_second(&self) -> f64 {
        let weights: f64 = self.groups.iter().map(|group| group.share).sum();
        let of = |group: &Group| {
            let rate = group.rates.get(&Action::Message).map_or(0.0, |rate| rate.per_second);
            rate * group.share / weights * f64::from(self.users)
        };
        self.groups.iter().map(of).sum()
    }

    /// How many are to be online before and after phase `at` has begun.
    pub fn online(&self, at: usize) -> (u32, u32) {
        let mut before = 0;
        let mut after = 0;
        for phase in self.phases.iter().take(at + 1) {
            before = after;
            after = phase.online.map_or(before, |amount| amount.of(self.users));
        }
        (before, after)
    }

    /// How long those who come, go or come back in phase `at` take, as far as it depends on the scenario.
    pub fn expected(&self, at: usize) -> Duration {
        let Some(phase) = self.phases.get(at) else {
            return Duration::ZERO;
        };
        let (before, after) = self.online(at);
        let back = phase.drop.map_or(0, |amount| amount.of(after));
        let time = |count: u32, rate: Option<Rate>| rate.map_or(0.0, |rate| f64::from(count) / rate.per_second);
        let arriving = time(after.saturating_sub(before) + back, phase.logins);
        let leaving = time(before.saturating_sub(after), phase.logouts);
        Duration::try_from_secs_f64(arriving.max(leaving)).unwrap_or(Duration::MAX / 4)
    }
}

impl Phase {
    fn complaints(&self, all: &[Self]) -> Vec<String> {
        let name = &self.name;
        let is_zero = |rate: &Option<Rate>| rate.is_some_and(|rate| rate.per_second <= 0.0);
        let rules = [
            (name.is_empty(), "name: must not be empty"),
            (
                all.iter().filter(|other| other.name == *name).count() > 1,
                "name: two phases are called that",
            ),
            (!(self.pace.is_finite() && self.pace >= 0.0), "pace: 0 or above"),
            (is_zero(&self.logins), "logins: above 0"),
            (is_zero(&self.logouts), "logouts: above 0"),
            (is_zero(&self.churn), "churn: above 0; leave it out for none"),
            (
                self.length.is_none() && self.online.is_none() && self.drop.is_none(),
                "for: how long does it last? Only phases with `online` or `drop` end by themselves",
            ),
            (
                self.length.is_none() && !self.faults.is_empty(),
                "fault: a phase with faults needs a length (`for`)",
            ),
            (
                self.faults
                    .iter()
                    .any(|fault| self.length.is_some_and(|length| fault.at.0 > length.0)),
                "fault: at a time when the phase is over",
            ),
        ];
        let broken = rules.into_iter().filter(|(is_broken, _)| *is_broken);
        broken.map(|(_, what)| format!("phase {name:?}: {what}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "name = 'a'\npurpose = 'b'\nusers = 10\n";

    fn check(rest: &str, expected: &str) {
        let error = Scenario::read(&format!("{LEAST}{rest}"))
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{rest}\n{error}");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let hold = "[[phase]]\nname = 'hold'\nfor = '1s'\n";
        check("phase = []", "phase: at least one [[phase]] is needed");
        check("[[phase]]\nname = 'x'", "phase \"x\": for: how long does it last?");
        check(
            &format!("{hold}{hold}"),
            "phase \"hold\": name: two phases are called that",
        );
        check(&format!("{hold}pace = -1.0"), "pace: 0 or above");
        check(
            &format!("login.fast = true\n{hold}"),
            "needs login.protocol = \"sasl2\"",
        );
        check(
            &format!("contacts = {{ graph = 'ring', count = 3 }}\n{hold}"),
            "contacts.count: an even number",
        );
        check(&format!("rate = '5/s'\n{hold}"), "no group has a rate of `message`");
        check(
            &format!("accounts.user = 'x'\n{hold}"),
            "accounts.user: `{n}` must stand in it",
        );
        check(
            &format!("{hold}[[phase.fault]]\nat = '2s'\nname = 'x'\nrun = 'true'"),
            "fault: at a time when the phase is over",
        );
    }

    #[test]
    fn what_cannot_be_read_is_shown_with_its_place() {
        check("[[phase]]\nname = 'hold'\nfor = 'long'", "line 6");
        check("[[phase]]\nname = 'hold'\nlasts = '1s'", "unknown field `lasts`");
    }

    #[test]
    fn says_who_is_online_before_and_after() {
        let text =
            "[[phase]]\nname='a'\nonline='50%'\n[[phase]]\nname='b'\nfor='1s'\n[[phase]]\nname='c'\nonline='0'\n";
        let scenario = Scenario::read(&format!("{LEAST}{text}")).unwrap();
        assert_eq!([0, 1, 2].map(|at| scenario.online(at)), [(0, 5), (5, 5), (5, 0)]);
    }

    #[test]
    fn is_the_same_when_written_and_read_again() {
        let text =
            "rate = '5/s'\n[[group]]\nrates = { message = '1/s', archive-page = '2/h' }\n[[phase]]\nname='a'\nfor='1s'";
        let scenario = Scenario::read(&format!("{LEAST}{text}")).unwrap();
        let written = toml::to_string(&scenario).unwrap();
        assert_eq!(Scenario::read(&written).unwrap(), scenario, "{written}");
    }
}
