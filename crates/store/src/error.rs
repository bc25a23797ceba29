//! How a store can fail.

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

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
