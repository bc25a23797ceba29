//! Authentication before the features have been seen (XEP-0509): a client that knows our features from before says which it has in
//! mind, and need not wait for them.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use stanza::ns;
use xml::Element;

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "pipelining",
    xeps: &[(509, "0.2.0")],
    summary: "Lets a client that knows the features authenticate before it sees them.",
};

/// How much of the hash is told, in bytes.
const LENGTH: usize = 12;

/// The version of `features`: a hash of them as they are written.
pub(crate) fn version(features: &[Element]) -> String {
    let mut written = Vec::with_capacity(2048);
    features
        .iter()
        .for_each(|feature| feature.write(ns::CLIENT, &mut written));
    STANDARD.encode(&digest(&SHA256, &written).as_ref()[..LENGTH])
}

/// Announced beside the features that it stands for.
pub(crate) fn feature(version: &str) -> Element {
    Element::new(ns::PIPELINING, "config-version")
        .with("scheme", "opaque")
        .with("value", version)
}

/// The version that a client has in mind, if it says so.
pub(crate) fn read(authenticate: &Element) -> Option<String> {
    let version = authenticate.child(ns::PIPELINING, "config-version")?;
    Some(version.attribute("value").unwrap_or_default().to_owned())
}

/// Within a failure: our features are others. Nothing was tried, so nothing has failed.
pub(crate) fn mismatch() -> Element {
    Element::new(ns::PIPELINING, "config-version-mismatch")
}
