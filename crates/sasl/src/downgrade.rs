//! What SCRAM's first message says of the connection, so that nobody in the middle can have shown the client less than was offered
//! (XEP-0474), or have spoken another version of TLS with it (XEP-0515): optional attributes, which the proofs cover.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use stanza::TlsFacts;
use store::HashName;

use crate::hash::digest;

/// What was announced on a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced<'a> {
    /// The mechanisms.
    pub(crate) mechanisms: &'a [String],
    /// The channel-binding types (XEP-0440); none when nothing was said of them.
    pub(crate) bindings: &'a [String],
    pub(crate) tls: Option<&'a TlsFacts>,
}

impl Announced<'_> {
    /// The attributes, each after a comma.
    pub(crate) fn attributes(&self, hash: HashName) -> String {
        let lists = STANDARD.encode(digest(hash, self.lists().as_bytes()));
        let version = self.tls.and_then(|tls| number(&tls.version));
        let version = version.map(|version| format!(",t={version}")).unwrap_or_default();
        format!(",h={lists}{version}")
    }

    /// XEP-0474, "Server Sends Downgrade Protection Hash".
    fn lists(&self) -> String {
        let sorted = |names: &[String]| {
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            names.sort_unstable();
            names.join("\x1e")
        };
        let mechanisms = sorted(self.mechanisms);
        match self.bindings {
            [] => mechanisms,
            bindings => format!("{mechanisms}\x1f{}", sorted(bindings)),
        }
    }
}

/// XEP-0515, "Server Sends TLS Version As Hex".
fn number(version: &str) -> Option<&'static str> {
    match version {
        "TLSv1.3" => Some("0304"),
        "TLSv1.2" => Some("0303"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of both specifications.
    #[test]
    fn the_lists_are_sorted_and_hashed() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mechanisms = names(&["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"]);
        let bindings = names(&["tls-server-end-point", "tls-exporter"]);
        let tls = TlsFacts {
            version: "TLSv1.3".into(),
            ..TlsFacts::default()
        };
        let announced = Announced {
            mechanisms: &mechanisms,
            bindings: &bindings,
            tls: Some(&tls),
        };
        assert_eq!(
            announced.lists(),
            "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point"
        );
        assert_eq!(
            announced.attributes(HashName::Sha1),
            ",h=G6k/rBLDqgOhRRaCuuatSDFkJ08=,t=0304"
        );
        let plain = Announced {
            bindings: &[],
            tls: None,
            ..announced
        };
        assert_eq!(plain.lists(), "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS");
        assert!(!plain.attributes(HashName::Sha1).contains(",t="));
    }
}
