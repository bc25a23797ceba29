//! Message carbons (XEP-0280): all clients of a user that want to see both sides of every conversation.

use std::sync::Arc;

use engine::{
    About, Answer, At, BindCx, Bound, Condition, Cx, Effect, Effects, Element, Head, Hooks, Jid, Message, MessageType,
    Module, Outcome, Payload, Reply, SessionChange, SessionId, SessionView, View, Way, ns, request,
};
use stanza::{Stanza, forward};

request! {
    /// `<enable xmlns='urn:xmpp:carbons:2'/>`
    Enable = "enable" in ns::CARBONS;
    /// `<disable xmlns='urn:xmpp:carbons:2'/>`
    Disable = "disable" in ns::CARBONS;
}

/// The module.
pub(crate) struct Carbons;

/// Noted of a session that wants carbons.
const WANTED: &str = "carbons";
/// The rules of section 6.1, all of them.
const RULES: &str = "urn:xmpp:carbons:rules:0";

impl Module for Carbons {
    const ABOUT: About = About {
        name: "carbons",
        rfcs: &[],
        xeps: &[(280, "1.0.1"), (297, "1.0")],
        summary: "Copies what a user says and hears on one client to the others.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        for at in [At::Account, At::Server] {
            on.feature(at, RULES);
            on.set(at, |cx: Cx, _: Enable| std::future::ready(switch(&cx, true)));
            on.set(at, |cx: Cx, _: Disable| std::future::ready(switch(&cx, false)));
        }
        on.bind_feature(ns::CARBONS);
        on.bind(|cx| std::future::ready(Ok(bound(&cx))));
        on.observe(Way::Out, sent);
        on.observe(Way::In, received);
    }
}

/// XEP-0280, 4 and 5. To want them twice is no error (9.1).
fn switch(cx: &Cx, on: bool) -> Answer {
    match cx.session {
        Some(session) if cx.is_owner() => Ok(Reply::empty().effect(wanted(session, on))),
        _ => Err(Condition::NotAllowed.into()),
    }
}

/// XEP-0386, 3.2: this cannot fail, and so needs no answer.
fn bound(cx: &BindCx) -> Bound {
    let mut bound = Bound::default();
    if cx.wants(ns::CARBONS, "enable") {
        bound.effects.push(wanted(cx.session, true));
    }
    bound
}

fn wanted(session: SessionId, on: bool) -> Effect {
    Effect::Session(session, SessionChange::Flag(WANTED, on))
}

/// XEP-0280, 8: to all but the client that said it.
fn sent(view: &View<'_>, message: &Message, effects: &mut Effects) {
    if !is_wanted(view) {
        return;
    }
    let to = message.head.to.as_ref();
    // What a user says to himself is heard as it is, or told on its way in.
    let to_all = to.is_some_and(|to| to == view.account.jid.jid());
    if *view.outcome == Outcome::Undecided && !to_all && is_eligible(view, message) {
        let saying = view.session.map(|session| session.id);
        let hears = |session: &SessionView| Some(session.id) == saying || to == Some(session.jid.jid());
        if let Some((to, copy)) = copy(view, message, "sent", hears) {
            effects.deliver_each(to, copy);
        }
    }
}

/// XEP-0280, 7: to all that did not get it themselves.
fn received(view: &View<'_>, message: &Message, effects: &mut Effects) {
    if !is_wanted(view) {
        return;
    }
    let Outcome::Sessions(hearing) = view.outcome else {
        return;
    };
    let (from, to) = (message.head.from.as_ref(), message.head.to.as_ref());
    // One client said it to another of the same user: the rest saw it being said.
    let was_sent = from.is_some_and(|from| from.bare() == view.account.jid) && to.is_some_and(|to| !to.is_bare());
    if !was_sent && !is_from_room(message) && is_eligible(view, message) {
        let hears = |session: &SessionView| hearing.contains(&session.id) || from == Some(session.jid.jid());
        if let Some((to, copy)) = copy(view, message, "received", hears) {
            let stanza = Arc::new(copy.into());
            effects.push(Effect::Copy { to, stanza });
        }
    }
}

