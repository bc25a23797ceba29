//! IQ handlers: the only protocol code that may await, and only stores.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use stanza::form::Form;
use stanza::{Bare, Condition, Iq, SessionId, StanzaError, Timestamp};
use store::Stores;
use xml::Element;

use crate::client::Clients;
use crate::disco::At;
use crate::effect::{Effect, Effects};
use crate::fact::Fact;
use crate::host::{Host, MayInvite};
use crate::invites::Invites;
use crate::view::{AccountView, SessionView};

/// What a handler knows. Owned: the account goes on while the handler awaits.
#[derive(Clone)]
pub struct Cx {
    /// Now.
    pub now: Timestamp,
    /// The virtual host asked.
    pub host: Arc<Host>,
    /// Which address was asked.
    pub at: At,
    /// `At::Account`: the account asked. `At::Server`: the account that asks, when it is local.
    pub account: Arc<AccountView>,
    /// The asking session, when it belongs to `account`.
    pub session: Option<SessionId>,
    /// The request; `from` is true.
    pub request: Arc<Iq>,
    /// The stores.
    pub stores: Stores,
    /// Who logs in by tokens.
    pub clients: Arc<dyn Clients>,
    /// Makes invitations.
    pub invites: Arc<dyn Invites>,
    /// Every command that modules declare.
    pub commands: Arc<[Command]>,
}

/// What a handler says.
pub type Answer = Result<Reply, StanzaError>;

/// A result and what goes with it. Effects are performed before the result is sent, in order; when a conditional write in
/// them conflicts, the handler runs again on fresh values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The result's payload, if any.
    pub payload: Option<Element>,
    /// What must be done first.
    pub effects: Effects,
    /// What is done after the result was sent.
    pub after: Effects,
}

/// A command: what people ask for by filling in forms, one after the other (XEP-0050).
pub struct Command {
    /// The address that offers it.
    pub at: At,
    /// What programs call it.
    pub node: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// Who may run it.
    pub access: Access,
    pub(crate) run: CommandRun,
}

/// Who may run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Those who administer the host.
    Admins,
    /// Those who may make invitations to the host.
    Inviters,
    /// Users of the host.
    Users,
}

/// How a command goes on from the forms that were filled in so far. It may be asked more than once for the same.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// It wants this one filled in, too.
    Form {
        /// The form.
        form: Form,
        /// Whether it then has all it needs.
        last: bool,
    },
    /// It is done.
    Done(Done),
}

/// What came of a command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// What it found out.
    pub result: Option<Element>,
    /// What people should know.
    pub info: Vec<String>,
    /// What went wrong.
    pub failures: Vec<String>,
    /// What must be done before that is said.
    pub effects: Effects,
}

/// How a command goes on, on its way.
pub type StageFuture = Pin<Box<dyn Future<Output = Result<Stage, StanzaError>> + Send>>;
pub(crate) type CommandRun = Box<dyn Fn(Cx, Vec<Form>) -> StageFuture + Send + Sync>;

/// Something that happened to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountEvent {
    /// It was removed: its sessions have ended and nobody can log in any more. What it owned is still in the stores; it goes from
    /// there when all hooks have run and what they asked for was sent. After a crash they run again.
    Removed,
}

/// What an account hook knows. Owned, as for a handler.
#[derive(Clone)]
pub struct AccountCx {
    /// Now.
    pub now: Timestamp,
    /// The virtual host of the account.
    pub host: Arc<Host>,
    /// The account, without sessions.
    pub account: Arc<AccountView>,
    /// The stores.
    pub stores: Stores,
}

/// What a hook knows of a session that was bound together with authentication (XEP-0386). Owned, as for a handler.
#[derive(Clone)]
pub struct BindCx {
    /// Now.
    pub now: Timestamp,
    /// The virtual host of the account.
    pub host: Arc<Host>,
    /// The account, with the session.
    pub account: Arc<AccountView>,
    /// The session.
    pub session: SessionId,
    /// What its client wants to have enabled.
    pub wishes: Arc<[Element]>,
    /// The stores.
    pub stores: Stores,
}

/// What a module says of a session that was bound together with authentication.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bound {
    /// What its client is told in `<bound/>`.
    pub said: Option<Element>,
    /// What is done before.
    pub effects: Effects,
}

impl BindCx {
    /// Whether the client wants `name` in `ns`.
    pub fn wants(&self, ns: &str, name: &str) -> bool {
        self.wishes.iter().any(|wish| wish.is(ns, name))
    }
}

impl Cx {
    /// Whether the account itself asks (one of its own sessions).
    pub fn is_owner(&self) -> bool {
        self.session.is_some()
            && self
                .request
                .head
                .from
                .as_ref()
                .is_some_and(|from| from.bare() == self.account.jid)
    }

    /// What a module keeps warm of the account, for the account itself.
    ///
    /// # Errors
    /// `forbidden` when somebody else asks; `internal-server-error` when no module declared such a fact.
    pub fn own<F: Fact>(&self) -> Result<&F, StanzaError> {
        if !self.is_owner() {
            return Err(Condition::Forbidden.into());
        }
        self.account
            .facts
            .get()
            .ok_or_else(|| Condition::InternalServerError.into())
    }

    /// Whether the asker may know of the account's presence: the account itself, or a contact with a subscription from it.
    pub fn sees_presence(&self) -> bool {
        let from = self.request.head.from.as_ref();
        self.is_owner() || from.is_some_and(|from| self.account.is_seen_by(from))
    }

    /// Who asks.
    pub fn asker(&self) -> Option<Bare> {
        self.request.head.from.as_ref().map(|from| from.bare())
    }

    /// Whether the host itself asks, on behalf of nobody.
    pub fn is_host(&self) -> bool {
        let from = self.request.head.from.as_ref();
        from.is_some_and(|from| from.as_str() == self.host.domain)
    }

    /// Whether one of those asks who administer the host.
    pub fn is_admin(&self) -> bool {
        self.asker().is_some_and(|asker| self.host.admins.contains(&asker))
    }

    /// Whether a user of the host asks.
    pub fn is_user(&self) -> bool {
        self.asker()
            .is_some_and(|asker| asker.local().is_some() && asker.domain() == self.host.domain)
    }

    /// The asking session, when it belongs to `account`.
    pub fn asking(&self) -> Option<&SessionView> {
        self.session.and_then(|id| self.account.session(id))
    }
}

impl Command {
    /// Whether it is for who asks.
    pub fn is_for(&self, cx: &Cx) -> bool {
        match self.access {
            Access::Admins => cx.is_admin(),
            Access::Inviters => match cx.host.may_invite {
                MayInvite::Nobody => false,
                MayInvite::Admins => cx.is_user() && cx.is_admin(),
                MayInvite::Users => cx.is_user(),
            },
            Access::Users => cx.is_user(),
        }
    }

    /// How it goes on from `forms`.
    pub fn run(&self, cx: Cx, forms: Vec<Form>) -> StageFuture {
        (self.run)(cx, forms)
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({:?}, {})", self.at, self.node)
    }
}

impl Reply {
    /// An empty result.
    pub fn empty() -> Self {
        Self::default()
    }

    /// This reply with an effect that must succeed before the result is sent.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    /// This reply with an effect performed after the result was sent.
    #[must_use]
    pub fn then(mut self, effect: Effect) -> Self {
        self.after.push(effect);
        self
    }
}

impl From<Element> for Reply {
    fn from(payload: Element) -> Self {
        Self {
            payload: Some(payload),
            ..Self::default()
        }
    }
}
