//! Plays a transcript against the machine. One line is one act or one expectation:
//!
//! ```text
//! # a comment, or the section that is tested
//! == title            begins a new stream
//! LOGIN               the client authenticates and binds juliet@a.example/x
//! > bytes             the client sends bytes; `\n`, `\xNN` and `{repeat 3 abc}` are written out
//! <HEADER             stands for an XML declaration and the beginning of a header; the server's has its id left out
//! <COMPONENT          stands for the beginning of a header on a component's stream
//! < bytes             the server has written these bytes since the last `<`, with `<FEATURES>` for any features and
//!                     `<text/>` for any text of a stream error
//! << bytes            the same, features in full
//! ! event             the machine asks for this, next
//! @ answer            the shell answers: secured, challenge DATA, success DATA?, admitted (a component), granted TOKEN, failure, away, overloaded,
//!                     form NAME?, accepted TOKEN, created, denied CONDITION, bound JID, refused CONDITION, enabled, enabled ID, resumed JID, not-resumed H?
//! + seconds           time passes
//! . call              the shell calls: close, close CONDITION, hang-up, deliver STANZA, send STANZA (and asks whether it
//!                     came), done NUMBER
//! ```
//!
//! Whatever the machine did and the script does not say is an error.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_stream::{Closed, Config, Dialect, Event, HostConfig, Stream, TlsPolicy};
use stanza::{
    Bare, BindReply, Condition, Counts, EnableReply, EnableRequest, Exchange, Full, Grant, Invited, Payload, Peer,
    RegisterReply, RegisterRequest, RegisterStep, ResourceRequest, ResumeReply, Resumption, Sasl2, SaslFailure,
    SaslReply, SaslRequest, SessionId, Stanza, StreamCondition, Timestamp, TlsFacts, Token, TooHigh,
};
use xml::{Element, Limits};

/// The listener, and what TLS can give.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) config: Config,
    pub(crate) peer: Peer,
    pub(crate) tls: TlsFacts,
    pub(crate) dialect: Dialect,
}

pub(crate) const SEED: u128 = 0xfeed;
const COMPONENT: &str =
    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'";

impl Setting {
    /// Already through TLS, SASL and resource binding: `established` scripts begin here.
    pub(crate) const LOGIN: &str = "\
> <HEADER to='a.example'>
< <HEADER from='a.example' xml:lang='en' version='1.0'><FEATURES>
> <auth {sasl} mechanism='PLAIN'>AGEAYg==</auth>
! auth a.example PLAIN '\0a\0b'
@ success
< <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>
> <HEADER to='a.example'>
< <HEADER from='a.example' xml:lang='en' version='1.0'><FEATURES>
> <iq type='set' id='b'>{bind}</iq>
! bind juliet@a.example
@ bound juliet@a.example/x
< <iq id='b' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@a.example/x</jid></bind></iq>";

    /// STARTTLS required; channel binding by exporter.
    pub(crate) fn required() -> Self {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let host = |domain: &str| HostConfig {
            domain: domain.into(),
            mechanisms: names(&["EXTERNAL", "SCRAM-SHA-1", "PLAIN"]),
            tokens: names(&[
                "HT-SHA-256-UNIQ",
                "HT-SHA-256-EXPR",
                "HT-SHA-256-ENDP",
                "HT-SHA-256-NONE",
            ]),
            features: vec![Element::new("urn:example:caps", "c")],
            bind_features: names(&["urn:xmpp:carbons:2"]),
            ..HostConfig::default()
        };
        let limits = Limits {
            stanza_bytes: 10_000,
            ..Limits::default()
        };
        let config = Config {
            hosts: vec![host("a.example"), host("b.example")],
            limits_before: Limits {
                stanza_bytes: 2_000,
                ..limits.clone()
            },
            limits_after: limits,
            idle_timeout: Duration::from_secs(600),
            ..Config::default()
        };
        let tls = TlsFacts {
            version: "TLSv1.3".into(),
            exporter: Some([7; 32]),
            ..TlsFacts::default()
        };
        Self {
            config,
            peer: Peer::default(),
            tls,
            dialect: Dialect::Client,
        }
    }

