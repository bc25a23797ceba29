//! Tokens for quick logins (XEP-0484): loads what is kept of a client's tokens, lets `sasl` decide what one is worth, and keeps what
//! follows. Of a token itself nothing is kept (decision 10).

use sasl::{Claim, Issued, Owner, Redeemed, TokenMechanism, Tokens};
use stanza::{Bare, ClientId, FastUse, SaslFailure, Timestamp, Token, UserAgent};
use store::{Account, Item, Items, Version};

use crate::config::SaslConfig;
use crate::core::Core;
use crate::gauges;
use crate::token_holders::{SPACE, key};

/// How often a change is tried that somebody else's came before.
const TRIES: usize = 4;
const MICROSECONDS: i64 = 1_000_000;

/// How tokens are made here.
pub(crate) struct Mint {
    secret: Vec<u8>,
    /// Both in microseconds.
    lifetime: i64,
    rotation: i64,
    /// Most clients of one account that have tokens.
    most: usize,
}

/// Why a token is not good now.
enum Trouble {
    Failure(SaslFailure),
    Store(store::Error),
}

impl Mint {
    pub(crate) fn new(config: &SaslConfig, secret: &[u8]) -> Self {
        let microseconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(MICROSECONDS);
        Self {
            secret: secret.to_vec(),
            lifetime: microseconds(config.token_s),
            rotation: microseconds(config.token_rotation_s),
            most: config.tokens as usize,
        }
    }

    /// Holds a client's claim to have a token against what is kept. Returns the account, the mechanism's last word, and a new token when it
    /// is time for one. Whoever there is not costs as much as who is.
    pub(crate) async fn redeem(
        &self,
        core: &Core,
        claim: &Claim,
        agent: &UserAgent,
        usage: FastUse,
        wanted: Option<TokenMechanism>,
    ) -> Result<(Account, Vec<u8>, Option<Token>), SaslFailure> {
        for _ in 0..TRIES {
            match self.try_redeem(core, claim, agent, usage, wanted).await {
                Ok(redeemed) => return Ok(redeemed),
                Err(Trouble::Failure(failure)) => return Err(failure),
                Err(Trouble::Store(store::Error::Conflict)) => {} // looked at again: the other may have been a replay
                Err(Trouble::Store(error)) => {
                    gauges::failed("tokens");
                    tracing::warn!(%error, "looking at tokens");
                    return Err(SaslFailure::TemporaryAuthFailure);
                }
            }
        }
        Err(SaslFailure::TemporaryAuthFailure)
    }

    async fn try_redeem(
        &self,
        core: &Core,
        claim: &Claim,
        agent: &UserAgent,
        usage: FastUse,
        wanted: Option<TokenMechanism>,
    ) -> Result<(Account, Vec<u8>, Option<Token>), Trouble> {
        let client = agent.id.ok_or(Trouble::Failure(SaslFailure::NotAuthorized))?;
        let (account, items) = (hosted(core, &claim.account).await?, &*core.stores.items);
        let kept = items.get(&claim.account, &key(client)).await?;
        let before = kept.as_ref().filter(|_| account.is_some());
        let before = before.and_then(|item| Tokens::decode(&item.value));
        let owner = self.owner(&claim.account, client, account.as_ref());
        let now = core.now();
        let redeemed = claim.redeem(&owner, before.as_ref(), usage, now);
        let Redeemed { mut tokens, data, used } = redeemed.map_err(Trouble::Failure)?;
        let account = account.ok_or(Trouble::Failure(SaslFailure::NotAuthorized))?;
        if account.disabled {
            return Err(Trouble::Failure(SaslFailure::AccountDisabled));
        }
        let is_due = !usage.invalidate && now.0.saturating_sub(used.issued.0) >= self.rotation;
        let mechanism = wanted.or(is_due.then_some(used.mechanism));
        let token = mechanism.map(|mechanism| tokens.issue(&owner, self.issue(core, mechanism)));
        if before.as_ref() != Some(&tokens) {
            keep(items, &claim.account, client, &tokens, kept.map(|item| item.version)).await?;
        }
        Ok((account, data, token))
    }

    /// A token for a client that has authenticated by other means to the account as it was found: the token is void if its password is
    /// another by now. None when that is not possible now.
    pub(crate) async fn grant(
        &self,
        core: &Core,
        account: &Account,
        agent: &UserAgent,
        mechanism: TokenMechanism,
    ) -> Option<Token> {
        for _ in 0..TRIES {
            match self.try_grant(core, account, agent, mechanism).await {
                Ok(token) => return token,
                Err(store::Error::Conflict) => {}
                Err(error) => {
                    gauges::failed("tokens");
                    tracing::warn!(%error, "making a token; the client has to do without");
                    return None;
                }
            }
        }
        None
    }

    async fn try_grant(
        &self,
        core: &Core,
        account: &Account,
        agent: &UserAgent,
        mechanism: TokenMechanism,
    ) -> store::Result<Option<Token>> {
        let Some(client) = agent.id else { return Ok(None) };
        let (found, account, items) = (account, &account.jid, &*core.stores.items);
        let kept = items.get(account, &key(client)).await?;
        if kept.is_none() {
            self.make_room(items, account, core.now()).await?;
        }
        let before = kept.as_ref().and_then(|item| Tokens::decode(&item.value));
        let mut tokens = Tokens {
            software: agent.software.clone(),
            device: agent.device.clone(),
            ..before.unwrap_or_default()
        };
        let owner = self.owner(account, client, Some(found));
        let token = tokens.issue(&owner, self.issue(core, mechanism));
        keep(items, account, client, &tokens, kept.map(|item| item.version)).await?;
        Ok(Some(token))
    }

    /// Forgets tokens that are over, and those that end first while there are too many clients.
    async fn make_room(&self, items: &dyn Items, account: &Bare, now: Timestamp) -> store::Result<()> {
        let ends = |item: &Item| Tokens::decode(&item.value).and_then(|tokens| tokens.expires());
        let mut all = items.list(account, SPACE).await?;
        all.sort_by_key(ends);
        let over = all
            .iter()
            .filter(|item| ends(item).is_none_or(|ends| ends <= now))
            .count();
        let crowd = (all.len() + 1).saturating_sub(self.most);
        for item in all.iter().take(over.max(crowd)) {
            items.remove(account, &item.key, item.version).await?;
        }
        Ok(())
    }

    fn issue(&self, core: &Core, mechanism: TokenMechanism) -> Issued {
        let now = core.now();
        Issued {
            serial: core.entropy.bits(),
            mechanism,
            issued: now,
            expires: Timestamp(now.0.saturating_add(self.lifetime)),
            count: 0,
        }
    }

    fn owner<'a>(&'a self, account: &'a Bare, client: ClientId, found: Option<&Account>) -> Owner<'a> {
        Owner {
            secret: &self.secret,
            account,
            client,
            generation: sasl::generation(found),
        }
    }
}

/// The account, if there is one that is served here.
pub(crate) async fn hosted(core: &Core, jid: &Bare) -> store::Result<Option<Account>> {
    let found = core.stores.accounts.get(jid).await?;
    Ok(found.filter(|account| core.hosts.contains_key(account.jid.domain())))
}

async fn keep(
    items: &dyn Items,
    account: &Bare,
    client: ClientId,
    tokens: &Tokens,
    seen: Option<Version>,
) -> store::Result<()> {
    match (tokens.expires(), seen) {
        (Some(_), seen) => items.put(account, &key(client), tokens.encode(), seen).await.map(drop),
        (None, Some(seen)) => items.remove(account, &key(client), seen).await,
        (None, None) => Ok(()),
    }
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}
