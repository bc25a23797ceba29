//! Plays a transcript against the machine. One line is one act or one expectation:
//!
//! ```text
//! # a comment, or the section that is tested
//! == title            begins a new stream
//! > bytes             the client sends bytes; `\n`, `\xNN` and `{repeat 3 abc}` are written out
//! < bytes             the server has written exactly these bytes since the last `<`; `{id}` stands for a stream id
//! ! event             the machine asks for this, next
//! @ answer            the shell answers: secured, challenge DATA, success DATA?, failure CONDITION, bound JID, refused CONDITION
//! + seconds           time passes
//! . call              the shell calls: close, close CONDITION, hang-up, deliver STANZA
//! ```
//!
//! Whatever the machine did and the script does not say is an error.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_stream::{Closed, Config, Event, HostConfig, Stream, TlsPolicy};
use stanza::{
    Bare, BindReply, Condition, Exchange, Full, Grant, Peer, SaslFailure, SaslReply, SaslRequest, SessionId, Stanza,
    StreamCondition, TlsFacts,
};
use xml::{Element, Limits};

/// The listener, and what TLS can give.
pub struct Setting {
    pub config: Config,
    pub peer: Peer,
    pub tls: TlsFacts,
}

pub const SEED: u128 = 0xfeed;

impl Setting {
    /// STARTTLS required; channel binding by exporter.
    pub fn required() -> Self {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let host = |domain: &str| HostConfig {
            domain: domain.into(),
            mechanisms: names(&["EXTERNAL", "SCRAM-SHA-1", "PLAIN"]),
            features: vec![Element::new("urn:example:caps", "c")],
            ..HostConfig::default()
        };
        let limits = Limits { stanza_bytes: 10_000, ..Limits::default() };
        let config = Config {
            hosts: vec![host("a.example"), host("b.example")],
            limits_before: Limits { stanza_bytes: 2_000, ..limits.clone() },
            limits_after: limits,
            idle_timeout: Duration::from_secs(600),
            ..Config::default()
        };
        let tls = TlsFacts { version: "TLSv1.3".into(), exporter: Some([7; 32]), ..TlsFacts::default() };
        Self { config, peer: Peer::default(), tls }
    }

    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// STARTTLS offered.
    pub fn optional() -> Self {
        Self::required().with(|setting| setting.config.tls = TlsPolicy::Optional)
    }

    /// TLS from the first byte.
    pub fn direct() -> Self {
        Self::required().with(|setting| setting.peer.tls = Some(setting.tls.clone()))
    }

    pub fn stream(&self, now: Instant) -> Stream {
        Stream::new(Arc::new(self.config.clone()), SessionId(1), self.peer.clone(), SEED, now)
    }
}

/// Plays `text`, whole and with the client's bytes one by one.
pub fn check(name: &str, text: &str, setting: &Setting) {
    for split in [false, true] {
        let mut player: Option<Player> = None;
        for (at, line) in text.lines().enumerate() {
            let place = format!("{name}:{} (split: {split})", at + 1);
            match line.split_once(' ').unwrap_or((line, "")) {
                ("", _) | ("#", _) => {}
                ("==", _) => {
                    finish(player.take(), &place);
                    player = Some(Player::new(setting, split));
                }
                (verb, rest) => player.as_mut().expect("a title first").line(verb, rest, setting, &place),
            }
        }
        finish(player, name);
    }
}

fn finish(player: Option<Player>, place: &str) {
    if let Some(player) = player {
        player.settled(place);
    }
}

struct Player {
    stream: Stream,
    now: Instant,
    events: VecDeque<String>,
    output: Vec<u8>,
    split: bool,
}

impl Player {
    fn new(setting: &Setting, split: bool) -> Self {
        let now = Instant::now();
        Self { stream: setting.stream(now), now, events: VecDeque::new(), output: Vec::new(), split }
    }

