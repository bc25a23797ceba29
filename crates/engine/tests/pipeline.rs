//! What modules may and may not do to a stanza, by role and way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::sync::Arc;

use bytes::Bytes;
use dunlin_engine::{
    About, AccountView, At, Bare, Condition, Effect, Element, Facts, Hooks, Host, InstallError, Message, Module,
    Outcome, Pipeline, Reply, RosterChange, Row, Stanza, Timestamp, Verdict, View, Way, request, roster_pushes, row,
};
use serde_json::Value;
use store::{Contact, Roster};

const NS: &str = "urn:example:stamp";

macro_rules! module {
    ($type:ident, $name:literal, |$on:ident| $install:block) => {
        struct $type;

        impl Module for $type {
            const ABOUT: About = About { name: $name, rfcs: &[], xeps: &[], summary: "Is for a test." };
            type Config = ();
            fn new((): ()) -> Self {
                Self
            }
            fn install(self: Arc<Self>, $on: &mut Hooks) $install
        }
    };
}

module!(Stamps, "stamps", |on| {
    for way in [Way::Out, Way::In] {
        on.stamp(way, |_, _: &Message, stamps| stamps.push(Element::new(NS, "mark")));
    }
});

module!(Watches, "watches", |on| {
    for way in [Way::Out, Way::In] {
        on.observe(way, |_, message: &Message, effects| {
            effects.push(Effect::Archive {
                message: message.clone(),
                lasting: true,
            })
        });
        on.observe_with(way, NS, "mark", |_, message: &Message, effects| {
            effects.send(message.clone())
        });
        on.observe_with(way, NS, "other", |_, message: &Message, effects| {
            effects.send(message.clone())
        });
    }
});

module!(Guards, "guards", |on| {
    on.guard(Way::In, |_, message: &Message| match message.head.id.as_deref() {
        Some("drop") => Verdict::Drop,
        Some("bounce") => Verdict::Bounce(Condition::NotAcceptable.into()),
        _ => Verdict::Pass,
    });
});

module!(Panics, "panics", |on| {
    on.observe(Way::In, |_, message: &Message, _| {
        assert!(message.head.id.is_none(), "boom")
    });
});

request! {
    /// A request for a test.
    Query = "query" in NS;
}

module!(Answers, "answers", |on| {
    on.get(At::Server, |_, _: Query| std::future::ready(Ok(Reply::empty())));
});

module!(AnswersToo, "answers-too", |on| {
    on.get(At::Server, |_, _: Query| std::future::ready(Ok(Reply::empty())));
});

const MESSAGE: &str = "<message to='j@c.example' from='r@m.example/o'><body>Hi</body></message>";
const STAMPED: &str =
    "<message to='j@c.example' from='r@m.example/o'><body>Hi</body><mark xmlns='urn:example:stamp'/></message>";

#[test]
fn what_leaves_an_account_is_never_stamped() {
    let pipeline = pipeline(&[row::<Watches>(), row::<Stamps>()]);
    let stanza = parse(MESSAGE);
    let decision = with_view(Way::Out, |view| pipeline.outgoing(view, &stanza));
    // The stanza travels on as it was; only the account's own copy, which observers see, is stamped.
    assert_eq!(decision.outcome, Outcome::Undecided);
    assert_eq!(written(&stanza), MESSAGE);
    assert_eq!(written(decision.own.as_ref().unwrap()), STAMPED);
    let [Effect::Archive { message: kept, .. }, ..] = &decision.effects.0[..] else {
        panic!("{decision:?}")
    };
    assert_eq!(written(&Stanza::Message(kept.clone())), STAMPED);

    // On the way in, the stamped copy is the one.
    let decision = with_view(Way::In, |view| pipeline.incoming(view, &stanza));
    assert_eq!(written(decision.own.as_ref().unwrap()), STAMPED);
}

#[test]
fn observers_are_called_for_what_they_asked_for() {
    let sent = |rows: &[Row]| {
        let decision = with_view(Way::In, |view| pipeline(rows).incoming(view, &parse(MESSAGE)));
        decision
            .effects
            .0
            .iter()
            .filter(|effect| matches!(effect, Effect::Send(_)))
            .count()
    };
    assert_eq!(sent(&[row::<Watches>()]), 0);
    assert_eq!(sent(&[row::<Watches>(), row::<Stamps>()]), 1);
}

#[test]
fn guards_come_first_whatever_the_order_of_the_registry() {
    let pipeline = pipeline(&[row::<Watches>(), row::<Stamps>(), row::<Guards>()]);
    let check = |id: &str, outcome: Outcome| {
        let stanza = parse(&MESSAGE.replace(" from", &format!(" id='{id}' from")));
        let decision = with_view(Way::In, |view| pipeline.incoming(view, &stanza));
        assert_eq!(
            (decision.outcome, decision.own, decision.effects.0.len()),
            (outcome, None, 0),
            "{id}"
        );
    };
    check("drop", Outcome::Ignore);
    check("bounce", Outcome::Bounce(Condition::NotAcceptable.into()));
}

#[test]
fn a_message_that_nobody_keeps_is_refused() {
    let incoming = |rows: &[Row]| with_view(Way::In, |view| pipeline(rows).incoming(view, &parse(MESSAGE))).outcome;
    assert_eq!(incoming(&[]), Outcome::Bounce(Condition::ServiceUnavailable.into()));
    assert_eq!(incoming(&[row::<Watches>()]), Outcome::Nobody);
}

