//! The frozen table of one virtual host: what runs for a stanza, in order of role, then of the registry.
//!
//! Guards before stamps before observers: a blocked message is never archived, the archive sees the stamped copy. On the way
//! in the routing decision is taken between stamps and observers. What leaves an account is never stamped.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;
use stanza::{Bare, Child, Condition, Iq, IqType, Jid, Payload, Stanza, StanzaError};
use store::Stores;
use xml::Element;

use crate::about::Row;
use crate::disco::{At, Disco};
use crate::effect::{Effect, Effects};
use crate::fact::FactLoader;
use crate::handler::{AccountCx, AccountEvent, Answer, BindCx, Command, Cx};
use crate::hooks::{
    AccountFuture, Answerer, Bar, BindFuture, CanWait, Handler, Hook, Hooks, InstallError, LANES, Lane, Retention,
    Roles,
};
use crate::lent::Loan;
use crate::outcome::Outcome;
use crate::route;
use crate::view::{AccountView, SessionEvent, View, Way};

pub use crate::hooks::Verdict;

/// The frozen table of one virtual host.
pub struct Pipeline {
    hooks: Hooks,
    /// The commands, and who declared each.
    commands: Arc<[Command]>,
    commanders: Vec<&'static str>,
    /// Payload names that some hook asked for; at most 64.
    interests: Vec<(&'static str, &'static str)>,
    masks: [Masks; LANES],
}

/// Bits of the interests of one way and kind.
struct Masks {
    observers: Vec<u64>,
    /// Union of `observers`: a stanza that meets none of them skips the lane.
    union: u64,
}

/// What was decided for a stanza at an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// On the way in: what becomes of it. On the way out: `Undecided` travels on, `Handle` is dealt
    /// with by the effects alone (nothing travels on), `Ignore` was dropped, `Bounce` is answered.
    pub outcome: Outcome,
    /// The account's own copy, when it was stamped.
    pub own: Option<Stanza>,
    /// What to do besides.
    pub effects: Effects,
    /// The module whose hook panicked, if one did; the outcome is then a bounce.
    pub panicked: Option<&'static str>,
}

/// An answer on its way: a handler with its request.
pub struct Query {
    /// The module that answers.
    pub module: &'static str,
    handler: Handler,
    payload: Element,
}

/// A line of the "who hooks what" table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRow {
    /// Way and kind, or address for IQ handlers.
    pub place: String,
    /// Guard, stamp, observe, get, set, session, account, command and others.
    pub role: &'static str,
    /// The module.
    pub module: &'static str,
    /// The payload it asks for, if any.
    pub payload: String,
}

impl Default for Pipeline {
    /// Nothing runs.
    fn default() -> Self {
        Self::freeze(Hooks::default())
    }
}

