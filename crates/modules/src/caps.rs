//! Entity capabilities of the server (XEP-0115): a hash of its disco information in the stream features, so that clients need
//! not ask again.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{About, At, Disco, Element, Hooks, Module, ns};
use stanza::form::Form;

/// The module.
pub(crate) struct Caps;

impl Module for Caps {
    const ABOUT: About = About {
        name: "caps",
        rfcs: &[],
        xeps: &[(115, "1.6.0")],
        summary: "Announces the server's capabilities as a hash when a stream opens.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.feature(At::Server, ns::CAPS);
        on.stream_feature(|_, disco| {
            let ver = disco.get(&At::Server).map(ver).unwrap_or_default();
            Element::new(ns::CAPS, "c")
                .with("hash", "sha-1")
                .with("node", NODE)
                .with("ver", ver)
        });
    }
}

/// The node under which `disco` is announced (XEP-0115, 6.2).
pub(crate) fn node(disco: &Disco) -> String {
    format!("{NODE}#{}", ver(disco))
}

/// The verification string (XEP-0115, 5.1).
fn ver(disco: &Disco) -> String {
    let mut text = String::new();
    for identity in &disco.identities {
        push(
            &mut text,
            &format!("{}/{}//{}", identity.category, identity.kind, identity.name),
        );
    }
    for feature in &disco.features {
        push(&mut text, feature);
    }
    let mut forms: Vec<Form> = disco.forms.iter().filter_map(Form::read).collect();
    forms.sort_by(|a, b| a.form_type().cmp(&b.form_type()));
    forms.into_iter().for_each(|form| push_form(&mut text, form));
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

fn push_form(text: &mut String, mut form: Form) {
    // A form without a type must be ignored (XEP-0115, 5.4, 3.6).
    let Some(form_type) = form.form_type().map(str::to_owned) else {
        return;
    };
    push(text, &form_type);
    form.fields.retain(|field| field.name != "FORM_TYPE");
    form.fields.sort_by(|a, b| a.name.cmp(&b.name));
    for mut field in form.fields {
        push(text, &field.name);
        field.values.sort();
        field.values.iter().for_each(|value| push(text, value));
    }
}

fn push(text: &mut String, part: &str) {
    text.push_str(part);
    text.push('<');
}

/// Names the software, not the installation (XEP-0115, 4).
const NODE: &str = "urn:dunlin";

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Identity;

    fn exodus(forms: Vec<Element>, name: &str, features: &[&str]) -> Disco {
        let identity = Identity {
            category: "client",
            kind: "pc",
            name: name.into(),
        };
        Disco {
            identities: [identity].into(),
            features: features.iter().map(|&f| f.to_owned()).collect(),
            forms,
        }
    }

    const FEATURES: [&str; 4] = [
        "http://jabber.org/protocol/muc",
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/caps",
        "http://jabber.org/protocol/disco#items",
    ];

    /// XEP-0115, 5.2.
    #[test]
    fn simple_example() {
        assert_eq!(
            ver(&exodus(Vec::new(), "Exodus 0.9.1", &FEATURES)),
            "QgayPKawpkPSDYmwT/WM94uAlu0="
        );
    }

    /// XEP-0115, 5.3, without the second language of the identity, which the server does not use.
    #[test]
    fn a_form_counts_whatever_its_order() {
        let form = |values: [&'static str; 2]| {
            Form::new(stanza::form::FormType::Result, "urn:xmpp:dataforms:softwareinfo")
                .with("os", None, ["Mac"])
                .with("ip_version", None, values)
                .to_element()
        };
        let one = ver(&exodus(vec![form(["ipv4", "ipv6"])], "Psi 0.11", &FEATURES));
        assert_eq!(one, ver(&exodus(vec![form(["ipv6", "ipv4"])], "Psi 0.11", &FEATURES)));
        assert_ne!(one, ver(&exodus(Vec::new(), "Psi 0.11", &FEATURES)));
        let untyped = Element::new(ns::DATA_FORMS, "x").with("type", "result");
        assert_eq!(
            one,
            ver(&exodus(vec![untyped, form(["ipv4", "ipv6"])], "Psi 0.11", &FEATURES))
        );
    }
}
