//! Last activity (XEP-0012): how long a user has been away, how long the server has been up.

use std::sync::Arc;

use engine::{
    About, Answer, At, Condition, Cx, Element, Hooks, Iq, IqType, Module, Reply, Verdict, View, Way, ns, request,
};

request! {
    /// `<query xmlns='jabber:iq:last'/>`
    Query = "query" in ns::LAST;
}

/// The module.
pub(crate) struct Last;

impl Module for Last {
    const ABOUT: About = About {
        name: "last",
        rfcs: &[],
        xeps: &[(12, "2.0")],
        summary: "Tells those who may know how long a user has been away.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.get(At::Server, |cx: Cx, _: Query| {
            std::future::ready(Ok(answer(cx.now.seconds_since(cx.host.started))))
        });
        on.get(At::Account, account);
        on.guard(Way::In, protect);
    }
}

/// XEP-0012, 3: 0 while a resource is connected.
async fn account(cx: Cx, _: Query) -> Answer {
    if !cx.sees_presence() {
        return Err(Condition::Forbidden.into());
    }
    if !cx.account.sessions.is_empty() {
        return Ok(answer(0));
    }
    let stored = cx.stores.accounts.get(&cx.account.jid).await?;
    let account = stored.ok_or(Condition::ServiceUnavailable)?;
    Ok(answer(
        cx.now.seconds_since(account.last_seen.unwrap_or(account.created)),
    ))
}

/// XEP-0012, 4: a query to a resource is not delivered for somebody who may not see its presence.
fn protect(view: &View<'_>, iq: &Iq) -> Verdict {
    let is_meant = iq.kind == IqType::Get
        && iq.head.to.as_ref().is_some_and(|to| !to.is_bare())
        && iq.payload.has(ns::LAST, "query");
    if is_meant && !iq.head.from.as_ref().is_some_and(|from| view.account.is_seen_by(from)) {
        return Verdict::Bounce(Condition::Forbidden.into());
    }
    Verdict::Pass
}

fn answer(seconds: u64) -> Reply {
    Element::new(ns::LAST, "query")
        .with("seconds", seconds.to_string())
        .into()
}
