//! A new password for an account, as a handler has asked for it (XEP-0077, 3.3): hashed without the account's lock, and kept before
//! the handler's result is sent. The tokens of the account follow from its password, and so are void; they are cleared away.

use engine::{Answer, Effect, Password};
use stanza::{Bare, Condition, ErrorType, StanzaError};
use store::Error;

use crate::core::Core;
use crate::gauges;
use crate::registration::unacceptable;
use crate::token_holders;

/// Keeps the password that `answer` asks for, if it does; the answer is an error when that is not to be.
pub(crate) async fn keep(core: &Core, account: &Bare, answer: Answer) -> Answer {
    let wanted = answer.as_ref().ok().and_then(|reply| {
        reply.effects.0.iter().find_map(|effect| match effect {
            Effect::Password(password) => Some(password.clone()),
            _ => None,
        })
    });
    match wanted {
        Some(password) => change(core, account, password).await.and(answer),
        None => answer,
    }
}

async fn change(core: &Core, account: &Bare, Password(password): Password) -> Result<(), StanzaError> {
    let host = core.hosts.get(account.domain()).ok_or(Condition::ItemNotFound)?;
    host.registration.check_password(&password)?;
    let hashed = core.hasher.verifiers(password, core.entropy.bits()).await;
    let verifiers = hashed.ok_or_else(later)?;
    let verifiers = verifiers.map_err(|_| unacceptable("this password cannot be used"))?;
    match core.stores.accounts.set_verifiers(account, &verifiers).await {
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
