//! Answers to presence probes (RFC 6121, 4.3.2).

use engine::{AccountView, Effects, Jid, Presence, PresenceType, SessionView};

use super::notice;

/// Answers `probe`: with the last presence of each available resource, with unavailable presence when there is none, and with
/// `unsubscribed` to those who are not subscribed, so that their side mends its roster.
pub(super) fn answer(account: &AccountView, probe: &Presence, effects: &mut Effects) {
    let (Some(from), Some(to)) = (&probe.head.from, &probe.head.to) else {
        return;
    };
    let asked: Vec<_> = account
        .sessions
        .iter()
        .filter(|session| is_meant(session, to))
        .collect();
    if account.is_seen_by(from) {
        let before = effects.0.len();
        tell(asked.into_iter(), from, effects);
        if effects.0.len() == before {
            // Without a delay stamp: when the last resource went is not known here, and XEP-0012 tells who asks.
            effects.send(notice::plain(PresenceType::Unavailable, to, Some(from)));
        }
    } else if asked.iter().any(|session| is_told(session, from)) {
        tell(
            asked.into_iter().filter(|session| is_told(session, from)),
            from,
            effects,
        );
    } else {
        effects.send(notice::plain(
            PresenceType::Unsubscribed,
            account.jid.jid(),
            Some(from.bare().jid()),
        ));
    }
}

fn tell<'a>(sessions: impl Iterator<Item = &'a SessionView>, to: &Jid, effects: &mut Effects) {
    for presence in sessions.filter_map(|session| notice::current(session, to)) {
        effects.send(presence);
    }
}

/// Whether a probe to `to` asks for this session.
fn is_meant(session: &SessionView, to: &Jid) -> bool {
    to.resource().is_none_or(|resource| session.jid.resource() == resource)
}

/// Whether the session sent directed presence to `from` itself or to its bare address: such a one may ask, though it is
/// not subscribed.
fn is_told(session: &SessionView, from: &Jid) -> bool {
    session.directed.contains(from) || session.directed.contains(from.bare().jid())
}
