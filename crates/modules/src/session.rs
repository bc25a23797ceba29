//! The session request of RFC 3921, 3: it means nothing any more, but old clients wait for its result.

use std::sync::Arc;

use engine::{About, Answer, At, Condition, Cx, Hooks, Module, Reply, ns, request};

request! {
    /// `<session/>`
    Start = "session" in ns::SESSION;
}

/// The module.
pub(crate) struct Session;

impl Module for Session {
    const ABOUT: About = About {
        name: "session",
        rfcs: &[("3921", "3")],
        xeps: &[],
        summary: "Answers the session request of older clients.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.set(At::Server, |_: Cx, _: Start| std::future::ready(Ok(Reply::empty())));
        on.set(At::Account, start);
    }
}

async fn start(cx: Cx, _: Start) -> Answer {
    if cx.is_owner() {
        Ok(Reply::empty())
    } else {
        Err(Condition::ServiceUnavailable.into())
    }
}
