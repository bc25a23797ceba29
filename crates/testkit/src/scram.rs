//! SCRAM as scripts play it: right, or tampered with.

use anyhow::{Context, Result};
use swarm::scram::{derive, prove};

use crate::client::Client;
use crate::script::Tampering;

const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

/// Authenticates as `user` with `password`, tampering with the last message (RFC 5802, 7). The server's verdict is left to be read.
pub(crate) async fn authenticate(client: &mut Client, user: &str, password: &str, tampering: Tampering) -> Result<()> {
    let keys = |salt: &[u8], iterations| derive(password, salt, iterations);
    prove(client, user, NONCE, keys, |last| tamper(last, tampering))
        .await
        .map(drop)
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
