//! Entity time (XEP-0202). The server lives in UTC.

use std::sync::Arc;

use engine::{About, At, Cx, Element, Hooks, Module, Reply, Timestamp, ns, request};

request! {
    /// `<time/>`
    Query = "time" in ns::TIME;
}

/// The module.
pub(crate) struct Time;

impl Module for Time {
    const ABOUT: About = About {
        name: "time",
        rfcs: &[],
        xeps: &[(202, "2.0")],
        summary: "Tells the server's time of day.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.get(At::Server, |cx: Cx, _: Query| {
            std::future::ready(Ok(Reply::from(time(cx.now))))
        });
    }
}

fn time(now: Timestamp) -> Element {
    Element::new(ns::TIME, "time")
        .push(Element::new(ns::TIME, "tzo").text("+00:00"))
        .push(Element::new(ns::TIME, "utc").text(now.to_xmpp()))
}
