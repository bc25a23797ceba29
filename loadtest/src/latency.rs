//! How long things took: a histogram that merges without loss and travels as text.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::de::Error as _;
use serde::ser::Error as _;

/// Latencies in microseconds, exact to three significant digits; anything above an hour counts as an hour.
///
/// Serialised as base64 of the HdrHistogram V2 format, which tools of other languages read too; nothing recorded is the empty string.
#[derive(Clone, Debug, Default)]
pub struct Latency(Option<Histogram<u64>>);

impl Latency {
    /// Counts one thing that took this long.
    pub fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST).min(LONGEST);
        if let Some(histogram) = self.histogram() {
            // Cannot fail below `LONGEST`: the histogram grows as needed.
            let _ = histogram.record(micros);
        }
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Self) {
        if let (Some(own), Some(other)) = (self.histogram(), &other.0) {
            // Cannot fail: both have three digits, and ours grows as needed.
            let _ = own.add(other);
        }
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The time that this share (0 to 1) of all did not exceed; `None` when nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        self.filled()
            .map(|histogram| Duration::from_micros(histogram.value_at_quantile(share)))
    }

    /// The mean; `None` when nothing was counted.
    pub fn mean(&self) -> Option<Duration> {
        self.filled()
            .map(|histogram| Duration::from_secs_f64(histogram.mean() / 1e6))
    }

    /// The longest; `None` when nothing was counted.
    pub fn max(&self) -> Option<Duration> {
        self.filled().map(|histogram| Duration::from_micros(histogram.max()))
    }

    /// The share of all, 0 to 1, that took at most this long.
    pub fn share_within(&self, limit: Duration) -> f64 {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(LONGEST);
        self.filled().map_or(1.0, |histogram| histogram.quantile_below(micros))
    }

    /// The counts between each two neighbours of these limits, which ascend: limit `i` included, limit `i + 1` not.
    pub fn counts(&self, limits: &[Duration]) -> Vec<u64> {
        let mut counts = vec![0u64; limits.len().saturating_sub(1)];
        for step in self.0.iter().flat_map(|histogram| histogram.iter_recorded()) {
            let value = Duration::from_micros(step.value_iterated_to());
            let above = limits.partition_point(|limit| *limit <= value);
            if let Some(count) = above.checked_sub(1).and_then(|index| counts.get_mut(index)) {
                *count = count.saturating_add(step.count_at_value());
            }
        }
        counts
    }

    /// Forgets what was counted and gives it to the caller.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    fn filled(&self) -> Option<&Histogram<u64>> {
        self.0.as_ref().filter(|histogram| !histogram.is_empty())
    }

    fn histogram(&mut self) -> Option<&mut Histogram<u64>> {
        if self.0.is_none() {
            // Three digits are always possible: this is never an error.
            self.0 = Histogram::new(DIGITS).ok();
        }
        self.0.as_mut()
    }
}

impl PartialEq for Latency {
    fn eq(&self, other: &Self) -> bool {
        self.filled() == other.filled()
    }
}

impl serde::Serialize for Latency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        if let Some(histogram) = self.filled() {
            V2Serializer::new()
                .serialize(histogram, &mut bytes)
                .map_err(|error| S::Error::custom(format!("histogram not written: {error:?}")))?;
        }
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> serde::Deserialize<'de> for Latency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        is_sound(&bytes).map_err(D::Error::custom)?;
        let mut histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| D::Error::custom(format!("histogram not read: {error}")))?;
        histogram.auto(true);
        Ok(Self(Some(histogram)))
    }
}

const DIGITS: u8 = 3;

/// One hour in microseconds.
const LONGEST: u64 = 3_600_000_000;

/// The uncompressed V2 format; the compressed one may grow without bound when it is read.
const COOKIE: [u8; 4] = [0x1c, 0x84, 0x93, 0x13];

/// Cookie, payload length, offset, digits, lowest, highest, ratio.
const HEADER: usize = 40;

