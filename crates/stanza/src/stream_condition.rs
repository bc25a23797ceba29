//! Stream errors (RFC 6120, 4.9).

use xml::Element;

use crate::managed::TooHigh;
use crate::ns;

/// A stream error condition, in the order of RFC 6120, 4.9.3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is its section's title in RFC 6120, 4.9.3")]
pub enum StreamCondition {
    BadFormat,
    BadNamespacePrefix,
    Conflict,
    ConnectionTimeout,
    HostGone,
    HostUnknown,
    ImproperAddressing,
    InternalServerError,
    InvalidFrom,
    InvalidNamespace,
    InvalidXml,
    NotAuthorized,
    NotWellFormed,
    PolicyViolation,
    RemoteConnectionFailed,
    Reset,
    ResourceConstraint,
    RestrictedXml,
    /// Where to connect instead: a host with an optional port, an IPv6 address in brackets (RFC 6120, 4.9.3.19).
    SeeOtherHost(String),
    SystemShutdown,
    UndefinedCondition,
    /// More was acknowledged than was sent: `undefined-condition` with the numbers (XEP-0198, 6).
    HandledCountTooHigh(TooHigh),
    UnsupportedEncoding,
    UnsupportedFeature,
    UnsupportedStanzaType,
    UnsupportedVersion,
}

impl StreamCondition {
    /// The element name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BadFormat => "bad-format",
            Self::BadNamespacePrefix => "bad-namespace-prefix",
            Self::Conflict => "conflict",
            Self::ConnectionTimeout => "connection-timeout",
            Self::HostGone => "host-gone",
            Self::HostUnknown => "host-unknown",
            Self::ImproperAddressing => "improper-addressing",
            Self::InternalServerError => "internal-server-error",
            Self::InvalidFrom => "invalid-from",
            Self::InvalidNamespace => "invalid-namespace",
            Self::InvalidXml => "invalid-xml",
            Self::NotAuthorized => "not-authorized",
            Self::NotWellFormed => "not-well-formed",
            Self::PolicyViolation => "policy-violation",
            Self::RemoteConnectionFailed => "remote-connection-failed",
            Self::Reset => "reset",
            Self::ResourceConstraint => "resource-constraint",
            Self::RestrictedXml => "restricted-xml",
            Self::SeeOtherHost(_) => "see-other-host",
            Self::SystemShutdown => "system-shutdown",
            Self::UndefinedCondition | Self::HandledCountTooHigh(_) => "undefined-condition",
            Self::UnsupportedEncoding => "unsupported-encoding",
            Self::UnsupportedFeature => "unsupported-feature",
            Self::UnsupportedStanzaType => "unsupported-stanza-type",
            Self::UnsupportedVersion => "unsupported-version",
        }
    }

    /// The `error` element in the streams namespace, without a text.
    pub fn to_element(&self) -> Element {
        let condition = Element::new(ns::STREAM_ERRORS, self.name());
        let condition = match self {
            Self::SeeOtherHost(host) => condition.text(host),
            _ => condition,
        };
        let details = match self {
            Self::HandledCountTooHigh(TooHigh { h, sent }) => Some(
                Element::new(ns::STREAM_MANAGEMENT, "handled-count-too-high")
                    .with("h", h.to_string())
                    .with("send-count", sent.to_string()),
            ),
            _ => None,
        };
        Element::new(ns::STREAMS, "error").push(condition).extend(details)
    }

    /// The `error` element in the streams namespace, with an English text (RFC 6120, 4.9.2).
    pub fn to_element_with_text(&self, text: impl Into<String>) -> Element {
        self.to_element().push(
            Element::new(ns::STREAM_ERRORS, "text")
                .with("xml:lang", "en")
                .text(text),
        )
    }
}

impl From<xml::Error> for StreamCondition {
    /// What a peer is told whose XML was refused (RFC 6120, 4.9.3 and 11).
    fn from(error: xml::Error) -> Self {
        match error {
            xml::Error::NotWellFormed(_) => Self::NotWellFormed,
            xml::Error::Restricted(_) => Self::RestrictedXml,
            xml::Error::Encoding(_) => Self::UnsupportedEncoding,
            xml::Error::Limit(_) => Self::PolicyViolation,
        }
    }
}
