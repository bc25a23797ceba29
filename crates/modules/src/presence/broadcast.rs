//! A resource comes, changes and goes: broadcast and directed presence (RFC 6121, 4.2 and 4.4 to 4.6).

use std::sync::Arc;

use engine::{AccountView, Effect, Effects, Jid, Presence, PresenceType, SessionChange, SessionId, SessionView, View};
use store::Contact;

use super::{notice, request};

/// The session tells everybody that it is available, for the first time or again (RFC 6121, 4.2.2 and 4.4.2).
pub(super) fn available(view: &View<'_>, session: &SessionView, presence: &Presence, effects: &mut Effects) {
    let account = view.account;
    let presence = notice::addressed(presence, session.jid.jid(), None);
    effects.push(Effect::Session(
        session.id,
        SessionChange::Available(Arc::new(presence.clone())),
    ));
    effects.broadcast(
        contacts(account, |contact| contact.subscription.is_from()),
        presence.clone(),
    );
    effects.deliver_each(own(account, Some(session.id)), presence);
    if session.presence.is_none() {
        arrived(account, session, effects);
    }
}

/// The session tells everybody that it is unavailable (RFC 6121, 4.5.2), and so learns itself.
pub(super) fn unavailable(view: &View<'_>, session: &SessionView, presence: &Presence, effects: &mut Effects) {
    let presence = notice::addressed(presence, session.jid.jid(), None);
    effects.push(Effect::Session(session.id, SessionChange::Unavailable));
    effects.broadcast(informed(view.account, session), presence.clone());
    if session.presence.is_some() {
        effects.deliver_each(own(view.account, Some(session.id)), presence);
    }
}

/// The session ended without a word: the server speaks for it (RFC 6121, 4.5.2).
pub(super) fn closed(view: &View<'_>, session: &SessionView, effects: &mut Effects) {
    let presence = notice::plain(PresenceType::Unavailable, session.jid.jid(), None);
    effects.broadcast(informed(view.account, session), presence.clone());
    if session.presence.is_some() {
        let others = own(view.account, None)
            .into_iter()
            .filter(|id| *id != session.id)
            .collect();
        effects.deliver_each(others, presence);
    }
}

/// Remembers who was sent directed presence, to tell them when the session goes (RFC 6121, 4.6.3). Who is told by the
/// broadcast anyway need not be remembered.
pub(super) fn directed(view: &View<'_>, session: &SessionView, presence: &Presence, effects: &mut Effects) {
    let Some(to) = presence.head.to.clone() else { return };
    let change = match presence.kind {
        PresenceType::Available if is_new(view, session, &to) => SessionChange::DirectedAvailable(to),
        PresenceType::Unavailable if session.directed.contains(&to) => SessionChange::DirectedUnavailable(to),
        _ => return,
    };
    effects.push(Effect::Session(session.id, change));
}

/// Whether directed presence to `to` is to be remembered and is not yet.
pub(super) fn is_new(view: &View<'_>, session: &SessionView, to: &Jid) -> bool {
    let is_told = view.account.is_seen_by(to) && (session.presence.is_some() || to.bare() == view.account.jid);
    !is_told && !session.directed.contains(to)
}

/// What happens besides when a resource becomes available (RFC 6121, 4.2.2, 4.3.1 and 3.1.3).
fn arrived(account: &AccountView, session: &SessionView, effects: &mut Effects) {
    let probe = notice::plain(PresenceType::Probe, session.jid.jid(), None);
    effects.broadcast(contacts(account, |contact| contact.subscription.is_to()), probe);
    let others = account.sessions.iter().filter(|other| other.id != session.id);
    for presence in others.filter_map(|other| notice::current(other, session.jid.jid())) {
        effects.deliver(session.id, presence);
    }
    for request in request::pending(account) {
        effects.deliver(session.id, request);
    }
}

/// Everybody who has learned that the session is available: subscribers, and who was sent directed presence.
fn informed(account: &AccountView, session: &SessionView) -> Vec<Jid> {
    let is_available = session.presence.is_some();
    let mut to = contacts(account, |contact| is_available && contact.subscription.is_from());
    to.extend(
        session
            .directed
            .iter()
            .filter(|jid| !(is_available && account.is_seen_by(jid)))
            .cloned(),
    );
    to
}

fn contacts(account: &AccountView, choose: impl Fn(&Contact) -> bool) -> Vec<Jid> {
    account
        .roster
        .contacts
        .values()
        .filter(|contact| choose(contact))
        .map(|contact| contact.jid.clone())
        .collect()
}

/// The user's available resources, `besides` among them whether it is available or not.
fn own(account: &AccountView, besides: Option<SessionId>) -> Vec<SessionId> {
    let sessions = account
        .sessions
        .iter()
        .filter(|session| session.presence.is_some() || Some(session.id) == besides);
    sessions.map(|session| session.id).collect()
}
