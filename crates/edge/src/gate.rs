//! Which logins are let through to the routers when many come at once: first those that cost least and are missed most.
//!
//! One token bucket for the edge. Each class may draw on it down to its own mark, so that what is left below belongs to the
//! classes before it: after a great disconnection sessions are resumed first, then clients come in by token, then the rest. A client is
//! taken at its word; what one address may do is limited elsewhere (`edge.limits`, `router.sasl.failures`).

use std::time::Instant;

use parking_lot::Mutex;
use stanza::SaslRequest;

use crate::config::Rate;
use crate::shaper::Shaper;

/// What a login is to the server, the most welcome first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Goes on with a session (XEP-0198): no presence, no roster, no offline messages.
    Resume,
    /// By a token (XEP-0484): one step.
    Token,
    /// By anything else.
    Password,
    /// Has no account yet (XEP-0077).
    Registration,
}

/// The bucket, shared by all connections.
#[derive(Debug)]
pub(crate) struct Gate {
    rate: Rate,
    bucket: Mutex<Shaper>,
}

impl Class {
    /// The class of a login that begins; `None` for what is not its beginning.
    pub(crate) fn of(request: &SaslRequest) -> Option<Self> {
        let SaslRequest::Start { sasl2, .. } = request else {
            return None;
        };
        Some(match sasl2 {
            Some(sasl2) if sasl2.resumes => Self::Resume,
            Some(sasl2) if sasl2.fast.is_some() => Self::Token,
            _ => Self::Password,
        })
    }

    /// Its name in the metric.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Token => "token",
            Self::Password => "password",
            Self::Registration => "registration",
        }
    }

    /// How many quarters of the bucket it may draw on.
    fn quarters(self) -> u64 {
        match self {
            Self::Resume => 4,
            Self::Token => 3,
            Self::Password => 2,
            Self::Registration => 1,
        }
    }
}

impl Gate {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            bucket: Mutex::default(),
        }
    }

    /// Whether a login of this class may go on to a router; if so, it has been counted.
    pub(crate) fn admits(&self, class: Class, now: Instant) -> bool {
        let share = Rate {
            per_second: self.rate.per_second,
            burst: (self.rate.burst / 4).max(1).saturating_mul(class.quarters()),
        };
        let mut bucket = self.bucket.lock();
        let mut after = *bucket;
        let admitted = after.take(1, &share, now).is_none();
        if admitted {
            *bucket = after;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of a class come through at once.
    fn admitted(gate: &Gate, class: Class, now: Instant) -> usize {
        (0..100).take_while(|_| gate.admits(class, now)).count()
    }

    #[test]
    fn who_resumes_comes_in_when_nobody_else_does() {
        let gate = Gate::new(Rate {
            per_second: 10,
            burst: 40,
        });
        let start = crate::shared::now();
        assert_eq!(admitted(&gate, Class::Registration, start), 10);
        assert_eq!(admitted(&gate, Class::Password, start), 10);
        assert_eq!(admitted(&gate, Class::Registration, start), 0);
        assert_eq!(admitted(&gate, Class::Token, start), 10);
        assert_eq!(admitted(&gate, Class::Password, start), 0);
        assert_eq!(admitted(&gate, Class::Resume, start), 10);
        let later = start + Duration::from_secs(1);
        assert_eq!(
            admitted(&gate, Class::Password, later),
            0,
            "what comes in is for others"
        );
        assert_eq!(admitted(&gate, Class::Resume, later), 10);
        let much_later = start + Duration::from_secs(60);
        assert_eq!(admitted(&gate, Class::Password, much_later), 20);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let gate = Gate::new(Rate::default());
        assert_eq!(admitted(&gate, Class::Password, crate::shared::now()), 100);
    }
}
