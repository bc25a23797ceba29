//! The table in the making: what modules declare at start. Frozen into a [`Pipeline`].

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use stanza::form::Form;
use stanza::{Bare, Condition, Iq, IqType, Jid, Message, Presence, Stanza, StanzaError};
use store::Stores;
use xml::Element;

use crate::disco::{At, Disco, Identity};
use crate::effect::Effects;
use crate::fact::{Fact, FactLoader};
use crate::handler::{Access, AccountCx, AccountEvent, Answer, BindCx, Bound, Command, Cx, Stage};
use crate::lent::Loan;
use crate::payload::Request;
use crate::view::{AccountView, SessionEvent, View, Way};

/// What a guard says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Pass,
    /// As if it had never been.
    Drop,
    /// Answer with an error (dropped where an error answer is forbidden).
    Bounce(StanzaError),
}

/// What stays of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// No message for longer.
    pub max_age: Option<Duration>,
    /// No more messages, for one account.
    pub max_messages: Option<u32>,
}

/// A kind of stanza that hooks are declared for.
pub trait Kind: Sized + 'static {
    /// Its lane.
    const LANE: Lane;
    /// The stanza as this kind.
    fn of(stanza: &Stanza) -> Option<&Self>;
}

/// A kind of stanza, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "named as in RFC 6120")]
pub enum Lane {
    Message,
    Presence,
    Iq,
}

/// How many lanes there are: two ways for each kind.
pub(crate) const LANES: usize = 6;

impl Lane {
    /// Every lane with its way, in order of [`Lane::index`].
    pub(crate) const ALL: [(Way, Self); LANES] = [
        (Way::Out, Self::Message),
        (Way::Out, Self::Presence),
        (Way::Out, Self::Iq),
        (Way::In, Self::Message),
        (Way::In, Self::Presence),
        (Way::In, Self::Iq),
    ];

    /// The lane's place in an array of [`LANES`].
    pub(crate) fn index(self, way: Way) -> usize {
        way as usize * 3 + self as usize
    }
}

/// Why a table could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// A module's settings do not fit.
    #[error("module {module}: {reason}")]
    Config {
        /// The module.
        module: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Two modules answer the same request.
    #[error("modules {0} and {1} both answer {2}")]
    Twice(&'static str, &'static str, String),
}

