//! One account in a test: who is online, who is in the roster, and what the modules make of a stanza, as lines of text.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its part, and a test may fail"
)]

use std::sync::Arc;

use bytes::Bytes;
use engine::{
    AccountCx, AccountEvent, AccountView, At, Bare, Client, Clients, Condition, Cx, Decision, Effect, Effects, Facts,
    Full, Host, Invitation, Invites, Iq, Jid, Outcome, Pipeline, Presence, SessionChange, SessionEvent, SessionId,
    SessionView, Stage, Stanza, StanzaError, Timestamp, View, Way, Wish,
};
use serde_json::{Value, json};
use stanza::form::Form;
use store::{Ask, Contact, Roster, Stores, Subscription};

/// Noon of a day in 2026.
pub(crate) const NOW: Timestamp = Timestamp(1_795_262_400_000_000);

pub(crate) struct Scene {
    pub(crate) pipeline: Pipeline,
    pub(crate) host: Arc<Host>,
    pub(crate) account: AccountView,
    pub(crate) stores: Stores,
    pub(crate) clients: Vec<Client>,
}

/// Clients that have tokens.
struct Holders(Vec<Client>);

#[async_trait::async_trait]
impl Clients for Holders {
    async fn of(&self, _: &Bare, _: Timestamp) -> store::Result<Vec<Client>> {
        Ok(self.0.clone())
    }
}

/// Nobody is invited: that is the router's affair, and shown in the scripts.
struct NoInvites;

#[async_trait::async_trait]
impl Invites for NoInvites {
    async fn invite(&self, _: &Host, _: &Bare, _: Wish, _: Timestamp) -> Result<Invitation, StanzaError> {
        Err(Condition::ServiceUnavailable.into())
    }
}

/// Every module, with `settings` of some.
pub(crate) fn pipeline(settings: &Value) -> Pipeline {
    let rows: Vec<_> = dunlin_modules::ALL
        .iter()
        .map(|row| (row, settings[row.about.name].clone()))
        .collect();
    Pipeline::new(rows.iter().map(|(row, settings)| (*row, settings))).unwrap()
}

/// Juliet's account, with every module and nobody online.
pub(crate) fn juliet() -> Scene {
    Scene::new(json!({}))
}

impl Scene {
    pub(crate) fn new(settings: Value) -> Self {
        let pipeline = pipeline(&settings);
        let host = Host {
            domain: "capulet.example".into(),
            software: ("Dunlin".into(), "0.1.0".into()),
            started: Timestamp(NOW.0 - 60_000_000),
            admins: [Bare::parse("nurse@capulet.example").unwrap()].into(),
            disco: pipeline.disco().clone(),
            ..Host::default()
        };
        let jid = Bare::parse("juliet@capulet.example").unwrap();
        let account = AccountView {
            jid,
            sessions: Vec::new(),
            roster: Arc::new(Roster::default()),
            meters: engine::Meters::default(),
            lent: None,
            away_since: None,
            facts: Facts::default(),
        };
        Self {
            pipeline,
            host: Arc::new(host),
            account,
            stores: store::memory::stores(),
            clients: Vec::new(),
        }
    }

    /// A resource that is bound, and no more.
    pub(crate) fn connected(mut self, resource: &str) -> Self {
        let id = SessionId(self.account.sessions.len() as u128 + 1);
        let jid = self.account.jid.with_resource(resource).unwrap();
        self.account.sessions.push(SessionView::new(id, jid, NOW));
        self
    }

    /// A resource that has asked for the roster and is available.
    pub(crate) fn online(self, resource: &str, priority: i8) -> Self {
        let mut scene = self.connected(resource);
        let session = scene.account.sessions.last_mut().unwrap();
        session.interested = true;
        session.presence = Some(Arc::new(available(&session.jid, priority)));
        scene
    }

    /// The last resource has sent directed presence to `jid`.
    pub(crate) fn directed(mut self, jid: &str) -> Self {
        self.account
            .sessions
            .last_mut()
            .unwrap()
            .directed
            .insert(jid.parse().unwrap());
        self
    }

    /// A contact, described in words: a subscription, `ask`, `asked`, `approved`, `hidden`, `group`.
    pub(crate) fn contact(mut self, jid: &str, words: &str) -> Self {
        let roster = Arc::make_mut(&mut self.account.roster);
        roster.apply(&[contact(jid, words)], &[]);
        self
    }

    /// What the stores hold of the account is read.
    pub(crate) fn load(&mut self) {
        let facts = Facts::load(self.pipeline.facts(), &self.stores, &self.account.jid);
        self.account.facts = futures::executor::block_on(facts).unwrap();
    }

    /// The store holds this of the account, and it is read.
    pub(crate) fn keep(&mut self, space: &str, name: &str, value: &'static str) {
        let key = store::Key {
            space: space.into(),
            name: name.into(),
        };
        let (items, owner) = (&self.stores.items, &self.account.jid);
        futures::executor::block_on(items.put(owner, &key, Bytes::from_static(value.as_bytes()), None)).unwrap();
        self.load();
    }