    #[must_use]
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// A verified certificate and no exporter.
    pub(crate) fn certified() -> Self {
        Self::direct().with(|setting| {
            let tls = setting.peer.tls.get_or_insert_default();
            tls.certificate_addresses = vec!["juliet@a.example".into()];
            (tls.exporter, tls.server_end_point) = (None, Some(vec![1]));
        })
    }

    /// No TLS and no wish for it; PLAIN allowed.
    pub(crate) fn off() -> Self {
        Self::required().with(|setting| {
            setting.config.tls = TlsPolicy::Off;
            setting.config.hosts[0].plain_without_tls = true;
        })
    }

    /// As [`Setting::direct`], and clients may register.
    pub(crate) fn registering() -> Self {
        Self::direct().with(|setting| {
            setting.config.hosts[0].registration = true;
            setting.config.registration_requests = 4;
        })
    }

    /// As [`Setting::optional`], and clients may register.
    pub(crate) fn registering_in_plain() -> Self {
        Self::optional().with(|setting| setting.config.hosts[0].registration = true)
    }

    /// Clients are sent away.
    pub(crate) fn elsewhere() -> Self {
        Self::required().with(|setting| setting.config.see_other_host = Some("[::1]:5222".into()))
    }

    /// STARTTLS offered.
    pub(crate) fn optional() -> Self {
        Self::required().with(|setting| setting.config.tls = TlsPolicy::Optional)
    }

    /// TLS from the first byte.
    pub(crate) fn direct() -> Self {
        Self::required().with(|setting| setting.peer.tls = Some(setting.tls.clone()))
    }

    /// External components.
    pub(crate) fn component() -> Self {
        Self::required().with(|setting| setting.dialect = Dialect::Component)
    }

    pub(crate) fn stream(&self, now: Instant) -> Stream {
        Stream::of(
            self.dialect,
            Arc::new(self.config.clone()),
            SessionId(1),
            self.peer.clone(),
            SEED,
            now,
        )
    }
}

/// Plays `text`, whole and with the client's bytes one by one; what did not hold.
pub(crate) fn check(name: &str, text: &str, setting: &Setting) -> Vec<String> {
    let mut failed = Vec::new();
    for split in [false, true] {
        let mut player = Player::new(setting, split);
        for (at, line) in text.lines().enumerate().chain([(usize::MAX - 1, "== end")]) {
            let held = match line.split_once(' ').unwrap_or((line, "")) {
                ("", _) | ("#", _) => Ok(()),
                ("==", _) => std::mem::replace(&mut player, Player::new(setting, split)).settled(),
                ("LOGIN", _) => player.login(setting),
                (verb, rest) => player.line(verb, rest, setting),
            };
            failed.extend(
                held.err()
                    .map(|why| format!("{name}.txt:{} (split: {split}): {why}", at + 1)),
            );
        }
    }
    failed
}

/// Whether a line held, or why not.
type Held = Result<(), String>;

struct Player {
    stream: Stream,
    now: Instant,
    events: VecDeque<String>,
    output: Vec<u8>,
    split: bool,
    ids: BTreeSet<String>,
    delivered: u64,
}