pub(crate) type Bar = Box<dyn Fn(&AccountView, &Jid) -> bool + Send + Sync>;
pub(crate) type Strip = Box<dyn Fn(&View<'_>, &Element) -> bool + Send + Sync>;
pub(crate) type Guard = Box<dyn Fn(&View<'_>, &Stanza) -> Verdict + Send + Sync>;
pub(crate) type Stamp = Box<dyn Fn(&View<'_>, &Stanza, &mut Vec<Element>) + Send + Sync>;
pub(crate) type Observe = Box<dyn Fn(&View<'_>, &Stanza, &mut Effects) + Send + Sync>;
pub(crate) type OnSession = Box<dyn Fn(&View<'_>, SessionEvent, &mut Effects) + Send + Sync>;
/// What an account hook asks for, on its way.
pub type AccountFuture = Pin<Box<dyn Future<Output = store::Result<Effects>> + Send>>;
pub(crate) type OnAccount = Box<dyn Fn(AccountCx, AccountEvent) -> AccountFuture + Send + Sync>;
/// What a module says of a session that is bound, on its way.
pub type BindFuture = Pin<Box<dyn Future<Output = store::Result<Bound>> + Send>>;
pub(crate) type OnBind = Box<dyn Fn(BindCx) -> BindFuture + Send + Sync>;
pub(crate) type Handler = Arc<dyn Fn(Cx, Element) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;
/// What is lent to an account, on its way.
pub type LoanFuture<'a> = Pin<Box<dyn Future<Output = store::Result<Option<Loan>>> + Send + 'a>>;
pub(crate) type Lend = Box<dyn for<'a> Fn(&'a Stores, &'a Bare) -> LoanFuture<'a> + Send + Sync>;
pub(crate) type CanWait = Box<dyn Fn(&Stanza) -> bool + Send + Sync>;
pub(crate) type StreamFeature = Box<dyn Fn(&str, &BTreeMap<At, Disco>) -> Element + Send + Sync>;

/// One declared hook.
pub(crate) struct Hook<F> {
    pub(crate) module: &'static str,
    /// Only stanzas that carry this child.
    pub(crate) carries: Option<(&'static str, &'static str)>,
    pub(crate) run: F,
}

/// The hooks of one way and kind, by role.
#[derive(Default)]
pub(crate) struct Roles {
    pub(crate) strips: Vec<Hook<Strip>>,
    pub(crate) guards: Vec<Hook<Guard>>,
    pub(crate) stamps: Vec<Hook<Stamp>>,
    pub(crate) observers: Vec<Hook<Observe>>,
}

impl Roles {
    /// Whether nobody asked for this lane.
    pub(crate) fn is_empty(&self) -> bool {
        self.guards.is_empty() && self.stamps.is_empty() && self.observers.is_empty()
    }
}

/// Where a request is answered: address, whether it is a set, namespace, name.
pub(crate) type QueryKey = (At, bool, &'static str, &'static str);

/// Who answers a request.
pub(crate) struct Answerer {
    pub(crate) module: &'static str,
    /// Whether an error in answer does not repeat the request.
    pub(crate) is_secret: bool,
    pub(crate) run: Handler,
}

/// The table in the making.
#[derive(Default)]
pub struct Hooks {
    module: &'static str,
    pub(crate) lanes: [Roles; LANES],
    pub(crate) queries: BTreeMap<QueryKey, Answerer>,
    pub(crate) sessions: Vec<Hook<OnSession>>,
    pub(crate) accounts: Vec<Hook<OnAccount>>,
    pub(crate) binds: Vec<Hook<OnBind>>,
    pub(crate) bind_features: Vec<&'static str>,
    pub(crate) facts: Vec<FactLoader>,
    pub(crate) disco: BTreeMap<At, Disco>,
    pub(crate) stream_features: Vec<StreamFeature>,
    pub(crate) keep_limit: Option<u32>,
    pub(crate) retention: Retention,
    pub(crate) waits: Vec<Hook<CanWait>>,
    pub(crate) bars: Vec<Hook<Bar>>,
    pub(crate) commands: Vec<(&'static str, Command)>,
    pub(crate) lends: Vec<Hook<Lend>>,
    pub(crate) problems: Vec<InstallError>,
}

impl Hooks {
    /// What follows is declared by `module`.
    pub(crate) fn enter(&mut self, module: &'static str) {
        self.module = module;
    }

    /// Before all: takes out of a stanza, as it goes on, children `name` in `ns` of which `judge` says that only the account itself may say
    /// so.
    pub fn strip<S: Kind>(
        &mut self,
        way: Way,
        ns: &'static str,
        name: &'static str,
        judge: impl Fn(&View<'_>, &Element) -> bool + Send + Sync + 'static,
    ) {
        let hook = Hook {
            module: self.module,
            carries: Some((ns, name)),
            run: Box::new(judge) as Strip,
        };
        self.roles::<S>(way).strips.push(hook);
    }

    /// Addresses with which the account has nothing to do: what modules send to them on its behalf goes nowhere.
    pub fn bar(&mut self, judge: impl Fn(&AccountView, &Jid) -> bool + Send + Sync + 'static) {
        self.bars.push(Hook {
            module: self.module,
            carries: None,
            run: Box::new(judge),
        });
    }

    /// First: may look at a stanza and let it pass, drop it or answer it with an error.
    pub fn guard<S: Kind>(&mut self, way: Way, run: impl Fn(&View<'_>, &S) -> Verdict + Send + Sync + 'static) {
        let run: Guard = Box::new(move |view, stanza| S::of(stanza).map_or(Verdict::Pass, |stanza| run(view, stanza)));
        let hook = Hook {
            module: self.module,
            carries: None,
            run,
        };
        self.roles::<S>(way).guards.push(hook);
    }

    /// Second: may add elements to the account's own copy. What leaves an account is never stamped.
    pub fn stamp<S: Kind>(&mut self, way: Way, run: impl Fn(&View<'_>, &S, &mut Vec<Element>) + Send + Sync + 'static) {
        let run: Stamp = Box::new(move |view, stanza, stamps| {
            if let Some(stanza) = S::of(stanza) {
                run(view, stanza, stamps);
            }
        });
        let hook = Hook {
            module: self.module,
            carries: None,
            run,
        };
        self.roles::<S>(way).stamps.push(hook);
    }

    /// Third: looks and asks for effects. On the way in the outcome is known.
    pub fn observe<S: Kind>(&mut self, way: Way, run: impl Fn(&View<'_>, &S, &mut Effects) + Send + Sync + 'static) {
        self.observer(way, None, run);
    }

    /// As [`Hooks::observe`], only for stanzas that carry the child `name` in `ns`.
    pub fn observe_with<S: Kind>(
        &mut self,
        way: Way,
        ns: &'static str,
        name: &'static str,
        run: impl Fn(&View<'_>, &S, &mut Effects) + Send + Sync + 'static,
    ) {
        self.observer(way, Some((ns, name)), run);
    }

    /// Answers IQs of type `get` with payload `P` at `at`; advertises `P::NS` there.
    pub fn get<P: Request, F>(&mut self, at: At, run: impl Fn(Cx, P) -> F + Send + Sync + Clone + 'static)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        self.feature(at, P::NS);
        self.query(at, IqType::Get, run);
    }

    /// Answers IQs of type `set` with payload `P` at `at`; advertises `P::NS` there.
    pub fn set<P: Request, F>(&mut self, at: At, run: impl Fn(Cx, P) -> F + Send + Sync + Clone + 'static)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        self.feature(at, P::NS);
        self.query(at, IqType::Set, run);
    }

    /// Obeys what the host tells an account: an IQ of type `set` with payload `P` from the host's own address, as which no client can
    /// speak. Not advertised, and for everybody else as if it were not there.
    pub fn order<P: Request, F>(&mut self, run: impl Fn(Cx, P) -> F + Send + Sync + Clone + 'static)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        self.query(At::Account, IqType::Set, move |cx: Cx, request: P| {
            let obeyed = cx.is_host().then(|| run(cx, request));
            async move {
                match obeyed {
                    Some(answer) => answer.await,
                    None => Err(Condition::ServiceUnavailable.into()),
                }
            }
        });
    }

    /// Offers the command `node` at `at`, called `name` by people, to `access`.
    pub fn command<F>(
        &mut self,
        at: At,
        (node, name): (&'static str, &'static str),
        access: Access,
        run: impl Fn(Cx, Vec<Form>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<Stage, StanzaError>> + Send + 'static,
    {
        let is_same = |(_, other): &&(_, Command)| other.at == at && other.node == node;
        if let Some((other, _)) = self.commands.iter().find(is_same) {
            self.problems
                .push(InstallError::Twice(other, self.module, format!("the command {node}")));
        }
        let command = Command {
            at,
            node,
            name,
            access,
            run: Box::new(move |cx, forms| Box::pin(run(cx, forms))),
        };
        self.commands.push((self.module, command));
    }

    /// A session was opened or closed.
    pub fn session(&mut self, run: impl Fn(&View<'_>, SessionEvent, &mut Effects) + Send + Sync + 'static) {
        self.sessions.push(Hook {
            module: self.module,
            carries: None,
            run: Box::new(run),
        });
    }

    /// A resource was bound together with authentication (XEP-0386). May await the stores, which must be quick: the account waits.
    pub fn bind<F>(&mut self, run: impl Fn(BindCx) -> F + Send + Sync + 'static)
    where
        F: Future<Output = store::Result<Bound>> + Send + 'static,
    {
        self.binds.push(Hook {
            module: self.module,
            carries: None,
            run: Box::new(move |cx| Box::pin(run(cx))),
        });
    }

    /// Announces a feature that a client can have enabled while it binds a resource, by its name in service discovery
    /// ([`BindCx::wants`]).
    pub fn bind_feature(&mut self, var: &'static str) {
        self.bind_features.push(var);
    }

    /// Something happened to an account. May await the stores; the effects are performed in the account's name, as far as they
    /// concern others. A store error has everything tried again later.
    pub fn account<F>(&mut self, run: impl Fn(AccountCx, AccountEvent) -> F + Send + Sync + 'static)
    where
        F: Future<Output = store::Result<Effects>> + Send + 'static,
    {
        self.accounts.push(Hook {
            module: self.module,
            carries: None,
            run: Box::new(move |cx, event| Box::pin(run(cx, event))),
        });
    }

    /// Loads `F` when an account becomes active, and keeps it warm.
    pub fn fact<F: Fact>(&mut self) {
        let loader = FactLoader::of::<F>();
        if !self.facts.iter().any(|other| other.kind == loader.kind) {
            self.facts.push(loader);
        }
    }

    /// Lends contacts to accounts, when one becomes active. Who is lent to whom must be so both ways.
    pub fn lend(&mut self, run: impl for<'a> Fn(&'a Stores, &'a Bare) -> LoanFuture<'a> + Send + Sync + 'static) {
        self.lends.push(Hook {
            module: self.module,
            carries: None,
            run: Box::new(run),
        });
    }

    /// Advertises a feature that no handler implies.
    pub fn feature(&mut self, at: At, ns: impl Into<String>) {
        self.disco.entry(at).or_default().features.insert(ns.into());
    }

    /// Advertises an identity.
    pub fn identity(&mut self, at: At, identity: Identity) {
        self.disco.entry(at).or_default().identities.insert(identity);
    }

    /// Advertises extended information (XEP-0128).
    pub fn form(&mut self, at: At, form: Element) {
        self.disco.entry(at).or_default().forms.push(form);
    }

    /// Adds an element to the stream features after authentication; made once the table is complete, from the domain and
    /// everything that is advertised.
    pub fn stream_feature(&mut self, make: impl Fn(&str, &BTreeMap<At, Disco>) -> Element + Send + Sync + 'static) {
        self.stream_features.push(Box::new(make));
    }

    /// Messages that find nobody wait for a later session, at most so many for one account ([`crate::Effect::Archive`],
    /// [`crate::Effect::Flush`]).
    pub fn keep_limit(&mut self, messages: u32) {
        self.keep_limit = Some(messages);
    }

    /// Messages do not stay in archives for longer, or more of them, unless they still wait for somebody.
    pub fn retention(&mut self, retention: Retention) {
        self.retention = retention;
    }

    /// Stanzas for a session that can wait until somebody looks at its client; of its kind from one address, the newest then counts.
    pub fn can_wait<S: Kind>(&mut self, judge: impl Fn(&S) -> bool + Send + Sync + 'static) {
        self.waits.push(Hook {
            module: self.module,
            carries: None,
            run: Box::new(move |stanza| S::of(stanza).is_some_and(&judge)),
        });
    }

    fn roles<S: Kind>(&mut self, way: Way) -> &mut Roles {
        &mut self.lanes[S::LANE.index(way)]
    }

    fn observer<S: Kind>(
        &mut self,
        way: Way,
        carries: Option<(&'static str, &'static str)>,
        run: impl Fn(&View<'_>, &S, &mut Effects) + Send + Sync + 'static,
    ) {
        let run: Observe = Box::new(move |view, stanza, effects| {
            if let Some(stanza) = S::of(stanza) {
                run(view, stanza, effects);
            }
        });
        let hook = Hook {
            module: self.module,
            carries,
            run,
        };
        self.roles::<S>(way).observers.push(hook);
    }

    fn query<P: Request, F>(&mut self, at: At, kind: IqType, run: impl Fn(Cx, P) -> F + Send + Sync + Clone + 'static)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |cx, element| match P::read(&element) {
            Ok(request) => Box::pin(run(cx, request)),
            Err(malformed) => Box::pin(std::future::ready(Err(malformed.into()))),
        });
        let key = (at, kind == IqType::Set, P::NS, P::NAME);
        let answerer = Answerer {
            module: self.module,
            is_secret: P::SECRET,
            run: handler,
        };
        if let Some(other) = self.queries.insert(key, answerer) {
            self.problems.push(InstallError::Twice(
                other.module,
                self.module,
                format!("<{} xmlns='{}'/>", P::NAME, P::NS),
            ));
        }
    }
}

impl Kind for Message {
    const LANE: Lane = Lane::Message;
    fn of(stanza: &Stanza) -> Option<&Self> {
        if let Stanza::Message(message) = stanza {
            Some(message)
        } else {
            None
        }
    }
}

impl Kind for Presence {
    const LANE: Lane = Lane::Presence;
    fn of(stanza: &Stanza) -> Option<&Self> {
        if let Stanza::Presence(presence) = stanza {
            Some(presence)
        } else {
            None
        }
    }
}

impl Kind for Iq {
    const LANE: Lane = Lane::Iq;
    fn of(stanza: &Stanza) -> Option<&Self> {
        if let Stanza::Iq(iq) = stanza { Some(iq) } else { None }
    }
}
