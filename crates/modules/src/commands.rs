//! Ad-hoc commands (XEP-0050): people run what modules declare as commands by filling in one form after the other. What was filled in
//! so far is kept with the account of who asks, so that any router can go on.

use std::sync::Arc;

use bytes::Bytes;
use engine::{
    About, Answer, At, Command, Condition, Cx, Done, Effect, Effects, Element, Hooks, Jid, Malformed, Module, Put,
    Reply, Request, Stage, StanzaError, Timestamp, ns,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stanza::form::{Field, Form};
use store::{Item, Key, Version};
use xml::Limits;

/// The module.
pub(crate) struct Commands {
    config: CommandsConfig,
}

/// Limits on commands that have begun.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CommandsConfig {
    /// How many commands one user may have begun; the oldest is given up for the next.
    pub max_sessions: usize,
    /// How long a command waits for its next form, in seconds.
    pub session_s: u32,
}

impl Default for CommandsConfig {
    fn default() -> Self {
        Self {
            max_sessions: 10,
            session_s: 1_800,
        }
    }
}

/// `<command xmlns='http://jabber.org/protocol/commands'/>`
struct Asked {
    node: String,
    session: Option<String>,
    action: Option<String>,
    form: Option<Form>,
}

/// What is to be done with a command (XEP-0050, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Cancel,
    Complete,
    Execute,
    Next,
    Prev,
}

/// A command that has begun.
#[derive(Clone, Debug, PartialEq)]
struct Session {
    id: String,
    node: String,
    /// Who runs it, in full.
    by: String,
    /// What was filled in so far.
    forms: Vec<Form>,
}

impl Request for Asked {
    const NS: &'static str = ns::COMMANDS;
    const NAME: &'static str = "command";
    const SECRET: bool = true;

    fn read(element: &Element) -> Result<Self, Malformed> {
        let owned = |name| element.attribute(name).map(str::to_owned);
        Ok(Self {
            node: owned("node").ok_or(Malformed("a command has a node"))?,
            session: owned("sessionid"),
            action: owned("action"),
            form: element.child(ns::DATA_FORMS, "x").and_then(Form::read),
        })
    }
}

impl Module for Commands {
    const ABOUT: About = About {
        name: "commands",
        rfcs: &[],
        xeps: &[(4, "2.13.2"), (50, "1.3.0")],
        summary: "Lets people run commands by filling in forms.",
    };
    type Config = CommandsConfig;

    fn new(config: CommandsConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.set(At::Server, move |cx, asked| run(self.clone(), cx, asked));
    }
}

async fn run(module: Arc<Commands>, cx: Cx, asked: Asked) -> Answer {
    let all = cx.commands.clone();
    let command = all
        .iter()
        .find(|command| command.at == cx.at && command.node == asked.node);
    let command = command.ok_or(Condition::ItemNotFound)?;
    if !command.is_for(&cx) {
        return Err(Condition::Forbidden.into());
    }
    let action = Action::read(asked.action.as_deref())?;
    match &asked.session {
        None => module.begin(cx, command, action).await,
        Some(id) => go_on(cx, command, id, action, asked.form).await,
    }
}

impl Commands {
    /// The first stage (XEP-0050, 2.4.1).
    async fn begin(&self, cx: Cx, command: &Command, action: Action) -> Answer {
        if matches!(action, Action::Cancel | Action::Prev) {
            return Err(refusal("bad-action"));
        }
        let session = Session {
            // Each is begun later than those before.
            id: format!("{:x}", cx.now.0),
            node: command.node.to_owned(),
            by: by(&cx),
            forms: Vec::new(),
        };
        let mut effects = self.make_room(&cx).await?;
        let stage = command.run(cx, Vec::new()).await?;
        if matches!(stage, Stage::Form { .. }) {
            effects.push(Effect::Put(session.put(None)));
        }
        Ok(answer(&session, stage, effects))
    }

    /// Gives up what nobody went on with, and the oldest when there is too much.
    async fn make_room(&self, cx: &Cx) -> Result<Effects, StanzaError> {
        let all = cx.stores.items.list(&cx.account.jid, SPACE).await?;
        let ids: Vec<&str> = all.iter().map(|item| item.key.name.as_str()).collect();
        let given_up = given_up(&ids, cx.now, &self.config);
        let over = all.iter().zip(given_up).filter(|(_, over)| *over);
        let puts = over.map(|(item, _)| Effect::Put(remove(item.key.clone(), item.version)));
        Ok(Effects(puts.collect()))
    }
}