impl Player {
    #[allow(
        clippy::disallowed_methods,
        reason = "there is no other way to make an instant; all that counts is what passes"
    )]
    fn new(setting: &Setting, split: bool) -> Self {
        let now = Instant::now();
        Self {
            stream: setting.stream(now),
            now,
            events: VecDeque::new(),
            output: Vec::new(),
            split,
            ids: BTreeSet::new(),
            delivered: 0,
        }
    }

    fn login(&mut self, setting: &Setting) -> Held {
        Setting::LOGIN.lines().try_for_each(|line| {
            let (verb, rest) = line.split_once(' ').expect("a verb");
            self.line(verb, rest, setting)
        })
    }

    fn line(&mut self, verb: &str, rest: &str, setting: &Setting) -> Held {
        match verb {
            ">" => self.send(&unescape(rest)),
            "<" => return equal(&abbreviate(&self.written()), rest),
            "<<" => return equal(&self.written(), rest),
            "!" => {
                let expected = String::from_utf8(unescape(rest)).expect("UTF-8");
                return equal(&self.events.pop_front().unwrap_or_default(), &expected);
            }
            "@" => self.answer(rest, setting),
            "+" => {
                self.now += Duration::from_secs(rest.parse().expect("seconds"));
                self.stream.tick(self.now);
            }
            "." => self.call(rest),
            _ => panic!("unknown verb {verb}"),
        }
        self.collect();
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(if self.split { 1 } else { bytes.len().max(1) }) {
            self.stream.receive(piece, self.now);
            self.collect();
        }
    }

    fn collect(&mut self) {
        while let Some(event) = self.stream.poll() {
            self.events.push_back(describe(&event));
        }
        self.output.append(self.stream.output());
    }

    /// What the server has written, its headers without what differs from stream to stream.
    fn written(&mut self) -> String {
        let text = String::from_utf8(std::mem::take(&mut self.output)).expect("UTF-8");
        let start = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='";
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once(start) {
            let (id, after) = after.split_once('\'').expect("an id");
            let number = id.strip_prefix(&format!("{SEED:032x}-")).expect("the seed");
            assert!(self.ids.insert(number.to_owned()), "id {number} again");
            out.push_str(before);
            out.push_str("<HEADER");
            rest = after;
        }
        (out + rest).replace(COMPONENT, "<COMPONENT")
    }

    fn answer(&mut self, rest: &str, setting: &Setting) {
        let (what, data) = rest
            .split_once(' ')
            .map_or((rest, None), |(what, data)| (what, Some(data)));
        let bytes = data.map(|data| data.to_owned().into());
        let exchange = Exchange {
            router: "r".into(),
            number: 5,
        };
        match what {
            "secured" => self.stream.secured(setting.tls.clone(), self.now),
            "challenge" => {
                self.stream.sasl(
                    SaslReply::Challenge {
                        exchange,
                        data: bytes.unwrap_or_default(),
                    },
                    self.now,
                );
            }
            "success" => self.stream.sasl(success("juliet@a.example", bytes, None), self.now),
            "granted" => {
                let token = Token {
                    token: data.expect("a token").into(),
                    expiry: Timestamp(0),
                };
                self.stream
                    .sasl(success("juliet@a.example", None, Some(token)), self.now);
            }
            "form" | "accepted" | "created" | "denied" => self.stream.registered(registered(what, data), self.now),
            "overloaded" => self.stream.overloaded(self.now),
            "failure" => self
                .stream
                .sasl(SaslReply::Failure(SaslFailure::NotAuthorized), self.now),
            "admitted" => self.stream.sasl(success("plays.a.example", None, None), self.now),
            "away" => self
                .stream
                .sasl(SaslReply::Failure(SaslFailure::TemporaryAuthFailure), self.now),
            "foreign" => self.stream.sasl(success("juliet@b.example", None, None), self.now),
            "bound" => {
                let data = data.expect("an address");
                let (address, said) = data.split_once(' ').unwrap_or((data, ""));
                let address = Full::parse(address).expect("a full address");
                let said = Payload::from_canonical(Bytes::copy_from_slice(said.as_bytes()));
                self.stream.bound(BindReply::Bound(address, said), self.now);
            }
            "enabled" => {
                let resumption = data.map(|id| Resumption {
                    id: id.into(),
                    max: 300,
                });
                self.stream.enabled(&EnableReply::Enabled(resumption), self.now);
            }
            "not-enabled" => self
                .stream
                .enabled(&EnableReply::Refused(Condition::ResourceConstraint.into()), self.now),
            "resumed" => {
                let jid = Full::parse(data.expect("an address")).expect("a full address");
                let (since, now) = (Counts { received: 2, sent: 3 }, Counts { received: 7, sent: 5 });
                self.stream.resumed(ResumeReply::Resumed { jid, since, now }, self.now);
            }
            "not-resumed" => {
                let (error, h) = (
                    Condition::ItemNotFound.into(),
                    data.map(|h| h.parse().expect("a number")),
                );
                self.stream.resumed(ResumeReply::Refused { error, h }, self.now);
            }
            "too-high" => self
                .stream
                .resumed(ResumeReply::TooHigh(TooHigh { h: 9, sent: 2 }), self.now),
            "refused" => self
                .stream
                .bound(BindReply::Refused(Condition::Conflict.into()), self.now),
            _ => panic!("unknown answer {what}"),
        }
    }

    fn call(&mut self, rest: &str) {
        match rest.split_once(' ').unwrap_or((rest, "")) {
            ("close", "") => self.stream.close(None, self.now),
            ("close", name) => self.stream.close(Some(condition(name)), self.now),
            ("hang-up", _) => self.stream.hang_up(),
            ("deliver", stanza) => self.deliver(stanza),
            ("send", stanza) => {
                self.deliver(stanza);
                self.stream.before_write(self.now);
            }
            ("done", number) => self.stream.done(number.parse().expect("a number"), self.now),
            (what, _) => panic!("unknown call {what}"),
        }
    }

    fn deliver(&mut self, stanza: &str) {
        let stanza = Stanza::parse(&stanza.to_owned().into()).expect("a stanza");
        self.delivered += 1;
        self.stream.deliver(self.delivered, &stanza, None);
    }

    /// Whether everything that happened was said.
    fn settled(self) -> Held {
        equal(
            &format!("{:?} {}", self.events, String::from_utf8_lossy(&self.output)),
            "[] ",
        )
    }
}

