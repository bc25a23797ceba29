//! Refusing a stanza: the error that answers it, counted.

use stanza::{Condition, IqType, PresenceType, Stanza, StanzaError};

use crate::gauges;

/// The answer to `stanza`; `None` when it may not be answered (RFC 6120, 8.3.1).
pub(crate) fn refuse(stanza: &Stanza, error: &StanzaError) -> Option<Stanza> {
    let answer = stanza.error(error)?;
    gauges::refused(error.condition);
    Some(answer)
}

/// The recipient's home, or the component that it is, could not be reached in time.
pub(crate) fn unreachable(stanza: &Stanza) -> Option<Stanza> {
    match stanza {
        Stanza::Presence(presence) if !matches!(presence.kind, PresenceType::Subscribe) => None,
        Stanza::Iq(iq) if matches!(iq.kind, IqType::Result | IqType::Error) => None,
        _ => refuse(stanza, &Condition::RemoteServerTimeout.into()),
    }
}