/// A further stage (XEP-0050, 2.4.2 and 2.4.3).
async fn go_on(cx: Cx, command: &Command, id: &str, action: Action, form: Option<Form>) -> Answer {
    let (mut session, version) = load(&cx, id).await?;
    if session.node != command.node || session.by != by(&cx) {
        return Err(refusal("bad-sessionid"));
    }
    let over = || Effects(vec![Effect::Put(remove(key(id), version))]);
    let kept = |session: &Session| Effects(vec![Effect::Put(session.put(Some(version)))]);
    match action {
        Action::Cancel => return Ok(reply(&session, "canceled", Vec::new(), over())),
        Action::Prev => {
            session.forms.pop().ok_or_else(|| refusal("bad-action"))?;
            let stage = command.run(cx, session.forms.clone()).await?;
            return Ok(answer(&session, stage, kept(&session)));
        }
        Action::Complete | Action::Execute | Action::Next => {}
    }
    if let Stage::Form { form: asked, last } = command.run(cx.clone(), session.forms.clone()).await? {
        check_action(action, last)?;
        let form = form.ok_or_else(|| refusal("bad-payload"))?;
        check_form(&asked, &form)?;
        session.forms.push(form);
    }
    let stage = command.run(cx, session.forms.clone()).await?;
    let effects = match &stage {
        Stage::Form { .. } => kept(&session),
        Stage::Done(_) => over(),
    };
    Ok(answer(&session, stage, effects))
}

/// What was begun as `id`.
async fn load(cx: &Cx, id: &str) -> Result<(Session, Version), StanzaError> {
    if begun(id).is_none() {
        return Err(refusal("bad-sessionid"));
    }
    let item = cx.stores.items.get(&cx.account.jid, &key(id)).await?;
    let Some(item) = item else {
        return Err(specific(Condition::NotAllowed, "session-expired"));
    };
    let session = Session::read(&item).ok_or(Condition::InternalServerError)?;
    Ok((session, item.version))
}

impl Action {
    fn read(name: Option<&str>) -> Result<Self, StanzaError> {
        Ok(match name {
            None | Some("execute") => Self::Execute,
            Some("cancel") => Self::Cancel,
            Some("complete") => Self::Complete,
            Some("next") => Self::Next,
            Some("prev") => Self::Prev,
            Some(_) => return Err(refusal("malformed-action")),
        })
    }
}

/// One goes to the next stage, or completes at the last (XEP-0050, 3.4).
fn check_action(action: Action, last: bool) -> Result<(), StanzaError> {
    match (action, last) {
        (Action::Next, true) | (Action::Complete, false) => Err(refusal("bad-action")),
        _ => Ok(()),
    }
}

/// Whether what was filled in fits the form that was asked for.
fn check_form(asked: &Form, given: &Form) -> Result<(), StanzaError> {
    let fits = |field: &Field| {
        let values = given.values(&field.name);
        let is_given = !field.required || values.iter().any(|value| !value.is_empty());
        let is_option = |value: &String| field.options.is_empty() || field.options.contains(value);
        let is_address = match field.kind.as_deref() {
            Some("jid-single") => values.len() <= 1 && are_addresses(values),
            Some("jid-multi") => are_addresses(values),
            _ => true,
        };
        is_given && is_address && values.iter().all(is_option)
    };
    match asked.fields.iter().find(|field| !fits(field)) {
        Some(field) => Err(refusal("bad-payload").with_text(format!("{} is missing or wrong", field.name))),
        None => Ok(()),
    }
}

fn are_addresses(values: &[String]) -> bool {
    values.iter().all(|value| value.is_empty() || Jid::parse(value).is_ok())
}

/// What a stage looks like.
fn answer(session: &Session, stage: Stage, mut effects: Effects) -> Reply {
    match stage {
        Stage::Form { form, last } => {
            let forward = if last { "complete" } else { "next" };
            let back = (!session.forms.is_empty()).then_some("prev");
            let allowed = back.into_iter().chain([forward]);
            let actions = Element::new(ns::COMMANDS, "actions")
                .with("execute", forward)
                .extend(allowed.map(|action| Element::new(ns::COMMANDS, action)));
            reply(session, "executing", vec![actions, form.to_element()], effects)
        }
        Stage::Done(Done {
            result,
            info,
            failures,
            effects: further,
        }) => {
            effects.0.extend(further.0);
            let note = |kind| move |text: String| Element::new(ns::COMMANDS, "note").with("type", kind).text(text);
            let said = result.into_iter().chain(info.into_iter().map(note("info")));
            let said = said.chain(failures.into_iter().map(note("error")));
            reply(session, "completed", said.collect(), effects)
        }
    }
}

fn reply(session: &Session, status: &'static str, children: Vec<Element>, effects: Effects) -> Reply {
    let command = Element::new(ns::COMMANDS, "command")
        .with("node", &session.node)
        .with("sessionid", &session.id)
        .with("status", status)
        .with("xml:lang", "en")
        .extend(children);
    Reply {
        effects,
        ..Reply::from(command)
    }
}

/// `bad-request` with what is bad about it (XEP-0050, 4.4).
fn refusal(what: &'static str) -> StanzaError {
    specific(Condition::BadRequest, what)
}

