//! All modules, with their defaults, decide what becomes of a stanza.

#![allow(clippy::unwrap_used, reason = "a case that cannot be made ready must not be counted")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use engine::{
    AccountView, ArchiveId, Bare, Decision, Effect, Facts, Host, Meters, Outcome, Pipeline, SessionId, SessionView,
    Stanza, Timestamp, View, Way,
};
use serde_json::Value;
use store::{Contact, Roster, Subscription};

use super::{Round, chat};

/// Noon of a day in 2026.
const NOW: Timestamp = Timestamp(1_795_262_400_000_000);
/// So many contacts see the account's presence.
const CONTACTS: usize = 10;

/// A chat message on behalf of its sender.
pub(crate) fn message_out() -> Round {
    let scene = Scene::new("romeo@montague.example", "orchard").available();
    let stanza = Stanza::parse(&chat()).unwrap();
    scene.decides(Way::Out, stanza, |decision| decision.outcome == Outcome::Undecided)
}

/// The same on behalf of its recipient, who is there.
pub(crate) fn message_in() -> Round {
    let scene = Scene::new("juliet@capulet.example", "balcony").available();
    let stanza = Stanza::parse(&chat()).unwrap();
    scene.decides(Way::In, stanza, |decision| {
        decision.outcome == Outcome::Sessions(vec![SessionId(1)])
    })
}

/// Somebody who is there goes away from the keyboard, and ten contacts are told.
pub(crate) fn presence_broadcast() -> Round {
    let scene = Scene::new("romeo@montague.example", "orchard").available();
    scene.decides(Way::Out, presence(), tells_contacts)
}

/// Somebody comes: ten contacts are told, and asked.
pub(crate) fn initial_presence() -> Round {
    let scene = Scene::new("romeo@montague.example", "orchard");
    scene.decides(Way::Out, presence(), tells_contacts)
}

/// One account with one session.
struct Scene {
    pipeline: Pipeline,
    host: Host,
    account: AccountView,
}

impl Scene {
    /// A session that is bound, and has its roster.
    fn new(account: &str, resource: &str) -> Self {
        let pipeline = Pipeline::new(modules::ALL.iter().map(|row| (row, &Value::Null))).unwrap();
        let jid = Bare::parse(account).unwrap();
        let session = SessionView {
            interested: true,
            ..SessionView::new(SessionId(1), jid.with_resource(resource).unwrap(), NOW)
        };
        let host = Host {
            domain: jid.domain().to_owned(),
            disco: pipeline.disco().clone(),
            ..Host::default()
        };
        let account = AccountView {
            jid,
            sessions: vec![session],
            roster: Arc::new(roster()),
            lent: None,
            away_since: None,
            facts: Facts::default(),
            meters: Meters::default(),
        };
        Self {
            pipeline,
            host,
            account,
        }
    }

    /// The session has sent initial presence.
    fn available(mut self) -> Self {
        let session = &mut self.account.sessions[0];
        let Stanza::Presence(presence) = presence() else {
            unreachable!("it is presence")
        };
        session.presence = Some(Arc::new(presence));
        self
    }

    /// Decides about `stanza` again and again.
    fn decides(self, way: Way, stanza: Stanza, is_expected: fn(&Decision) -> bool) -> Round {
        Box::new(move || {
            let view = View {
                way,
                now: NOW,
                host: &self.host,
                account: &self.account,
                session: (way == Way::Out).then(|| &self.account.sessions[0]),
                outcome: &Outcome::Undecided,
                archive_id: ArchiveId(7),
            };
            let decision = match way {
                Way::Out => self.pipeline.outgoing(&view, black_box(&stanza)),
                Way::In => self.pipeline.incoming(&view, black_box(&stanza)),
            };
            assert!(is_expected(black_box(&decision)), "{decision:?}");
        })
    }
}

fn tells_contacts(decision: &Decision) -> bool {
    let mut effects = decision.effects.0.iter();
    effects.any(|effect| matches!(effect, Effect::Broadcast { to, .. } if to.len() >= CONTACTS))
}

fn presence() -> Stanza {
    let xml = "<presence from='romeo@montague.example/orchard'><show>away</show><status>Banished</status>\
               <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>";
    Stanza::parse(&Bytes::from_static(xml.as_bytes())).unwrap()
}

fn roster() -> Roster {
    let contact = |number: usize| {
        let mut contact = Contact::new(format!("friend-{number}@capulet.example").parse().unwrap());
        contact.in_roster = true;
        contact.subscription = Subscription::Both;
        contact
    };
    let contacts: Vec<Contact> = (0..CONTACTS).map(contact).collect();
    let mut roster = Roster::default();
    roster.apply(&contacts, &[]);
    roster
}
