//! Stream features: one file each. A feature says when it is announced and reads and writes its own elements; what
//! follows from them is decided by the states.

pub(crate) mod bind;
pub(crate) mod channel_binding;
pub(crate) mod limits;
pub(crate) mod pre_approval;
pub(crate) mod roster_versioning;
pub(crate) mod sasl;
pub(crate) mod session;
pub(crate) mod starttls;
pub(crate) mod stream_management;

use xml::Element;

use crate::about::About;
use crate::config::Config;
use crate::login::Login;

/// Every stream feature. They are announced in this order.
pub static FEATURES: &[About] = &[
    starttls::ABOUT,
    sasl::ABOUT,
    channel_binding::ABOUT,
    bind::ABOUT,
    session::ABOUT,
    stream_management::ABOUT,
    roster_versioning::ABOUT,
    pre_approval::ABOUT,
    limits::ABOUT,
];

/// What is announced now (RFC 6120, 4.3.2).
pub(crate) fn announce(login: &Login, config: &Config) -> Vec<Element> {
    if login.account.is_none() {
        return before(login, config);
    }
    let host = login.host(config).map(|host| host.features.clone()).unwrap_or_default();
    let ours = [
        bind::feature(),
        session::feature(),
        stream_management::feature(),
        roster_versioning::feature(),
        pre_approval::feature(),
        limits::feature(&config.limits_after, config.idle_timeout),
    ];
    ours.into_iter().chain(host).collect()
}

fn before(login: &Login, config: &Config) -> Vec<Element> {
    let limits = limits::feature(&config.limits_before, std::time::Duration::ZERO);
    let ours = [
        starttls::feature(login, config),
        sasl::feature(&login.offered),
        channel_binding::feature(&login.peer, &login.offered),
        Some(limits),
    ];
    ours.into_iter().flatten().collect()
}