impl Pipeline {
    /// Freezes the table of the enabled `rows`, each with its settings (`Null`: defaults).
    ///
    /// # Errors
    /// The first of [`InstallError`].
    pub fn new<'a>(rows: impl IntoIterator<Item = (&'a Row, &'a Value)>) -> Result<Self, InstallError> {
        let mut hooks = Hooks::default();
        for (row, settings) in rows {
            row.install(settings, &mut hooks)?;
        }
        match hooks.problems.first() {
            Some(problem) => Err(problem.clone()),
            None => Ok(Self::freeze(hooks)),
        }
    }

    fn freeze(mut hooks: Hooks) -> Self {
        let mut interests = Vec::new();
        for roles in &hooks.lanes {
            interests.extend(roles.observers.iter().filter_map(|hook| hook.carries));
        }
        interests.sort_unstable();
        interests.dedup();
        interests.truncate(64);
        let masks = hooks.lanes.each_ref().map(|roles| Masks::of(roles, &interests));
        let (commanders, commands): (Vec<_>, Vec<_>) = std::mem::take(&mut hooks.commands).into_iter().unzip();
        Self {
            hooks,
            commands: commands.into(),
            commanders,
            interests,
            masks,
        }
    }

    /// What is left of a stanza without what only the account itself may say, to be called before anything else; `None` when that is all
    /// of it.
    pub fn strip(&self, view: &View<'_>, stanza: &Stanza) -> Option<Stanza> {
        let mut left: Option<Stanza> = None;
        for hook in &self.hooks.lanes[lane_of(stanza).index(view.way)].strips {
            let Some((ns, name)) = hook.carries else { continue };
            let stanza = left.as_ref().unwrap_or(stanza);
            let payload = stanza.payload();
            let forged =
                |element: &Element| catch_unwind(AssertUnwindSafe(|| (hook.run)(view, element))).unwrap_or(true);
            let drops = |child: &Child| child.is(ns, name) && payload.element(child).is_none_or(|e| forged(&e));
            if payload.children().iter().any(drops) {
                left = Some(with_payload(stanza, payload.without(drops)));
            }
        }
        left
    }

    /// The sender's account: may the stanza travel on, and what else is to be done?
    pub fn outgoing(&self, view: &View<'_>, stanza: &Stanza) -> Decision {
        self.run(Way::Out, view, stanza, route::outgoing)
    }

    /// The recipient's account: what becomes of the stanza, and what else is to be done?
    pub fn incoming(&self, view: &View<'_>, stanza: &Stanza) -> Decision {
        let mut decision = self.run(Way::In, view, stanza, |stanza| route::incoming(view.account, stanza));
        let kept = decision
            .effects
            .0
            .iter()
            .any(|effect| matches!(effect, Effect::Archive { .. }));
        if decision.outcome == Outcome::Nobody && !kept {
            decision.outcome = Outcome::Bounce(Condition::ServiceUnavailable.into());
        }
        decision
    }

    /// As [`Pipeline::incoming`], for the account's own copy of a stanza that was let in before: who is to have it now. Guards are not asked
    /// again, as it was accepted; with whom the account has nothing to do any more is not heard all the same.
    pub fn again(&self, view: &View<'_>, own: &Stanza) -> Decision {
        let at = lane_of(own).index(Way::In);
        let is_barred = own
            .head()
            .from
            .as_ref()
            .is_some_and(|from| self.bars(view.account, from));
        let outcome = if is_barred {
            Outcome::Ignore
        } else {
            route::incoming(view.account, own)
        };
        let observe = || self.observed(at, &Cell::new(""), view, own, &outcome);
        let effects = catch_unwind(AssertUnwindSafe(observe)).unwrap_or_default();
        Decision {
            outcome,
            own: None,
            effects,
            panicked: None,
        }
    }

    /// Whether messages that stay in the archive say so themselves.
    pub fn stamps_messages(&self) -> bool {
        !self.hooks.lanes[Lane::Message.index(Way::In)].stamps.is_empty()
    }

    /// What modules ask for when a session opens or closes.
    pub fn session(&self, view: &View<'_>, event: SessionEvent) -> Effects {
        let mut effects = Effects::default();
        for hook in &self.hooks.sessions {
            let mut own = Effects::default();
            if catch_unwind(AssertUnwindSafe(|| (hook.run)(view, event, &mut own))).is_ok() {
                effects.0.append(&mut own.0);
            }
        }
        effects
    }

    /// What modules ask for when something happens to an account: each module's name and its answer on its way, in running order.
    pub fn account(&self, cx: &AccountCx, event: AccountEvent) -> Vec<(&'static str, AccountFuture)> {
        self.hooks
            .accounts
            .iter()
            .map(|hook| (hook.module, (hook.run)(cx.clone(), event)))
            .collect()
    }

    /// What modules say of a session that was bound together with authentication: each module's name and its answer on its way.
    pub fn bind(&self, cx: &BindCx) -> Vec<(&'static str, BindFuture)> {
        let hooks = self.hooks.binds.iter();
        hooks.map(|hook| (hook.module, (hook.run)(cx.clone()))).collect()
    }

    /// Features that a client can have enabled while it binds a resource.
    pub fn bind_features(&self) -> impl Iterator<Item = &'static str> {
        self.hooks.bind_features.iter().copied()
    }

    /// The handler for a request at `at`.
    ///
    /// # Errors
    /// `service-unavailable` when nobody answers it there (RFC 6120, 8.4), `bad-request` when it is unreadable.
    pub fn query(&self, at: At, iq: &Iq) -> Result<Query, StanzaError> {
        let child = iq.payload.children().first().ok_or(Condition::BadRequest)?;
        let answerer = self.answerer(at, iq, child).ok_or(Condition::ServiceUnavailable)?;
        Ok(Query {
            module: answerer.module,
            handler: answerer.run.clone(),
            payload: iq.payload.element(child).ok_or(Condition::BadRequest)?,
        })
    }

    /// Whether a request may hold a secret: an error in answer to it does not repeat it.
    pub fn is_secret(&self, at: At, iq: &Iq) -> bool {
        let child = iq.payload.children().first();
        let answerer = child.and_then(|child| self.answerer(at, iq, child));
        answerer.is_some_and(|answerer| answerer.is_secret)
    }

    fn answerer(&self, at: At, iq: &Iq, child: &Child) -> Option<&Answerer> {
        let mut all = self.hooks.queries.iter();
        let found = all.find(|((where_, set, ns, name), _)| {
            *where_ == at && *set == (iq.kind == IqType::Set) && child.is(ns, name)
        });
        found.map(|(_, answerer)| answerer)
    }

    /// Everything that is advertised.
    pub fn disco(&self) -> &BTreeMap<At, Disco> {
        &self.hooks.disco
    }

    /// Every command that modules declare.
    pub fn commands(&self) -> Arc<[Command]> {
        self.commands.clone()
    }

    /// How many messages may wait for one account while nobody is there to take them, when a module delivers them later; more
    /// bounce with `service-unavailable`.
    pub fn keep_limit(&self) -> Option<u32> {
        self.hooks.keep_limit
    }

    /// What stays of archives; `None` when all does.
    pub fn retention(&self) -> Option<Retention> {
        Some(self.hooks.retention).filter(|retention| *retention != Retention::default())
    }

    /// Whether a stanza can wait until somebody looks at the client.
    pub fn can_wait(&self, stanza: &Stanza) -> bool {
        let waits = |hook: &Hook<CanWait>| catch_unwind(AssertUnwindSafe(|| (hook.run)(stanza))).unwrap_or(false);
        self.hooks.waits.iter().any(waits)
    }

    /// Whether the account has nothing to do with that address.
    pub fn bars(&self, account: &AccountView, jid: &Jid) -> bool {
        let bars = |hook: &Hook<Bar>| catch_unwind(AssertUnwindSafe(|| (hook.run)(account, jid))).unwrap_or(false);
        self.hooks.bars.iter().any(bars)
    }

    /// Elements for the stream features of `domain` after authentication.
    pub fn stream_features(&self, domain: &str) -> Vec<Element> {
        self.hooks
            .stream_features
            .iter()
            .map(|make| make(domain, &self.hooks.disco))
            .collect()
    }

    /// What to load when an account becomes active.
    pub fn facts(&self) -> &[FactLoader] {
        &self.hooks.facts
    }

    /// What is lent to `account`, if anything.
    ///
    /// # Errors
    /// The first store error.
    pub async fn loan(&self, stores: &Stores, account: &Bare) -> store::Result<Option<Loan>> {
        let mut whole: Option<Loan> = None;
        for hook in &self.hooks.lends {
            let loan = (hook.run)(stores, account).await?;
            match (&mut whole, loan) {
                (Some(whole), Some(loan)) => whole.extend(loan),
                (None, loan) => whole = loan,
                (Some(_), None) => {}
            }
        }
        Ok(whole)
    }

    /// Who hooks what, in running order.
    pub fn table(&self) -> Vec<HookRow> {
        let mut rows = Vec::new();
        for ((way, lane), roles) in Lane::ALL.iter().zip(&self.hooks.lanes) {
            let place = format!("{lane:?} {way:?}").to_lowercase();
            rows.extend(roles.strips.iter().map(|hook| hook.row(&place, "strip")));
            rows.extend(roles.guards.iter().map(|hook| hook.row(&place, "guard")));
            rows.extend(roles.stamps.iter().map(|hook| hook.row(&place, "stamp")));
            rows.extend(roles.observers.iter().map(|hook| hook.row(&place, "observe")));
        }
        rows.extend(self.hooks.sessions.iter().map(|hook| hook.row("session", "session")));
        rows.extend(self.hooks.binds.iter().map(|hook| hook.row("session", "bind")));
        rows.extend(self.hooks.bars.iter().map(|hook| hook.row("effects", "bar")));
        rows.extend(self.hooks.lends.iter().map(|hook| hook.row("account", "lend")));
        rows.extend(self.hooks.waits.iter().map(|hook| hook.row("delivery", "can wait")));
        rows.extend(self.hooks.accounts.iter().map(|hook| hook.row("account", "account")));
        rows.extend(
            self.hooks
                .queries
                .iter()
                .map(|((at, set, ns, name), answerer)| HookRow {
                    place: format!("iq at {at:?}").to_lowercase(),
                    role: if *set { "set" } else { "get" },
                    module: answerer.module,
                    payload: format!("{name} in {ns}"),
                }),
        );
        let commands = self.commanders.iter().zip(&*self.commands);
        rows.extend(commands.map(|(module, command)| HookRow {
            place: format!("command at {:?}", command.at).to_lowercase(),
            role: "command",
            module,
            payload: command.node.to_owned(),
        }));
        rows
    }

    fn run(&self, way: Way, view: &View<'_>, stanza: &Stanza, decide: impl Fn(&Stanza) -> Outcome) -> Decision {
        let at = lane_of(stanza).index(way);
        if self.hooks.lanes[at].is_empty() {
            return Decision {
                outcome: decide(stanza),
                own: None,
                effects: Effects::default(),
                panicked: None,
            };
        }
        let running = Cell::new("");
        let work = || self.run_roles(at, &running, view, stanza, decide);
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Decision {
            outcome: Outcome::Bounce(Condition::InternalServerError.into()),
            own: None,
            effects: Effects::default(),
            panicked: Some(running.get()),
        })
    }

    fn run_roles(
        &self,
        at: usize,
        running: &Cell<&'static str>,
        view: &View<'_>,
        stanza: &Stanza,
        decide: impl Fn(&Stanza) -> Outcome,
    ) -> Decision {
        let roles = &self.hooks.lanes[at];
        let mut decision = Decision {
            outcome: Outcome::Ignore,
            own: None,
            effects: Effects::default(),
            panicked: None,
        };
        for hook in &roles.guards {
            running.set(hook.module);
            match (hook.run)(view, stanza) {
                Verdict::Pass => {}
                Verdict::Drop => return decision,
                Verdict::Bounce(error) => {
                    decision.outcome = Outcome::Bounce(error);
                    return decision;
                }
            }
        }
        decision.own = stamped(roles, running, view, stanza);
        let own = decision.own.as_ref().unwrap_or(stanza);
        decision.outcome = decide(own);
        decision.effects = self.observed(at, running, view, own, &decision.outcome);
        decision
    }

    /// What observers ask for, once the outcome is known.
    fn observed(
        &self,
        at: usize,
        running: &Cell<&'static str>,
        view: &View<'_>,
        own: &Stanza,
        outcome: &Outcome,
    ) -> Effects {
        let (roles, masks) = (&self.hooks.lanes[at], &self.masks[at]);
        let mut effects = Effects::default();
        let view = View { outcome, ..*view };
        let bits = self.bits(own, masks.union);
        for (hook, mask) in roles.observers.iter().zip(&masks.observers) {
            if *mask == 0 || mask & bits != 0 {
                running.set(hook.module);
                (hook.run)(&view, own, &mut effects);
            }
        }
        effects
    }

    /// The bits of the payload names that `stanza` carries, among those of `union`.
    fn bits(&self, stanza: &Stanza, union: u64) -> u64 {
        if union == 0 {
            return 0;
        }
        let carried = |(ns, name): &(&str, &str)| stanza.payload().has(ns, name);
        self.interests
            .iter()
            .enumerate()
            .filter(|(_, name)| carried(name))
            .fold(0, |bits, (at, _)| bits | 1 << at)
    }
}

