//! Announcements and the message of the day (XEP-0133, 4.23 to 4.26): administrators tell those who are there, and once each who comes
//! later. What is told is a headline: it is kept for nobody.

use std::sync::Arc;

use bytes::Bytes;
use engine::{
    About, Access, Answer, At, Bare, Condition, Cx, Done, Effect, Effects, Element, Head, Hooks, Iq, IqType, Jid,
    Message, MessageType, Module, Payload, Presence, PresenceType, Put, Reply, Stage, StanzaError, View, Way, ns,
    request,
};
use stanza::form::{Field, Form, FormType};
use store::{Key, Stores, Version};

request! {
    /// What the host tells an account: to look at the message of the day.
    Look = "look" in MOTD;
}

/// The module.
pub(crate) struct Announce;

impl Module for Announce {
    const ABOUT: About = About {
        name: "announce",
        rfcs: &[],
        xeps: &[(133, "1.3.1")],
        summary: "Lets administrators tell all users something, those who come later once when they do.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.observe(Way::Out, greet);
        on.order(look);
        let (at, who) = (At::Server, Access::Admins);
        on.command(at, (ANNOUNCE, "Send Announcement to Online Users"), who, announce);
        on.command(at, (SET, "Set Message of the Day"), who, set);
        on.command(at, (EDIT, "Edit Message of the Day"), who, edit);
        on.command(at, (DELETE, "Delete Message of the Day"), who, delete);
    }
}

/// The message of the day, with what tells it from those before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Motd {
    id: String,
    text: String,
}

/// A session begins to take messages: its account is told to look, as if there was something new. It is looked up then and not before, so
/// that the account is told what holds now, and a store that is away does not keep the session from being available.
fn greet(view: &View<'_>, presence: &Presence, effects: &mut Effects) {
    let (PresenceType::Available, None, Some(session)) = (presence.kind, &presence.head.to, view.session) else {
        return;
    };
    let begins = presence.priority() >= 0 && session.priority() < Some(0);
    if let (true, Ok(host)) = (begins, Jid::parse(&view.host.domain)) {
        let id = format!("motd-{:x}", view.now.0);
        effects.send(order(host, Some(view.account.jid.clone().into()), id));
    }
}

/// By which a host tells accounts to look at its message of the day.
fn order(host: Jid, to: Option<Jid>, id: String) -> Iq {
    Iq {
        head: Head {
            from: Some(host),
            to,
            id: Some(Arc::from(id)),
            ..Head::default()
        },
        kind: IqType::Set,
        payload: Payload::from(Element::new(MOTD, "look")),
    }
}

/// Sessions that take messages are told the message of the day, unless the account was; and that is noted.
async fn look(cx: Cx, _: Look) -> Answer {
    let takes = cx.account.available().filter(|session| session.priority() >= Some(0));
    let to: Vec<_> = takes.map(|session| session.id).collect();
    if to.is_empty() {
        return Ok(Reply::empty());
    }
    let Some((motd, _)) = current(&cx.stores, &cx.host.domain).await? else {
        return Ok(Reply::empty());
    };
    let told = cx.stores.items.get(&cx.account.jid, &key("told")).await?;
    if told.as_ref().is_some_and(|item| item.value == motd.id.as_bytes()) {
        return Ok(Reply::empty());
    }
    let mut reply = Reply::empty().effect(Effect::Put(Put {
        key: key("told"),
        value: Some(Bytes::from(motd.id)),
        seen: told.map(|item| item.version),
        fact: None,
    }));
    reply.effects.deliver_each(to, headline(host(&cx)?, &motd.text));
    Ok(reply)
}

/// XEP-0133, 4.23.
async fn announce(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        let form = Form::new(FormType::Form, ADMIN).explained(
            "Making an Announcement",
            "Fill out this form to make an announcement to all users who are online.",
        );
        return Ok(last(
            form.ask(Field::new("announcement", "text-multi", "Announcement").required()),
        ));
    };
    let text = form.values("announcement").join("\n");
    let (mut done, to) = (Done::default(), online(&cx).await?);
    done.info.push(format!("told {} users", to.len()));
    done.effects.broadcast(to, headline(host(&cx)?, &text));
    Ok(Stage::Done(done))
}

