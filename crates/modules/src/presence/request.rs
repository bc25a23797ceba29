//! Subscription stanzas, from the user and to the user (RFC 6121, 3): the tables applied to the roster.

use std::sync::Arc;

use engine::{
    AccountView, Effect, Effects, Head, Jid, Payload, Presence, PresenceType, RosterChange, SessionId, Stanza, View,
};
use store::Contact;

use super::notice;
use super::subscription::{self, State};

/// The user sends `presence` of a subscription type (RFC 6121, 3.1.2, 3.1.5, 3.2.2, 3.3.2 and 3.4.2).
pub(super) fn outgoing(view: &View<'_>, presence: &Presence, effects: &mut Effects) {
    let account = view.account;
    let Some(to) = presence.head.to.as_ref().map(Jid::bare).filter(|to| *to != account.jid) else {
        return;
    };
    let known = account.roster.contacts.get(to.jid());
    let before = State::of(known);
    let step = subscription::outbound(before, presence.kind);
    let mut contact = known.cloned().unwrap_or_else(|| Contact::new(to.clone().into()));
    step.state.write(&mut contact);
    mark(presence.kind, before, &mut contact);
    change(known, contact, effects);
    if !step.passes {
        return;
    }
    if presence.kind == PresenceType::Unsubscribed && before.from {
        notice::send_unavailable(account, to.jid(), effects);
    }
    effects.send(notice::addressed(presence, account.jid.jid(), Some(to.jid())));
    if presence.kind == PresenceType::Subscribed {
        notice::send_current(account, to.jid(), effects);
    }
}

/// `presence` of a subscription type arrives for the user (RFC 6121, 3.1.3, 3.1.6, 3.2.3, 3.3.3 and 3.4.2).
pub(super) fn incoming(view: &View<'_>, presence: &Presence, max_bytes: usize, effects: &mut Effects) {
    let account = view.account;
    let Some(from) = presence
        .head
        .from
        .as_ref()
        .map(Jid::bare)
        .filter(|from| *from != account.jid)
    else {
        return;
    };
    let presence = notice::addressed(presence, from.jid(), Some(account.jid.jid()));
    let known = account.roster.contacts.get(from.jid());
    match presence.kind {
        PresenceType::Subscribe => asked(account, known, presence, max_bytes, effects),
        _ => told(account, known, presence, effects),
    }
}

/// Gives up both subscriptions when the user removes `contact` from the roster (RFC 6121, 2.5.2); a request of either side
/// that is still pending is withdrawn or denied.
pub(crate) fn cancel(account: &AccountView, contact: &Contact, effects: &mut Effects) {
    let (state, to) = (State::of(Some(contact)), contact.jid.bare());
    if state.from {
        notice::send_unavailable(account, to.jid(), effects);
    }
    if state.from || state.asked {
        effects.send(notice::plain(
            PresenceType::Unsubscribed,
            account.jid.jid(),
            Some(to.jid()),
        ));
    }
    if state.to || state.ask {
        effects.send(notice::plain(
            PresenceType::Unsubscribe,
            account.jid.jid(),
            Some(to.jid()),
        ));
    }
}

/// Delivers the requests that wait for the user's answer to a resource that became available (RFC 6121, 3.1.3).
pub(super) fn pending(account: &AccountView) -> impl Iterator<Item = Stanza> {
    let kept = account
        .roster
        .contacts
        .values()
        .filter_map(|contact| contact.pending_in.clone());
    kept.filter_map(|bytes| Stanza::parse(&bytes.into()).ok())
}

/// What else an outbound stanza of type `kind` means for the roster: the contact enters it, and approval in advance is given
/// or withdrawn (RFC 6121, 3.4.2).
fn mark(kind: PresenceType, before: State, contact: &mut Contact) {
    match kind {
        PresenceType::Subscribe => contact.in_roster = true,
        PresenceType::Subscribed => {
            contact.in_roster = true;
            contact.approved |= !before.asked && !before.from;
        }
        PresenceType::Unsubscribed => contact.approved = false,
        _ => {}
    }
}

/// The contact asks for the user's presence (RFC 6121, 3.1.3).
fn asked(account: &AccountView, known: Option<&Contact>, presence: Presence, max_bytes: usize, effects: &mut Effects) {
    let (before, Some(from)) = (State::of(known), presence.head.from.clone()) else {
        return;
    };
    let mut contact = known.cloned().unwrap_or_else(|| Contact::new(from.clone()));
    if before.from || contact.approved {
        State {
            from: true,
            asked: false,
            ..before
        }
        .write(&mut contact);
        change(known, contact, effects);
        effects.send(notice::answer(
            PresenceType::Subscribed,
            &presence,
            account.jid.jid(),
            &from,
        ));
        notice::send_current(account, &from, effects);
    } else if !before.asked {
        contact.pending_in = Some(kept(presence.clone(), max_bytes));
        change(known, contact, effects);
        deliver(account.available().map(|session| session.id), presence, effects);
    }
}

/// The contact answers, or gives up a subscription. The stanza reaches interested resources before the push
/// (RFC 6121, 3.1.6).
///
/// An `unsubscribe` is not answered with `unsubscribed`, though A.3.2 asks for it: it told the one who sent it nothing new, and
/// where a new request follows at once it would cross that and cancel it (A.3.4).
fn told(account: &AccountView, known: Option<&Contact>, presence: Presence, effects: &mut Effects) {
    let (before, Some(known)) = (State::of(known), known) else {
        return;
    };
    let step = subscription::inbound(before, presence.kind);
    if !step.passes {
        return;
    }
    let mut contact = known.clone();
    step.state.write(&mut contact);
    let was_from = presence.kind == PresenceType::Unsubscribe && before.from;
    let to = contact.jid.clone();
    deliver(account.interested().map(|session| session.id), presence, effects);
    change(Some(known), contact, effects);
    if was_from {
        notice::send_unavailable(account, &to, effects);
    }
}

/// Asks for the roster to be changed, if that changes anything. A contact of which nothing is left to know is removed.
fn change(known: Option<&Contact>, contact: Contact, effects: &mut Effects) {
    let is_blank = contact
        == Contact {
            version: contact.version,
            ..Contact::new(contact.jid.clone())
        };
    let change = match known {
        Some(known) if *known == contact => return,
        None if is_blank => return,
        Some(_) if is_blank => RosterChange {
            remove: vec![contact.jid],
            ..RosterChange::default()
        },
        _ => RosterChange {
            put: vec![contact],
            ..RosterChange::default()
        },
    };
    effects.push(Effect::Roster(change));
}

/// The request as it is kept: of one that is larger than we keep for a stranger, only who asks.
fn kept(presence: Presence, max_bytes: usize) -> Vec<u8> {
    let written = |presence| {
        let mut out = Vec::new();
        Stanza::Presence(presence).write(&mut out);
        out
    };
    let head = Head {
        from: presence.head.from.clone(),
        to: presence.head.to.clone(),
        ..Head::default()
    };
    let short = Presence {
        head,
        kind: presence.kind,
        payload: Payload::default(),
    };
    let whole = written(presence);
    if whole.len() <= max_bytes {
        whole
    } else {
        written(short)
    }
}

fn deliver(to: impl Iterator<Item = SessionId>, presence: Presence, effects: &mut Effects) {
    let to: Vec<_> = to.collect();
    if !to.is_empty() {
        effects.push(Effect::Deliver {
            to,
            stanza: Arc::new(presence.into()),
            readdress: false,
        });
    }
}
