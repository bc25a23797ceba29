//! Which clients of an account have tokens: listed for its owner and operators, and taken away.

use std::sync::Arc;

use async_trait::async_trait;
use engine::{Client, Clients};
use sasl::Tokens;
use stanza::{Bare, ClientId, Timestamp};
use store::{Item, Items, Key};

/// Where they are kept, by the client's id.
pub(crate) const SPACE: &str = "tokens";

/// What modules may know of it.
pub(crate) struct Holders(pub(crate) Arc<dyn Items>);

#[async_trait]
impl Clients for Holders {
    async fn of(&self, account: &Bare, now: Timestamp) -> store::Result<Vec<Client>> {
        let all = tokens(&*self.0, account).await?;
        let one = |(id, tokens): (ClientId, Tokens)| {
            let issued = [tokens.current, tokens.next].into_iter().flatten();
            let issued = issued.filter(|issued| issued.expires > now);
            let seen = issued.map(|issued| issued.issued).max()?;
            Some(Client {
                id,
                software: tokens.software,
                device: tokens.device,
                seen,
            })
        };
        Ok(all.into_iter().filter_map(one).collect())
    }
}

/// The clients of an account that have tokens.
///
/// # Errors
/// As the store says.
pub async fn tokens(items: &dyn Items, account: &Bare) -> store::Result<Vec<(ClientId, Tokens)>> {
    let all = items.list(account, SPACE).await?;
    let read = |item: &Item| Some((ClientId::parse(&item.key.name).ok()?, Tokens::decode(&item.value)?));
    Ok(all.iter().filter_map(read).collect())
}

/// Takes a client's tokens away. Returns whether it had any.
///
/// # Errors
/// As the store says.
pub async fn revoke(items: &dyn Items, account: &Bare, client: ClientId) -> store::Result<bool> {
    loop {
        let Some(item) = items.get(account, &key(client)).await? else {
            return Ok(false);
        };
        match items.remove(account, &item.key, item.version).await {
            Err(store::Error::Conflict) => {} // used just now, and so written again
            outcome => return outcome.map(|()| true),
        }
    }
}

/// Takes the tokens of all clients away. Those of a former password are void already: tokens follow from it.
///
/// # Errors
/// As the store says.
pub async fn revoke_all(items: &dyn Items, account: &Bare) -> store::Result<()> {
    for (client, _) in tokens(items, account).await? {
        revoke(items, account, client).await?;
    }
    Ok(())
}

pub(crate) fn key(client: ClientId) -> Key {
    Key {
        space: SPACE.to_owned(),
        name: client.to_string(),
    }
}
