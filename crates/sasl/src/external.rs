//! EXTERNAL (RFC 4422, A) by the addresses in a verified client certificate (XEP-0178, 2).

use stanza::{Bare, SaslFailure};

/// The account that a certificate with `addresses` may use at `domain`, being asked for `authzid`.
///
/// # Errors
/// `not-authorized` when the certificate has no address of this domain; `invalid-authzid` when it has another than asked
/// for, or several and none was asked for.
pub(crate) fn account(domain: &str, addresses: &[String], authzid: &str) -> Result<Bare, SaslFailure> {
    let own = |text: &String| {
        Bare::parse(text)
            .ok()
            .filter(|bare| bare.local().is_some() && bare.domain() == domain)
    };
    let mut own: Vec<Bare> = addresses.iter().filter_map(own).collect();
    own.sort();
    own.dedup();
    if own.is_empty() {
        return Err(SaslFailure::NotAuthorized);
    }
    if authzid.is_empty() {
        return if own.len() == 1 {
            Ok(own.remove(0))
        } else {
            Err(SaslFailure::InvalidAuthzid)
        };
    }
    let asked = Bare::parse(authzid).map_err(|_| SaslFailure::InvalidAuthzid)?;
    if own.contains(&asked) {
        Ok(asked)
    } else {
        Err(SaslFailure::InvalidAuthzid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_decides() {
        let cases: &[(&[&str], &str, Result<&str, SaslFailure>)] = &[
            (&["juliet@a.example"], "", Ok("juliet@a.example")),
            (&["Juliet@A.example", "juliet@a.example"], "", Ok("juliet@a.example")),
            (&["juliet@a.example"], "juliet@a.example", Ok("juliet@a.example")),
            (
                &["juliet@a.example"],
                "romeo@a.example",
                Err(SaslFailure::InvalidAuthzid),
            ),
            (&["juliet@a.example"], "@", Err(SaslFailure::InvalidAuthzid)),
            (
                &["juliet@a.example", "romeo@a.example"],
                "",
                Err(SaslFailure::InvalidAuthzid),
            ),
            (
                &["juliet@a.example", "romeo@a.example"],
                "romeo@a.example",
                Ok("romeo@a.example"),
            ),
            (&["juliet@a.example", "juliet@b.example"], "", Ok("juliet@a.example")),
            (&["juliet@b.example"], "", Err(SaslFailure::NotAuthorized)),
            (
                &["juliet@b.example"],
                "juliet@b.example",
                Err(SaslFailure::NotAuthorized),
            ),
            (
                &["a.example", "juliet@a.example/x", "@"],
                "",
                Err(SaslFailure::NotAuthorized),
            ),
            (&[], "juliet@a.example", Err(SaslFailure::NotAuthorized)),
        ];
        for (addresses, authzid, expected) in cases {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let given = account("a.example", &addresses, authzid);
            let expected = expected.map(|text| Bare::parse(text).expect("an address"));
            assert_eq!(given, expected, "{addresses:?} {authzid}");
        }
    }
}
