//! `dunlin user tokens`: which clients log in without a password, and taking that away.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use stanza::{Bare, ClientId, Timestamp};
use store::Stores;

pub(super) async fn list(stores: &Stores, jid: &Bare) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (client, tokens) in router::tokens(&*stores.items, jid).await? {
        let name = |name: &Option<String>| name.as_deref().unwrap_or("-").escape_debug().to_string();
        let until = tokens.expires().map(Timestamp::to_xmpp).unwrap_or_default();
        writeln!(
            out,
            "{client}\t{until}\t{}\t{}",
            name(&tokens.software),
            name(&tokens.device)
        )?;
    }
    Ok(())
}

pub(super) async fn revoke(stores: &Stores, jid: &Bare, client: &str) -> Result<()> {
    let client = ClientId::parse(client).with_context(|| client.to_owned())?;
    let had = router::revoke(&*stores.items, jid, client).await?;
    ensure!(had, "{jid} has no client {client} with tokens");
    println!("{client} needs the password of {jid} to log in again");
    Ok(())
}
