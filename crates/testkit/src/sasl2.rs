//! Logins under SASL2 (XEP-0388) as scripts play them: everything in one round trip, by SCRAM or by a token (XEP-0484).

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sasl::client::{Binding, Keys, Scram, hashed_token};
use store::HashName;
use xml::Element;

use crate::client::{Client, Resumption};

const NS: &str = "urn:xmpp:sasl:2";
const SM: &str = "urn:xmpp:sm:3";
/// The mechanism of scripts that name none.
const MECHANISM: &str = "SCRAM-SHA-256";
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

/// Who logs in, and what it has left from before.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) resumption: Option<&'a Resumption>,
}

/// Sends `authenticate` with what is left out of it: the initial response, and which session is to be resumed. The server's last word is
/// left to be read.
pub(crate) async fn authenticate(client: &mut Client, authenticate: &Element, login: &Login<'_>) -> Result<()> {
    let mechanism = authenticate.attribute("mechanism").unwrap_or(MECHANISM).to_owned();
    if mechanism.starts_with("HT-") {
        let token = login.token.context("no token was given")?;
        let initial = hashed_token(login.user, token, b"");
        return client.send(&whole(authenticate, &mechanism, &initial, login)?).await;
    }
    let scram = Scram::new(HashName::Sha256, login.user, None, Binding::Unsupported, NONCE);
    client
        .send(&whole(authenticate, &mechanism, &scram.first(), login)?)
        .await?;
    let challenge = client.element().await?;
    ensure!(challenge.is(NS, "challenge"), "expected a challenge, saw {challenge}");
    let (last, _) = scram.respond(&STANDARD.decode(challenge.content())?, |salt, iterations| {
        Keys::derive(HashName::Sha256, login.password, salt, iterations).expect("plain ASCII is a valid password")
    })?;
    client
        .send(&Element::new(NS, "response").text(STANDARD.encode(last)))
        .await
}

fn whole(authenticate: &Element, mechanism: &str, initial: &[u8], login: &Login<'_>) -> Result<Element> {
    let initial = Element::new(NS, "initial-response").text(STANDARD.encode(initial));
    let whole = Element::new(NS, "authenticate")
        .with("mechanism", mechanism)
        .push(initial);
    authenticate.children().try_fold(whole, |whole, child| {
        let child = match child.is(SM, "resume") && child.attribute("previd").is_none() {
            true => {
                let Resumption { id, h } = login.resumption.context("nothing to resume")?;
                child.clone().with("previd", id).with("h", h.to_string())
            }
            false => child.clone(),
        };
        Ok(whole.push(child))
    })
}
