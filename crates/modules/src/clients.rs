//! Client access management (XEP-0494): a user sees what has access to the account, and revokes it by giving another password.
//!
//! What has shown the password keeps its access until there is another (3.2), and here that is all there is: a token is given to who has shown
//! the password, and an online session has shown it or such a token. To void a token and end a session would look like a revocation while the
//! client, or who took it, still knows the password; so `revoke` always answers that another one is required, and changes nothing. With
//! another password (module `registration`) tokens are void, sessions end, and those clients are in the list no more. A login by certificate
//! (EXTERNAL) is not told apart from one by password.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{
    About, Answer, At, Client, Condition, Cx, Element, Hooks, Malformed, Module, Request, SessionView, StanzaError,
    Timestamp, ns, request,
};

request! {
    /// `<list xmlns='urn:xmpp:cam:0'/>`
    List = "list" in ns::CLIENT_ACCESS;
}

/// `<revoke xmlns='urn:xmpp:cam:0' id='…'/>`
struct Revoke {
    id: String,
}

impl Request for Revoke {
    const NS: &'static str = ns::CLIENT_ACCESS;
    const NAME: &'static str = "revoke";

    fn read(element: &Element) -> Result<Self, Malformed> {
        let id = element.attribute("id").ok_or(Malformed("which client?"))?;
        Ok(Self { id: id.to_owned() })
    }
}

/// The module.
pub(crate) struct ClientAccess;

/// Something that has access to the account: a client that has tokens, has sessions, or both.
struct Access<'a> {
    id: String,
    client: Option<&'a Client>,
    is_connected: bool,
}

impl Module for ClientAccess {
    const ABOUT: About = About {
        name: "clients",
        rfcs: &[],
        xeps: &[(494, "0.1.0")],
        summary: "Shows users which clients have access to their accounts.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.get(At::Account, list);
        on.set(At::Account, revoke);
    }
}

/// XEP-0494, 3.1: nobody else's business.
async fn list(cx: Cx, _: List) -> Answer {
    let known = known(&cx).await?;
    let clients = accesses(&known, &cx.account.sessions);
    let all = clients.iter().map(|access| access.element(cx.now));
    Ok(Element::new(ns::CLIENT_ACCESS, "clients").extend(all).into())
}

/// XEP-0494, 3.2: whatever has access has shown the password, and may still know it.
async fn revoke(cx: Cx, request: Revoke) -> Answer {
    let known = known(&cx).await?;
    let mut all = accesses(&known, &cx.account.sessions).into_iter();
    if !all.any(|access| access.id == request.id) {
        return Err(Condition::ItemNotFound.into());
    }
    let mut error = StanzaError::new(Condition::ServiceUnavailable).with_text("only another password revokes access");
    error.application = Some(Box::new(Element::new(ns::CLIENT_ACCESS, "password-reset-required")));
    Err(error)
}

async fn known(cx: &Cx) -> Result<Vec<Client>, StanzaError> {
    if !cx.is_owner() {
        return Err(Condition::Forbidden.into());
    }
    let known = cx.clients.of(&cx.account.jid, cx.now).await;
    known.map_err(|_| Condition::ResourceConstraint.into())
}

/// Clients that have tokens, then those of which only sessions are known: by the client's id, if it says so, else each session for itself.
fn accesses<'a>(known: &'a [Client], sessions: &[SessionView]) -> Vec<Access<'a>> {
    let connected = |session: &SessionView| match session.client {
        Some(client) => client.to_string(),
        None => format!("session:{}", session.jid.resource()),
    };
    let mut left: BTreeSet<String> = sessions.iter().map(connected).collect();
    let mut all: Vec<Access<'a>> = Vec::new();
    for client in known {
        let id = client.id.to_string();
        all.push(Access {
            is_connected: left.remove(&id),
            client: Some(client),
            id,
        });
    }
    all.extend(left.into_iter().map(|id| Access {
        id,
        client: None,
        is_connected: true,
    }));
    all
}

impl Access<'_> {
    fn element(&self, now: Timestamp) -> Element {
        let element = |name| Element::new(ns::CLIENT_ACCESS, name);
        let seen = match self.client {
            Some(client) if !self.is_connected => client.seen,
            _ => now,
        };
        let fast = self.client.map(|_| element("fast"));
        element("client")
            .with("connected", self.is_connected.to_string())
            .with("id", &self.id)
            .with("type", "session")
            .push(element("last-seen").text(seen.to_xmpp()))
            .push(element("auth").push(element("password")).extend(fast))
            .push(element("permission").with("status", "unrestricted"))
            .extend(self.agent())
    }

    fn agent(&self) -> Option<Element> {
        let client = self.client?;
        let text = |name: &'static str, text: &Option<String>| {
            let text = text.as_ref()?;
            Some(Element::new(ns::CLIENT_ACCESS, name).text(text))
        };
        let said = [text("software", &client.software), text("device", &client.device)];
        let said: Vec<Element> = said.into_iter().flatten().collect();
        (!said.is_empty()).then(|| Element::new(ns::CLIENT_ACCESS, "user-agent").extend(said))
    }
}
