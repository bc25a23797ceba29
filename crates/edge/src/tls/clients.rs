//! Client certificates (XEP-0178): asked for, checked after the handshake, and never a reason to fail it unless demanded.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::der::parse_der;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::certificate::read_chain;
use super::error::TlsError;
use crate::config;

/// `id-on-xmppAddr` (RFC 6120, 13.7.1.4).
const XMPP_ADDR: &str = "1.3.6.1.5.5.7.8.5";

/// The CAs that vouch for client certificates.
pub(super) struct Clients {
    strict: Arc<dyn ClientCertVerifier>,
    required: bool,
}

/// Lets a handshake go on whatever the certificate; the proof that the client has its key is still demanded.
#[derive(Debug)]
struct Lenient(Arc<dyn ClientCertVerifier>);

impl Clients {
    /// Reads the CA files.
    pub(super) fn load(config: &config::ClientAuthority, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for path in &config.authorities {
            let invalid = |_| TlsError::Content {
                path: path.clone(),
                what: "CA certificate",
            };
            read_chain(path)?
                .into_iter()
                .try_for_each(|ca| roots.add(ca).map_err(invalid))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let strict = builder
            .build()
            .map_err(|error| TlsError::Provider(Error::General(error.to_string())))?;
        Ok(Self {
            strict,
            required: config.required,
        })
    }

    /// What rustls asks during the handshake.
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        if self.required {
            self.strict.clone()
        } else {
            Arc::new(Lenient(self.strict.clone()))
        }
    }

    /// The XMPP addresses in `chain`'s first certificate, if a CA vouches for it now.
    pub(super) fn addresses(&self, chain: &[CertificateDer<'_>]) -> Vec<String> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Vec::new();
        };
        match self.strict.verify_client_cert(leaf, intermediates, UnixTime::now()) {
            Ok(_) => xmpp_addresses(leaf),
            Err(error) => {
                tracing::debug!(%error, "client certificate is not valid");
                Vec::new()
            }
        }
    }
}

fn xmpp_addresses(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    names.value.general_names.iter().filter_map(xmpp_address).collect()
}

/// An `otherName` holds `[0] EXPLICIT UTF8String`.
fn xmpp_address(name: &GeneralName<'_>) -> Option<String> {
    let GeneralName::OtherName(oid, value) = name else {
        return None;
    };
    if oid.to_id_string() != XMPP_ADDR {
        return None;
    }
    let (_, tagged) = parse_der(value).ok()?;
    let inner = tagged.as_slice().ok()?;
    let (_, text) = parse_der(inner).ok()?;
    text.as_str().ok().map(str::to_owned)
}

impl ClientCertVerifier for Lenient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
