//! What can be wrong with certificate files.

use std::path::PathBuf;

/// Why certificates cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot access {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no valid {what}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A private key is of an unknown kind, or is not the certificate's.
    #[error("the key in {path} does not serve its certificate")]
    Key {
        /// The file with the key.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The configuration names no certificate.
    #[error("no certificate is configured")]
    NoCertificate,
    /// A development certificate cannot be made.
    #[error("cannot make a development certificate")]
    Development(#[from] rcgen::Error),
    /// The cryptographic provider refuses.
    #[error("cannot set up TLS")]
    Provider(#[source] rustls::Error),
}
