//! Measured quantities as people read and write them: `312 ms`, `0.1%`, `20us`, `500MB`.

use std::fmt;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Count,
    /// Things per second.
    Rate,
    /// A part of all, 0 to 1.
    Share,
    /// Seconds.
    Time,
}

/// A number and what it counts. Shows itself with three digits that matter and the unit that suits: `1.25 s`, `18.4 MB`, `12,345`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// In seconds, bytes, parts of one, or a plain number.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
}

impl Unit {
    /// A number with this unit.
    pub fn of(self, value: f64) -> Quantity {
        Quantity { value, unit: self }
    }

    /// Reads a number as people write it in this unit: `250ms`, `0.1%`, `500MB`, `1000/s`, `0`. Zero needs no unit.
    pub fn read(self, text: &str) -> Result<f64, String> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let wrong = || format!("`{text}` is not {}", self.wanted());
        let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
        let suffix = text[digits..].trim();
        let factor = self.suffixes().iter().find(|(name, _)| *name == suffix);
        match factor {
            Some((_, factor)) => Ok(number * factor),
            None if number == 0.0 && suffix.is_empty() => Ok(0.0),
            None => Err(wrong()),
        }
    }

    fn suffixes(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Bytes => &[
                ("B", 1.0),
                ("kB", 1e3),
                ("KB", 1e3),
                ("MB", 1e6),
                ("GB", 1e9),
                ("KiB", 1024.0),
                ("MiB", 1_048_576.0),
                ("GiB", 1_073_741_824.0),
            ],
            Self::Count => &[("", 1.0)],
            Self::Rate => &[("/s", 1.0), ("/min", 1.0 / 60.0)],
            Self::Share => &[("%", 0.01)],
            Self::Time => &[
                ("us", 1e-6),
                ("µs", 1e-6),
                ("ms", 1e-3),
                ("s", 1.0),
                ("m", 60.0),
                ("min", 60.0),
            ],
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::Bytes => "a size such as `12kB` or `500MB`",
            Self::Count => "a number such as `0`",
            Self::Rate => "a rate such as `1000/s`",
            Self::Share => "a share such as `0.1%`",
            Self::Time => "a time such as `20us`, `250ms` or `2s`",
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        let size = value.abs();
        match self.unit {
            Unit::Count => f.write_str(&digits(value)),
            Unit::Rate => write!(f, "{}/s", digits(value)),
            Unit::Share => write!(f, "{} %", digits(value * 100.0)),
            Unit::Time if size < 1e-3 => write!(f, "{} µs", digits(value * 1e6)),
            Unit::Time if size < 1.0 => write!(f, "{} ms", digits(value * 1e3)),
            Unit::Time if size < 600.0 => write!(f, "{} s", digits(value)),
            Unit::Time => write!(f, "{} min", digits(value / 60.0)),
            Unit::Bytes if size < 1e3 => write!(f, "{} B", digits(value)),
            Unit::Bytes if size < 1e6 => write!(f, "{} kB", digits(value / 1e3)),
            Unit::Bytes if size < 1e9 => write!(f, "{} MB", digits(value / 1e6)),
            Unit::Bytes => write!(f, "{} GB", digits(value / 1e9)),
        }
    }
}

/// Three digits that matter, or all of those before the point with commas between the thousands: `0.0123`, `1.25`, `12,345`.
pub fn digits(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size == 0.0 || size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ if size >= 0.09995 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    if decimals > 0 {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let start = usize::from(text.starts_with('-'));
    let mut grouped = text[..start].to_owned();
    for (index, digit) in text[start..].chars().enumerate() {
        let left = text.len() - start - index;
        if index > 0 && left % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_with_the_unit_that_suits() {
        let table = [
            (Unit::Time.of(0.0), "0 µs"),
            (Unit::Time.of(0.000_085), "85 µs"),
            (Unit::Time.of(0.312_4), "312 ms"),
            (Unit::Time.of(0.001_25), "1.25 ms"),
            (Unit::Time.of(61.0), "61 s"),
            (Unit::Time.of(3600.0), "60 min"),
            (Unit::Bytes.of(512.0), "512 B"),
            (Unit::Bytes.of(18_432.0), "18.4 kB"),
            (Unit::Bytes.of(2.5e9), "2.5 GB"),
            (Unit::Share.of(0.001), "0.1 %"),
            (Unit::Share.of(1.0), "100 %"),
            (Unit::Rate.of(1_234_567.0), "1,234,567/s"),
            (Unit::Count.of(-1000.0), "-1,000"),
            (Unit::Count.of(0.0), "0"),
        ];
        for (quantity, expected) in table {
            assert_eq!(quantity.to_string(), expected);
        }
    }

    #[test]
    fn read_in_the_unit_that_is_wanted() {
        let table = [
            (Unit::Time, "250ms", Ok(0.25)),
            (Unit::Time, "20 µs", Ok(0.000_02)),
            (Unit::Time, "0", Ok(0.0)),
            (Unit::Bytes, "12kB", Ok(12_000.0)),
            (Unit::Bytes, "1KiB", Ok(1024.0)),
            (Unit::Share, "0.5%", Ok(0.005)),
            (Unit::Rate, "1000/s", Ok(1000.0)),
            (Unit::Count, "3", Ok(3.0)),
            (
                Unit::Time,
                "250",
                Err("`250` is not a time such as `20us`, `250ms` or `2s`"),
            ),
            (Unit::Share, "0.5", Err("`0.5` is not a share such as `0.1%`")),
            (Unit::Count, "1%", Err("`1%` is not a number such as `0`")),
            (Unit::Bytes, "x", Err("`x` is not a size such as `12kB` or `500MB`")),
            (
                Unit::Time,
                "1.2.3s",
                Err("`1.2.3s` is not a time such as `20us`, `250ms` or `2s`"),
            ),
        ];
        for (unit, text, expected) in table {
            let close = |value: f64| (value * 1e9).round() / 1e9;
            assert_eq!(unit.read(text).map(close), expected.map_err(str::to_owned), "{text}");
        }
    }
}
