//! Stream features: one file each. A feature says when it is announced and reads and writes its own elements; what
//! follows from them is decided by the states.

pub(crate) mod bind;
pub(crate) mod bind2;
pub(crate) mod channel_binding;
pub(crate) mod client_state;
pub(crate) mod component;
pub(crate) mod fast;
pub(crate) mod inline;
pub(crate) mod limits;
pub(crate) mod pipelining;
pub(crate) mod pre_approval;
pub(crate) mod registration;
pub(crate) mod roster_versioning;
pub(crate) mod sasl;
pub(crate) mod sasl2;
pub(crate) mod session;
pub(crate) mod starttls;
pub(crate) mod stream_management;

use xml::Element;

use crate::about::About;
use crate::config::Config;
use crate::login::{Login, Offer};

/// Every stream feature. They are announced in this order.
pub static FEATURES: &[About] = &[
    starttls::ABOUT,
    sasl::ABOUT,
    sasl2::ABOUT,
    bind2::ABOUT,
    fast::ABOUT,
    channel_binding::ABOUT,
    registration::ABOUT,
    pipelining::ABOUT,
    bind::ABOUT,
    session::ABOUT,
    stream_management::ABOUT,
    client_state::ABOUT,
    roster_versioning::ABOUT,
    pre_approval::ABOUT,
    limits::ABOUT,
    component::ABOUT,
];

/// What is offered to a client that has yet to authenticate.
pub(crate) fn offer(login: &Login, config: &Config) -> Offer {
    let sasl = sasl::offer(login, config);
    let sasl2 = sasl2::offer(&sasl, login, config);
    let host = login.host(config).filter(|_| !sasl2.is_empty());
    let fast = host.map(|host| fast::offer(host, &login.peer)).unwrap_or_default();
    let bindings = channel_binding::offer(&login.peer, &sasl);
    Offer {
        sasl,
        sasl2,
        fast,
        bindings,
        inline: host.map(|host| host.bind_features.clone()).unwrap_or_default(),
        version: None,
    }
}

/// What is announced before authentication (RFC 6120, 4.3.2). Sets the version of the features, where there is use for it.
pub(crate) fn before(login: &mut Login, config: &Config) -> Vec<Element> {
    let limits = limits::feature(&config.limits_before, std::time::Duration::ZERO);
    let ours = [
        starttls::feature(login, config),
        sasl::feature(&login.offer.sasl),
        sasl2::feature(&login.offer),
        channel_binding::feature(&login.offer.bindings),
        Some(limits),
    ];
    let registration = registration::features(registration::is_offered(login, config));
    let mut features: Vec<Element> = ours.into_iter().flatten().chain(registration).collect();
    login.offer.version = (!login.offer.sasl2.is_empty()).then(|| pipelining::version(&features));
    features.extend(login.offer.version.as_deref().map(pipelining::feature));
    features
}

/// What is announced to a client that has authenticated and can bind a resource or resume.
pub(crate) fn after(login: &Login, config: &Config) -> Vec<Element> {
    let binding = [bind::feature(), session::feature(), stream_management::feature()];
    binding.into_iter().chain(common(login, config)).collect()
}

/// What is announced with the success that bound a resource (XEP-0388, "Success").
pub(crate) fn bound(login: &Login, config: &Config, is_managed: bool) -> Vec<Element> {
    let manage = (!is_managed).then(stream_management::feature);
    manage.into_iter().chain(common(login, config)).collect()
}

fn common(login: &Login, config: &Config) -> impl Iterator<Item = Element> {
    let host = login.host(config).map(|host| host.features.clone()).unwrap_or_default();
    let ours = [
        client_state::feature(),
        roster_versioning::feature(),
        pre_approval::feature(),
        limits::feature(&config.limits_after, config.idle_timeout),
    ];
    ours.into_iter().chain(host)
}
