//! A certificate authority for development: made once in a folder, with a certificate for each virtual host.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::config::Certificate;
use crate::tls::TlsError;

const DAY: Duration = Duration::from_secs(86_400);
const CA_DAYS: u32 = 3_650;
/// The longest that common clients accept of a certificate.
const CERTIFICATE_DAYS: u32 = 820;
/// What ends sooner than this is made anew.
const RENEW_DAYS: u32 = 30;

/// What [`dev_ca`] made or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Development {
    /// The CA's certificate in PEM, for clients to trust.
    pub authority: PathBuf,
    /// A certificate for each domain, in the order asked for.
    pub certificates: Vec<Certificate>,
}

/// Makes a development CA in `folder` (mode 0700, keys 0600) and a certificate for each of `domains` and its subdomains.
/// What is there already and lasts long enough is kept.
///
/// # Errors
/// When a file cannot be read or written, or holds something else.
pub fn dev_ca(folder: &Path, domains: &[String], now: SystemTime) -> Result<Development, TlsError> {
    let build = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    build.map_err(|source| TlsError::File {
        path: folder.to_owned(),
        source,
    })?;
    let authority = Authority::open(folder, now)?;
    let certificates = domains
        .iter()
        .map(|domain| authority.certificate(folder, domain, now))
        .collect::<Result<_, _>>()?;
    Ok(Development {
        authority: folder.join("ca.pem"),
        certificates,
    })
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Whether it was made just now, so that what an older one signed is void.
    fresh: bool,
}

impl Authority {
    fn open(folder: &Path, now: SystemTime) -> Result<Self, TlsError> {
        let (certificate, key_file) = (folder.join("ca.pem"), folder.join("ca.key"));
        if let Some(key) = kept(&certificate, &key_file, now) {
            return Ok(Self {
                issuer: Issuer::new(authority_params(now), key),
                fresh: false,
            });
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = authority_params(now);
        write(&key_file, &key.serialize_pem(), 0o600)?;
        write(&certificate, &params.self_signed(&key)?.pem(), 0o644)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            fresh: true,
        })
    }

    fn certificate(&self, folder: &Path, domain: &str, now: SystemTime) -> Result<Certificate, TlsError> {
        let host = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_ascii_lowercase());
        let name = file_name(&host);
        let files = Certificate {
            chain: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
            hosts: Default::default(),
        };
        if !self.fresh && kept(&files.chain, &files.key, now).is_some() {
            return Ok(files);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = host_params(&host, now)?.signed_by(&key, &self.issuer)?;
        write(&files.key, &key.serialize_pem(), 0o600)?;
        write(&files.chain, &certificate.pem(), 0o644)?;
        Ok(files)
    }
}

/// The same for every run: the issuer's name and key are all that a signature needs.
fn authority_params(now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Dunlin development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params, now, CA_DAYS);
    params
}

fn host_params(host: &str, now: SystemTime) -> Result<CertificateParams, TlsError> {
    let mut names = vec![host.to_owned()];
    if host.parse::<std::net::IpAddr>().is_err() {
        names.push(format!("*.{host}"));
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, host);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    validity(&mut params, now, CERTIFICATE_DAYS);
    Ok(params)
}

/// From yesterday (clocks differ) for `days`.
fn validity(params: &mut CertificateParams, now: SystemTime, days: u32) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = epoch + since.saturating_sub(DAY);
    params.not_after = epoch + since + DAY * days;
}

/// The key in a file, if the certificate in the other is for it (a crash may have come between the two) and does not end
/// soon.
fn kept(certificate: &Path, key: &Path, now: SystemTime) -> Option<KeyPair> {
    let key = KeyPair::from_pem(&fs::read_to_string(key).ok()?).ok()?;
    let der = CertificateDer::from_pem_file(certificate).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let end = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    let until = now.duration_since(UNIX_EPOCH).unwrap_or_default() + DAY * RENEW_DAYS;
    let ours = certificate.public_key().subject_public_key.data == key.public_key_raw();
    (ours && end > until.as_secs()).then_some(key)
}

/// A domain cannot name a file outside the folder, whatever stands in it, nor the CA's own.
fn file_name(host: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
            c
        } else {
            '_'
        }
    };
    let name: String = host.chars().map(safe).collect();
    if name == "ca" { "ca_".to_owned() } else { name }
}

/// Writes beside and renames, so that nobody reads half a file.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let beside = path.with_extension("new");
    let attempt = || {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    attempt().map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config;
    use crate::tls::Tls;

    #[test]
    fn it_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let domains = ["capulet.example".to_owned(), "münchen.example".to_owned()];
        let now = SystemTime::now();
        let first = dev_ca(folder.path(), &domains, now).unwrap();
        let content = |made: &Development| fs::read(&made.certificates[1].chain).unwrap();
        let before = content(&first);
        let again = dev_ca(folder.path(), &domains, now).unwrap();
        assert_eq!((&again, content(&again)), (&first, before));
        assert!(first.certificates[1].chain.ends_with("xn--mnchen-3ya.example.pem"));
    }

    #[test]
    fn keys_are_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let made = dev_ca(folder.path(), &["capulet.example".to_owned()], SystemTime::now()).unwrap();
        for key in [folder.path().join("ca.key"), made.certificates[0].key.clone()] {
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_ends_soon_is_made_anew_and_still_loads() {
        let folder = tempfile::tempdir().unwrap();
        let domains = ["capulet.example".to_owned()];
        let now = SystemTime::now();
        let first = dev_ca(folder.path(), &domains, now - DAY * 800).unwrap();
        let before = fs::read(&first.certificates[0].chain).unwrap();
        let made = dev_ca(folder.path(), &domains, now).unwrap();
        assert_ne!(before, fs::read(&made.certificates[0].chain).unwrap());
        let tls = config::Tls {
            certificates: made.certificates,
            ..config::Tls::default()
        };
        assert!(Tls::load(&tls).is_ok());
    }

    #[test]
    fn halves_of_different_pairs_are_not_kept() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let domains = ["capulet.example".to_owned()];
        let now = SystemTime::now();
        for name in ["ca.key", "capulet.example.key"] {
            let made = dev_ca(folder.path(), &domains, now).unwrap();
            dev_ca(other.path(), &domains, now).unwrap();
            fs::copy(other.path().join(name), folder.path().join(name)).unwrap();
            let before = fs::read(&made.certificates[0].chain).unwrap();
            let made = dev_ca(folder.path(), &domains, now).unwrap();
            assert_ne!(before, fs::read(&made.certificates[0].chain).unwrap(), "{name}");
            let tls = config::Tls {
                certificates: made.certificates,
                ..config::Tls::default()
            };
            assert!(Tls::load(&tls).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_domain_names_no_file_elsewhere() {
        for (host, name) in [
            ("../etc/passwd", ".._etc_passwd"),
            ("ca", "ca_"),
            ("a.example", "a.example"),
        ] {
            assert_eq!(file_name(host), name);
        }
    }
}
