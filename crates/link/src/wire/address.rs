//! Ids and addresses.

use ::stanza::{ArchiveId, Bare, Full, Jid, MessageKey, SessionId};

use super::pb;
use crate::Trace;

/// A frame that cannot be what its sender meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0} in link frame")]
pub(crate) struct Malformed(pub(crate) &'static str);

pub(crate) fn session_to(id: SessionId) -> pb::Session {
    let (high, low) = halves(id);
    pb::Session { high, low }
}

pub(crate) fn session_from(session: Option<pb::Session>) -> Result<SessionId, Malformed> {
    session
        .map(|session| whole(session.high, session.low))
        .ok_or(Malformed("session"))
}

pub(crate) fn target_to((id, number): (SessionId, u64)) -> pb::delivery::Target {
    let (high, low) = halves(id);
    pb::delivery::Target { high, low, number }
}

pub(crate) fn target_from(target: &pb::delivery::Target) -> (SessionId, u64) {
    (whole(target.high, target.low), target.number)
}

pub(crate) fn archived_to(id: ArchiveId) -> pb::ArchiveId {
    let (high, low) = halves(SessionId(id.0));
    pb::ArchiveId { high, low }
}

pub(crate) fn archived_from(id: pb::ArchiveId) -> ArchiveId {
    ArchiveId(whole(id.high, id.low).0)
}

pub(crate) fn key_to(key: MessageKey) -> pb::MessageKey {
    pb::MessageKey {
        session: Some(session_to(key.session)),
        number: key.number,
    }
}

/// What cannot be read is no key.
pub(crate) fn key_from(key: pb::MessageKey) -> Option<MessageKey> {
    Some(MessageKey {
        session: session_from(key.session).ok()?,
        number: key.number,
    })
}

pub(crate) fn jid_from(text: &str) -> Result<Jid, Malformed> {
    Jid::parse(text).map_err(|_| Malformed("address"))
}

pub(crate) fn bare_from(text: &str) -> Result<Bare, Malformed> {
    Bare::parse(text).map_err(|_| Malformed("bare address"))
}

pub(crate) fn full_from(text: &str) -> Result<Full, Malformed> {
    Full::parse(text).map_err(|_| Malformed("full address"))
}

pub(crate) fn trace_to(trace: Option<Trace>) -> String {
    trace.map_or_else(String::new, |trace| trace.to_string())
}

/// What cannot be read is taken as not sampled (W3C Trace Context, 4.3).
pub(crate) fn trace_from(trace: &str) -> Option<Trace> {
    trace.parse().ok()
}

#[allow(clippy::cast_possible_truncation, reason = "halves are what is meant")]
fn halves(id: SessionId) -> (u64, u64) {
    ((id.0 >> 64) as u64, id.0 as u64)
}

fn whole(high: u64, low: u64) -> SessionId {
    SessionId(u128::from(high) << 64 | u128::from(low))
}