    fn line(&mut self, verb: &str, rest: &str, setting: &Setting, place: &str) {
        match verb {
            ">" => self.send(&unescape(rest)),
            "<" => self.expect_output(rest, place),
            "!" => assert_eq!(self.events.pop_front().as_deref(), Some(rest), "{place}"),
            "@" => self.answer(rest, setting),
            "+" => {
                self.now += Duration::from_secs(rest.parse().expect("seconds"));
                self.stream.tick(self.now);
            }
            "." => self.call(rest),
            _ => panic!("{place}: unknown verb {verb}"),
        }
        self.collect();
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

    fn expect_output(&mut self, expected: &str, place: &str) {
        let written = String::from_utf8(std::mem::take(&mut self.output)).expect("UTF-8");
        let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='";
        let written = written.replace(header, "<HEADER ");
        let written = match written.split_once(&format!("{SEED:032x}-")) {
            Some((before, after)) => format!("{before}{{id}}{}", after.trim_start_matches(|c: char| c.is_ascii_digit())),
            None => written,
        };
        assert_eq!(written.replace("<HEADER {id}'", "<HEADER"), expected, "{place}");
    }

    fn answer(&mut self, rest: &str, setting: &Setting) {
        let (what, data) = rest.split_once(' ').map_or((rest, None), |(what, data)| (what, Some(data)));
        let bytes = data.map(|data| data.to_owned().into());
        let exchange = Exchange { router: "r".into(), number: 5 };
        let account = || Bare::parse("juliet@a.example").expect("an address");
        match what {
            "secured" => self.stream.secured(setting.tls.clone(), self.now),
            "challenge" => {
                self.stream.sasl(SaslReply::Challenge { exchange, data: bytes.unwrap_or_default() }, self.now);
            }
            "success" => {
                let reply = SaslReply::Success { account: account(), data: bytes, grant: Grant("grant".into()) };
                self.stream.sasl(reply, self.now);
            }
            "failure" => self.stream.sasl(SaslReply::Failure(SaslFailure::NotAuthorized), self.now),
            "bound" => {
                let address = Full::parse(data.expect("an address")).expect("a full address");
                self.stream.bound(BindReply::Bound(address), self.now);
            }
            "refused" => self.stream.bound(BindReply::Refused(Condition::Conflict.into()), self.now),
            _ => panic!("unknown answer {what}"),
        }
    }

    fn call(&mut self, rest: &str) {
        match rest.split_once(' ').unwrap_or((rest, "")) {
            ("close", "") => self.stream.close(None, self.now),
            ("close", name) => self.stream.close(Some(condition(name)), self.now),
            ("hang-up", _) => self.stream.hang_up(),
            ("deliver", stanza) => {
                let stanza = Stanza::parse(&stanza.to_owned().into()).expect("a stanza");
                self.stream.deliver(&stanza, None);
            }
            (what, _) => panic!("unknown call {what}"),
        }
    }

    fn settled(&self, place: &str) {
        assert!(self.events.is_empty(), "before {place}: unexpected {:?}", self.events);
        assert!(self.output.is_empty(), "before {place}: unexpected {}", String::from_utf8_lossy(&self.output));
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::StartTls => "start-tls".into(),
        Event::Sasl(SaslRequest::Start { domain, mechanism, initial, .. }) => match initial {
            Some(data) => format!("auth {domain} {mechanism} '{}'", String::from_utf8_lossy(data)),
            None => format!("auth {domain} {mechanism}"),
        },
        Event::Sasl(SaslRequest::Respond { exchange, response }) => {
            format!("respond {} '{}'", exchange.number, String::from_utf8_lossy(response))
        }
        Event::Sasl(SaslRequest::Abort { exchange }) => format!("abort {}", exchange.number),
        Event::Bind { account, resource, .. } => match resource {
            Some(resource) => format!("bind {account:?} {resource}"),
            None => format!("bind {account:?}"),
        },
        Event::Stanza(stanza) => {
            let mut out = Vec::new();
            stanza.write(&mut out);
            format!("stanza {}", String::from_utf8_lossy(&out))
        }
        Event::Closed(Closed::Error(condition)) => format!("closed error {}", condition.name()),
        Event::Closed(closed) => format!("closed {closed:?}"),
    }
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
    let mut text = text.replace("<HEADER", header);
    while let Some(start) = text.find("{repeat ") {
        let end = start + text[start..].find('}').expect("an end");
        let (count, what) = text[start + 8..end].split_once(' ').expect("a count and a text");
        text = format!("{}{}{}", &text[..start], what.repeat(count.parse().expect("a count")), &text[end + 1..]);
    }
    let mut out = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        match rest.as_bytes()[at + 1] {
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