/// Checks what the reader would allocate by: a file may come from anywhere.
fn is_sound(bytes: &[u8]) -> Result<(), &'static str> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4).and_then(|word| <[u8; 4]>::try_from(word).ok());
        word.map(u32::from_be_bytes)
    };
    let long = |at: usize| {
        let long = bytes.get(at..at + 8).and_then(|long| <[u8; 8]>::try_from(long).ok());
        long.map(u64::from_be_bytes)
    };
    if !bytes.starts_with(&COOKIE) {
        return Err("this is not a histogram in the V2 format");
    }
    if word(4).map(|length| length as usize) != bytes.len().checked_sub(HEADER) {
        return Err("the histogram has another length than it says");
    }
    if word(12) != Some(u32::from(DIGITS)) {
        return Err("the histogram has not three significant digits");
    }
    // Growing doubles the range at most, hence the factor.
    if long(16) != Some(1) || long(24).is_none_or(|highest| highest > 2 * LONGEST) {
        return Err("the histogram has not the range of one hour in microseconds");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: &[u64]) -> Latency {
        let mut latency = Latency::default();
        micros
            .iter()
            .for_each(|micros| latency.record(Duration::from_micros(*micros)));
        latency
    }

    fn read(text: &str) -> Result<Latency, String> {
        serde_json::from_value(serde_json::Value::String(text.into())).map_err(|error| error.to_string())
    }

    fn written(latency: &Latency) -> String {
        let value = serde_json::to_value(latency).expect("written");
        value.as_str().expect("a string").to_owned()
    }

    #[test]
    fn merged_is_the_same_as_recorded_together_on_any_path() {
        let (few, many) = (
            [0, 1, 999, 1000],
            [7, 1_000_000, 59_999_999, 3_600_000_000, u64::MAX / 2],
        );
        let together = of(&[few.as_slice(), &many].concat());
        let mut merged = of(&few);
        merged.merge(&read(&written(&of(&many))).expect("read"));
        assert_eq!(merged, together);
        assert_eq!(read(&written(&merged)).expect("read"), together);
        let mut other_way = Latency::default();
        other_way.merge(&of(&many));
        other_way.merge(&of(&few));
        assert_eq!(other_way, together);
        assert_eq!(together.count(), 9);
        assert!(together.max() >= Some(Duration::from_secs(3600)));
    }

    #[test]
    fn nothing_recorded_has_no_quantiles_and_is_an_empty_text() {
        let mut empty = Latency::default();
        assert_eq!((empty.quantile(0.5), empty.mean(), empty.max()), (None, None, None));
        assert_eq!(written(&empty), "");
        empty.merge(&Latency::default());
        assert_eq!(read("").expect("read"), empty);
    }

    #[test]
    fn quantiles_shares_and_counts() {
        let hundred = of(&(1..=100).map(|number| number * 1000).collect::<Vec<_>>());
        let close = |found: Option<Duration>, millis: f64| {
            (found.expect("counted").as_secs_f64() * 1000.0 - millis).abs() < 0.2
        };
        assert!(close(hundred.quantile(0.5), 50.0));
        assert!(close(hundred.quantile(0.99), 99.0));
        assert!(close(hundred.mean(), 50.5));
        assert!((hundred.share_within(Duration::from_micros(25_100)) - 0.25).abs() < 0.001);
        let limits = [0, 11, 51, 1000].map(Duration::from_millis);
        assert_eq!(hundred.counts(&limits), [10, 40, 50]);
    }

    #[test]
    fn counts_beyond_all_bounds_are_borne() {
        let mut histogram = Histogram::<u64>::new(DIGITS).expect("three digits");
        histogram.record_n(5, u64::MAX / 2).expect("recorded");
        histogram.record_n(90_000, u64::MAX / 2).expect("recorded");
        let huge = read(&written(&Latency(Some(histogram)))).expect("read");
        let mut sum = Latency::default();
        (0..3).for_each(|_| sum.merge(&huge));
        assert_eq!(sum.counts(&[Duration::ZERO, Duration::from_secs(1)]), [u64::MAX]);
        assert!(sum.quantile(0.5).is_some() && sum.mean().is_some() && sum.count() > 0);
    }

    #[test]
    fn what_is_not_a_histogram_of_ours_is_refused_before_memory_is_taken() {
        let sound = STANDARD.decode(written(&of(&[5, 70_000]))).expect("base64");
        let changed = |at: usize, value: u8| {
            let mut bytes = sound.clone();
            bytes[at] = value;
            read(&STANDARD.encode(bytes)).expect_err("refused")
        };
        assert!(changed(3, 0x14).contains("V2 format"));
        assert!(changed(4, 0x7f).contains("another length"));
        assert!(changed(15, 5).contains("three significant digits"));
        assert!(changed(24, 0x7f).contains("range"));
        assert!(read("AAAA").expect_err("refused").contains("V2 format"));
        assert!(read("ü").is_err());
    }
}
