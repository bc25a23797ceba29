//! Thresholds: lines such as `p99(message) < 250ms` that say when a run has failed.

use std::fmt;
use std::str::FromStr;

use crate::measure::Measure;
use crate::quantity::Quantity;
use crate::results::{Results, Verdict};

/// One line: a measure (see [`crate::measure`]), `<`, `<=`, `==`, `>=` or `>`, and a limit with its unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    measure: Measure,
    comparison: Comparison,
    limit: Quantity,
    text: String,
}

/// How measure and limit must stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Above,
    AtLeast,
    AtMost,
    Below,
    Equal,
}

/// A line that is not a threshold; says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("threshold `{line}`: {reason}")]
pub struct Unreadable {
    line: String,
    reason: String,
}

impl Threshold {
    /// The measure that is limited.
    pub fn measure(&self) -> &Measure {
        &self.measure
    }

    /// Judges a run. What was not measured did not hold: a threshold that checks nothing must not pass.
    pub fn judge(&self, results: &Results) -> Verdict {
        let measured = self.measure.of(results);
        Verdict {
            threshold: self.text.clone(),
            held: measured.as_ref().is_ok_and(|quantity| self.holds(quantity.value)),
            measured: measured.map_or_else(|reason| reason, |quantity| quantity.to_string()),
        }
    }

    fn holds(&self, value: f64) -> bool {
        let limit = self.limit.value;
        match self.comparison {
            Comparison::Above => value > limit,
            Comparison::AtLeast => value >= limit,
            Comparison::AtMost => value <= limit,
            Comparison::Below => value < limit,
            Comparison::Equal => value == limit,
        }
    }
}

/// Judges a run by all thresholds, in their order.
pub fn judge(thresholds: &[Threshold], results: &Results) -> Vec<Verdict> {
    thresholds.iter().map(|threshold| threshold.judge(results)).collect()
}

impl FromStr for Threshold {
    type Err = Unreadable;

    fn from_str(line: &str) -> Result<Self, Unreadable> {
        let unreadable = |reason: String| Unreadable {
            line: line.trim().to_owned(),
            reason,
        };
        let (comparison, at, length) = find(line).ok_or_else(|| {
            unreadable("a threshold is a measure, one of < <= == >= >, and a limit: `p99(message) < 250ms`".into())
        })?;
        let measure: Measure = line[..at].parse().map_err(unreadable)?;
        let value = measure.unit().read(&line[at + length..]).map_err(unreadable)?;
        Ok(Self {
            comparison,
            limit: measure.unit().of(value),
            text: line.split_whitespace().collect::<Vec<_>>().join(" "),
            measure,
        })
    }
}

/// The comparison in a line, where it stands and its length.
fn find(line: &str) -> Option<(Comparison, usize, usize)> {
    let signs = [
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("==", Comparison::Equal),
        ("<", Comparison::Below),
        (">", Comparison::Above),
    ];
    let found = signs
        .into_iter()
        .find_map(|(sign, comparison)| Some((comparison, line.find(sign)?, sign.len())));
    found.filter(|_| line.matches(['<', '>']).count() < 2)
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::results::Operation;

    fn sample() -> Results {
        let mut login = Operation {
            intended: 1000,
            done: 999,
            ..Operation::default()
        };
        login.failed.insert("time-out".into(), 1);
        (0..999).for_each(|_| login.latency.record(Duration::from_millis(250)));
        let operations = BTreeMap::from([("ramp".to_owned(), BTreeMap::from([("login".to_owned(), login)]))]);
        Results {
            operations,
            ..Results::default()
        }
    }

    #[test]
    fn lines_are_judged() {
        let table = [
            ("p99(login) < 300ms", true, "250 ms"),
            ("p99(login)<200ms", false, "250 ms"),
            ("failed(login) <= 0.1%", true, "0.1 %"),
            ("failed(login) < 0.1%", false, "0.1 %"),
            ("done(login) >= 999", true, "999"),
            ("done(login) > 999", false, "999"),
            ("loss == 0", true, "0"),
            ("  loss   ==   1 ", false, "0"),
            ("p99(message) < 1s", false, "no message happened; there are: login"),
        ];
        for (line, held, measured) in table {
            let verdict = line.parse::<Threshold>().expect(line).judge(&sample());
            assert_eq!((verdict.held, verdict.measured.as_str()), (held, measured), "{line}");
            assert_eq!(verdict.threshold, line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let how = "a threshold is a measure, one of < <= == >= >, and a limit: `p99(message) < 250ms`";
        let table = [
            ("loss = 0", how),
            ("p99(message)", how),
            ("1ms < p99(message) < 5ms", how),
            (
                "p99(message) < 250",
                "`250` is not a time such as `20us`, `250ms` or `2s`",
            ),
            ("loss == none", "`none` is not a number such as `0`"),
            ("lag < 5s", "`lag` cannot be measured; there are: p99(OPERATION)"),
        ];
        for (line, reason) in table {
            let error = line.parse::<Threshold>().expect_err(line).to_string();
            assert!(error.starts_with(&format!("threshold `{line}`: {reason}")), "{error}");
        }
    }
}
