//! Presence stanzas as they leave an account: addressed on behalf of the user or of one resource.

use engine::{AccountView, Effects, Head, Jid, Payload, Presence, PresenceType, SessionView};

/// A presence stanza without content.
pub(crate) fn plain(kind: PresenceType, from: &Jid, to: Option<&Jid>) -> Presence {
    let head = Head {
        from: Some(from.clone()),
        to: to.cloned(),
        ..Head::default()
    };
    Presence {
        head,
        kind,
        payload: Payload::default(),
    }
}

/// As [`plain`], with the id of the stanza that it answers (RFC 6121, 4.3.2.1).
pub(crate) fn answer(kind: PresenceType, asked: &Presence, from: &Jid, to: &Jid) -> Presence {
    let mut presence = plain(kind, from, Some(to));
    presence.head.id.clone_from(&asked.head.id);
    presence
}

/// `presence` with other addresses.
pub(crate) fn addressed(presence: &Presence, from: &Jid, to: Option<&Jid>) -> Presence {
    let head = Head {
        from: Some(from.clone()),
        to: to.cloned(),
        ..presence.head.clone()
    };
    Presence {
        head,
        ..presence.clone()
    }
}

/// The current presence of `session` for `to`, while it is available.
pub(crate) fn current(session: &SessionView, to: &Jid) -> Option<Presence> {
    session
        .presence
        .as_ref()
        .map(|presence| addressed(presence, session.jid.jid(), Some(to)))
}

/// Sends the current presence of every available resource (RFC 6121, 3.1.5).
pub(crate) fn send_current(account: &AccountView, to: &Jid, effects: &mut Effects) {
    for presence in account.sessions.iter().filter_map(|session| current(session, to)) {
        effects.send(presence);
    }
}

/// Sends unavailable presence of every available resource (RFC 6121, 3.2.2).
pub(crate) fn send_unavailable(account: &AccountView, to: &Jid, effects: &mut Effects) {
    for session in account.available() {
        effects.send(plain(PresenceType::Unavailable, session.jid.jid(), Some(to)));
    }
}
