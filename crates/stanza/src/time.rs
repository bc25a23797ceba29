//! Wall-clock time as XMPP writes it (XEP-0082).

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// As an XEP-0082 DateTime with millisecond fraction, such as `2026-11-23T23:34:00.123Z`.
    pub fn to_xmpp(self) -> String {
        let instant = jiff::Timestamp::from_microsecond(self.0).unwrap_or_default();
        instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
    }

    /// Reads an XEP-0082 DateTime.
    pub fn from_xmpp(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .map(|instant| Self(instant.as_microsecond()))
    }

    /// Whole seconds from `earlier` to this, at least 0.
    pub fn seconds_since(self, earlier: Self) -> u64 {
        u64::try_from((self.0 - earlier.0) / 1_000_000).unwrap_or(0)
    }
}
