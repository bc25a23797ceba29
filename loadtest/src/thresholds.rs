//! Thresholds: lines such as `p99(message) < 250ms` that say when a run has failed, and perhaps that it ends then.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::measure::Measure;
use crate::quantity::Quantity;
use crate::results::{Results, Verdict};
use crate::units::Span;

/// One line: a measure (see [`crate::measure`]), `<`, `<=`, `==`, `>=` or `>`, and a limit with its unit. A scenario has the line alone, or in a
/// table with `abort_after`.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    measure: Measure,
    comparison: Comparison,
    limit: Quantity,
    text: String,
    /// The run ends when it is missed, but is given so long before.
    abort_after: Option<Span>,
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

    /// Whether the run, which has gone on until `now` (seconds), is to end: the threshold says so, is missed, and its time of grace is over. That
    /// begins with the phase that is measured, if it is one, else with the run. What cannot be measured yet is not missed.
    fn aborts(&self, results: &Results, now: f64) -> bool {
        let Some(Span(grace)) = self.abort_after else {
            return false;
        };
        let span = self.measure.phase().and_then(|phase| results.phase(phase));
        let is_over = now - span.map_or(0.0, |span| span.began) >= grace.as_secs_f64();
        is_over
            && self
                .measure
                .of(results)
                .is_ok_and(|quantity| !self.holds(quantity.value))
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

/// The first threshold that is missed so that the run is to end at `now`, in seconds.
pub fn aborting(thresholds: &[Threshold], results: &Results, now: f64) -> Option<Verdict> {
    let aborting = thresholds.iter().find(|threshold| threshold.aborts(results, now));
    aborting.map(|threshold| threshold.judge(results))
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
            abort_after: None,
        })
    }
}

/// A threshold that ends the run, as a scenario has it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Aborting {
    threshold: String,
    abort_after: Span,
}

impl Serialize for Threshold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let threshold = self.text.clone();
        match self.abort_after {
            None => threshold.serialize(serializer),
            Some(abort_after) => Aborting { threshold, abort_after }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

/// Reads a line, or a table.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Threshold;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a threshold such as \"loss == 0\" or { threshold = \"failed(login) < 5%\", abort_after = \"10s\" }",
        )
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<Threshold, E> {
        line.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Threshold, A::Error> {
        let Aborting { threshold, abort_after } = Aborting::deserialize(MapAccessDeserializer::new(map))?;
        let threshold: Threshold = threshold.parse().map_err(A::Error::custom)?;
        Ok(Threshold {
            abort_after: Some(abort_after),
            ..threshold
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
        f.write_str(&self.text)?;
        match self.abort_after {
            None => Ok(()),
            Some(Span(Duration::ZERO)) => f.write_str(", or the run ends"),
            Some(grace) => write!(f, ", or the run ends (after {grace})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::results::{Operation, Span as Phase};

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

    #[derive(Debug, Deserialize, Serialize)]
    struct Document {
        thresholds: Vec<Threshold>,
    }

    fn read(thresholds: &str) -> Result<Document, toml::de::Error> {
        toml::from_str(&format!("thresholds = [{thresholds}]"))
    }

    #[test]
    fn a_run_ends_when_what_ends_it_is_missed_and_its_grace_is_over() {
        let ends = |threshold: &str, now: f64| {
            let mut results = sample();
            results.phases.push(Phase {
                name: "ramp".into(),
                began: 100.0,
                ended: now,
            });
            aborting(&read(threshold).expect(threshold).thresholds, &results, now).is_some()
        };
        let table = [
            ("'failed(login) == 0%'", 500.0, false),
            ("{ threshold = 'failed(login) == 0%', abort_after = '0s' }", 0.0, true),
            ("{ threshold = 'failed(login) == 0%', abort_after = '10s' }", 9.9, false),
            ("{ threshold = 'failed(login) == 0%', abort_after = '10s' }", 10.0, true),
            (
                "{ threshold = 'failed(login, ramp) == 0%', abort_after = '10s' }",
                109.9,
                false,
            ),
            (
                "{ threshold = 'failed(login, ramp) == 0%', abort_after = '10s' }",
                110.0,
                true,
            ),
            ("{ threshold = 'failed(login) < 1%', abort_after = '0s' }", 500.0, false),
            ("{ threshold = 'p99(message) < 1s', abort_after = '0s' }", 500.0, false),
        ];
        for (threshold, now, expected) in table {
            assert_eq!(ends(threshold, now), expected, "{threshold} at {now}");
        }
        let both = read("'loss == 1', { threshold = 'done(login) == 1000', abort_after = '0s' }");
        let verdict = aborting(&both.expect("read").thresholds, &sample(), 0.0).expect("missed");
        assert_eq!(
            (verdict.threshold.as_str(), verdict.measured.as_str()),
            ("done(login) == 1000", "999")
        );
    }

    #[test]
    fn thresholds_are_written_as_they_are_read() {
        for text in [
            "'loss == 0'",
            "{ threshold = 'loss == 0', abort_after = '10s' }",
            "'loss == 0', { threshold = 'failed(login) < 5%', abort_after = '1m' }",
        ] {
            let document = read(text).expect(text);
            let written = toml::to_string(&document).expect(text);
            let again: Document = toml::from_str(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(again.thresholds, document.thresholds, "{written}");
        }
        let shown = |text| read(text).expect(text).thresholds[0].to_string();
        assert_eq!(shown("'loss  == 0'"), "loss == 0");
        assert_eq!(
            shown("{ threshold = 'loss == 0', abort_after = '10s' }"),
            "loss == 0, or the run ends (after 10s)"
        );
        for (wrong, why) in [
            ("'loss = 0'", "a threshold is a measure"),
            ("{ threshold = 'loss == 0' }", "missing field `abort_after`"),
            (
                "{ threshold = 'loss == 0', abort_after = '1s', x = 1 }",
                "unknown field `x`",
            ),
            ("7", "a threshold such as"),
        ] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(error.contains(why), "{error}");
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
