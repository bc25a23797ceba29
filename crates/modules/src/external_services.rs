//! External services (XEP-0215): which relays there are beside the server (STUN, TURN and others), and credentials for them that
//! last for a while.

use std::sync::Arc;

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{
    About, Answer, At, Bare, Condition, Cx, Element, Hooks, Malformed, Module, Request, StanzaError, Timestamp, ns,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Secret;

/// The module.
pub(crate) struct ExternalServices {
    config: ExternalServicesConfig,
}

/// The services, in order of preference.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ExternalServicesConfig {
    /// The services told to users of the host. None: nothing is told.
    pub services: Vec<Service>,
}

/// A service (XEP-0215, 2).
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// What it is: `stun`, `turn`, or another registered type (`stuns` and `turns` over TLS).
    #[serde(rename = "type")]
    pub kind: String,
    /// Its domain name or IP address.
    pub host: String,
    /// Its port.
    #[serde(default)]
    pub port: Option<u16>,
    /// `udp` or `tcp`.
    #[serde(default)]
    pub transport: Option<String>,
    /// What people call it.
    #[serde(default)]
    pub name: Option<String>,
    /// What the server shares with the service (coturn: `static-auth-secret` with `use-auth-secret`): each user gets credentials made
    /// with it, which tell the service no address. `secret_file` reads it from a file.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// How long such credentials last, in seconds. Default one day.
    #[serde(default = "one_day")]
    pub lifetime_s: u32,
    /// Without a secret: the name that everybody uses.
    #[serde(default)]
    pub username: Option<String>,
    /// The password that goes with it. `password_file` reads it from a file.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// `<services/>`: all, or those of one type.
struct Services {
    kind: Option<String>,
}

/// `<credentials/>`: for the services named.
struct Credentials {
    services: Vec<Wanted>,
}

/// A service as a client names it (XEP-0215, 3.3).
struct Wanted {
    host: String,
    kind: String,
    port: Option<String>,
}

impl Request for Services {
    const NS: &'static str = ns::EXTERNAL_SERVICES;
    const NAME: &'static str = "services";

    fn read(element: &Element) -> Result<Self, Malformed> {
        Ok(Self {
            kind: element.attribute("type").map(str::to_owned),
        })
    }
}

impl Request for Credentials {
    const NS: &'static str = ns::EXTERNAL_SERVICES;
    const NAME: &'static str = "credentials";

    fn read(element: &Element) -> Result<Self, Malformed> {
        let named = element
            .children()
            .filter(|child| child.is(ns::EXTERNAL_SERVICES, "service"));
        let services: Vec<Wanted> = named.map(Wanted::read).collect::<Result<_, _>>()?;
        if services.is_empty() {
            return Err(Malformed("which service?"));
        }
        Ok(Self { services })
    }
}

impl Wanted {
    fn read(element: &Element) -> Result<Self, Malformed> {
        let owned = |name| element.attribute(name).map(str::to_owned);
        Ok(Self {
            host: owned("host").ok_or(Malformed("a service has a host"))?,
            kind: owned("type").ok_or(Malformed("a service has a type"))?,
            port: owned("port"),
        })
    }

    fn is(&self, service: &Service) -> bool {
        let port = service.port.map(|port| port.to_string());
        self.host == service.host && self.kind == service.kind && (self.port.is_none() || self.port == port)
    }
}

impl Module for ExternalServices {
    const ABOUT: About = About {
        name: "external_services",
        rfcs: &[],
        xeps: &[(215, "1.0.0")],
        summary: "Tells users of relays for calls, with credentials that last for a while.",
    };
    type Config = ExternalServicesConfig;

    fn new(config: ExternalServicesConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        if self.config.services.is_empty() {
            return;
        }
        let module = self.clone();
        on.get(At::Server, move |cx, request| {
            std::future::ready(module.services(&cx, &request))
        });
        on.get(At::Server, move |cx, request| {
            std::future::ready(self.credentials(&cx, &request))
        });
    }
}

impl ExternalServices {
    /// XEP-0215, 3.1 and 3.2, with credentials for each service that asks for some.
    fn services(&self, cx: &Cx, request: &Services) -> Answer {
        let user = user(cx)?;
        let is_meant = |service: &&Service| request.kind.as_ref().is_none_or(|kind| *kind == service.kind);
        let told = self.config.services.iter().filter(is_meant).map(|service| {
            let element = service.element().with_some("transport", service.transport.as_ref());
            let element = element.with_some("name", service.name.as_ref());
            match service.credentials(user, cx.now) {
                Some(credentials) => credentials.add_to(element.with("restricted", "true")),
                None => element,
            }
        });
        let answer = Element::new(ns::EXTERNAL_SERVICES, "services").with_some("type", request.kind.as_ref());
        Ok(answer.extend(told).into())
    }

