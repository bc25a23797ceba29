//! Answers to presence probes (RFC 6121, 4.3.2 and 4.6.6).

use engine::{AccountView, Effects, Head, Jid, Payload, Presence, PresenceType, SessionView};
use stanza::delay;

use super::notice;

/// Answers `probe`. Subscribers hear the last presence of each available resource, or only that a resource is there when they ask
/// for that one; those who were sent directed presence hear the same of the resources that sent it; all others are told that they
/// are not subscribed, so that their side mends its roster.
pub(super) fn answer(account: &AccountView, probe: &Presence, effects: &mut Effects) {
    let (Some(from), Some(to)) = (&probe.head.from, &probe.head.to) else {
        return;
    };
    let asked: Vec<_> = account
        .sessions
        .iter()
        .filter(|session| is_meant(session, to))
        .collect();
    let before = effects.0.len();
    if account.is_seen_by(from) {
        asked
            .iter()
            .filter_map(|session| notice::current(session, from))
            .for_each(|presence| effects.send(if to.is_bare() { presence } else { mere(&presence) }));
        if effects.0.len() == before {
            effects.send(nobody(account, probe, from, to));
        }
        return;
    }
    for session in asked.into_iter().filter(|session| session.has_told(from)) {
        effects.send(notice::plain(PresenceType::Available, session.jid.jid(), Some(from)));
    }
    if effects.0.len() == before {
        let own = account.jid.jid();
        effects.send(notice::answer(
            PresenceType::Unsubscribed,
            probe,
            own,
            from.bare().jid(),
        ));
    }
}

/// Nobody is there, and since when (RFC 6121, 4.3.2, rule 3).
fn nobody(account: &AccountView, probe: &Presence, from: &Jid, to: &Jid) -> Presence {
    let mut presence = notice::answer(PresenceType::Unavailable, probe, to, from);
    let is_away = account.available().next().is_none();
    let domain = Jid::parse(account.jid.domain()).ok();
    if let (true, Some(since), Some(domain)) = (is_away, account.away_since, domain) {
        presence.payload = presence.payload.push(&delay(&domain, since, None));
    }
    presence
}

/// `presence` without what it says beyond being there.
fn mere(presence: &Presence) -> Presence {
    let head = Head {
        lang: None,
        extra: None,
        ..presence.head.clone()
    };
    Presence {
        head,
        kind: presence.kind,
        payload: Payload::default(),
    }
}

/// Whether a probe to `to` asks for this session.
fn is_meant(session: &SessionView, to: &Jid) -> bool {
    to.resource().is_none_or(|resource| session.jid.resource() == resource)
}