fn success(account: &str, data: Option<bytes::Bytes>, token: Option<Token>) -> SaslReply {
    SaslReply::Success {
        account: Bare::parse(account).expect("an address"),
        data,
        grant: Grant("grant".into()),
        token,
    }
}

fn equal(given: &str, expected: &str) -> Held {
    if given == expected {
        Ok(())
    } else {
        Err(format!("\n  given    {given}\n  expected {expected}"))
    }
}

fn abbreviate(written: &str) -> String {
    let features = replaced(written, "<stream:features>", "</stream:features>", "<FEATURES>");
    replaced(
        &features,
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'",
        "</text>",
        "<text/>",
    )
}

/// `text` with what stands from `start` to `end` replaced.
fn replaced(text: &str, start: &str, end: &str, by: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(start) {
        out = out + before + by;
        rest = after.split_once(end).expect("an end").1;
    }
    out + rest
}

fn describe(event: &Event) -> String {
    match event {
        Event::StartTls => "start-tls".into(),
        Event::Sasl(SaslRequest::Start {
            domain,
            mechanism,
            initial,
            sasl2,
            ..
        }) => {
            let initial = initial
                .as_ref()
                .map(|data| format!(" '{}'", String::from_utf8_lossy(data)));
            let sasl2 = sasl2.as_ref().map(|sasl2| format!(" {}", describe_sasl2(sasl2)));
            let (initial, sasl2) = (initial.unwrap_or_default(), sasl2.unwrap_or_default());
            format!("auth {domain} {mechanism}{initial}{sasl2}")
        }
        Event::Sasl(SaslRequest::Respond { exchange, response }) => {
            format!("respond {} '{}'", exchange.number, String::from_utf8_lossy(response))
        }
        Event::Sasl(SaslRequest::Abort { exchange }) => format!("abort {}", exchange.number),
        Event::Register(request) => describe_registration(request),
        Event::Bind { account, resource, .. } => match resource {
            ResourceRequest::Named(resource) => format!("bind {account:?} {resource}"),
            ResourceRequest::Any => format!("bind {account:?}"),
            ResourceRequest::Tagged { tag, client, wishes } => {
                let wishes = if wishes.is_empty() {
                    String::new()
                } else {
                    format!(" {wishes:?}")
                };
                format!("bind {account:?} tagged {tag:?} {client:?}{wishes}")
            }
        },
        Event::Resume { account, id, h, .. } => format!("resume {account:?} {id} {h}"),
        Event::Enable(EnableRequest { since, resume, max }) => {
            format!(
                "enable since {}/{} resume {resume} max {max:?}",
                since.received, since.sent
            )
        }
        Event::Active(active) => format!("active {active}"),
        Event::Refused(condition) => format!("refused {}", condition.name()),
        Event::Rejected(failure) => format!("rejected {}", failure.name()),
        Event::Stanza(_, stanza) => format!("stanza {}", written(stanza)),
        Event::Answered(_, None) => "answered nothing".into(),
        Event::Answered(_, Some(answer)) => format!("answered {}", written(answer)),
        Event::Closed(Closed::Error(condition)) => format!("closed error {}", condition.name()),
        Event::Closed(closed) => format!("closed {closed:?}"),
    }
}

