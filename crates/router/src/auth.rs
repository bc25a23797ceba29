//! SASL exchanges: holds those that wait for a client, and looks accounts up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sasl::{Claim, Policy, Start, Step, TokenMechanism, Verify};
use stanza::{
    Bare, Exchange, FastUse, Grant, ResourceRequest, Sasl2, SaslFailure, SaslReply, SaslRequest, SessionId, Timestamp,
    Token,
};
use tokio::time::Instant;

use crate::config::SaslConfig;
use crate::core::Core;
use crate::gauges;
use crate::limiter::Limiter;
use crate::tokens::Mint;
use crate::vouch::lifetime;

/// SASL exchanges.
pub(crate) struct Auth {
    policy: Policy,
    held: Mutex<HashMap<u64, Held>>,
    most: usize,
    lifetime: Duration,
    limiter: Arc<Limiter>,
    mint: Mint,
}

/// An exchange that waits for its client.
struct Held {
    exchange: sasl::Exchange,
    asker: Asker,
    until: Instant,
}

/// Who authenticates.
struct Asker {
    session: SessionId,
    address: Option<IpAddr>,
    /// What it wants beside that, under SASL2.
    sasl2: Option<Box<Sasl2>>,
    /// Whether the account, once it was looked up, turned out to be disabled: only who proves to be its user is told.
    disabled: bool,
}

impl Auth {
    pub(crate) fn new(config: &SaslConfig, secret: [u8; 32], limiter: Arc<Limiter>) -> Self {
        let policy = Policy {
            secret: secret.to_vec(),
            iterations: config.iterations,
        };
        Self {
            policy,
            held: Mutex::default(),
            most: config.exchanges as usize,
            lifetime: Duration::from_secs(config.exchange_s),
            limiter,
            mint: Mint::new(config, &secret),
        }
    }

    /// When `session` authenticated as `account`, if `grant` proves that it did, and lately.
    pub(crate) fn proves(
        &self,
        grant: &Grant,
        session: SessionId,
        account: &Bare,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let expires = sasl::open(&self.policy.secret, grant, session, account, now).ok()?;
        Some(Timestamp(expires.0.saturating_sub(lifetime())))
    }

    /// The same, if `grant` proved it once: the session was bound by it then.
    pub(crate) fn proved(&self, grant: &Grant, session: SessionId, account: &Bare) -> Option<Timestamp> {
        self.proves(grant, session, account, Timestamp(i64::MIN))
    }

    /// What the client that asks for a resource is called in it, if it asks so that it is called the same each time.
    pub(crate) fn stable_resource(&self, account: &Bare, request: &ResourceRequest) -> Option<String> {
        let ResourceRequest::Tagged { tag, client, .. } = request else {
            return None;
        };
        let tag = tag.as_deref().unwrap_or_default();
        client.map(|client| sasl::stable_resource(&self.policy.secret, account, client, tag))
    }

    /// The SM-ID of a session of `account` that began as `session`.
    pub(crate) fn resumption_id(&self, session: SessionId, account: &Bare) -> String {
        sasl::resumption_id(&self.policy.secret, session, account)
    }

    /// The session that an SM-ID names, if it is one of `account`.
    pub(crate) fn resumed_session(&self, id: &str, account: &Bare) -> Option<SessionId> {
        sasl::resumed_session(&self.policy.secret, id, account)
    }

    /// Decides a step.
    pub(crate) async fn step(&self, core: &Core, request: SaslRequest) -> SaslReply {
        let (asker, step) = match request {
            SaslRequest::Start {
                session,
                domain,
                mechanism,
                offered,
                bindings,
                initial,
                sasl2,
                peer,
            } => {
                let asker = Asker {
                    session,
                    address: peer.address,
                    sasl2,
                    disabled: false,
                };
                if !self.limiter.allows(asker.address) {
                    gauges::sasl("limited");
                    return SaslReply::Failure(SaslFailure::TemporaryAuthFailure);
                }
                let start = Start {
                    domain,
                    mechanism,
                    offered,
                    bindings,
                    initial,
                    peer,
                };
                match asker.sasl2.as_ref().and_then(|sasl2| sasl2.fast) {
                    Some(usage) => return self.redeem(core, asker, start, usage).await,
                    None => (asker, sasl::Exchange::start(start)),
                }
            }
            SaslRequest::Respond { exchange, response } => match self.take(core, &exchange) {
                Some(held) => (held.asker, held.exchange.respond(&response)),
                None => return SaslReply::Failure(SaslFailure::TemporaryAuthFailure),
            },
            SaslRequest::Abort { exchange } => {
                self.take(core, &exchange);
                gauges::sasl("aborted");
                return SaslReply::Failure(SaslFailure::Aborted);
            }
        };
        self.go_on(core, asker, step).await
    }