/// XEP-0133, 4.24: told at once to who is there.
async fn set(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some(form) = forms.first() else {
        return Ok(ask("Setting the Message of the Day", None));
    };
    let (domain, before) = (host(&cx)?, current(&cx.stores, &cx.host.domain).await?);
    let motd = Motd {
        id: format!("{:x}", cx.now.0),
        text: form.values("motd").join("\n"),
    };
    let seen = before.map(|(_, version)| version);
    cx.stores
        .items
        .put(&domain.bare(), &key("today"), motd.write(), seen)
        .await?;
    let mut done = Done::default();
    let order = order(domain, None, format!("motd-{}", motd.id));
    done.effects.broadcast(online(&cx).await?, order);
    Ok(Stage::Done(done))
}

/// XEP-0133, 4.25: who was told is not told again.
async fn edit(cx: Cx, forms: Vec<Form>) -> Result<Stage, StanzaError> {
    let before = current(&cx.stores, &cx.host.domain).await?;
    let Some(form) = forms.first() else {
        return Ok(ask("Editing the Message of the Day", before.map(|(motd, _)| motd)));
    };
    let Some((motd, version)) = before else {
        return Ok(none());
    };
    let motd = Motd {
        text: form.values("motd").join("\n"),
        ..motd
    };
    let domain = host(&cx)?.bare();
    cx.stores
        .items
        .put(&domain, &key("today"), motd.write(), Some(version))
        .await?;
    Ok(Stage::Done(Done::default()))
}

/// XEP-0133, 4.26.
async fn delete(cx: Cx, _: Vec<Form>) -> Result<Stage, StanzaError> {
    let Some((_, version)) = current(&cx.stores, &cx.host.domain).await? else {
        return Ok(none());
    };
    cx.stores
        .items
        .remove(&host(&cx)?.bare(), &key("today"), version)
        .await?;
    Ok(Stage::Done(Done::default()))
}

fn none() -> Stage {
    Stage::Done(Done {
        failures: vec!["there is no message of the day".to_owned()],
        ..Done::default()
    })
}

fn ask(title: &str, motd: Option<Motd>) -> Stage {
    let form = Form::new(FormType::Form, ADMIN).explained(title, "Fill out this form: it is shown to each user once.");
    let field = Field::new("motd", "text-multi", "Message of the Day").required();
    let text = motd.map(|motd| motd.text).unwrap_or_default();
    last(form.ask(field.holding(text.lines())))
}

fn last(form: Form) -> Stage {
    Stage::Form { form, last: true }
}

/// The message of the day of a host, which is kept under its own address, and its version.
async fn current(stores: &Stores, domain: &str) -> store::Result<Option<(Motd, Version)>> {
    let Ok(owner) = Bare::parse(domain) else {
        return Ok(None);
    };
    let item = stores.items.get(&owner, &key("today")).await?;
    Ok(item.and_then(|item| Some((Motd::read(&item.value)?, item.version))))
}

impl Motd {
    /// Its id, then the text.
    fn write(&self) -> Bytes {
        format!("{}\n{}", self.id, self.text).into()
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (id, text) = std::str::from_utf8(value).ok()?.split_once('\n')?;
        Some(Self {
            id: id.to_owned(),
            text: text.to_owned(),
        })
    }
}

/// The users of the host who are available.
async fn online(cx: &Cx) -> store::Result<Vec<Jid>> {
    let mut users = Vec::new();
    store::available(&*cx.stores.presence, &cx.host.domain, |user, _| users.push(user.into())).await?;
    Ok(users)
}

fn host(cx: &Cx) -> Result<Jid, StanzaError> {
    Jid::parse(&cx.host.domain).map_err(|_| Condition::InternalServerError.into())
}

fn headline(from: Jid, text: &str) -> Message {
    Message {
        head: Head {
            from: Some(from),
            ..Head::default()
        },
        kind: MessageType::Headline,
        payload: Payload::from(Element::new(ns::CLIENT, "body").text(text)),
    }
}

fn key(name: &str) -> Key {
    Key {
        space: "motd".to_owned(),
        name: name.to_owned(),
    }
}

const ADMIN: &str = "http://jabber.org/protocol/admin";
const MOTD: &str = "urn:dunlin:motd";

const ANNOUNCE: &str = "http://jabber.org/protocol/admin#announce";
const SET: &str = "http://jabber.org/protocol/admin#set-motd";
const EDIT: &str = "http://jabber.org/protocol/admin#edit-motd";
const DELETE: &str = "http://jabber.org/protocol/admin#delete-motd";
