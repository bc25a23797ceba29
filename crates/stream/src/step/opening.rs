//! Opening: the client's header is checked and answered (RFC 6120, 4.7), and features are announced.

use std::sync::Arc;

use stanza::{Bare, Jid, StreamCondition, ns};
use xml::Open;

use crate::config::Config;
use crate::fault::Fault;
use crate::feature;
use crate::line::{Line, Reply};
use crate::login::{Login, Offer};
use crate::state::{Binding, Offering, Opening, State, Step};

impl Opening {
    /// Answers with our header whatever the client's is worth, so that a stream error has a stream to stand in.
    pub(crate) fn header(self, line: &mut Line, open: &Open) -> Step {
        let mut login = self.0;
        let config = Arc::clone(&line.config);
        let to = open.attribute("to").map(Jid::parse);
        let host = host(&to, &config);
        let from = open.attribute("from").map(Jid::parse);
        let lang = open.attribute("xml:lang").filter(|lang| is_language(lang));
        let bare = match &from {
            Some(Ok(from)) => Some(from.bare()),
            _ => None,
        };
        line.header(Reply {
            from: config.hosts.get(host.unwrap_or(0)).map(|host| host.domain.as_str()),
            to: bare.as_ref().map(|bare| bare.as_str()),
            lang,
        });
        check_names(open, ns::CLIENT)?;
        check_version(open.attribute("version"))?;
        login.host = addressed(to.is_some(), host, &login)?;
        login.lang = lang.map(Into::into);
        check_from(from.is_some(), bare.as_ref(), &login, &config)?;
        login.from = bare;
        announce(login, line, &config)
    }
}

fn announce(mut login: Box<Login>, line: &mut Line, config: &Config) -> Step {
    let elsewhere = config.see_other_host.clone().filter(|_| !login.must_start_tls(config));
    if let Some(elsewhere) = elsewhere {
        return Err(StreamCondition::SeeOtherHost(elsewhere).into());
    }
    if login.account.is_some() {
        login.offer = Offer::default();
        line.features(feature::after(&login, config));
        return Ok((State::Binding(Binding(login)), None));
    }
    login.offer = feature::offer(&login, config);
    let features = feature::before(&mut login, config);
    line.features(features);
    Ok((State::Offering(Offering(login)), None))
}

/// Which host is addressed.
fn host(to: &Option<Result<Jid, stanza::InvalidJid>>, config: &Config) -> Option<usize> {
    let Some(Ok(to)) = to else { return None };
    let is_domain = to.is_bare() && to.local().is_none();
    config
        .hosts
        .iter()
        .position(|host| is_domain && host.domain == to.domain())
}

/// The root must be `stream` in its namespace, the content that of the listener (RFC 6120, 4.8).
pub(crate) fn check_names(open: &Open, content: &str) -> Result<(), Fault> {
    match (open.ns.as_str(), open.name.as_str(), open.content_ns.as_str()) {
        (ns::STREAMS, "stream", ours) if ours == content => Ok(()),
        (ns::STREAMS, "stream", ns::STREAMS) => Err(Fault::new(
            StreamCondition::BadNamespacePrefix,
            "the prefix of the stream's namespace is missing",
        )),
        (ns::STREAMS, "stream", _) => Err(Fault::new(
            StreamCondition::InvalidNamespace,
            "stanzas of another namespace are spoken here",
        )),
        (ns::STREAMS, ..) => Err(Fault::new(StreamCondition::BadFormat, "the root is not a stream")),
        _ => Err(Fault::new(
            StreamCondition::InvalidNamespace,
            "the root is not in the namespace of streams",
        )),
    }
}

/// Without a version it is 0.9, which is gone (RFC 6120, 4.7.5). Numbers are compared as numbers, leading zeros ignored.
fn check_version(version: Option<&str>) -> Result<(), Fault> {
    let number = |text: &str| (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(());
    let major = version.and_then(|version| {
        let (major, minor) = version.split_once('.')?;
        number(major).and(number(minor))?;
        Some(major.trim_start_matches('0'))
    });
    match major {
        Some(major) if !major.is_empty() => Ok(()),
        _ => Err(Fault::new(
            StreamCondition::UnsupportedVersion,
            "version 1.0 is spoken here",
        )),
    }
}

/// The host must be ours, and after authentication it must stay the account's.
fn addressed(named: bool, host: Option<usize>, login: &Login) -> Result<usize, Fault> {
    match host {
        _ if !named => Err(Fault::new(StreamCondition::ImproperAddressing, "a header needs a 'to'")),
        None => Err(StreamCondition::HostUnknown.into()),
        Some(host) if login.account.is_some() && host != login.host => Err(Fault::new(
            StreamCondition::NotAuthorized,
            "authenticated for another host",
        )),
        Some(host) => Ok(host),
    }
}

/// Who has authenticated may not call itself by another name (RFC 6120, 4.9.3.9), and nobody by one of another host (XEP-0388,
/// "SASL mechanism negotiation").
fn check_from(given: bool, from: Option<&Bare>, login: &Login, config: &Config) -> Result<(), Fault> {
    let is_of_host = |from: &Bare| login.host(config).is_none_or(|host| host.domain == from.domain());
    match (from, &login.account) {
        (None, _) if given => Err(Fault::new(
            StreamCondition::ImproperAddressing,
            "the 'from' is not an address",
        )),
        (Some(from), Some((account, _))) if from != account => Err(StreamCondition::InvalidFrom.into()),
        (Some(from), None) if !is_of_host(from) => Err(StreamCondition::InvalidFrom.into()),
        _ => Ok(()),
    }
}

/// Looks like a language tag (RFC 5646) of sane length; what does not is not repeated.
fn is_language(text: &str) -> bool {
    (1..=35).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
