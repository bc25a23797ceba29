//! How a store can fail.

use stanza::{Condition, ErrorType, StanzaError};

/// What a store answers.
pub type Result<T> = std::result::Result<T, Error>;

/// How a store can fail.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A condition of the write did not hold: somebody else was faster. Read again and decide anew.
    #[error("conflicting write")]
    Conflict,
    /// The record to create exists, or the record to change does not.
    #[error("{0}")]
    Precondition(&'static str),
    /// The back-end cannot be reached or refuses for now.
    #[error("store unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was read cannot be understood.
    #[error("corrupt record: {0}")]
    Corrupt(String),
}

/// What a request is told that met the store (RFC 6120, 8.3.3): to come again, where that may help.
impl From<Error> for StanzaError {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict | Error::Unavailable(_) => {
                Self::new(Condition::ResourceConstraint).with_type(ErrorType::Wait)
            }
            Error::Precondition(_) | Error::Corrupt(_) => Condition::InternalServerError.into(),
        }
    }
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