    /// Something was counted.
    pub(crate) fn count(&mut self, name: &'static str, window: u32) {
        self.account.meters.count(name, NOW, window);
    }

    /// What a session's stanza leads to: the outcome, then the effects.
    pub(crate) fn out(&self, resource: &str, xml: &str) -> Vec<String> {
        let session = self.account.resource(resource).unwrap();
        let mut stanza = parse(xml);
        stanza.head_mut().from = Some(session.jid.jid().clone());
        let view = self.view(Way::Out, Some(session));
        self.lines(&self.pipeline.outgoing(&view, &stanza))
    }

    /// What a stanza that arrives leads to: the outcome, then the effects.
    pub(crate) fn incoming(&self, xml: &str) -> Vec<String> {
        let decision = self.pipeline.incoming(&self.view(Way::In, None), &parse(xml));
        self.lines(&decision)
    }

    /// What the end of a session leads to.
    pub(crate) fn closed(&self, resource: &str) -> Vec<String> {
        let view = self.view(Way::Out, self.account.resource(resource));
        self.effects(&self.pipeline.session(&view, SessionEvent::Closed))
    }

    /// What the removal of the account leads to.
    pub(crate) fn removed(&self) -> Vec<String> {
        let cx = AccountCx {
            now: NOW,
            host: self.host.clone(),
            account: Arc::new(self.account.clone()),
            stores: self.stores.clone(),
        };
        let hooks = self.pipeline.account(&cx, AccountEvent::Removed).into_iter();
        hooks
            .flat_map(|(_, hook)| self.effects(&futures::executor::block_on(hook).unwrap()))
            .collect()
    }

    /// What a request to the account or server leads to: effects, answer, effects after.
    pub(crate) fn ask(&self, from: &str, at: At, kind: &str, payload: &str) -> Vec<String> {
        let Stanza::Iq(iq) = parse(&format!("<iq from='{from}' id='q' type='{kind}'>{payload}</iq>")) else {
            panic!()
        };
        let query = match self.pipeline.query(at, &iq) {
            Ok(query) => query,
            Err(error) => return vec![error.condition.name().to_owned()],
        };
        let cx = self.cx(at, iq);
        match futures::executor::block_on(query.run(cx)) {
            Ok(reply) => {
                let mut lines = self.effects(&reply.effects);
                lines.push(
                    reply
                        .payload
                        .map_or_else(|| "result".into(), |payload| payload.to_string()),
                );
                lines.extend(self.effects(&reply.after));
                lines
            }
            Err(error) => vec![error.condition.name().to_owned()],
        }
    }

    /// What comes of a command of the server that the account runs, once its form is filled in: what went wrong, then the effects.
    pub(crate) fn command(&self, node: &str, form: Form) -> (Vec<String>, Vec<String>) {
        let Stanza::Iq(iq) = parse("<iq from='juliet@capulet.example/balcony' id='q' type='set'><none/></iq>") else {
            panic!()
        };
        let cx = self.cx(At::Server, iq);
        let commands = cx.commands.clone();
        let command = commands.iter().find(|command| command.node == node).unwrap();
        match futures::executor::block_on(command.run(cx, vec![form])).unwrap() {
            Stage::Done(done) => (done.failures, self.effects(&done.effects)),
            Stage::Form { .. } => panic!("another form"),
        }
    }

    fn cx(&self, at: At, iq: Iq) -> Cx {
        let from = iq.head.from.clone().unwrap();
        let own = (from.bare() == self.account.jid).then(|| from.resource()).flatten();
        Cx {
            now: NOW,
            host: self.host.clone(),
            at,
            account: Arc::new(self.account.clone()),
            session: own
                .and_then(|resource| self.account.resource(resource))
                .map(|session| session.id),
            request: Arc::new(iq),
            stores: self.stores.clone(),
            clients: Arc::new(Holders(self.clients.clone())),
            invites: Arc::new(NoInvites),
            commands: self.pipeline.commands(),
        }
    }

