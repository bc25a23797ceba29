//! A resource comes, changes and goes: broadcast and directed presence (RFC 6121, 4.2 and 4.4 to 4.6).

use std::sync::Arc;

use engine::{AccountView, Effect, Effects, Jid, Presence, PresenceType, SessionChange, SessionId, SessionView, View};
use store::{Ask, Contact};

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
    let is_told = view.account.is_seen_by(to) && session.presence.is_some();
    !is_told && !session.directed.contains(to)
}

/// Forgets that `from` was sent directed presence, now that it told the session (all of them, at the bare address) that it has gone
/// itself (RFC 6121, 4.6.1).
pub(super) fn gone(account: &AccountView, presence: &Presence, effects: &mut Effects) {
    let (Some(from), Some(to)) = (&presence.head.from, &presence.head.to) else {
        return;
    };
    let told = account
        .sessions
        .iter()
        .filter(|session| to.is_bare() || session.jid.jid() == to);
    for session in told.filter(|session| session.directed.contains(from)) {
        let change = SessionChange::DirectedUnavailable(from.clone());
        effects.push(Effect::Session(session.id, change));
    }
}

/// What happens besides when a resource becomes available (RFC 6121, 4.2.2, 4.3.1 and 3.1.3).
fn arrived(account: &AccountView, session: &SessionView, effects: &mut Effects) {
    probe(account, session, effects);
    let others = account.sessions.iter().filter(|other| other.id != session.id);
    for presence in others.filter_map(|other| notice::current(other, session.jid.jid())) {
        effects.deliver(session.id, presence);
    }
    for request in request::pending(account) {
        effects.deliver(session.id, request);
    }
}

/// Asks the user's contacts for their presence, and those at other domains again for a subscription that they have not answered
/// (RFC 6121, 3.1.2): the request may have been lost on its way.
///
/// A probe bears the user's bare address (RFC 6121, 4.3), so each of the user's resources hears the answers. At the user's own
/// domain no probe needs to be sent at all; looking the contact up is one that never leaves the server, and only the resource that
/// came hears what it finds.
fn probe(account: &AccountView, session: &SessionView, effects: &mut Effects) {
    let own = account.jid.domain();
    let contacts_at = |is_own: bool, choose: fn(&Contact) -> bool| {
        contacts(account, |contact| {
            (contact.jid.domain() == own) == is_own && choose(contact)
        })
    };
    let plain = |kind, from| notice::plain(kind, from, None);
    effects.broadcast(
        contacts_at(true, |contact| contact.subscription.is_to()),
        plain(PresenceType::Probe, session.jid.jid()),
    );
    effects.broadcast(
        contacts_at(false, |contact| contact.subscription.is_to()),
        plain(PresenceType::Probe, account.jid.jid()),
    );
    effects.broadcast(
        contacts_at(false, |contact| contact.ask == Ask::Subscribe),
        plain(PresenceType::Subscribe, account.jid.jid()),
    );
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
