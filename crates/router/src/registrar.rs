//! Registrations of clients that have no account yet (XEP-0077, 3.1; XEP-0445): looks up what is known, lets the rules decide, and
//! makes the account.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use stanza::{
    Bare, Condition, ErrorType, Invited, RegisterReply, RegisterRequest, RegisterStep, StanzaError, Timestamp,
};
use store::{Account, Error};

use crate::core::Core;
use crate::gauges;
use crate::hosts::{Hosts, VirtualHost, administers};
use crate::introduce;
use crate::invite::{Invite, Unusable};
use crate::invites::{self, Use};
use crate::limiter::{Limiter, Total};
use crate::registration::{Mode, Registration, unacceptable};

/// Makes accounts.
pub(crate) struct Registrar {
    /// Tokens that are not good and names that are taken count as failed logins: both can be guessed at.
    failures: Arc<Limiter>,
    quotas: BTreeMap<String, Quota>,
}

/// How many accounts may still be made at a host.
struct Quota {
    by_address: Limiter,
    all: Total,
}

/// What a step works with.
struct Desk<'a> {
    core: &'a Arc<Core>,
    host: &'a Arc<VirtualHost>,
    /// The host's own address, under which invitations are kept.
    owner: Bare,
    address: Option<IpAddr>,
    invited: Option<Invited>,
}

impl Registrar {
    pub(crate) fn new(hosts: &Hosts, failures: Arc<Limiter>) -> Self {
        let quota = |rules: &Registration| Quota {
            by_address: Limiter::new(rules.per_address, Duration::from_secs(rules.window_s)),
            all: Total::new(rules.per_host, Duration::from_secs(rules.window_s)),
        };
        let quotas = hosts
            .iter()
            .map(|(domain, host)| (domain.clone(), quota(&host.registration)));
        Self {
            failures,
            quotas: quotas.collect(),
        }
    }

    /// Decides a step. Run it to its end even when nobody waits for the answer any more.
    pub(crate) async fn step(&self, core: &Arc<Core>, request: RegisterRequest) -> RegisterReply {
        let reply = self.decide(core, request).await;
        let reply = reply.unwrap_or_else(RegisterReply::Refused);
        gauges::registration(match &reply {
            RegisterReply::Form { .. } => "form",
            RegisterReply::Accepted(_) => "accepted",
            RegisterReply::Created => "created",
            RegisterReply::Refused(error) => error.condition.name(),
        });
        reply
    }

    async fn decide(&self, core: &Arc<Core>, request: RegisterRequest) -> Result<RegisterReply, StanzaError> {
        let host = core
            .hosts
            .get(&request.domain)
            .filter(|host| host.registration.is_offered());
        let host = host.ok_or(Condition::ServiceUnavailable)?;
        let desk = Desk {
            core,
            host,
            owner: Bare::parse(&request.domain).map_err(|_| Condition::ServiceUnavailable)?,
            address: request.peer.address,
            invited: request.invited,
        };
        if !self.failures.allows(desk.address) {
            return Err(later("too many attempts failed from where you are; please come again"));
        }
        let outcome = match request.step {
            RegisterStep::Form => desk.form().await,
            RegisterStep::Present(token) => desk.present(token).await,
            RegisterStep::Create { username, password } => self.create(&desk, &username, password).await,
        };
        if outcome.as_ref().is_err_and(is_a_guess) {
            self.failures.failed(desk.address);
        }
        outcome
    }

    async fn create(&self, desk: &Desk<'_>, username: &str, password: String) -> Result<RegisterReply, StanzaError> {
        let invite = desk.invitation().await?;
        let user = invite.as_ref().and_then(|invite| invite.user.as_deref());
        let jid = desk.host.registration.account(username, desk.owner.as_str(), user)?;
        if user.is_none() && administers(&desk.core.hosts, &jid) {
            return Err(unacceptable("this name is reserved"));
        }
        desk.host.registration.check_password(&password)?;
        desk.check_free(&jid).await?;
        let quota = self.quotas.get(desk.owner.as_str());
        if !quota.is_none_or(|quota| quota.take(desk.address)) {
            return Err(later("too many accounts were made lately; please come again"));
        }
        let made = desk.make(jid, password).await;
        if let (Err(_), Some(quota)) = (&made, quota) {
            quota.give_back(desk.address);
        }
        made.map(|()| RegisterReply::Created)
    }
}

impl Quota {
    fn take(&self, address: Option<IpAddr>) -> bool {
        if !self.by_address.take(address) {
            return false;
        }
        let taken = self.all.take();
        if !taken {
            self.by_address.give_back(address);
        }
        taken
    }

    fn give_back(&self, address: Option<IpAddr>) {
        self.by_address.give_back(address);
        self.all.give_back();
    }
}

