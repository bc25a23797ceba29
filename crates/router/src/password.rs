//! A new password for an account, or a new account, as a handler has asked for it (XEP-0077, 3.3; XEP-0133): hashed without the account's lock, and kept before
//! the handler's result is sent. The tokens of the account follow from its password, and so are void; they are cleared away.

use engine::{Answer, Credentials, Effect, Password, Reply};
use stanza::{Bare, Condition, ErrorType, StanzaError};
use store::{Account, Error, Verifier};

use crate::core::Core;
use crate::gauges;
use crate::registration::unacceptable;
use crate::token_holders;

/// Keeps the password that `answer` asks for, if it does; the answer is an error when that is not to be, else it is noted in `kept`.
pub(crate) async fn keep(core: &Core, account: &Bare, answer: Answer, kept: &mut Option<Reply>) -> Answer {
    let wanted = answer.as_ref().ok().and_then(|reply| {
        reply.effects.0.iter().find_map(|effect| match effect {
            Effect::Password(password) => Some(Credentials {
                account: account.clone(),
                password: password.clone(),
                is_new: false,
            }),
            Effect::Account(credentials) => Some(credentials.clone()),
            _ => None,
        })
    });
    match wanted {
        Some(wanted) => {
            let answer = hash(core, wanted).await.and(answer);
            *kept = answer.as_ref().ok().cloned();
            answer
        }
        None => answer,
    }
}

async fn hash(core: &Core, wanted: Credentials) -> Result<(), StanzaError> {
    let Credentials {
        account,
        password: Password(password),
        is_new,
    } = wanted;
    let host = core.hosts.get(account.domain()).ok_or(Condition::ItemNotFound)?;
    host.registration.check_password(&password)?;
    let hashed = core.hasher.verifiers(password, core.entropy.bits()).await;
    let verifiers = hashed.ok_or_else(later)?;
    let verifiers = verifiers.map_err(|_| unacceptable("this password cannot be used"))?;
    match is_new {
        true => make(core, account, verifiers).await,
        false => change(core, &account, &verifiers).await,
    }
}

async fn make(core: &Core, jid: Bare, verifiers: Vec<Verifier>) -> Result<(), StanzaError> {
    let account = Account {
        jid,
        created: core.now(),
        verifiers,
        last_seen: None,
        disabled: false,
    };
    match core.stores.accounts.create(std::slice::from_ref(&account)).await {
        Ok(()) => tracing::info!(account = %account.jid, "an account was made"),
        Err(Error::Precondition(_)) => return Err(Condition::Conflict.into()),
        Err(error) => return Err(away(&error)),
    }
    Ok(())
}

async fn change(core: &Core, account: &Bare, verifiers: &[Verifier]) -> Result<(), StanzaError> {
    match core.stores.accounts.set_verifiers(account, verifiers).await {
        Ok(()) => {}
        Err(Error::Precondition(_)) => return Err(Condition::RegistrationRequired.into()),
        Err(error) => return Err(away(&error)),
    }
    tracing::info!(%account, "a password was changed");
    if let Err(error) = token_holders::revoke_all(&*core.stores.items, account).await {
        away(&error); // they are void all the same
    }
    Ok(())
}

fn away(error: &Error) -> StanzaError {
    gauges::failed("password");
    tracing::warn!(%error, "changing a password");
    later()
}

fn later() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait)
}