    /// XEP-0215, 3.3.
    fn credentials(&self, cx: &Cx, request: &Credentials) -> Answer {
        let user = user(cx)?;
        let is_meant = |service: &&Service| request.services.iter().any(|wanted| wanted.is(service));
        let meant = self.config.services.iter().filter(is_meant);
        let told: Vec<Element> = meant
            .filter_map(|service| Some(service.credentials(user, cx.now)?.add_to(service.element())))
            .collect();
        if told.is_empty() {
            return Err(Condition::ItemNotFound.into());
        }
        Ok(Element::new(ns::EXTERNAL_SERVICES, "credentials").extend(told).into())
    }
}

/// Only users of the host are told.
fn user(cx: &Cx) -> Result<&Bare, StanzaError> {
    let user = &cx.account.jid;
    if user.local().is_some() && user.domain() == cx.host.domain {
        Ok(user)
    } else {
        Err(Condition::Forbidden.into())
    }
}

impl Service {
    /// What identifies it.
    fn element(&self) -> Element {
        Element::new(ns::EXTERNAL_SERVICES, "service")
            .with("type", &self.kind)
            .with("host", &self.host)
            .with_some("port", self.port.map(|port| port.to_string()))
    }

    fn credentials(&self, user: &Bare, now: Timestamp) -> Option<Login> {
        if let Some(secret) = &self.secret {
            let expires = now.0 / 1_000_000 + i64::from(self.lifetime_s);
            return Some(made(secret, user, expires));
        }
        Some(Login {
            username: self.username.clone()?,
            password: self.password.as_ref()?.expose().to_owned(),
            expires: None,
        })
    }
}

/// What a user logs in to a service with.
struct Login {
    username: String,
    password: String,
    expires: Option<Timestamp>,
}

impl Login {
    fn add_to(self, element: Element) -> Element {
        let expires = self.expires.map(Timestamp::to_xmpp);
        element
            .with("username", self.username)
            .with("password", self.password)
            .with_some("expires", expires)
    }
}

/// Credentials as TURN servers check them that share the secret (draft-uberti-behave-turn-rest-00, 2.2): when they end, in seconds
/// since 1970, and a name, signed. The name is always the same for a user, so that the service can count, and tells no more.
fn made(secret: &Secret, user: &Bare, expires: i64) -> Login {
    let name = hmac(secret, user.as_str());
    let name: String = name[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let username = format!("{expires}:{name}");
    Login {
        password: STANDARD.encode(hmac(secret, &username)),
        username,
        expires: Some(Timestamp(expires * 1_000_000)),
    }
}

fn hmac(secret: &Secret, text: &str) -> Vec<u8> {
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose().as_bytes());
    sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn one_day() -> u32 {
    86_400
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202, 3, case 2; and a key longer than a block.
    #[test]
    fn hmac_sha1() {
        let case = |key: &str, data| STANDARD.encode(hmac(&key.into(), data));
        assert_eq!(
            case("Jefe", "what do ya want for nothing?"),
            "7/zfauXrL6LSdBbV8YTfnCWafHk="
        );
        let key = "k".repeat(80);
        assert_eq!(case(&key, "a key that is longer than a block"), LONG);
    }

    /// `printf '1795262400:NAME' | openssl dgst -sha1 -hmac 'north' -binary | base64`
    #[test]
    fn credentials_are_what_turn_servers_check() {
        let login = made(
            &"north".into(),
            &Bare::parse("romeo@montague.example").unwrap(),
            1_795_262_400,
        );
        assert_eq!(login.username, USERNAME);
        assert_eq!(login.password, PASSWORD);
        assert_eq!(login.expires.unwrap().to_xmpp(), "2026-11-21T12:00:00.000Z");
        let other = made(
            &"north".into(),
            &Bare::parse("juliet@montague.example").unwrap(),
            1_795_262_400,
        );
        assert_ne!(other.username, USERNAME);
    }

    #[test]
    fn secrets_do_not_show() {
        let service = r#"{"type": "turn", "host": "h", "secret": "north", "password": "south"}"#;
        let service: Service = serde_json::from_str(service).unwrap();
        let shown = format!("{service:?} {}", serde_json::to_string(&service).unwrap());
        assert!(!shown.contains("north") && !shown.contains("south"), "{shown}");
    }

    const LONG: &str = "M1YdGcg8+KIrx6EKFqWtjU0X71c=";
    const USERNAME: &str = "1795262400:252634a00bebd5c5";
    const PASSWORD: &str = "Y3xL9K3+XzrqRZAbrh25xO+PtHs=";
}
