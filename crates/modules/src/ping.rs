//! Ping (XEP-0199): is anybody there?

use std::sync::Arc;

use engine::{About, Answer, At, Condition, Cx, Hooks, Module, Reply, ns, request};

request! {
    /// `<ping/>`
    Query = "ping" in ns::PING;
}

/// The module.
pub(crate) struct Ping;

impl Module for Ping {
    const ABOUT: About = About {
        name: "ping",
        rfcs: &[],
        xeps: &[(199, "2.0.1")],
        summary: "Answers pings.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.get(At::Server, |_: Cx, _: Query| std::future::ready(Ok(Reply::empty())));
        on.get(At::Account, account);
    }
}

/// Strangers get what they would get for an account that does not exist.
async fn account(cx: Cx, _: Query) -> Answer {
    if cx.sees_presence() {
        Ok(Reply::empty())
    } else {
        Err(Condition::ServiceUnavailable.into())
    }
}
