//! SASL exchanges: holds those that wait for a client, and looks accounts up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sasl::{Claim, Mark, Policy, Start, Step, TokenMechanism, Verify};
use stanza::{
    Bare, Exchange, FastUse, Grant, ResourceRequest, Sasl2, SaslFailure, SaslReply, SaslRequest, SessionId, Timestamp,
    Token, ns,
};
use store::Account;
use tokio::time::Instant;

use crate::config::SaslConfig;
use crate::core::Core;
use crate::gauges;
use crate::limiter::Limiter;
use crate::tokens::{Mint, hosted};
use crate::vouch::{Proof, lifetime};

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
    /// The account as it was looked up: its password may be another by the time at which this exchange succeeds.
    generation: Option<[u8; 32]>,
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

    /// When `session` authenticated as `account`, and by which password, if `grant` proves that it did, and lately.
    pub(crate) fn proves(&self, grant: &Grant, session: SessionId, account: &Bare, now: Timestamp) -> Option<Proof> {
        let opened = sasl::open(&self.policy.secret, grant, session, account, now).ok()?;
        Some(Proof {
            given: Timestamp(opened.expires.0.saturating_sub(lifetime())),
            mark: opened.mark,
        })
    }

    /// The same, if `grant` proved it once: the session was bound by it then.
    pub(crate) fn proved(&self, grant: &Grant, session: SessionId, account: &Bare) -> Option<Proof> {
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
                    generation: None,
                };
                if !self.limiter.allows(asker.address) {
                    gauges::sasl("limited");
                    return SaslReply::Failure(SaslFailure::TemporaryAuthFailure);
                }
                if mechanism == ns::COMPONENT {
                    let id = format!("{:032x}", core.entropy.bits());
                    return self.go_on(core, asker, core.components.greet(&domain, &id)).await;
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
                Step::Lookup(lookup) => match hosted(core, lookup.account()).await {
                    Ok(hosted) => {
                        let nonce = core.entropy.bits().to_be_bytes();
                        asker.generation = Some(sasl::generation(hosted.as_ref()));
                        lookup.found(
                            hosted.as_ref().map(|account| &account.verifiers[..]),
                            &nonce,
                            &self.policy,
                        )
                    }
                    Err(error) => Step::Failure(away(&error)),
                },
                Step::Verify(verify) => self.verify(core, verify).await,
                Step::Success { account, data } => return self.admit(core, &asker, account, data).await,
                Step::Failure(failure) => return self.refuse(&asker, failure),
            }
        }
    }

    /// The client is who it says, by the password of then: the account is looked up again, as that may be another now. Only who proves to be
    /// its user is told that it is disabled.
    async fn admit(&self, core: &Core, asker: &Asker, account: Bare, data: Option<Bytes>) -> SaslReply {
        if account.local().is_none() {
            // A component, which no store knows; its secret was looked at just now.
            return self.vouch(core, asker, (account, Mark::default()), data, None);
        }
        let found = match hosted(core, &account).await {
            Ok(Some(found)) if asker.generation == Some(sasl::generation(Some(&found))) => found,
            Ok(_) => return self.refuse(asker, SaslFailure::NotAuthorized),
            Err(error) => return self.refuse(asker, away(&error)),
        };
        if found.disabled {
            return self.refuse(asker, SaslFailure::AccountDisabled);
        }
        let token = self.grant(core, asker, &found).await;
        let mark = core.voucher.mark(&found);
        self.vouch(core, asker, (found.jid, mark), data, token)
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
            Ok((account, data, token)) => {
                let mark = core.voucher.mark(&account);
                self.vouch(core, &asker, (account.jid, mark), Some(data.into()), token)
            }
            Err(failure) => self.refuse(&asker, failure),
        }
    }

    /// The token that was asked for together with a login by other means.
    async fn grant(&self, core: &Core, asker: &Asker, account: &Account) -> Option<Token> {
        let sasl2 = asker.sasl2.as_ref()?;
        self.mint.grant(core, account, &sasl2.agent, wanted(sasl2)?).await
    }

    fn vouch(
        &self,
        core: &Core,
        asker: &Asker,
        (account, mark): (Bare, Mark),
        data: Option<Bytes>,
        token: Option<Token>,
    ) -> SaslReply {
        gauges::sasl("success");
        SaslReply::Success {
            grant: core.voucher.vouch(asker.session, &account, mark, core.now()),
            account,
            data,
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

fn away(error: &store::Error) -> SaslFailure {
    gauges::failed("sasl");
    tracing::warn!(%error, "looking up an account");
    SaslFailure::TemporaryAuthFailure
}

/// The mechanism that a token is wanted for.
fn wanted(sasl2: &Sasl2) -> Option<TokenMechanism> {
    TokenMechanism::from_name(sasl2.request_token.as_ref()?)
}