fn specific(condition: Condition, what: &'static str) -> StanzaError {
    StanzaError {
        application: Some(Box::new(Element::new(ns::COMMANDS, what))),
        ..condition.into()
    }
}

impl Session {
    fn put(&self, seen: Option<Version>) -> Put {
        let forms = self.forms.iter().map(Form::to_element);
        let element = Element::new(ns::COMMANDS, "session")
            .with("node", &self.node)
            .with("by", &self.by)
            .extend(forms);
        let mut value = Vec::new();
        element.write(ns::COMMANDS, &mut value);
        Put {
            key: key(&self.id),
            value: Some(Bytes::from(value)),
            seen,
            fact: None,
        }
    }

    fn read(item: &Item) -> Option<Self> {
        let element = Element::parse(&item.value, ns::COMMANDS, &Limits::UNLIMITED).ok()?;
        Some(Self {
            id: item.key.name.clone(),
            node: element.attribute("node")?.to_owned(),
            by: element.attribute("by")?.to_owned(),
            forms: element.children().filter_map(Form::read).collect(),
        })
    }
}

fn remove(key: Key, version: Version) -> Put {
    Put {
        key,
        value: None,
        seen: Some(version),
        fact: None,
    }
}

/// Of commands by id, in order, which are given up for a new one.
fn given_up(ids: &[&str], now: Timestamp, config: &CommandsConfig) -> Vec<bool> {
    let is_over = |id: &&str| begun(id).is_none_or(|begun| now.seconds_since(begun) >= u64::from(config.session_s));
    let mut over: Vec<bool> = ids.iter().map(is_over).collect();
    let left = over.iter().filter(|over| !**over).count();
    let too_many = (left + 1).saturating_sub(config.max_sessions.max(1));
    over.iter_mut()
        .filter(|over| !**over)
        .take(too_many)
        .for_each(|over| *over = true);
    over
}

/// When the command `id` was begun.
fn begun(id: &str) -> Option<Timestamp> {
    i64::from_str_radix(id, 16).ok().map(Timestamp)
}

fn by(cx: &Cx) -> String {
    cx.request
        .head
        .from
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn key(id: &str) -> Key {
    Key {
        space: SPACE.to_owned(),
        name: id.to_owned(),
    }
}

const SPACE: &str = "commands";

#[cfg(test)]
mod tests {
    use super::*;
    use stanza::form::FormType;

    #[test]
    fn what_is_given_up() {
        let config = CommandsConfig {
            max_sessions: 2,
            session_s: 10,
        };
        let check = |begun: &[i64], now: i64, expected: &[bool]| {
            let ids: Vec<String> = begun.iter().map(|at| format!("{:x}", at * 1_000_000)).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            assert_eq!(
                given_up(&ids, Timestamp(now * 1_000_000), &config),
                expected,
                "{begun:?}"
            );
        };
        check(&[], 20, &[]);
        check(&[15], 20, &[false]);
        check(&[15, 16], 20, &[true, false]);
        check(&[9, 10, 15], 20, &[true, true, false]);
        assert_eq!(given_up(&["odd"], Timestamp(0), &config), [true]);
    }

    #[test]
    fn forms_are_filled_in() {
        let asked = Form::new(FormType::Form, "urn:example")
            .ask(Field::new("who", "jid-multi", "Who?").required())
            .ask(Field::new("one", "jid-single", "Which?"))
            .ask(Field::new("colour", "list-single", "Colour?").of(["red", "blue"]));
        let check = |fields: &[(&str, &[&str])], fits: bool| {
            let form = Form::new(FormType::Submit, "urn:example");
            let given = fields.iter().fold(form, |form, (name, values)| {
                form.with(name, None, values.iter().copied())
            });
            assert_eq!(check_form(&asked, &given).is_ok(), fits, "{fields:?}");
        };
        check(&[("who", &["a@b"])], true);
        check(&[("who", &["a@b", "c@d/e"]), ("colour", &["red"])], true);
        check(&[], false);
        check(&[("who", &[])], false);
        check(&[("who", &[""])], false);
        check(&[("who", &["@"])], false);
        check(&[("who", &["a@b"]), ("one", &["a@b", "c@d"])], false);
        check(&[("who", &["a@b"]), ("colour", &["green"])], false);
    }

    #[test]
    fn a_session_is_kept_as_it_is() {
        let session = Session {
            id: "5f".into(),
            node: "urn:example#do".into(),
            by: "nurse@capulet.example/hall".into(),
            forms: vec![Form::new(FormType::Submit, "urn:example").with("motd", None, ["a", "b < c"])],
        };
        let put = session.put(None);
        let item = Item {
            key: put.key,
            version: Version(1),
            value: put.value.unwrap(),
        };
        assert_eq!(Session::read(&item), Some(session));
    }
}
