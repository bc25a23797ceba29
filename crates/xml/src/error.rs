//! Why XML was refused.

/// Why a byte sequence was refused. The stream machine maps each to a stream error (RFC 6120, 4.9.3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not well-formed, or not namespace-well-formed (`not-well-formed`).
    #[error("not well-formed: {0}")]
    NotWellFormed(&'static str),
    /// Comment, processing instruction, DTD or foreign entity (RFC 6120, 11.1; `restricted-xml`).
    #[error("restricted XML: {0}")]
    Restricted(&'static str),
    /// An encoding other than UTF-8 was declared or the bytes are not UTF-8 (`unsupported-encoding` or `not-well-formed`).
    #[error("unsupported encoding: {0}")]
    Encoding(&'static str),
    /// A limit of [`crate::Limits`] was reached (`policy-violation`).
    #[error("limit reached: {0}")]
    Limit(&'static str),
}
