//! Service discovery (XEP-0030): what is answered here, as collected from what modules declare.

use std::sync::Arc;

use engine::{
    About, Answer, At, Condition, Cx, Element, Hooks, Identity, Malformed, Module, Reply, Request, StanzaError, ns,
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

/// XEP-0030, 3. The only node is the server's own capabilities (XEP-0115, 6.2).
async fn info(cx: Cx, request: Info) -> Answer {
    check(&cx)?;
    let disco = cx.host.disco(cx.at);
    let is_known = |node: &str| node.is_empty() || cx.at == At::Server && node == caps::node(&disco);
    if !request.node.as_deref().is_none_or(is_known) {
        return Err(Condition::ItemNotFound.into());
    }
    Ok(query(ns::DISCO_INFO, request.node).extend(children(disco)).into())
}

/// XEP-0030, 4: of an account its available resources; nothing hangs below the server yet.
async fn items(cx: Cx, request: Items) -> Answer {
    check(&cx)?;
    if request.node.as_deref().is_some_and(|node| !node.is_empty()) {
        return Err(Condition::ItemNotFound.into());
    }
    let resources = cx.account.available().filter(|_| cx.at == At::Account);
    let items = resources.map(|session| Element::new(ns::DISCO_ITEMS, "item").with("jid", session.jid.to_string()));
    let reply: Reply = query(ns::DISCO_ITEMS, request.node).extend(items).into();
    Ok(reply)
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
