//! The invitations that one user made: what is kept of them to know how many there were lately and how many are open. Values only.

use std::fmt::Write;

use bytes::Bytes;
use stanza::Timestamp;

use crate::registration::Registration;

/// The invitations that a user made, in the order in which that was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Made(pub(crate) Vec<One>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct One {
    pub(crate) id: String,
    /// When it was made.
    pub(crate) at: Timestamp,
    /// Whether somebody may still use it. Not kept: who reads this asks the invitation.
    pub(crate) is_open: bool,
}

/// Why a user makes no further one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// There were too many within the time over which they are counted.
    Lately,
    /// Too many are open.
    Open,
}

impl Made {
    /// Adds a new one, if the rules have room for it, and forgets those that no longer count: so there are never more than both limits
    /// together.
    pub(crate) fn add(&mut self, id: String, now: Timestamp, rules: &Registration) -> Result<(), TooMany> {
        let is_late = |one: &One| now.seconds_since(one.at) < rules.window_s;
        let count = |counts: &dyn Fn(&One) -> bool| self.0.iter().filter(|one| counts(one)).count();
        if is_full(rules.invitations_made, count(&is_late)) {
            return Err(TooMany::Lately);
        }
        if is_full(rules.invitations_open, count(&|one| one.is_open)) {
            return Err(TooMany::Open);
        }
        let is_counted =
            |one: &One| (rules.invitations_made > 0 && is_late(one)) || (rules.invitations_open > 0 && one.is_open);
        self.0.retain(is_counted);
        self.0.push(One {
            id,
            at: now,
            is_open: true,
        });
        Ok(())
    }

    /// A line for each: its id and when it was made.
    pub(crate) fn encode(&self) -> Bytes {
        let mut lines = String::new();
        for one in &self.0 {
            // Writing to a string does not fail.
            let _ = writeln!(lines, "{} {}", one.id, one.at.0);
        }
        lines.into()
    }

    /// What cannot be read is passed over.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let one = |line: &str| {
            let (id, at) = line.split_once(' ')?;
            Some(One {
                id: id.to_owned(),
                at: Timestamp(at.parse().ok()?),
                is_open: false,
            })
        };
        let lines = String::from_utf8_lossy(bytes);
        Self(lines.lines().filter_map(one).collect())
    }
}

/// Whether no further one fits; a limit of 0 is none.
fn is_full(limit: u32, there: usize) -> bool {
    limit > 0 && there >= limit as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn one(id: &str, at: i64, is_open: bool) -> One {
        One {
            id: id.to_owned(),
            at: Timestamp(at * SECOND),
            is_open,
        }
    }

    #[test]
    fn a_user_makes_so_many_and_has_so_many_open() {
        let used = |at| one("used", at, false);
        let open = |at| one("open", at, true);
        // What was made by when, at which limits of lately (within 10 s) and of open; what comes of it at 100 s.
        let cases = [
            (vec![], (2, 2), Ok(1)),
            (vec![used(95)], (2, 2), Ok(2)),
            (vec![used(95), used(99)], (2, 2), Err(TooMany::Lately)),
            (vec![used(90), used(99)], (2, 2), Ok(2)),
            (vec![open(1), used(99)], (2, 2), Ok(3)),
            (vec![open(1), open(2)], (2, 2), Err(TooMany::Open)),
            (vec![open(1), open(2)], (2, 0), Ok(1)),
            (vec![used(98), used(99)], (0, 2), Ok(1)),
            (vec![open(98), open(99)], (0, 0), Ok(1)),
            // A clock that was put back.
            (vec![used(200), used(300)], (2, 2), Err(TooMany::Lately)),
        ];
        for (made, (most, most_open), expected) in cases {
            let rules = Registration {
                window_s: 10,
                invitations_made: most,
                invitations_open: most_open,
                ..Registration::default()
            };
            let mut made = Made(made);
            let added = made.add("new".to_owned(), Timestamp(100 * SECOND), &rules);
            assert_eq!(added.map(|()| made.0.len()), expected, "{made:?}");
        }
    }

    #[test]
    fn what_is_kept_is_read() {
        let made = Made(vec![one("ab", 5, false), one("cd", -5, false)]);
        assert_eq!(Made::decode(&made.encode()), made);
        assert_eq!(Made::decode(b"\xff\nab\nab x\n"), Made::default());
    }
}
