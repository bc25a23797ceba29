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
