//! Certificates for clients: those that are configured, or development certificates made on the spot.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use edge::{Certificate, Tls, TlsConfig};

use crate::config::Config;

/// What clients are to be served with, and the development CA when one was made for it.
pub(crate) struct Certificates {
    /// Settings with every certificate named.
    pub(crate) config: TlsConfig,
    /// The CA's certificate that clients must trust, when the certificates are for development.
    pub(crate) development: Option<PathBuf>,
}

/// Finds the certificates of all virtual hosts. Hosts without one get a development certificate.
///
/// # Errors
/// When one cannot be read or made.
pub(crate) fn certificates(config: &Config) -> Result<Certificates> {
    let mut tls = config.edge.tls.clone();
    let mut bare = Vec::new();
    for (at, host) in config.hosts.iter().enumerate() {
        match (&host.certificate, &host.key) {
            (Some(chain), Some(key)) => {
                let hosts = [host.domain.clone()].into();
                tls.certificates.push(Certificate {
                    chain: chain.clone(),
                    key: key.clone(),
                    hosts,
                });
            }
            (None, None) => bare.push(host.domain.clone()),
            _ => ensure!(false, "hosts[{at}]: certificate and key go together"),
        }
    }
    if bare.is_empty() || !config.edge.tls.certificates.is_empty() {
        return Ok(Certificates {
            config: tls,
            development: None,
        });
    }
    let folder = if tls.development.is_absolute() {
        tls.development.clone()
    } else {
        config.data.join("dev-ca")
    };
    let made = edge::dev_ca(&folder, &bare, SystemTime::now())
        .with_context(|| format!("development CA in {}", folder.display()))?;
    tls.certificates.extend(made.certificates);
    Ok(Certificates {
        config: tls,
        development: Some(made.authority),
    })
}

/// Whether every configured certificate can be read and fits its key. Makes nothing.
///
/// # Errors
/// Names the first that does not.
pub(crate) fn check(config: &Config) -> Result<()> {
    let needs_development = config.hosts.iter().any(|host| host.certificate.is_none());
    if needs_development && config.edge.tls.certificates.is_empty() {
        return Ok(());
    }
    let found = certificates(config)?;
    Tls::load(&found.config).map(drop).context("certificates")
}
