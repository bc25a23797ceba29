//! Push notifications (XEP-0357): a client that is not there, or that nobody looks at, has its app server told that something waits.
//!
//! Another password takes them from all clients: whoever knew the old one may have had an app server of his own told, which would go on
//! learning when, and perhaps from whom and what, something comes, though no session and no token of his is left. No resource tells whose a
//! registration is, so that none is spared: clients ask again.

use std::sync::Arc;

use engine::{
    About, AccountView, Answer, At, Bare, Condition, Cx, Effect, Effects, Element, ErrorType, Fact, Head, Hooks, Iq,
    IqType, Jid, Malformed, Message, MessageType, Module, Outcome, Presence, PresenceType, Put, Reply, Request,
    SessionEvent, SessionView, StanzaError, View, Way, ns,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanza::form::{Form, FormType};
use store::{Key, Stores, Version};

use crate::archive::is_kept;

/// The module.
pub(crate) struct Push {
    config: PushConfig,
}

/// What app servers learn, and how many there may be.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PushConfig {
    /// How many clients of one user can have notifications; with one more, the one that asked first loses them.
    pub max_clients: usize,
    /// How many bytes of options a client may give for publishing; more are refused with `resource-constraint`.
    pub max_options_bytes: usize,
    /// Whether app servers learn who sent a message. They are others than those who run this server.
    pub include_sender: bool,
    /// Whether app servers learn what a message says.
    pub include_body: bool,
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            max_clients: 20,
            max_options_bytes: 4_096,
            include_sender: false,
            include_body: false,
        }
    }
}

/// `<enable xmlns='urn:xmpp:push:0' jid='…' node='…'/>`
struct Enable {
    service: Jid,
    node: Option<String>,
    options: Option<Element>,
}

/// `<disable xmlns='urn:xmpp:push:0' jid='…'/>`: of this node, or of all.
struct Disable {
    service: Jid,
    node: Option<String>,
}

impl Request for Enable {
    const NS: &'static str = PUSH;
    const NAME: &'static str = "enable";

    fn read(element: &Element) -> Result<Self, Malformed> {
        let options = element.child(ns::DATA_FORMS, "x");
        if options.is_some_and(|x| Form::read(x).is_none_or(|form| form.form_type() != Some(PUBLISH_OPTIONS))) {
            return Err(Malformed("the form holds options for publishing"));
        }
        Ok(Self {
            service: service(element)?,
            node: element.attribute("node").map(str::to_owned),
            options: options.cloned(),
        })
    }
}

impl Request for Disable {
    const NS: &'static str = PUSH;
    const NAME: &'static str = "disable";

    fn read(element: &Element) -> Result<Self, Malformed> {
        Ok(Self {
            service: service(element)?,
            node: element.attribute("node").map(str::to_owned),
        })
    }
}

impl Module for Push {
    const ABOUT: About = About {
        name: "push",
        rfcs: &[],
        xeps: &[(357, "0.4.1")],
        summary: "Tells the app server of a client that is not there that something waits for it.",
    };
    type Config = PushConfig;

    fn new(config: PushConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        let (enabled, heard, asked, left) = (self.clone(), self.clone(), self.clone(), self);
        on.fact::<Clients>();
        on.set(At::Account, move |cx, request| {
            std::future::ready(enabled.enable(&cx, request))
        });
        on.set(At::Account, |cx, request| std::future::ready(disable(&cx, &request)));
        on.observe(Way::In, move |view, message, effects| {
            heard.message(view, message, effects)
        });
        on.observe(Way::In, move |view, presence, effects| {
            asked.presence(view, presence, effects)
        });
        on.observe(Way::In, refused);
        on.observe_with(Way::In, PUBSUB, "pubsub", excluded);
        on.session(move |view, event, effects| left.session(view, event, effects));
    }
}

impl Push {
    /// XEP-0357, 5. Of the same service and node the last request counts.
    fn enable(&self, cx: &Cx, request: Enable) -> Answer {
        let clients = cx.own::<Clients>()?;
        let session = cx.asking().ok_or(Condition::Forbidden)?;
        let size = request.options.as_ref().map_or(0, |options| options.to_string().len());
        if size + request.node.as_ref().map_or(0, String::len) > self.config.max_options_bytes {
            return Err(StanzaError::new(Condition::ResourceConstraint).with_text("too many options"));
        }
        let mut list = clients.without(|client| client.is(&request.service, request.node.as_deref()));
        let number = clients
            .list
            .iter()
            .map(|client| client.number)
            .max()
            .unwrap_or_default()
            + 1;
        list.push(Client {
            number,
            resource: session.jid.resource().to_owned(),
            service: request.service,
            node: request.node,
            options: request.options,
        });
        let excess = list.len().saturating_sub(self.config.max_clients);
        list.drain(..excess);
        Ok(Reply::empty().effect(clients.put(&list)))
    }

