//! What an edge asks a home for a stream under stream management (XEP-0198): to begin counting, and to resume.

use crate::{Bare, Full, Grant, Peer, SessionId, StanzaError};

/// Where a session stands: both its counts, of the client's stanzas and of deliveries, each from 1 since the resource was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The client's stanzas.
    pub received: u64,
    /// Deliveries to the client.
    pub sent: u64,
}

/// A request to begin stream management (XEP-0198, 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnableRequest {
    /// Where the session stood when it was asked for: what `h` counts comes after.
    pub since: Counts,
    /// Whether the client wants to be able to resume.
    pub resume: bool,
    /// The longest time to resumption that the client prefers, in seconds.
    pub max: Option<u32>,
}

/// The home's answer to [`EnableRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnableReply {
    /// It counts from now on.
    Enabled(Option<Resumption>),
    /// It cannot.
    Refused(StanzaError),
}

/// How an enabled stream can be resumed.
#[derive(Clone, PartialEq, Eq)]
pub struct Resumption {
    /// The stream's SM-ID: opaque, unguessable, at most 4,000 bytes (XEP-0198, 3).
    pub id: String,
    /// How long the session is kept once its stream is gone, in seconds.
    pub max: u32,
}

/// A request to go on with a session whose stream is gone (XEP-0198, 5).
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeRequest {
    /// The new connection's id, by which the session goes from now on.
    pub session: SessionId,
    /// Who authenticated on the new stream.
    pub account: Bare,
    /// The proof of it, from `SaslReply::Success`.
    pub grant: Grant,
    /// `previd`: the SM-ID of the former stream.
    pub id: String,
    /// The client's count of what it has handled.
    pub h: u32,
    /// The new connection.
    pub peer: Peer,
}

/// The home's answer to [`ResumeRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResumeReply {
    /// The session goes on; what the client has not acknowledged is delivered again, under its old numbers.
    Resumed {
        /// The session's address.
        jid: Full,
        /// Where it stood when stream management began.
        since: Counts,
        /// The client's stanzas that are done, and the deliveries that it has acknowledged.
        now: Counts,
    },
    /// It does not, and the client may bind a resource instead.
    Refused {
        /// `item-not-found` when there is no such session (any more).
        error: StanzaError,
        /// How many stanzas of the former stream were handled, if that is still known.
        h: Option<u32>,
    },
    /// The client has acknowledged more than it was sent.
    TooHigh(TooHigh),
}

/// More was acknowledged than was sent (XEP-0198, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TooHigh {
    /// What was acknowledged.
    pub h: u32,
    /// What was sent.
    pub sent: u32,
}

/// The value of `h` for `number` in a count that began after `since`: it returns to zero after 2³² - 1 (XEP-0198, 4).
#[allow(clippy::cast_possible_truncation, reason = "that is what the specification asks for")]
pub fn handled(number: u64, since: u64) -> u32 {
    number.saturating_sub(since) as u32
}

/// The number that the peer means by `h`, when it acknowledged up to `acknowledged` before and was sent up to `sent`. A value
/// from before `acknowledged` acknowledges nothing new.
///
/// # Errors
/// When it was not sent that much.
pub fn acknowledged(h: u32, since: u64, acknowledged: u64, sent: u64) -> Result<u64, TooHigh> {
    let before = handled(acknowledged, since);
    let (ahead, behind) = (h.wrapping_sub(before), before.wrapping_sub(h));
    if u64::from(ahead) <= sent.saturating_sub(acknowledged) {
        return Ok(acknowledged + u64::from(ahead));
    }
    let is_older = u64::from(behind) <= acknowledged.saturating_sub(since);
    let sent = handled(sent, since);
    if is_older {
        Ok(acknowledged)
    } else {
        Err(TooHigh { h, sent })
    }
}

impl std::fmt::Debug for ResumeRequest {
    /// Never prints the id, as [`Resumption`] does not.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResumeRequest")
            .field("session", &self.session)
            .field("account", &self.account)
            .field("h", &self.h)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Resumption {
    /// Never prints the id: who has it and the account's credentials can take the session over.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resumption")
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: u64 = 1 << 32;

    #[test]
    fn what_is_handled_is_counted_from_the_beginning_and_around() {
        for (number, since, h) in [
            (5, 5, 0),
            (7, 5, 2),
            (TURN + 4, 5, u32::MAX),
            (TURN + 5, 5, 0),
            (3, 5, 0),
        ] {
            assert_eq!(handled(number, since), h, "{number} since {since}");
        }
    }

    #[test]
    fn what_the_peer_means() {
        // h, since, acknowledged, sent, number
        let cases = [
            (0, 5, 5, 5, Ok(5)),
            (2, 5, 5, 9, Ok(7)),
            (4, 5, 7, 9, Ok(9)),
            (1, 5, 7, 9, Ok(7)), // an older one
            (5, 5, 5, 9, Err(TooHigh { h: 5, sent: 4 })),
            (1, 0, 0, 0, Err(TooHigh { h: 1, sent: 0 })),
            (1, 0, TURN - 1, TURN + 3, Ok(TURN + 1)), // around
            (u32::MAX, 0, 0, 3, Err(TooHigh { h: u32::MAX, sent: 3 })),
        ];
        for (h, since, before, sent, number) in cases {
            assert_eq!(
                acknowledged(h, since, before, sent),
                number,
                "h {h} of {before} to {sent}"
            );
        }
    }
}