    /// What hooks see of a stanza that arrives.
    pub(crate) fn look(&self) -> View<'_> {
        self.view(Way::In, None)
    }

    fn view<'a>(&'a self, way: Way, session: Option<&'a SessionView>) -> View<'a> {
        View {
            way,
            now: NOW,
            host: &self.host,
            account: &self.account,
            session,
            outcome: &Outcome::Undecided,
            archive_id: engine::ArchiveId(7),
        }
    }

    fn lines(&self, decision: &Decision) -> Vec<String> {
        assert_eq!(decision.panicked, None);
        let mut lines = vec![self.outcome(&decision.outcome)];
        lines.extend(self.effects(&decision.effects));
        lines
    }

    pub(crate) fn outcome(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Undecided => "travels".into(),
            Outcome::Sessions(sessions) => format!("to {}", self.names(sessions)),
            Outcome::Nobody => "nobody".into(),
            Outcome::Handle => "handled".into(),
            Outcome::Ignore => "ignored".into(),
            Outcome::Bounce(error) => error.condition.name().into(),
        }
    }

    fn effects(&self, effects: &Effects) -> Vec<String> {
        effects.0.iter().flat_map(|effect| self.effect(effect)).collect()
    }

    fn effect(&self, effect: &Effect) -> Vec<String> {
        vec![match effect {
            Effect::Deliver { to, stanza, readdress } => {
                let each = if *readdress { "each " } else { "" };
                format!("deliver {each}{}: {}", self.names(to), xml(stanza))
            }
            Effect::Copy { to, stanza } => format!("copy {}: {}", self.names(to), xml(stanza)),
            Effect::Send(stanza) => format!("send {}", xml(stanza)),
            Effect::Broadcast { to, stanza } => format!("broadcast {}: {}", join(to), xml(stanza)),
            Effect::Roster(change) => {
                let put = change.put.iter().map(|contact| format!("put {}", describe(contact)));
                return put
                    .chain(change.remove.iter().map(|jid| format!("remove {jid}")))
                    .collect();
            }
            Effect::Session(id, change) => format!("session {}: {}", self.names(&[*id]), session_change(change)),
            Effect::Archive { message, lasting } => {
                let how = if *lasting { "archive" } else { "keep" };
                format!("{how} {}", xml(&Stanza::Message(message.clone())))
            }
            Effect::Flush { to, .. } => format!("flush {}", self.names(&[*to])),
            Effect::Put(put) => format!("put {} {}", put.key.space, put.key.name),
            Effect::Retract(retraction) => format!("retract {} of {}", retraction.id, retraction.author),
            Effect::Meter { name, .. } => format!("meter {name}"),
            Effect::End { sessions, condition } => format!("end {} {condition:?}", self.names(sessions)),
            Effect::EndAll { but, condition } => format!("end all but {} {condition:?}", self.names(but.as_slice())),
            Effect::Password(password) => format!("password {}", password.0),
            Effect::Account(credentials) => format!("account {}", credentials.account),
            Effect::Retire => "retire".into(),
        }]
    }

    fn names(&self, sessions: &[SessionId]) -> String {
        let name = |id: &SessionId| self.account.session(*id).unwrap().jid.resource().to_owned();
        sessions.iter().map(name).collect::<Vec<_>>().join(" ")
    }
}

pub(crate) fn parse(xml: &str) -> Stanza {
    Stanza::parse(&Bytes::copy_from_slice(xml.as_bytes())).unwrap()
}

pub(crate) fn xml(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out);
    String::from_utf8(out).unwrap()
}

pub(crate) fn contact(jid: &str, words: &str) -> Contact {
    let mut contact = Contact::new(jid.parse().unwrap());
    contact.in_roster = true;
    for word in words.split_whitespace() {
        match word {
            "none" => contact.subscription = Subscription::None,
            "to" => contact.subscription = Subscription::To,
            "from" => contact.subscription = Subscription::From,
            "both" => contact.subscription = Subscription::Both,
            "ask" => contact.ask = Ask::Subscribe,
            "asked" => {
                contact.pending_in =
                    Some(format!("<presence to='juliet@capulet.example' from='{jid}' type='subscribe'/>").into_bytes());
            }
            "approved" => contact.approved = true,
            "hidden" => contact.in_roster = false,
            "group" => contact.groups = vec!["Friends".into()],
            name => contact.name = Some(name.into()),
        }
    }
    contact
}

fn describe(contact: &Contact) -> String {
    let mut words = vec![contact.jid.to_string(), contact.subscription.name().into()];
    words.extend((contact.ask == Ask::Subscribe).then(|| "ask".into()));
    words.extend(contact.pending_in.as_ref().map(|_| "asked".into()));
    words.extend(contact.approved.then(|| "approved".into()));
    words.extend((!contact.in_roster).then(|| "hidden".into()));
    words.extend(contact.name.clone());
    words.extend(contact.groups.iter().map(|group| format!("[{group}]")));
    words.join(" ")
}

fn session_change(change: &SessionChange) -> String {
    match change {
        SessionChange::Available(presence) => format!("available {}", presence.priority()),
        SessionChange::Unavailable => "unavailable".into(),
        SessionChange::Interested => "interested".into(),
        SessionChange::Flag(flag, on) => format!("{flag} {on}"),
        SessionChange::DirectedAvailable(jid) => format!("knows {jid}"),
        SessionChange::DirectedUnavailable(jid) => format!("forgets {jid}"),
    }
}

fn available(from: &Full, priority: i8) -> Presence {
    let text = format!(
        "<presence from='{}'><priority>{priority}</priority></presence>",
        from.jid()
    );
    let Stanza::Presence(presence) = parse(&text) else {
        panic!()
    };
    presence
}

fn join(to: &[Jid]) -> String {
    to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
