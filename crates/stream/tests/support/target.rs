//! What is checked of any input; the fuzz target `stream` runs the same code. The input is a program: each byte is an act, of the
//! client, of the shell, or of time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_stream::{Config, Dialect, Event, HostConfig, Stream, TlsPolicy};
use stanza::{
    Bare, BindReply, Condition, Counts, EnableReply, Exchange, Full, Grant, Payload, Peer, RegisterReply, ResumeReply,
    Resumption, SaslFailure, SaslReply, SessionId, Stanza, StreamCondition, TlsFacts,
};

/// Pieces of which streams are made, so that chance gets somewhere.
pub(crate) const PIECES: &[&str] = &[
    "<?xml version='1.0'?>",
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a.example' version='1.0'>",
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>=</auth>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cA==</response>",
    "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    "<iq type='get'><x/></iq>",
    "<message to='@x' id='1'/>",
    "<presence/>",
    "<presence from='romeo@a.example'/>",
    "<stream:error/>",
    "</stream:stream>",
    "<message>",
    " \n",
    "<!-- -->",
    "\u{0}",
    "<enable xmlns='urn:xmpp:sm:3' resume='true' max='5'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='x' h='1'/>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<a xmlns='urn:xmpp:sm:3' h='1'/>",
    "<a xmlns='urn:xmpp:sm:3' h='-'/>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response/></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3'/></bind>\
     <resume xmlns='urn:xmpp:sm:3' previd='x' h='1'/></authenticate>",
    "<response xmlns='urn:xmpp:sasl:2'>cA==</response>",
    "<abort xmlns='urn:xmpp:sasl:2'/>",
    "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>",
    "<iq type='set' id='p'><preauth xmlns='urn:xmpp:pars:0' token='t'/></iq>",
];

/// The same of components' streams.
pub(crate) const COMPONENT: &[&str] = &[
    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='a.example'>",
    "<handshake>x</handshake>",
    "<message from='b@a.example' to='juliet@b.example'/>",
    "<message xmlns='jabber:component:accept' from='b@b.example' to='juliet@b.example'/>",
    "<iq from='a.example' to='b.example'/>",
];

/// One thing that can happen to a stream.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Bytes(bytes::Bytes),
    Secured,
    Challenge,
    Success,
    Admitted,
    Failure,
    Bound,
    Refused,
    Enabled,
    Resumed(bool),
    Done(u64),
    Write,
    Wait(u64),
    Close(bool),
    Deliver,
    HangUp,
    Registered(bool),
}

/// The first byte chooses the TLS policy and who is there; each other is an act, or from 200 on so many raw bytes less 200.
pub(crate) fn run(data: &[u8]) {
    let Some((policy, mut rest)) = data.split_first() else {
        return;
    };
    let mut acts = Vec::new();
    while let Some((code, after)) = rest.split_first() {
        let (raw, after) = after.split_at(after.len().min(usize::from(code.saturating_sub(200))));
        rest = after;
        acts.push(act(*code, raw));
    }
    let dialect = match policy % 4 {
        3 => Dialect::Component,
        _ => Dialect::Client,
    };
    let policy = [TlsPolicy::Required, TlsPolicy::Optional, TlsPolicy::Off][usize::from(*policy) % 3];
    closes(dialect, policy, &acts);
}

fn act(code: u8, raw: &[u8]) -> Act {
    match (code, PIECES.get(usize::from(code))) {
        (200.., _) => Act::Bytes(raw.to_vec().into()),
        (_, Some(piece)) => Act::Bytes(piece.as_bytes().into()),
        (30, _) => Act::Secured,
        (31, _) => Act::Challenge,
        (32, _) => Act::Success,
        (33, _) => Act::Failure,
        (34, _) => Act::Bound,
        (35, _) => Act::Refused,
        (36, _) => Act::Enabled,
        (37 | 38, _) => Act::Resumed(code == 37),
        (39..=42, _) => Act::Done(u64::from(code) - 38),
        (43, _) => Act::Write,
        (44..=60, _) => Act::Wait(2 * (u64::from(code) - 43)),
        (61 | 62, _) => Act::Close(code == 61),
        (63, _) => Act::HangUp,
        (64 | 65, _) => Act::Registered(code == 64),
        (66..=70, _) => Act::Bytes(COMPONENT[usize::from(code) - 66].as_bytes().into()),
        (71, _) => Act::Admitted,
        _ => Act::Deliver,
    }
}