    /// A message that will not be seen at once on some client.
    fn message(&self, view: &View<'_>, message: &Message, effects: &mut Effects) {
        if view.fact::<Clients>().is_none_or(|clients| clients.list.is_empty()) {
            return; // as with most accounts
        }
        let hearing = match view.outcome {
            Outcome::Sessions(sessions) => &sessions[..],
            Outcome::Nobody => &[],
            _ => return,
        };
        let stays = is_kept(message) && !message.payload.has(PUBSUB, "pubsub");
        let is_said_in_room = message.kind == MessageType::Groupchat && message.payload.has(ns::CLIENT, "body");
        if !stays && !is_said_in_room {
            return;
        }
        // Who is not there reads what stays; who is there unseen has what came to it, and what others heard for it.
        let misses = |session: Option<&SessionView>| match session {
            Some(session) => session.unattended && (stays || hearing.contains(&session.id)),
            None => stays,
        };
        let summary = self.summary(message);
        self.notify(view, misses, &summary, effects);
    }

    /// A request that waits for an answer (RFC 6121, 3.1.3).
    fn presence(&self, view: &View<'_>, presence: &Presence, effects: &mut Effects) {
        if presence.kind == PresenceType::Subscribe && *view.outcome == Outcome::Handle {
            let summary = summary().with("pending-subscription-count", None, ["1"]);
            self.notify(
                view,
                |session| session.is_none_or(|session| session.unattended),
                &summary,
                effects,
            );
        }
    }

    /// What a client had not seen when its stream broke.
    fn session(&self, view: &View<'_>, event: SessionEvent, effects: &mut Effects) {
        if let (SessionEvent::Detached { unseen: true }, Some(session)) = (event, view.session) {
            let summary = summary().with("message-count", None, ["1"]);
            let is_it = |other: Option<&SessionView>| other.is_some_and(|other| other.id == session.id);
            self.notify(view, is_it, &summary, effects);
        }
    }

    /// Tells the app servers of the clients that miss something, by the session of each, if it has one.
    fn notify(
        &self,
        view: &View<'_>,
        misses: impl Fn(Option<&SessionView>) -> bool,
        summary: &Form,
        effects: &mut Effects,
    ) {
        let Some(clients) = view.fact::<Clients>() else { return };
        for client in &clients.list {
            if misses(view.account.resource(&client.resource)) {
                effects.send(client.publish(&view.account.jid, summary));
            }
        }
    }

    fn summary(&self, message: &Message) -> Form {
        let mut summary = summary().with("message-count", None, ["1"]);
        if let (true, Some(from)) = (self.config.include_sender, &message.head.from) {
            summary = summary.with("last-message-sender", None, [from.as_str()]);
        }
        let body = message.payload.find(ns::CLIENT, "body");
        if let (true, Some(body)) = (self.config.include_body, body) {
            summary = summary.with("last-message-body", None, [body.content()]);
        }
        summary
    }
}

fn summary() -> Form {
    Form::new(FormType::Result, "urn:xmpp:push:summary")
}

/// XEP-0357, 6.
fn disable(cx: &Cx, request: &Disable) -> Answer {
    let clients = cx.own::<Clients>()?;
    let is_meant = |client: &Client| match &request.node {
        Some(node) => client.is(&request.service, Some(node)),
        None => client.service == request.service,
    };
    let list = clients.without(is_meant);
    if list.len() == clients.list.len() {
        return Ok(Reply::empty());
    }
    Ok(Reply::empty().effect(clients.put(&list)))
}

/// XEP-0357, 7.1: who does not take notifications gets no more; an error that will pass does not count.
fn refused(view: &View<'_>, iq: &Iq, effects: &mut Effects) {
    let (IqType::Error, Some(clients), Some(from)) = (iq.kind, view.fact::<Clients>(), &iq.head.from) else {
        return;
    };
    let passes = iq
        .payload
        .find(ns::CLIENT, "error")
        .is_some_and(|error| error.attribute("type") == Some(ErrorType::Wait.name()));
    let number = iq.head.id.as_ref().and_then(|id| id.strip_prefix(ID)?.parse().ok());
    let is_meant = |client: &Client| Some(client.number) == number && client.service == *from;
    if !passes && clients.list.iter().any(is_meant) {
        effects.push(clients.put(&clients.without(is_meant)));
    }
}