/// Whether any client wants carbons: the quick look first.
fn is_wanted(view: &View<'_>) -> bool {
    view.account.sessions.iter().any(|session| session.has_flag(WANTED))
}

/// A copy, and all that want it and did not hear it, if any.
fn copy(
    view: &View<'_>,
    message: &Message,
    what: &'static str,
    hears: impl Fn(&SessionView) -> bool,
) -> Option<(Vec<SessionId>, Message)> {
    let wants = |session: &&SessionView| session.has_flag(WANTED) && !hears(session);
    let sessions = view.account.sessions.iter().filter(wants);
    let to: Vec<SessionId> = sessions.map(|session| session.id).collect();
    if to.is_empty() {
        return None;
    }
    let mut canonical = Vec::with_capacity(message.payload.bytes().len() + 256);
    let said: Stanza = message.clone().into();
    said.write(&mut canonical);
    let head = Head {
        from: Some(view.account.jid.clone().into()),
        ..Head::default()
    };
    let copy = Message {
        head,
        kind: message.kind,
        payload: forward(&Element::new(ns::CARBONS, what), None, &canonical),
    };
    Some((to, copy))
}

/// XEP-0280, 6.1.
fn is_eligible(view: &View<'_>, message: &Message) -> bool {
    let payload = &message.payload;
    if payload.has(ns::CARBONS, "private") || payload.has(ns::HINTS, "no-copy") || is_copy(message) {
        return false;
    }
    let has_body = payload.has(ns::CLIENT, "body");
    let is_instant = || payload.children().iter().any(|child| INSTANT.contains(&child.ns()));
    match message.kind {
        MessageType::Chat => true,
        MessageType::Normal => has_body || is_instant(),
        MessageType::Headline => is_instant(),
        MessageType::Error => {
            (has_body || is_instant() || brings_nothing_back(payload)) && !concerns_room(view, message)
        }
        MessageType::Groupchat => false,
    }
}

/// Carbons are not copied again.
fn is_copy(message: &Message) -> bool {
    message.payload.has(ns::CARBONS, "sent") || message.payload.has(ns::CARBONS, "received")
}

/// Whether an error has nothing of what it answers, which is then taken for an instant message, as nearly all are (XEP-0280, 9.3).
fn brings_nothing_back(payload: &Payload) -> bool {
    payload.children().iter().all(|child| child.is(ns::CLIENT, "error"))
}

/// Whether an error is between the account and a room as such, in which a client is under some name: what it answers was said to all.
fn concerns_room(view: &View<'_>, message: &Message) -> bool {
    let other = match view.way {
        Way::In => message.head.from.as_ref(),
        Way::Out => message.head.to.as_ref(),
    };
    let sessions = &view.account.sessions;
    let is_in = |room: &Jid| {
        let told = sessions.iter().flat_map(|session| &session.directed);
        room.is_bare()
            && told
                .into_iter()
                .any(|told| !told.is_bare() && told.bare() == room.bare())
    };
    other.is_some_and(is_in)
}

/// XEP-0280, 6.1: a private message from an occupant of a room, which the room has sent to all clients that are there.
fn is_from_room(message: &Message) -> bool {
    let x = message.payload.find(MUC_USER, "x");
    x.is_some_and(|x| x.child(MUC_USER, "invite").is_none())
}

const MUC_USER: &str = "http://jabber.org/protocol/muc#user";

/// Payloads of instant messaging: receipts (XEP-0184), chat states (XEP-0085), markers (XEP-0333), direct (XEP-0249) and mediated
/// (XEP-0045, 7.8.2) invitations.
const INSTANT: &[&str] = &[
    "urn:xmpp:receipts",
    ns::CHAT_STATES,
    "urn:xmpp:chat-markers:0",
    "jabber:x:conference",
    MUC_USER,
];
