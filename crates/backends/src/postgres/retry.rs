//! What is tried again, and what a caller is told when it failed for good.

use store::{Error, Result};

/// Whether the database broke off a statement for the sake of another, and it may succeed at once: a serialization failure or a
/// deadlock.
fn is_collision(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

/// Whether a row with that key is there already.
pub(super) fn is_repetition(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Repeats `work` while it collides, a few times; then the caller decides.
pub(super) async fn persist<T, F: Future<Output = sqlx::Result<T>>>(mut work: impl FnMut() -> F) -> sqlx::Result<T> {
    const TRIES: usize = 5;
    for _ in 1..TRIES {
        match work().await {
            Err(error) if is_collision(&error) => {}
            done => return done,
        }
    }
    work().await
}

/// What a driver's failure means to the caller.
pub(super) fn failed(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            Error::Corrupt(error.to_string())
        }
        error => Error::Unavailable(Box::new(error)),
    }
}

/// What a driver's failure means to the caller, in short.
pub(super) fn answer<T>(done: sqlx::Result<T>) -> Result<T> {
    done.map_err(failed)
}
