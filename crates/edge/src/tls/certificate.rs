//! One certificate chain with its key, read and checked.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::binding;
use super::error::TlsError;
use crate::config;

/// A certificate ready to be served.
pub(super) struct Leaf {
    key: Arc<CertifiedKey>,
    hosts: BTreeSet<String>,
    end_point: Option<Vec<u8>>,
    expires: i64,
}

impl Leaf {
    /// Reads a chain and its key.
    pub(super) fn load(file: &config::Certificate, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let chain = read_chain(&file.chain)?;
        let pem = read(&file.key)?;
        let content = |what| {
            move |path: &Path| TlsError::Content {
                path: path.to_owned(),
                what,
            }
        };
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| content("private key")(&file.key))?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Key {
            path: file.key.clone(),
            source,
        })?;
        let der = certified
            .end_entity_cert()
            .map_err(|_| content("certificate")(&file.chain))?;
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| content("certificate")(&file.chain))?;
        let hosts = if file.hosts.is_empty() {
            dns_names(&parsed)
        } else {
            file.hosts.iter().map(|h| ascii(h)).collect()
        };
        let end_point = binding::end_point(&parsed, der);
        let expires = parsed.validity().not_after.timestamp();
        Ok(Self {
            hosts,
            end_point,
            expires,
            key: Arc::new(certified),
        })
    }

    /// Whether it is meant for `host` (lower case): by name, or by a wildcard for one label (RFC 6125, 6.4.3).
    pub(super) fn is_for(&self, host: &str) -> bool {
        let wildcard = || {
            host.split_once('.')
                .is_some_and(|(_, parent)| self.hosts.contains(&format!("*.{parent}")))
        };
        self.hosts.contains(host) || wildcard()
    }

    /// Whether its key can sign by one of `schemes`.
    pub(super) fn suits(&self, schemes: &[SignatureScheme]) -> bool {
        self.key.key.choose_scheme(schemes).is_some()
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &String> {
        self.hosts.iter()
    }

    pub(super) fn der(&self) -> &[u8] {
        self.key.cert.first().map_or(&[], |der| der)
    }

    pub(super) fn end_point(&self) -> Option<&[u8]> {
        self.end_point.as_deref()
    }

    pub(super) fn expires(&self) -> i64 {
        self.expires
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::new(SingleCertAndKey::from(self.key.clone()))
    }
}

/// All certificates of a PEM file; at least one.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let invalid = || TlsError::Content {
        path: path.to_owned(),
        what: "certificate",
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| invalid())?;
    if chain.is_empty() { Err(invalid()) } else { Ok(chain) }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

fn dns_names(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(dns).collect()
}

/// A host as it stands in SNI.
fn ascii(host: &str) -> String {
    idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_ascii_lowercase())
}