#[test]
fn a_panic_is_caught_and_has_a_name() {
    let pipeline = pipeline(&[row::<Watches>(), row::<Panics>()]);
    let stanza = parse(&MESSAGE.replace(" from", " id='1' from"));
    let decision = with_view(Way::In, |view| pipeline.incoming(view, &stanza));
    assert_eq!(decision.panicked, Some("panics"));
    assert_eq!(decision.outcome, Outcome::Bounce(Condition::InternalServerError.into()));
    assert_eq!(decision.effects.0, []);
}

#[test]
fn two_answers_to_one_request_stop_the_start() {
    let rows = [row::<Answers>(), row::<AnswersToo>()];
    let problem = Pipeline::new(rows.iter().map(|row| (row, &Value::Null))).err().unwrap();
    let payload = "<query xmlns='urn:example:stamp'/>".to_owned();
    assert_eq!(problem, InstallError::Twice("answers", "answers-too", payload));
    // What is answered is advertised.
    let pipeline = pipeline(&[row::<Answers>()]);
    assert!(pipeline.disco()[&At::Server].features.contains(NS));
}

#[test]
fn pushes_tell_clients_what_they_can_see() {
    let contact = |words: &str| {
        let mut contact = Contact::new("r@m.example".parse().unwrap());
        contact.in_roster = !words.contains("hidden");
        contact.pending_in = words.contains("asked").then(Vec::new);
        contact.approved = words.contains("approved");
        contact
    };
    let item = "<item jid='r@m.example' subscription='none'/>";
    let approved = "<item approved='true' jid='r@m.example' subscription='none'/>";
    let removed = "<item jid='r@m.example' subscription='remove'/>";
    for (before, after, expected) in [
        (None, Some("seen"), Some(item)),
        (None, Some("hidden asked"), None),
        (Some("hidden asked"), Some("seen"), Some(item)),
        (Some("hidden asked"), None, None),
        (Some("seen"), Some("seen"), Some(item)),
        (Some("seen"), Some("seen asked"), None),
        (Some("seen asked"), Some("seen"), None),
        (Some("seen"), Some("seen approved"), Some(approved)),
        (Some("seen"), Some("hidden"), Some(removed)),
        (Some("seen"), None, Some(removed)),
        (None, None, None),
    ] {
        let mut roster = Roster::default();
        roster.apply(&before.map(contact).into_iter().collect::<Vec<_>>(), &[]);
        let change = match after.map(contact) {
            Some(contact) => RosterChange {
                put: vec![contact],
                remove: Vec::new(),
            },
            None => RosterChange {
                put: Vec::new(),
                remove: vec!["r@m.example".parse().unwrap()],
            },
        };
        let pushes = roster_pushes(&Bare::parse("j@c.example").unwrap(), &roster, &change, [6, 7]);
        let queries: Vec<_> = pushes.iter().map(|push| format!("{:?}", push.payload)).collect();
        let expected = expected.map(|item| format!("<query xmlns='jabber:iq:roster' ver='7'>{item}</query>"));
        assert_eq!(
            queries,
            expected.into_iter().collect::<Vec<_>>(),
            "{before:?} to {after:?}"
        );
    }
}

/// A client that stops in between must not think that it has seen all.
#[test]
fn of_several_pushes_the_last_has_the_version() {
    let contact = |name: &str| Contact {
        in_roster: true,
        ..Contact::new(name.parse().unwrap())
    };
    let mut roster = Roster::default();
    roster.apply(&[contact("r@m.example")], &[]);
    let change = RosterChange {
        put: vec![contact("a@m.example"), contact("b@m.example")],
        remove: vec!["r@m.example".parse().unwrap(), "unseen@m.example".parse().unwrap()],
    };
    let owner = Bare::parse("j@c.example").unwrap();
    let pushes = roster_pushes(&owner, &roster, &change, ["1-old", "1-new"]);
    let version = |push: &dunlin_engine::Iq| {
        let query = push.payload.find("jabber:iq:roster", "query").unwrap();
        query.attribute("ver").unwrap().to_owned()
    };
    let versions: Vec<String> = pushes.iter().map(version).collect();
    assert_eq!(versions, ["1-old", "1-old", "1-new"]);
}

fn pipeline(rows: &[Row]) -> Pipeline {
    Pipeline::new(rows.iter().map(|row| (row, &Value::Null))).unwrap()
}

fn with_view<T>(way: Way, run: impl Fn(&View<'_>) -> T) -> T {
    let account = AccountView {
        jid: Bare::parse("j@c.example").unwrap(),
        sessions: Vec::new(),
        roster: Arc::new(Roster::default()),
        meters: dunlin_engine::Meters::default(),
        lent: None,
        away_since: None,
        facts: Facts::default(),
    };
    let host = Host::default();
    let (now, outcome) = (Timestamp(0), Outcome::Undecided);
    run(&View {
        way,
        now,
        host: &host,
        account: &account,
        session: None,
        outcome: &outcome,
        archive_id: dunlin_engine::ArchiveId::default(),
    })
}

fn parse(xml: &str) -> Stanza {
    Stanza::parse(&Bytes::copy_from_slice(xml.as_bytes())).unwrap()
}

fn written(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out);
    String::from_utf8(out).unwrap()
}
