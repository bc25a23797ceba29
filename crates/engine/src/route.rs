//! Where a stanza goes: what an account deals with itself on the way out, and the delivery rules of RFC 6121, section 8.5,
//! on the way in, as pure functions.

use stanza::{Condition, Iq, IqType, Jid, Message, MessageType, Presence, PresenceType, SessionId, Stanza};

use crate::outcome::Outcome;
use crate::view::{AccountView, SessionView};

/// Whether a stanza of the account's own session travels on. Presence without addressee is broadcast (RFC 6121, 4.2.2), and
/// subscription stanzas are rewritten or held back (RFC 6121, 3): modules send what is to be sent.
pub fn outgoing(stanza: &Stanza) -> Outcome {
    match stanza {
        Stanza::Presence(presence) if presence.head.to.is_none() => Outcome::Handle,
        Stanza::Presence(presence) => match presence.kind {
            PresenceType::Subscribe
            | PresenceType::Subscribed
            | PresenceType::Unsubscribe
            | PresenceType::Unsubscribed => Outcome::Handle,
            PresenceType::Available | PresenceType::Unavailable | PresenceType::Error | PresenceType::Probe => {
                Outcome::Undecided
            }
        },
        Stanza::Message(_) | Stanza::Iq(_) => Outcome::Undecided,
    }
}

/// Decides by RFC 6121, 8.5.2 (bare address) and 8.5.3 (full address). The account exists.
pub fn incoming(account: &AccountView, stanza: &Stanza) -> Outcome {
    let session = stanza
        .to()
        .and_then(Jid::resource)
        .map(|resource| account.resource(resource));
    match (stanza, session) {
        (Stanza::Message(_), Some(Some(session))) => Outcome::Sessions(vec![session.id]),
        (Stanza::Message(message), Some(None)) => message_to_gone(account, message),
        (Stanza::Message(message), None) => message_to_bare(account, message),
        (Stanza::Iq(iq), Some(Some(session))) => iq_to_session(account, session, iq),
        (Stanza::Iq(iq), Some(None)) => iq_to_gone(iq),
        (Stanza::Iq(iq), None) => iq_to_bare(iq),
        (Stanza::Presence(presence), session) => presence_to(account, presence, session),
    }
}

/// RFC 6121, 8.5.2.1.1 and 8.5.2.2.1.
fn message_to_bare(account: &AccountView, message: &Message) -> Outcome {
    match message.kind {
        MessageType::Chat | MessageType::Normal => sessions_or(most_available(account), Outcome::Nobody),
        MessageType::Headline => sessions_or(non_negative(account), Outcome::Ignore),
        MessageType::Groupchat => Outcome::Bounce(Condition::ServiceUnavailable.into()),
        MessageType::Error => Outcome::Ignore,
    }
}

/// RFC 6121, 8.5.3.2.1: the resource is not there. Who may know that is told, of a headline as well (8.1).
fn message_to_gone(account: &AccountView, message: &Message) -> Outcome {
    match message.kind {
        MessageType::Chat => message_to_bare(account, message),
        MessageType::Normal | MessageType::Groupchat => Outcome::Bounce(Condition::ServiceUnavailable.into()),
        MessageType::Headline if is_trusted(account, message.head.from.as_ref()) => {
            Outcome::Bounce(Condition::ServiceUnavailable.into())
        }
        MessageType::Headline | MessageType::Error => Outcome::Ignore,
    }
}

/// Whether an error tells `from` nothing about the account's presence that it may not know (RFC 6121, 8.1).
fn is_trusted(account: &AccountView, from: Option<&Jid>) -> bool {
    from.is_some_and(|from| account.is_seen_by(from) || account.sessions.iter().any(|session| session.has_told(from)))
}

/// RFC 6121, 8.5.3.1: a request reveals that the resource is there, so it is for those who may know. The others hear what they
/// would hear of a resource that is not there.
fn iq_to_session(account: &AccountView, session: &SessionView, iq: &Iq) -> Outcome {
    let may_know = |from| account.shares_presence(session, from);
    match iq.kind {
        IqType::Get | IqType::Set if !iq.head.from.as_ref().is_some_and(may_know) => iq_to_gone(iq),
        _ => Outcome::Sessions(vec![session.id]),
    }
}

/// RFC 6121, 8.5.2.1.3 and 8.5.2.2.3.
fn iq_to_bare(iq: &Iq) -> Outcome {
    match iq.kind {
        IqType::Get | IqType::Set => Outcome::Handle,
        IqType::Result | IqType::Error => Outcome::Ignore,
    }
}

/// RFC 6121, 8.5.3.2.3.
fn iq_to_gone(iq: &Iq) -> Outcome {
    match iq.kind {
        IqType::Get | IqType::Set => Outcome::Bounce(Condition::ServiceUnavailable.into()),
        IqType::Result | IqType::Error => Outcome::Ignore,
    }
}

/// RFC 6121, 8.5.2.1.2, 8.5.3.1 and 8.5.3.2.2. An error to the bare address answers a subscription stanza or a probe, which the
/// server sent in the user's name: the user is told of it (3.1.2).
fn presence_to(account: &AccountView, presence: &Presence, session: Option<Option<&SessionView>>) -> Outcome {
    match (presence.kind, session) {
        (PresenceType::Available | PresenceType::Unavailable | PresenceType::Error, Some(Some(session))) => {
            Outcome::Sessions(vec![session.id])
        }
        (PresenceType::Available | PresenceType::Unavailable | PresenceType::Error, None) => {
            sessions_or(account.available().map(|session| session.id).collect(), Outcome::Ignore)
        }
        (PresenceType::Probe | PresenceType::Subscribe, _)
        | (PresenceType::Subscribed | PresenceType::Unsubscribe | PresenceType::Unsubscribed, None | Some(Some(_))) => {
            Outcome::Handle
        }
        (_, Some(None)) => Outcome::Ignore,
    }
}

fn sessions_or(sessions: Vec<SessionId>, otherwise: Outcome) -> Outcome {
    if sessions.is_empty() {
        otherwise
    } else {
        Outcome::Sessions(sessions)
    }
}

/// Available sessions with non-negative priority.
fn non_negative(account: &AccountView) -> Vec<SessionId> {
    account
        .available()
        .filter(|session| session.priority() >= Some(0))
        .map(|session| session.id)
        .collect()
}

/// Of those the ones with the highest priority: all that share it.
fn most_available(account: &AccountView) -> Vec<SessionId> {
    let (mut highest, mut most) = (0, Vec::new());
    for session in &account.sessions {
        match session.priority() {
            Some(priority) if priority > highest => (highest, most) = (priority, vec![session.id]),
            Some(priority) if priority == highest => most.push(session.id),
            _ => {}
        }
    }
    most
}
