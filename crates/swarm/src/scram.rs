//! SCRAM-SHA-256 over a client (RFC 5802, RFC 7677).

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sasl::client::{Binding, Keys, Proven, Scram};
use store::HashName;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use xml::Element;

use crate::client::Client;

const MECHANISM: &str = "SCRAM-SHA-256";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// Who logs in; remembers the keys, so that only the first login is expensive.
pub struct Login {
    user: String,
    password: String,
    keys: Option<(Vec<u8>, u32, Keys)>,
}

impl Login {
    /// An account's local part and password.
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            keys: None,
        }
    }

    /// Authenticates on an open stream, and checks that the server knows the password too.
    ///
    /// # Errors
    /// When something else comes than success.
    pub async fn authenticate(&mut self, client: &mut Client, nonce: &str) -> Result<()> {
        let (user, password) = (self.user.clone(), self.password.clone());
        let proven = prove(
            client,
            &user,
            nonce,
            |salt, iterations| self.keys(&password, salt, iterations),
            Ok,
        )
        .await?;
        let verdict = client.element().await?;
        ensure!(verdict.name() == "success", "expected success, saw {verdict}");
        Ok(proven.finish(&data(&verdict)?)?)
    }

    fn keys(&mut self, password: &str, salt: &[u8], iterations: u32) -> Keys {
        if let Some((known, count, keys)) = &self.keys
            && known == salt
            && *count == iterations
        {
            return keys.clone();
        }
        let keys = derive_aside(password, salt, iterations);
        self.keys = Some((salt.to_vec(), iterations, keys.clone()));
        keys
    }
}

/// Plays the exchange up to the client's last message, which `alter` may change. The server's verdict is left to be read.
///
/// # Errors
/// When the server does not answer as it should.
pub async fn prove(
    client: &mut Client,
    user: &str,
    nonce: &str,
    keys: impl FnOnce(&[u8], u32) -> Keys,
    alter: impl FnOnce(String) -> Result<String>,
) -> Result<Proven> {
    let scram = Scram::new(HashName::Sha256, user, None, Binding::Unsupported, nonce);
    let first = STANDARD.encode(scram.first());
    let auth = format!("<auth xmlns='{SASL}' mechanism='{MECHANISM}'>{first}</auth>");
    client.write(auth.as_bytes()).await?;
    let challenge = client.element().await?;
    ensure!(challenge.name() == "challenge", "expected a challenge, saw {challenge}");
    let (last, proven) = scram.respond(&data(&challenge)?, keys)?;
    let last = STANDARD.encode(alter(String::from_utf8(last)?)?);
    let response = format!("<response xmlns='{SASL}'>{last}</response>");
    client.write(response.as_bytes()).await?;
    Ok(proven)
}

/// The keys of a password that every server takes.
pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Keys {
    Keys::derive(HashName::Sha256, password, salt, iterations).expect("plain ASCII is a valid password")
}

/// As [`derive`], without holding up other tasks if the runtime has other threads for them.
fn derive_aside(password: &str, salt: &[u8], iterations: u32) -> Keys {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(|| derive(password, salt, iterations)),
        _ => derive(password, salt, iterations),
    }
}

fn data(element: &Element) -> Result<Vec<u8>> {
    let text = element.content();
    STANDARD.decode(&text).with_context(|| format!("not base64: {text}"))
}
