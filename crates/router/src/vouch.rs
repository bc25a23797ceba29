//! Grants that this home gives by itself: for sessions that were bound here, so that another edge may hand them on.

use std::time::Duration;

use sasl::Mark;
use stanza::{Bare, Grant, SessionId, Timestamp};
use store::Account;

/// How long a grant may take to be used for binding: the stream is negotiated within that time or not at all.
const GRANT: Duration = Duration::from_secs(600);

/// What a grant proves.
#[derive(Clone, Copy)]
pub(crate) struct Proof {
    /// When it was given.
    pub(crate) given: Timestamp,
    /// The account as it was then.
    pub(crate) mark: Mark,
}

/// Who may give grants.
pub(crate) struct Voucher {
    secret: [u8; 32],
}

impl Voucher {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// That `session` is one of `account`, which has this mark.
    pub(crate) fn vouch(&self, session: SessionId, account: &Bare, mark: Mark, now: Timestamp) -> Grant {
        let expires = Timestamp(now.0.saturating_add(lifetime()));
        sasl::seal(&self.secret, session, account, mark, expires)
    }

    /// The mark of an account as it is.
    pub(crate) fn mark(&self, account: &Account) -> Mark {
        sasl::mark(&self.secret, account)
    }
}

/// The lifetime of a grant, in microseconds.
pub(crate) fn lifetime() -> i64 {
    i64::try_from(GRANT.as_micros()).unwrap_or(i64::MAX)
}
