//! In-band registration for those who have an account (XEP-0077): what is on file, another password, and the end of it. How clients
//! come by an account is said before they log in, to the stream and its router.

use std::sync::Arc;

use engine::{
    About, Answer, At, Condition, Cx, Effect, Element, Hooks, Jid, Malformed, Module, Password, Reply, Request,
    StanzaError, StreamCondition, ns,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::push;

/// The module.
pub(crate) struct Registration {
    config: RegistrationConfig,
}

/// What users may do with their accounts in-band. Who may register is said in `hosts.registration`.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RegistrationConfig {
    /// Whether users may change their passwords; if not, they get `not-allowed`. Where clients may log in without TLS
    /// (`edge.tls.starttls`), new passwords travel readable, too.
    pub change_password: bool,
    /// Whether users may remove their accounts, with all that is kept for them; if not, they get `not-allowed`.
    pub remove_account: bool,
}

impl Default for RegistrationConfig {
    fn default() -> Self {
        Self {
            change_password: true,
            remove_account: true,
        }
    }
}

/// `<query xmlns='jabber:iq:register'/>` of type get.
struct Look;

/// The same of type set.
enum Change {
    /// XEP-0077, 3.3.
    Password { username: String, password: Password },
    /// XEP-0077, 3.2.
    Remove,
}

impl Request for Look {
    const NS: &'static str = ns::REGISTER;
    const NAME: &'static str = "query";

    fn read(_: &Element) -> Result<Self, Malformed> {
        Ok(Self)
    }
}

impl Request for Change {
    const NS: &'static str = ns::REGISTER;
    const NAME: &'static str = "query";
    const SECRET: bool = true;

    /// An empty password is none (XEP-0077, 3.3): the old one stays.
    fn read(element: &Element) -> Result<Self, Malformed> {
        if element.child(ns::REGISTER, "remove").is_some() {
            return match element.children().count() {
                1 => Ok(Self::Remove),
                _ => Err(Malformed("<remove/> stands alone")),
            };
        }
        let field = |name| element.child(ns::REGISTER, name).map(Element::content);
        let given = |name| field(name).filter(|text| !text.is_empty());
        match (given("username"), given("password")) {
            (Some(username), Some(password)) => Ok(Self::Password {
                username,
                password: Password(password),
            }),
            _ => Err(Malformed("username and password are required")),
        }
    }
}

impl Module for Registration {
    const ABOUT: About = About {
        name: "registration",
        rfcs: &[],
        xeps: &[(77, "2.4")],
        summary: "Lets users change their passwords and remove their accounts.",
    };
    type Config = RegistrationConfig;

    fn new(config: RegistrationConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        for at in [At::Server, At::Account] {
            let module = self.clone();
            on.get(at, |cx: Cx, _: Look| std::future::ready(look(&cx)));
            on.set(at, move |cx: Cx, change| std::future::ready(module.change(&cx, change)));
        }
    }
}

/// XEP-0077, 3.1: who is registered learns what is on file, which is no more than the name.
fn look(cx: &Cx) -> Answer {
    check_owner(cx)?;
    let field = |name| Element::new(ns::REGISTER, name);
    let name = cx.account.jid.local().unwrap_or_default();
    let query = Element::new(ns::REGISTER, "query")
        .push(field("instructions").text("You are registered; you can give another password."))
        .push(field("registered"))
        .push(field("username").text(name))
        .push(field("password"));
    Ok(query.into())
}

impl Registration {
    fn change(&self, cx: &Cx, change: Change) -> Answer {
        check_owner(cx)?;
        match change {
            Change::Password { .. } if !self.config.change_password => Err(refusal(
                Condition::NotAllowed,
                "passwords are not changed this way here",
            )),
            // XEP-0077, 3.1.1: a second identity.
            Change::Password { username, .. } if !is_own_name(cx, &username) => {
                Err(refusal(Condition::NotAcceptable, "this is not your name"))
            }
            Change::Password { password, .. } => Ok(change_password(cx, password)),
            Change::Remove if !self.config.remove_account => {
                Err(refusal(Condition::NotAllowed, "accounts are not removed this way here"))
            }
            Change::Remove => Ok(Reply::empty().effect(Effect::Retire)),
        }
    }
}

/// Whoever knew the old password is to show the new one: sessions that are online or could be resumed end, but for the one that asks, and
/// so do notifications. Which sessions there are is looked at when nobody comes in by the old one any more.
fn change_password(cx: &Cx, password: Password) -> Reply {
    let mut reply = Reply::empty().effect(Effect::Password(password));
    push::end_all(&cx.account)
        .into_iter()
        .for_each(|effect| reply.effects.push(effect));
    reply.then(Effect::EndAll {
        but: cx.session,
        condition: StreamCondition::Reset,
    })
}

/// XEP-0077, 3.2: only the account's own sessions; who has no account here is told so.
fn check_owner(cx: &Cx) -> Result<(), StanzaError> {
    match cx.at {
        _ if cx.is_owner() => Ok(()),
        At::Account => Err(Condition::Forbidden.into()),
        _ => Err(Condition::RegistrationRequired.into()),
    }
}

fn is_own_name(cx: &Cx, username: &str) -> bool {
    Jid::from_parts(Some(username), &cx.host.domain, None).is_ok_and(|jid| jid.bare() == cx.account.jid)
}

fn refusal(condition: Condition, text: &str) -> StanzaError {
    StanzaError::new(condition).with_text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_once() {
        let good = [
            ("<username>bill</username><password>new</password>", "password"),
            (
                "<password>new</password><username>bill</username><email>a@b</email>",
                "password",
            ),
            ("<remove/>", "remove"),
        ];
        let bad = [
            "",
            "<username>bill</username>",
            "<password>new</password>",
            "<username>bill</username><password/>",
            "<username>bill</username><password></password>",
            "<username/><password>new</password>",
            "<remove/><username>bill</username>",
            "<username>bill</username><password>new</password><remove/>",
        ];
        let read = |inside: &str| {
            let text = format!("<query xmlns='jabber:iq:register'>{inside}</query>");
            let query = Element::parse(text.as_bytes(), ns::CLIENT, &xml::Limits::default()).unwrap();
            Change::read(&query).ok().map(|change| match change {
                Change::Password { .. } => "password",
                Change::Remove => "remove",
            })
        };
        for (inside, expected) in good {
            assert_eq!(read(inside), Some(expected), "{inside}");
        }
        for inside in bad {
            assert_eq!(read(inside), None, "{inside}");
        }
    }
}
