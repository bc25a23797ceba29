//! External components (XEP-0114): what the generated documents say of them. They have a listener and a dialect of their own, and no
//! features.

use crate::about::About;

pub(crate) const ABOUT: About = About {
    name: "component",
    xeps: &[(114, "1.6")],
    summary: "Lets services outside of the server, such as gateways and app servers, speak for a domain of their own.",
};