fn registered(what: &str, data: Option<&str>) -> RegisterReply {
    match (what, data) {
        ("accepted", Some(token)) => RegisterReply::Accepted(Invited {
            token: token.into(),
            at: Timestamp(7),
        }),
        ("created", None) => RegisterReply::Created,
        ("denied", None) => RegisterReply::Refused(Condition::Conflict.into()),
        ("form", username) => RegisterReply::Form {
            instructions: "Choose.".into(),
            username: username.map(Into::into),
        },
        _ => panic!("unknown answer {what}"),
    }
}

fn describe_registration(request: &RegisterRequest) -> String {
    let said = match &request.step {
        RegisterStep::Form => "form".to_owned(),
        RegisterStep::Present(token) => format!("present {token}"),
        RegisterStep::Create { username, password } => format!("create {username} '{password}'"),
    };
    let invited = request.invited.as_ref().map(|invited| format!(" by {}", invited.token));
    format!("register {} {said}{}", request.domain, invited.unwrap_or_default())
}

/// Only what the client said.
fn describe_sasl2(sasl2: &Sasl2) -> String {
    let Sasl2 {
        agent,
        fast,
        request_token,
        resumes,
    } = sasl2;
    let said = [
        agent.id.map(|id| format!("of {id}")),
        agent.software.as_ref().map(|software| format!("software '{software}'")),
        agent.device.as_ref().map(|device| format!("device '{device}'")),
        fast.map(|fast| format!("by token {:?} {}", fast.count, fast.invalidate)),
        request_token.as_ref().map(|mechanism| format!("wants {mechanism}")),
        resumes.then(|| "resumes".to_owned()),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    format!("[{}]", said.join(", "))
}

fn written(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn condition(name: &str) -> StreamCondition {
    match name {
        "conflict" => StreamCondition::Conflict,
        "reset" => StreamCondition::Reset,
        "system-shutdown" => StreamCondition::SystemShutdown,
        "undefined-condition" => StreamCondition::UndefinedCondition,
        _ => StreamCondition::SeeOtherHost(name.into()),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'";
    let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    let mut text = text.replace("<HEADER", header).replace("{sasl}", sasl);
    text = text
        .replace("<COMPONENT", COMPONENT)
        .replace("{tls}", "xmlns='urn:ietf:params:xml:ns:xmpp-tls'")
        .replace("{sm}", "xmlns='urn:xmpp:sm:3'")
        .replace("{sasl2}", "xmlns='urn:xmpp:sasl:2'")
        .replace("{bind2}", "xmlns='urn:xmpp:bind:0'")
        .replace("{fast}", "xmlns='urn:xmpp:fast:0'")
        .replace("{agent}", "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>")
        .replace("{bind}", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>");
    while let Some(start) = text.find("{repeat ") {
        let end = start + text[start..].find('}').expect("an end");
        let (count, what) = text[start + 8..end].split_once(' ').expect("a count and a text");
        text = format!(
            "{}{}{}",
            &text[..start],
            what.repeat(count.parse().expect("a count")),
            &text[end + 1..]
        );
    }
    let mut out = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        match rest.as_bytes()[at + 1] {
            b'0' => (out.push(0), rest = &rest[at + 2..]).1,
            b'n' => (out.push(b'\n'), rest = &rest[at + 2..]).1,
            _ => {
                out.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).expect("two hex digits"));
                rest = &rest[at + 4..];
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}