/// XEP-0357, 9: the service says that it will not take any more.
fn excluded(view: &View<'_>, message: &Message, effects: &mut Effects) {
    let (Some(clients), Some(from)) = (view.fact::<Clients>(), &message.head.from) else {
        return;
    };
    let pubsub = message.payload.find(PUBSUB, "pubsub");
    let Some(node) = pubsub.as_ref().and_then(|pubsub| pubsub.attribute("node")) else {
        return;
    };
    let takes_away = |child: &Element| {
        let jid = child.attribute("jid").and_then(|jid| Jid::parse(jid).ok());
        child.is(PUBSUB, "affiliation")
            && child.attribute("affiliation") == Some("none")
            && jid.is_some_and(|jid| jid == *view.account.jid.jid())
    };
    let is_meant = |client: &Client| client.is(from, Some(node));
    if pubsub.iter().flat_map(Element::children).any(takes_away) && clients.list.iter().any(is_meant) {
        effects.push(clients.put(&clients.without(is_meant)));
    }
}

/// Nobody is told of anything any more; nothing is to be done where nobody is.
pub(crate) fn end_all(account: &AccountView) -> Option<Effect> {
    let clients = account.facts.get::<Clients>()?;
    (!clients.list.is_empty()).then(|| clients.put(&[]))
}

/// The clients that want notifications, in the order in which they asked.
#[derive(Debug, Default)]
struct Clients {
    list: Vec<Client>,
    version: Option<Version>,
}

/// A client that wants notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Client {
    /// By which answers are told apart.
    number: u64,
    /// Of the session that asked: while somebody looks at it, it needs none.
    resource: String,
    service: Jid,
    node: Option<String>,
    /// The form that goes with each.
    options: Option<Element>,
}

impl Clients {
    fn without(&self, drop: impl Fn(&Client) -> bool) -> Vec<Client> {
        self.list.iter().filter(|client| !drop(client)).cloned().collect()
    }

    /// Writes `list` in the place of this.
    fn put(&self, list: &[Client]) -> Effect {
        let value = Element::new(PUSH, "clients").extend(list.iter().map(Client::to_element));
        Effect::Put(Put::element::<Self>(key(), &value, self.version))
    }
}

impl Fact for Clients {
    async fn load(stores: &Stores, account: &Bare) -> store::Result<Self> {
        let read = |list: &Element| list.children().map(Client::read).collect();
        let kept = engine::kept(stores, account, &key(), read).await?;
        Ok(kept.map_or_else(Self::default, |(list, version)| Self {
            list,
            version: Some(version),
        }))
    }
}

impl Client {
    fn is(&self, service: &Jid, node: Option<&str>) -> bool {
        self.service == *service && self.node.as_deref() == node
    }

    /// XEP-0357, 7. On behalf of the account, so that the answer finds its home.
    fn publish(&self, account: &Bare, summary: &Form) -> Iq {
        let pubsub = |name| Element::new(PUBSUB, name);
        let notification = Element::new(PUSH, "notification").push(summary.to_element());
        let item = pubsub("item").push(notification);
        let publish = pubsub("publish").with_some("node", self.node.as_deref()).push(item);
        let options = self
            .options
            .iter()
            .map(|options| pubsub("publish-options").push(options.clone()));
        let head = Head {
            from: Some(account.clone().into()),
            to: Some(self.service.clone()),
            id: Some(format!("{ID}{}", self.number).into()),
            ..Head::default()
        };
        Iq {
            head,
            kind: IqType::Set,
            payload: pubsub("pubsub").push(publish).extend(options).into(),
        }
    }

    fn to_element(&self) -> Element {
        Element::new(PUSH, "client")
            .with("number", self.number.to_string())
            .with("resource", &self.resource)
            .with("jid", self.service.as_str())
            .with_some("node", self.node.as_deref())
            .extend(self.options.clone())
    }

    fn read(element: &Element) -> Option<Self> {
        Some(Self {
            number: element.attribute("number")?.parse().ok()?,
            resource: element.attribute("resource")?.to_owned(),
            service: service(element).ok()?,
            node: element.attribute("node").map(str::to_owned),
            options: element.child(ns::DATA_FORMS, "x").cloned(),
        })
    }
}

fn service(element: &Element) -> Result<Jid, Malformed> {
    let jid = element.attribute("jid").and_then(|jid| Jid::parse(jid).ok());
    jid.ok_or(Malformed("the service has an address"))
}

fn key() -> Key {
    Key {
        space: "push".into(),
        name: "clients".into(),
    }
}

const PUSH: &str = "urn:xmpp:push:0";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
/// Before a client's number, the id of a notification.
const ID: &str = "push-";
