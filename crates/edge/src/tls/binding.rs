//! Channel bindings: `tls-exporter` (RFC 9266) and `tls-server-end-point` (RFC 5929, 4).

use aws_lc_rs::digest::{self, Algorithm};
use rustls::ServerConnection;
use x509_parser::certificate::X509Certificate;
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::AlgorithmIdentifier;

/// `tls-exporter` (RFC 9266, 2): 32 bytes of keying material, without a context.
pub(super) fn exporter(connection: &ServerConnection) -> Option<[u8; 32]> {
    connection
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None)
        .ok()
}

/// `tls-server-end-point`: the hash of the certificate by the hash of its signature; `None` where that is not defined
/// (a signature without a single hash, such as Ed25519).
pub(super) fn end_point(certificate: &X509Certificate<'_>, der: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_hash(&certificate.signature_algorithm)?;
    Some(digest::digest(algorithm, der).as_ref().to_vec())
}

fn signature_hash(signature: &AlgorithmIdentifier<'_>) -> Option<&'static Algorithm> {
    if let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(signature) {
        return hash(&parameters.hash_algorithm_oid().to_id_string());
    }
    hash(&signature.algorithm.to_id_string())
}

/// MD5 and SHA-1 count as SHA-256 (RFC 5929, 4.1).
fn hash(oid: &str) -> Option<&'static Algorithm> {
    match oid {
        // md5, sha1 and sha256 with RSA; ecdsa with SHA1 and SHA256; dsa with SHA1 and SHA256; MD5, SHA-1, SHA-256 themselves
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2"
        | "1.2.840.10040.4.3"
        | "2.16.840.1.101.3.4.3.2"
        | "1.2.840.113549.2.5"
        | "1.3.14.3.2.26"
        | "2.16.840.1.101.3.4.2.1" => Some(&digest::SHA256),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" | "2.16.840.1.101.3.4.2.4" => Some(&digest::SHA224),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" | "2.16.840.1.101.3.4.2.2" => Some(&digest::SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" | "2.16.840.1.101.3.4.2.3" => Some(&digest::SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_follows_the_signature() {
        for (oid, bits) in [
            ("1.2.840.113549.1.1.4", Some(256)),
            ("1.2.840.113549.1.1.5", Some(256)),
            ("1.2.840.113549.1.1.11", Some(256)),
            ("1.2.840.113549.1.1.12", Some(384)),
            ("1.2.840.113549.1.1.13", Some(512)),
            ("1.2.840.10045.4.3.2", Some(256)),
            ("1.2.840.10045.4.3.3", Some(384)),
            ("1.3.101.112", None),
        ] {
            assert_eq!(hash(oid).map(|algorithm| algorithm.output_len() * 8), bits, "{oid}");
        }
    }
}