/// Whatever happens, the stream ends exactly once, closes when asked to, and is silent after the end.
pub(crate) fn closes(dialect: Dialect, policy: TlsPolicy, acts: &[Act]) {
    let mut now = origin();
    let mut stream = of(dialect, policy, now);
    let mut ends = 0;
    for act in acts {
        perform(&mut stream, act, &mut now);
        let events: Vec<Event> = std::iter::from_fn(|| stream.poll()).collect();
        assert!(
            ends == 0 || events.is_empty() && stream.output().is_empty(),
            "something after the end"
        );
        ends += count(events);
        stream.output().clear();
    }
    stream.close(None, now);
    for _ in 0..3 {
        ends += count(std::iter::from_fn(|| stream.poll()));
        now = stream.deadline().unwrap_or(now);
        stream.tick(now);
    }
    assert_eq!((ends, stream.deadline(), stream.wants_input()), (1, None, false));
}

fn count(events: impl IntoIterator<Item = Event>) -> usize {
    events
        .into_iter()
        .filter(|event| matches!(event, Event::Closed(_)))
        .count()
}

/// When time begins.
#[allow(
    clippy::disallowed_methods,
    reason = "there is no other way to make an instant; all that counts is what passes"
)]
pub(crate) fn origin() -> Instant {
    Instant::now()
}

pub(crate) fn stream(policy: TlsPolicy, now: Instant) -> Stream {
    of(Dialect::Client, policy, now)
}

fn of(dialect: Dialect, policy: TlsPolicy, now: Instant) -> Stream {
    Stream::of(dialect, config(policy), SessionId(1), Peer::default(), 1, now)
}

fn config(tls: TlsPolicy) -> Arc<Config> {
    let host = HostConfig {
        domain: "a.example".into(),
        mechanisms: vec!["SCRAM-SHA-1".into(), "PLAIN".into()],
        plain_without_tls: true,
        registration: true,
        ..HostConfig::default()
    };
    Arc::new(Config {
        hosts: vec![host],
        tls,
        idle_timeout: Duration::from_secs(60),
        ..Config::default()
    })
}

fn perform(stream: &mut Stream, act: &Act, now: &mut Instant) {
    match act {
        Act::Bytes(bytes) => stream.receive(bytes, *now),
        Act::Secured => stream.secured(TlsFacts::default(), *now),
        Act::Challenge => stream.sasl(challenge(), *now),
        Act::Success => stream.sasl(success(), *now),
        Act::Admitted => stream.sasl(success_of("a.example"), *now),
        Act::Failure => stream.sasl(SaslReply::Failure(SaslFailure::NotAuthorized), *now),
        Act::Bound => stream.bound(bound(), *now),
        Act::Refused => stream.bound(BindReply::Refused(Condition::Conflict.into()), *now),
        Act::Enabled => stream.enabled(&enabled(), *now),
        Act::Resumed(true) => stream.resumed(resumed(), *now),
        Act::Resumed(false) => {
            let error = Condition::ItemNotFound.into();
            stream.resumed(ResumeReply::Refused { error, h: None }, *now);
        }
        Act::Done(number) => stream.done(*number, *now),
        Act::Write => stream.before_write(*now),
        Act::Wait(seconds) => {
            *now += Duration::from_secs(*seconds);
            stream.tick(*now);
        }
        Act::Close(error) => stream.close(error.then_some(StreamCondition::Reset), *now),
        Act::Deliver => {
            let stanza = Stanza::parse(&"<presence/>".into()).expect("a stanza");
            stream.deliver(1, &stanza, None);
        }
        Act::HangUp => stream.hang_up(),
        Act::Registered(true) => stream.registered(RegisterReply::Created, *now),
        Act::Registered(false) => {
            let error = Condition::Conflict.into();
            stream.registered(RegisterReply::Refused(error), *now);
        }
    }
}

pub(crate) fn success() -> SaslReply {
    success_of("juliet@a.example")
}

fn success_of(account: &str) -> SaslReply {
    let account = Bare::parse(account).expect("an address");
    SaslReply::Success {
        account,
        data: None,
        grant: Grant::default(),
        token: None,
    }
}

pub(crate) fn challenge() -> SaslReply {
    SaslReply::Challenge {
        exchange: Exchange {
            router: "r".into(),
            number: 1,
        },
        data: "x".into(),
    }
}

pub(crate) fn enabled() -> EnableReply {
    let id = "x".into();
    EnableReply::Enabled(Some(Resumption { id, max: 300 }))
}

pub(crate) fn resumed() -> ResumeReply {
    ResumeReply::Resumed {
        jid: Full::parse("juliet@a.example/x").expect("a full address"),
        since: Counts { received: 0, sent: 0 },
        now: Counts { received: 1, sent: 1 },
    }
}

pub(crate) fn bound() -> BindReply {
    BindReply::Bound(
        Full::parse("juliet@a.example/x").expect("a full address"),
        Payload::default(),
    )
}
