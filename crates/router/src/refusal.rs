//! Why nothing was done of what was asked for.

use stanza::{Condition, ErrorType, StanzaError};

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The roster has moved on: decide anew.
    Conflict,
    /// A store is away.
    Away,
    /// Too many messages wait already.
    Full,
}

impl From<Refusal> for StanzaError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict | Refusal::Away => Self::new(Condition::ResourceConstraint).with_type(ErrorType::Wait),
            Refusal::Full => Self::new(Condition::ServiceUnavailable),
        }
    }
}
