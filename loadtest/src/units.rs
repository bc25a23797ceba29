//! Quantities as people write them: `200/s`, `30s`, `50%`, `100-2000`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often something happens: `200/s`, `2/min`, `5/h`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Times per second.
    pub per_second: f64,
}

/// A length of time: `250ms`, `30s`, `5m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// Some of all: a share such as `50%`, or a number such as `500`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Amount {
    /// Between 0 and 1.
    Share(f64),
    /// So many.
    Count(u32),
}

/// Lengths between two, both included: `300` or `50-2000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sizes {
    /// The least, in bytes.
    pub least: usize,
    /// The most, in bytes.
    pub most: usize,
}

/// A quantity that cannot be read; says how it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct Unreadable {
    text: String,
    wanted: &'static str,
}

/// Longest body, in bytes: what servers take without being set otherwise.
const MOST_BYTES: usize = 60_000;

impl Amount {
    /// How many of `all` that is.
    pub fn of(self, all: u32) -> u32 {
        match self {
            Self::Share(share) => (f64::from(all) * share).round() as u32,
            Self::Count(count) => count.min(all),
        }
    }

    /// What share of `all` that is.
    pub fn share_of(self, all: u32) -> f64 {
        match self {
            Self::Share(share) => share,
            Self::Count(count) => (f64::from(count) / f64::from(all.max(1))).min(1.0),
        }
    }
}

impl FromStr for Rate {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let read = || {
            let (count, unit) = text.split_once('/')?;
            let count: f64 = count.trim().parse().ok()?;
            let seconds = match unit.trim() {
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
            (count.is_finite() && count >= 0.0).then_some(Self {
                per_second: count / seconds,
            })
        };
        read().ok_or_else(|| Unreadable::new(text, "a rate such as `200/s`, `2/min` or `5/h`"))
    }
}

impl FromStr for Span {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let read = || {
            let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let count: f64 = text[..digits].parse().ok()?;
            let seconds = match text[digits..].trim() {
                "ms" => count / 1000.0,
                "s" => count,
                "m" | "min" => count * 60.0,
                "h" => count * 3600.0,
                _ => return None,
            };
            Duration::try_from_secs_f64(seconds).ok().map(Self)
        };
        read().ok_or_else(|| Unreadable::new(text, "a time such as `250ms`, `30s`, `5m` or `1h`"))
    }
}

impl FromStr for Amount {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let share = |percent: &str| {
            let percent: f64 = percent.trim().parse().ok()?;
            (0.0..=100.0).contains(&percent).then_some(Self::Share(percent / 100.0))
        };
        let read = match text.strip_suffix('%') {
            Some(percent) => share(percent),
            None => text.parse().ok().map(Self::Count),
        };
        read.ok_or_else(|| Unreadable::new(text, "a share such as `50%` or a number such as `500`"))
    }
}

impl FromStr for Sizes {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let read = || {
            let (least, most) = text.split_once('-').unwrap_or((text, text));
            let (least, most) = (least.trim().parse().ok()?, most.trim().parse().ok()?);
            (least <= most && most <= MOST_BYTES).then_some(Self { least, most })
        };
        read().ok_or_else(|| Unreadable::new(text, "a length in bytes such as `300` or `50-2000`, at most 60000"))
    }
}

impl Unreadable {
    fn new(text: &str, wanted: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            wanted,
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per_second {
            rate if rate == 0.0 || rate >= 1.0 => write!(f, "{rate}/s"),
            rate if rate * 60.0 >= 1.0 => write!(f, "{}/min", rate * 60.0),
            rate => write!(f, "{}/h", rate * 3600.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1000 != 0 => write!(f, "{ms}ms"),
            ms if ms == 0 || ms % 60_000 != 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{}m", ms / 60_000),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{}%", share * 100.0),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.least == self.most {
            true => write!(f, "{}", self.most),
            false => write!(f, "{}-{}", self.least, self.most),
        }
    }
}

/// Scenarios have quantities as texts.
macro_rules! written_as_text {
    ($($quantity:ty),*) => {$(
        impl TryFrom<String> for $quantity {
            type Error = Unreadable;

            fn try_from(text: String) -> Result<Self, Unreadable> {
                text.parse()
            }
        }

        impl From<$quantity> for String {
            fn from(quantity: $quantity) -> Self {
                quantity.to_string()
            }
        }
    )*};
}

written_as_text!(Rate, Span, Amount, Sizes);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = Unreadable> + fmt::Display>(table: &[(&str, &str)]) {
        for (text, expected) in table {
            let read = text.parse::<T>().map(|value| value.to_string());
            assert_eq!(read.unwrap_or_else(|error| error.to_string()), *expected, "{text}");
        }
    }

    #[test]
    fn rates() {
        let wrong = |text: &str| format!("`{text}` is not a rate such as `200/s`, `2/min` or `5/h`");
        let (a, b) = (wrong("200"), wrong("-1/s"));
        check::<Rate>(&[
            ("200/s", "200/s"),
            ("120/min", "2/s"),
            ("30/min", "30/min"),
            ("5/h", "5/h"),
            ("0/s", "0/s"),
            ("200", &a),
            ("-1/s", &b),
        ]);
    }

    #[test]
    fn spans() {
        let wrong = "`5 weeks` is not a time such as `250ms`, `30s`, `5m` or `1h`";
        check::<Span>(&[
            ("250ms", "250ms"),
            ("90s", "90s"),
            ("1.5m", "90s"),
            ("1h", "60m"),
            ("5 weeks", wrong),
        ]);
    }

    #[test]
    fn amounts() {
        let wrong = "`150%` is not a share such as `50%` or a number such as `500`";
        check::<Amount>(&[("50%", "50%"), ("500", "500"), ("150%", wrong)]);
        assert_eq!(Amount::Share(0.5).of(1_001), 501);
        assert_eq!(Amount::Count(7).of(5), 5);
    }

    #[test]
    fn sizes() {
        let wrong = "`9-3` is not a length in bytes such as `300` or `50-2000`, at most 60000";
        check::<Sizes>(&[("300", "300"), ("50-2000", "50-2000"), ("9-3", wrong)]);
    }
}
