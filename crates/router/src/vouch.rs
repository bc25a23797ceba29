//! Grants that this home gives by itself: for sessions that were bound here, so that another edge may hand them on.

use std::time::Duration;

use stanza::{Bare, Grant, SessionId, Timestamp};

/// How long a grant may take to be used for binding: the stream is negotiated within that time or not at all.
const GRANT: Duration = Duration::from_secs(600);

/// Who may give grants.
pub(crate) struct Voucher {
    secret: [u8; 32],
}

impl Voucher {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// That `session` is one of `account`.
    pub(crate) fn vouch(&self, session: SessionId, account: &Bare, now: Timestamp) -> Grant {
        let expires = Timestamp(now.0.saturating_add(lifetime()));
        sasl::seal(&self.secret, session, account, expires)
    }
}

/// The lifetime of a grant, in microseconds.
pub(crate) fn lifetime() -> i64 {
    i64::try_from(GRANT.as_micros()).unwrap_or(i64::MAX)
}