    async fn go_on(&self, core: &Core, mut asker: Asker, mut step: Step) -> SaslReply {
        loop {
            step = match step {
                Step::Challenge(exchange, data) => return self.hold(core, asker, exchange, data),
                Step::Lookup(lookup) => match core.stores.accounts.get(lookup.account()).await {
                    Ok(found) => {
                        let nonce = core.entropy.bits().to_be_bytes();
                        let hosted = found.filter(|account| core.hosts.contains_key(account.jid.domain()));
                        asker.disabled = hosted.as_ref().is_some_and(|account| account.disabled);
                        lookup.found(
                            hosted.as_ref().map(|account| &account.verifiers[..]),
                            &nonce,
                            &self.policy,
                        )
                    }
                    Err(error) => {
                        gauges::failed("sasl");
                        tracing::warn!(%error, "looking up an account");
                        Step::Failure(SaslFailure::TemporaryAuthFailure)
                    }
                },
                Step::Verify(verify) => self.verify(core, verify).await,
                Step::Success { .. } if asker.disabled => return self.refuse(&asker, SaslFailure::AccountDisabled),
                Step::Success { account, data } => {
                    let token = self.grant(core, &asker, &account).await;
                    return self.vouch(core, &asker, account, data, token);
                }
                Step::Failure(failure) => return self.refuse(&asker, failure),
            }
        }
    }

    fn hold(&self, core: &Core, asker: Asker, exchange: sasl::Exchange, data: Bytes) -> SaslReply {
        let number = core.entropy.bits() as u64;
        let until = Instant::now() + self.lifetime;
        let mut held = self.held.lock();
        if held.len() >= self.most {
            let now = Instant::now();
            held.retain(|_, other| other.until > now);
        }
        if held.len() >= self.most {
            gauges::dropped("sasl exchange");
            return SaslReply::Failure(SaslFailure::TemporaryAuthFailure);
        }
        held.insert(number, Held { exchange, asker, until });
        let exchange = Exchange {
            router: core.node.to_string(),
            number,
        };
        SaslReply::Challenge { exchange, data }
    }

    fn take(&self, core: &Core, exchange: &Exchange) -> Option<Held> {
        if *exchange.router != *core.node.0 {
            return None;
        }
        let held = self.held.lock().remove(&exchange.number)?;
        (held.until > Instant::now()).then_some(held)
    }

    /// Hashes a password when its turn comes.
    async fn verify(&self, core: &Core, verify: Verify) -> Step {
        let checked = core.hasher.run(move || verify.run()).await;
        checked.unwrap_or(Step::Failure(SaslFailure::TemporaryAuthFailure))
    }

    /// A login by a token: one step, whatever comes of it.
    async fn redeem(&self, core: &Core, asker: Asker, start: Start, usage: FastUse) -> SaslReply {
        let tls = start.peer.tls.as_ref();
        let claim = match start.offered.contains(&start.mechanism) {
            true => Claim::read(&start.mechanism, &start.domain, start.initial.as_deref(), tls),
            false => Err(SaslFailure::InvalidMechanism),
        };
        let (claim, sasl2) = match (claim, &asker.sasl2) {
            (Ok(claim), Some(sasl2)) => (claim, sasl2),
            (Err(failure), _) => return self.refuse(&asker, failure),
            (Ok(_), None) => return self.refuse(&asker, SaslFailure::MalformedRequest), // not reached: no use of a token then
        };
        match self.mint.redeem(core, &claim, &sasl2.agent, usage, wanted(sasl2)).await {
            Ok((data, token)) => self.vouch(core, &asker, claim.account, Some(data.into()), token),
            Err(failure) => self.refuse(&asker, failure),
        }
    }

    /// The token that was asked for together with a login by other means.
    async fn grant(&self, core: &Core, asker: &Asker, account: &Bare) -> Option<Token> {
        let sasl2 = asker.sasl2.as_ref()?;
        self.mint.grant(core, account, &sasl2.agent, wanted(sasl2)?).await
    }

    fn vouch(&self, core: &Core, asker: &Asker, account: Bare, data: Option<Bytes>, token: Option<Token>) -> SaslReply {
        gauges::sasl("success");
        let expires = Timestamp(core.now().0.saturating_add(lifetime()));
        let grant = sasl::seal(&self.policy.secret, asker.session, &account, expires);
        SaslReply::Success {
            account,
            data,
            grant,
            token,
        }
    }

    fn refuse(&self, asker: &Asker, failure: SaslFailure) -> SaslReply {
        gauges::sasl("failure");
        if failure == SaslFailure::NotAuthorized {
            self.limiter.failed(asker.address);
        }
        SaslReply::Failure(failure)
    }
}

/// The mechanism that a token is wanted for.
fn wanted(sasl2: &Sasl2) -> Option<TokenMechanism> {
    TokenMechanism::from_name(sasl2.request_token.as_ref()?)
}