impl Desk<'_> {
    async fn form(&self) -> Result<RegisterReply, StanzaError> {
        let invite = self.invitation().await?;
        Ok(RegisterReply::Form {
            instructions: self.host.registration.instructions.clone(),
            username: invite.and_then(|invite| invite.user),
        })
    }

    /// XEP-0445: unknown, used up and over are the same to who asks.
    async fn present(&self, token: String) -> Result<RegisterReply, StanzaError> {
        let now = self.core.now();
        let invited = Invited { token, at: now };
        self.find(&invited).await?;
        Ok(RegisterReply::Accepted(invited))
    }

    /// The invitation that was accepted before, as it is now; where one is needed, there must be one.
    async fn invitation(&self) -> Result<Option<Invite>, StanzaError> {
        let Some(invited) = &self.invited else {
            return match self.host.registration.mode {
                Mode::Open => Ok(None),
                Mode::Invite | Mode::Closed => Err(uninvited()),
            };
        };
        self.find(invited).await.map(Some)
    }

    /// An invitation that was good when its time counted, and whose maker, if a user, may still be here.
    async fn find(&self, invited: &Invited) -> Result<Invite, StanzaError> {
        let stores = &self.core.stores;
        let found = invites::find(&*stores.items, &self.owner, &invited.token).await;
        let good = found.map_err(away)?.filter(|invite| invite.is_good(invited.at));
        let invite = good.ok_or_else(no_invitation)?;
        let Some(by) = &invite.by else { return Ok(invite) };
        let maker = stores.accounts.get(by).await.map_err(away)?;
        match maker.is_some_and(|maker| !maker.disabled && maker.created <= invite.created) {
            true => Ok(invite),
            false => Err(no_invitation()),
        }
    }

    /// A first look, before anything dear is done: it is the store that decides in the end.
    async fn check_free(&self, jid: &Bare) -> Result<(), StanzaError> {
        let stores = &self.core.stores;
        let exists = stores.accounts.get(jid).await.map_err(away)?.is_some();
        let token = self.invited.as_ref().map(|invited| invited.token.as_str());
        let reserved = invites::is_reserved(&*stores.items, &self.owner, jid, token, self.core.now());
        match exists || reserved.await.map_err(away)? {
            true => Err(taken()),
            false => Ok(()),
        }
    }

    async fn make(&self, jid: Bare, password: String) -> Result<(), StanzaError> {
        let hashed = self.core.hasher.verifiers(password, self.core.entropy.bits()).await;
        let hashed = hashed.ok_or_else(|| later("too many passwords are looked at; please come again"))?;
        let account = Account {
            verifiers: hashed.map_err(|_| unacceptable("this password cannot be used"))?,
            jid,
            created: self.core.now(),
            last_seen: None,
            disabled: false,
        };
        match &self.invited {
            Some(invited) => self.make_invited(&account, invited).await,
            None => self.store(&account).await,
        }?;
        tracing::info!(jid = %account.jid, invited = self.invited.is_some(), "an account was registered");
        Ok(())
    }

    /// A use of the invitation is bound to the name before the account is made (see [`Invite`]), and what is to follow is noted.
    async fn make_invited(&self, account: &Account, invited: &Invited) -> Result<(), StanzaError> {
        let items = &*self.core.stores.items;
        let name = account.jid.local().unwrap_or_default();
        let mine = (self.core.entropy.bits(), account.created);
        let claimed = invites::claim(items, &self.owner, invited, name, mine)
            .await
            .map_err(away)?;
        let used = claimed.map_err(unusable)?;
        self.note(account, &used, account.created).await?;
        match self.store(account).await {
            Ok(()) => {
                self.settle(invites::finish(items, &self.owner, &used).await);
                if used.contact.is_some() {
                    self.settle(introduce::look_at(self.core, self.host).await);
                }
                Ok(())
            }
            Err(error) => {
                // In doubt the use stays bound to the name: whoever comes again with both goes on.
                if error.condition == Condition::Conflict {
                    self.settle(invites::give_back(items, &self.owner, &used).await);
                }
                Err(error)
            }
        }
    }

    async fn note(&self, account: &Account, used: &Use, now: Timestamp) -> Result<(), StanzaError> {
        let Some(contact) = &used.contact else { return Ok(()) };
        let noted = introduce::note(&*self.core.stores.items, &account.jid, contact, now).await;
        noted.map_err(away)
    }

    async fn store(&self, account: &Account) -> Result<(), StanzaError> {
        match self.core.stores.accounts.create(std::slice::from_ref(account)).await {
            Ok(()) => Ok(()),
            Err(Error::Precondition(_)) => Err(taken()),
            Err(error) => Err(away(error)),
        }
    }

    /// What follows an account that is there: it is too late to refuse it.
    fn settle(&self, outcome: store::Result<()>) {
        if let Err(error) = outcome {
            gauges::failed("registration");
            tracing::warn!(%error, "after a registration by invitation");
        }
    }
}

/// Whether somebody may be trying what is there.
fn is_a_guess(error: &StanzaError) -> bool {
    matches!(error.condition, Condition::Conflict | Condition::ItemNotFound)
}

fn away(error: Error) -> StanzaError {
    gauges::failed("registration");
    tracing::warn!(%error, "registering an account");
    later("please come again")
}

fn later(text: &str) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint)
        .with_type(ErrorType::Wait)
        .with_text(text)
}

fn unusable(why: Unusable) -> StanzaError {
    match why {
        Unusable::Gone => no_invitation(),
        Unusable::Busy => later("the invitation is in use; please come again"),
    }
}

fn no_invitation() -> StanzaError {
    StanzaError::new(Condition::ItemNotFound).with_text("the invitation is unknown, used up or over")
}

fn uninvited() -> StanzaError {
    StanzaError::new(Condition::NotAllowed).with_text("an invitation is needed to register")
}

fn taken() -> StanzaError {
    StanzaError::new(Condition::Conflict).with_text("this name is taken")
}
