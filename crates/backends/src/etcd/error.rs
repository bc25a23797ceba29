//! What etcd says when it fails, as a store says it.

use store::Error;

/// What the client's failure means to the caller.
pub(super) fn failed(error: etcd_client::Error) -> Error {
    match error {
        etcd_client::Error::InvalidUri(_) | etcd_client::Error::InvalidArgs(_) => Error::Corrupt(error.to_string()),
        error => Error::Unavailable(Box::new(error)),
    }
}
