//! SCRAM as scripts play it: right, or tampered with.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sasl::client::{Binding, Keys, Scram};
use store::HashName;
use xml::Element;

use crate::client::Client;
use crate::script::Tampering;

/// The only mechanism of scripts.
const MECHANISM: &str = "SCRAM-SHA-256";
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

/// Authenticates as `user` with `password`, tampering with the last message (RFC 5802, 7). The server's verdict is left to be read.
pub(crate) async fn authenticate(client: &mut Client, user: &str, password: &str, tampering: Tampering) -> Result<()> {
    let scram = Scram::new(HashName::Sha256, user, None, Binding::Unsupported, NONCE);
    let first = STANDARD.encode(scram.first());
    let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{MECHANISM}'>{first}</auth>");
    client.write(auth.as_bytes()).await?;
    let challenge = client.element().await?;
    let (last, _) = scram.respond(&data(&challenge)?, |salt, iterations| {
        Keys::derive(HashName::Sha256, password, salt, iterations).expect("plain ASCII is a valid password")
    })?;
    let last = STANDARD.encode(tamper(String::from_utf8(last)?, tampering)?);
    let response = format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{last}</response>");
    client.write(response.as_bytes()).await
}

fn data(challenge: &Element) -> Result<Vec<u8>> {
    ensure!(challenge.name() == "challenge", "expected a challenge, saw {challenge}");
    Ok(STANDARD.decode(challenge.content())?)
}

/// `c=biws,r=NONCE,p=PROOF`, changed in one part.
fn tamper(last: String, tampering: Tampering) -> Result<String> {
    let (from, to) = match tampering {
        Tampering::None => return Ok(last),
        Tampering::Binding => ("c=biws,", "c=eSws,".to_owned()),
        Tampering::Nonce => (NONCE, NONCE.chars().rev().collect()),
    };
    let changed = last.replacen(from, &to, 1);
    (changed != last).then_some(changed).context("nothing to tamper with")
}
