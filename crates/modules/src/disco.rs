//! Service discovery (XEP-0030): what is answered here, as collected from what modules declare.

use std::sync::Arc;

use engine::{
    About, Answer, At, Command, Condition, Cx, Element, Hooks, Identity, Malformed, Module, Reply, Request,
    StanzaError, ns,
};

use crate::caps;

/// The module.
pub(crate) struct Disco;

/// `<query xmlns='http://jabber.org/protocol/disco#info'/>`
struct Info {
    node: Option<String>,
}

/// `<query xmlns='http://jabber.org/protocol/disco#items'/>`
struct Items {
    node: Option<String>,
}

impl Request for Info {
    const NS: &'static str = ns::DISCO_INFO;
    const NAME: &'static str = "query";

    fn read(element: &Element) -> Result<Self, Malformed> {
        Ok(Self { node: node(element) })
    }
}

impl Request for Items {
    const NS: &'static str = ns::DISCO_ITEMS;
    const NAME: &'static str = "query";

    fn read(element: &Element) -> Result<Self, Malformed> {
        Ok(Self { node: node(element) })
    }
}

impl Module for Disco {
    const ABOUT: About = About {
        name: "disco",
        rfcs: &[],
        xeps: &[(30, "2.5.0")],
        summary: "Tells what the server and its accounts can do.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.identity(
            At::Server,
            Identity {
                category: "server",
                kind: "im",
                name: "Dunlin".into(),
            },
        );
        on.identity(
            At::Account,
            Identity {
                category: "account",
                kind: "registered",
                name: String::new(),
            },
        );
        for at in [At::Server, At::Account] {
            on.get(at, info);
            on.get(at, items);
        }
    }
}

/// XEP-0030, 3. Nodes are the server's own capabilities (XEP-0115, 6.2) and commands.
async fn info(cx: Cx, request: Info) -> Answer {
    check(&cx)?;
    if let Some(node) = request
        .node
        .as_deref()
        .filter(|node| *node == ns::COMMANDS || is_command(&cx, node))
    {
        return about_commands(&cx, node);
    }
    let disco = cx.host.disco(cx.at);
    let is_known = |node: &str| node.is_empty() || cx.at == At::Server && node == caps::node(&disco);
    if !request.node.as_deref().is_none_or(is_known) {
        return Err(Condition::ItemNotFound.into());
    }
    Ok(query(ns::DISCO_INFO, request.node).extend(children(disco)).into())
}

/// XEP-0030, 4: of an account its available resources, of the server the services below its domain; and commands.
async fn items(cx: Cx, request: Items) -> Answer {
    check(&cx)?;
    if request.node.as_deref() == Some(ns::COMMANDS) {
        let items = offered(&cx)
            .filter(|command| command.is_for(&cx))
            .map(|command| item(&cx, command));
        return Ok(query(ns::DISCO_ITEMS, request.node).extend(items).into());
    }
    if request.node.as_deref().is_some_and(|node| !node.is_empty()) {
        return Err(Condition::ItemNotFound.into());
    }
    let resources = cx.account.available().filter(|_| cx.at == At::Account);
    let services = cx.host.services.iter().filter(|_| cx.at == At::Server);
    let jids = resources
        .map(|session| session.jid.to_string())
        .chain(services.cloned());
    let items = jids.map(|jid| Element::new(ns::DISCO_ITEMS, "item").with("jid", jid));
    let reply: Reply = query(ns::DISCO_ITEMS, request.node).extend(items).into();
    Ok(reply)
}

/// The commands of the address asked, where commands can be run at all.
fn offered(cx: &Cx) -> impl Iterator<Item = &Command> {
    let runs = cx
        .host
        .disco
        .get(&cx.at)
        .is_some_and(|disco| disco.features.contains(ns::COMMANDS));
    cx.commands.iter().filter(move |command| runs && command.at == cx.at)
}

fn is_command(cx: &Cx, node: &str) -> bool {
    offered(cx).any(|command| command.node == node)
}

/// What a command is, or the list of them (XEP-0050, 2.2).
fn about_commands(cx: &Cx, node: &str) -> Answer {
    let identity = |kind: &str| {
        Element::new(ns::DISCO_INFO, "identity")
            .with("category", "automation")
            .with("type", kind)
    };
    let identity = match offered(cx).find(|command| command.node == node) {
        Some(command) if command.is_for(cx) => identity("command-node").with("name", command.name),
        Some(_) => return Err(Condition::Forbidden.into()),
        None => identity("command-list"),
    };
    let features = [ns::COMMANDS, ns::DATA_FORMS];
    let features = features.map(|var| Element::new(ns::DISCO_INFO, "feature").with("var", var));
    let answer = query(ns::DISCO_INFO, Some(node.to_owned())).push(identity);
    Ok(answer.extend(features).into())
}

fn item(cx: &Cx, command: &Command) -> Element {
    let jid = match cx.at {
        At::Server => cx.host.domain.clone(),
        At::Account => cx.account.jid.to_string(),
    };
    Element::new(ns::DISCO_ITEMS, "item")
        .with("jid", jid)
        .with("node", command.node)
        .with("name", command.name)
}

/// XEP-0030, 8. Strangers get what they would get for an account that does not exist, for items too: an empty answer
/// would tell the two apart.
fn check(cx: &Cx) -> Result<(), StanzaError> {
    if cx.at == At::Server || cx.sees_presence() {
        Ok(())
    } else {
        Err(Condition::ServiceUnavailable.into())
    }
}

fn node(element: &Element) -> Option<String> {
    element.attribute("node").map(str::to_owned)
}

fn query(ns: &'static str, node: Option<String>) -> Element {
    Element::new(ns, "query").with_some("node", node)
}

fn children(disco: engine::Disco) -> impl Iterator<Item = Element> {
    let identities = disco.identities.into_iter().map(|identity| {
        Element::new(ns::DISCO_INFO, "identity")
            .with("category", identity.category)
            .with("type", identity.kind)
            .with_some("name", Some(identity.name).filter(|name| !name.is_empty()))
    });
    let features = disco
        .features
        .into_iter()
        .map(|var| Element::new(ns::DISCO_INFO, "feature").with("var", var));
    identities.chain(features).chain(disco.forms)
}