impl Query {
    /// Runs the handler.
    pub fn run(self, cx: Cx) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        (self.handler)(cx, self.payload)
    }
}

impl Masks {
    fn of(roles: &Roles, interests: &[(&'static str, &'static str)]) -> Self {
        let bit = |name: (&'static str, &'static str)| {
            interests
                .iter()
                .position(|other| *other == name)
                .map_or(0, |at| 1 << at)
        };
        let observers: Vec<u64> = roles.observers.iter().map(|hook| hook.carries.map_or(0, bit)).collect();
        let union = observers.iter().fold(0, |union, mask| union | mask);
        Self { observers, union }
    }
}

impl<F> Hook<F> {
    fn row(&self, place: &str, role: &'static str) -> HookRow {
        let payload = self
            .carries
            .map(|(ns, name)| format!("{name} in {ns}"))
            .unwrap_or_default();
        HookRow {
            place: place.to_owned(),
            role,
            module: self.module,
            payload,
        }
    }
}

/// The account's own copy, if any stamp has something to add.
fn stamped(roles: &Roles, running: &Cell<&'static str>, view: &View<'_>, stanza: &Stanza) -> Option<Stanza> {
    let mut stamps = Vec::new();
    for hook in &roles.stamps {
        running.set(hook.module);
        (hook.run)(view, stanza, &mut stamps);
    }
    if stamps.is_empty() {
        return None;
    }
    let payload = stamps
        .iter()
        .fold(stanza.payload().clone(), |payload: Payload, stamp| payload.push(stamp));
    Some(with_payload(stanza, payload))
}

fn lane_of(stanza: &Stanza) -> Lane {
    match stanza {
        Stanza::Message(_) => Lane::Message,
        Stanza::Presence(_) => Lane::Presence,
        Stanza::Iq(_) => Lane::Iq,
    }
}

fn with_payload(stanza: &Stanza, payload: Payload) -> Stanza {
    let mut own = stanza.clone();
    match &mut own {
        Stanza::Message(message) => message.payload = payload,
        Stanza::Presence(presence) => presence.payload = payload,
        Stanza::Iq(iq) => iq.payload = payload,
    }
    own
}
