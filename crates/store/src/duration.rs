//! Durations in configurations: a whole number and a unit, such as `250ms`, `2s`, `5m`, `1h` or `7d`. For
//! `#[serde(with = "store::duration")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Reads a duration.
///
/// # Errors
/// When the text is not a whole number followed by `ms`, `s`, `m`, `h` or `d`.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text)
        .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &"a duration such as \"250ms\" or \"2s\""))
}

/// Writes a duration so that [`deserialize`] reads it, to the millisecond.
///
/// # Errors
/// When the serializer has one.
pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(*duration))
}

/// For a setting that may be left out: `#[serde(with = "store::duration::optional")]`.
pub mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Given(#[serde(with = "super")] Duration);

    /// Reads a duration, or none.
    ///
    /// # Errors
    /// As [`super::deserialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Given>::deserialize(from)?.map(|Given(duration)| duration))
    }

    /// Writes what [`deserialize`] reads.
    ///
    /// # Errors
    /// When the serializer has one.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, to),
            None => to.serialize_none(),
        }
    }
}

/// The duration a text names, if it names one.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let milliseconds = UNITS.iter().find(|(unit, _)| *unit == &text[digits..])?.1;
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// The text that names a duration, in the largest unit that needs no fraction; what is below a millisecond is left out.
pub fn text(duration: Duration) -> String {
    let all = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, size): &&(&str, u64)| all > 0 && all.is_multiple_of(*size);
    let (unit, size) = UNITS.iter().rev().find(fits).unwrap_or(&UNITS[1]);
    format!("{}{unit}", all / size)
}

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_odd() {
        for (written, milliseconds) in [
            ("0s", 0),
            ("250ms", 250),
            ("2s", 2_000),
            ("90s", 90_000),
            ("5m", 300_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse(written), Some(Duration::from_millis(milliseconds)));
            assert_eq!(text(Duration::from_millis(milliseconds)), written);
        }
        for odd in [
            "",
            "2",
            "s",
            "-1s",
            "1.5s",
            "2 s",
            "2S",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
