//! How a session begins: TLS, authentication, and a resource or the session of before (RFC 6120; XEP-0388, XEP-0386, XEP-0198, XEP-0484).

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::ServerName;
use sasl::client::{Binding, Keys, Proven, Scram, asked, hashed_token, plain};
use store::HashName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use xml::Element;

use crate::link::Link;
use crate::scenario::{Mechanism, Protocol, Tls};
use crate::world::{World, escaped};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SASL2: &str = "urn:xmpp:sasl:2";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const BIND2: &str = "urn:xmpp:bind:0";
const FAST: &str = "urn:xmpp:fast:0";
const STARTTLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// Archives (XEP-0313).
pub const MAM: &str = "urn:xmpp:mam:2";
/// Stream management (XEP-0198).
pub const SM: &str = "urn:xmpp:sm:3";
/// The token mechanism that every connection can use.
const TOKEN_MECHANISM: &str = "HT-SHA-256-NONE";

/// What a user has kept from its logins before.
#[derive(Default)]
pub struct Kept {
    keys: Option<Box<Derived>>,
    /// A token (XEP-0484), and how often it was used.
    token: Option<(Box<str>, u32)>,
}

/// Keys of SCRAM, which are expensive, and what they are good for.
struct Derived {
    hash: HashName,
    salt: Vec<u8>,
    count: u32,
    keys: Keys,
}

/// The session that is to go on.
pub struct Former<'a> {
    /// Its name (SM-ID).
    pub id: &'a str,
    /// How many stanzas were read in it.
    pub h: u32,
}

/// What a login came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// A new session.
    Bound(Bound),
    /// The former session goes on; the server has handled so many stanzas.
    Resumed(u32),
}

/// What was agreed on with a new session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// What the server said of stream management, if that was agreed on by the way.
    pub enabled: Option<Element>,
    /// The last id in the archive, when the server leaves it to the archive to tell what was kept (XEP-0386, 5); empty when there is none.
    pub archived: Option<String>,
}

/// A login that did not come to a session: why, in few words that are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

/// Who logs in, and how.
pub struct Login<'a> {
    /// What all share.
    pub world: &'a World,
    /// The user.
    pub user: u32,
    /// Not the same twice.
    pub nonce: String,
    /// What it has kept.
    pub kept: &'a mut Kept,
    /// The session to go on with.
    pub former: Option<Former<'a>>,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(reason(&error))
    }
}

/// Few words for an error.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {
            "disconnected".to_owned()
        }
        io::ErrorKind::BrokenPipe => "disconnected".to_owned(),
        io::ErrorKind::Other | io::ErrorKind::InvalidData => error.to_string(),
        kind => kind.to_string(),
    }
}

impl Login<'_> {
    /// Connects `attempt` (each to the next target), and logs in.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn enter(&mut self, attempt: u32) -> Result<(Link, Entered), Failure> {
        let (mut link, features) = connect(self.world, self.user, attempt).await?;
        let entered = match self.world.scenario.login.protocol {
            Protocol::Sasl => self.in_steps(&mut link, &features).await?,
            Protocol::Sasl2 => self.at_once(&mut link, &features).await?,
        };
        Ok((link, entered))
    }

    /// RFC 6120: authentication, another stream, and the resource; or the former session (XEP-0198, 5).
    async fn in_steps(&mut self, link: &mut Link, features: &Element) -> Result<Entered, Failure> {
        self.authenticate(link, features).await?;
        open(link, self.world).await?;
        if let Some(former) = &self.former {
            let resume = format!(
                "<resume xmlns='{SM}' previd='{}' h='{}'/>",
                escaped(former.id),
                former.h
            );
            let answer = ask(link, &resume).await?;
            if let Some(h) = resumed(&answer) {
                return Ok(Entered::Resumed(h));
            }
        }
        let resource = escaped(&self.world.scenario.login.resource);
        let bind = format!("<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>{resource}</resource></bind></iq>");
        let answer = ask(link, &bind).await?;
        match answer.child(BIND, "bind") {
            Some(_) if answer.attribute("type") == Some("result") => Ok(Entered::Bound(Bound::default())),
            _ => Err(refusal("bind", &answer)),
        }
    }

    async fn authenticate(&mut self, link: &mut Link, features: &Element) -> Result<(), Failure> {
        let offered = mechanisms(features.child(SASL, "mechanisms"), SASL);
        let (name, hash) = choose(self.world.scenario.login.mechanism, &offered)?;
        let (local, password) = self.world.account(self.user);
        let auth = |data: &[u8]| {
            let data = STANDARD.encode(data);
            format!("<auth xmlns='{SASL}' mechanism='{name}'>{data}</auth>")
        };
        let Some(hash) = hash else {
            let answer = ask(link, &auth(&plain(&local, &password))).await?;
            return succeeded(&answer).map(drop);
        };
        let scram = Scram::new(hash, &local, None, Binding::Unsupported, &self.nonce);
        let challenge = ask(link, &auth(&scram.first())).await?;
        if !challenge.is(SASL, "challenge") {
            return Err(refusal("authentication", &challenge));
        }
        let (last, proven) = self.prove(scram, hash, &password, &data(&challenge)?)?;
        let response = format!("<response xmlns='{SASL}'>{}</response>", STANDARD.encode(last));
        let answer = ask(link, &response).await?;
        let verdict = succeeded(&answer)?;
        proven
            .finish(&data(verdict)?)
            .map_err(|error| Failure(error.to_string()))
    }

    /// XEP-0388: everything in one exchange, by a token if there is one (XEP-0484).
    async fn at_once(&mut self, link: &mut Link, features: &Element) -> Result<Entered, Failure> {
        let authentication = features
            .child(SASL2, "authentication")
            .ok_or_else(|| Failure("the server does not offer SASL2".to_owned()))?;
        let tokens = authentication
            .child(SASL2, "inline")
            .and_then(|inline| inline.child(FAST, "fast"));
        let takes_tokens = mechanisms(tokens, FAST).iter().any(|name| name == TOKEN_MECHANISM);
        if let Some((token, uses)) = self.kept.token.take().filter(|_| takes_tokens) {
            let initial = hashed_token(&self.world.local(self.user), &token, b"");
            let extra = format!("<fast xmlns='{FAST}' count='{}'/>", uses + 1);
            let answer = ask(link, &self.request(TOKEN_MECHANISM, &initial, &extra)).await?;
            if answer.is(SASL2, "success") {
                self.kept.token = Some((token, uses + 1));
                return self.entered(&answer);
            }
            // As the specification has it: the token is forgotten, and the password is tried on the same stream.
        }
        let wants = if self.world.scenario.login.fast && takes_tokens {
            format!("<request-token xmlns='{FAST}' mechanism='{TOKEN_MECHANISM}'/>")
        } else {
            String::new()
        };
        self.by_password(link, authentication, &wants).await
    }

    async fn by_password(&mut self, link: &mut Link, offer: &Element, wants: &str) -> Result<Entered, Failure> {
        let offered = mechanisms(Some(offer), SASL2);
        let (name, hash) = choose(self.world.scenario.login.mechanism, &offered)?;
        let (local, password) = self.world.account(self.user);
        let Some(hash) = hash else {
            let answer = ask(link, &self.request(name, &plain(&local, &password), wants)).await?;
            return self.entered(&answer);
        };
        let scram = Scram::new(hash, &local, None, Binding::Unsupported, &self.nonce);
        let challenge = ask(link, &self.request(name, &scram.first(), wants)).await?;
        if !challenge.is(SASL2, "challenge") {
            return Err(refusal("authentication", &challenge));
        }
        let (last, proven) = self.prove(scram, hash, &password, &data(&challenge)?)?;
        let response = format!("<response xmlns='{SASL2}'>{}</response>", STANDARD.encode(last));
        let answer = ask(link, &response).await?;
        if let Some(additional) = answer.child(SASL2, "additional-data") {
            proven
                .finish(&data(additional)?)
                .map_err(|error| Failure(error.to_string()))?;
        }
        self.entered(&answer)
    }

    /// The whole request: who, by what, and what is wanted with it.
    fn request(&self, mechanism: &str, initial: &[u8], extra: &str) -> String {
        let login = &self.world.scenario.login;
        let mut inner = String::new();
        if login.carbons {
            inner.push_str("<enable xmlns='urn:xmpp:carbons:2'/>");
        }
        if login.stream_management {
            let resume = if login.resume { " resume='true'" } else { "" };
            inner.push_str(&format!("<enable xmlns='{SM}'{resume}/>"));
        }
        let tag = escaped(&login.resource);
        let bind = format!("<bind xmlns='{BIND2}'><tag>{tag}</tag>{inner}</bind>");
        let resume = self.former.as_ref().map_or_else(String::new, |former| {
            format!(
                "<resume xmlns='{SM}' previd='{}' h='{}'/>",
                escaped(former.id),
                former.h
            )
        });
        let initial = STANDARD.encode(initial);
        // An identifier of the client (XEP-0388, 2.3), the same for each login of a user.
        let agent = format!(
            "{:08x}-6c74-4000-8000-{:012x}",
            self.world.scenario.accounts.first, self.user
        );
        format!(
            "<authenticate xmlns='{SASL2}' mechanism='{mechanism}'><initial-response>{initial}</initial-response>\
             <user-agent id='{agent}'><software>dunlin-loadtest</software></user-agent>{bind}{resume}{extra}</authenticate>"
        )
    }

    /// What `success` says of the session.
    fn entered(&mut self, answer: &Element) -> Result<Entered, Failure> {
        if !answer.is(SASL2, "success") {
            return Err(refusal("authentication", answer));
        }
        if let Some(token) = answer.child(FAST, "token").and_then(|token| token.attribute("token")) {
            self.kept.token = Some((token.into(), 0));
        }
        if let Some(h) = answer.child(SM, "resumed").and_then(resumed) {
            return Ok(Entered::Resumed(h));
        }
        let bound = answer
            .child(BIND2, "bound")
            .ok_or_else(|| Failure("bind: nothing was bound".to_owned()))?;
        let metadata = bound.child(MAM, "metadata");
        let last = metadata.and_then(|metadata| metadata.child(MAM, "end")?.attribute("id"));
        Ok(Entered::Bound(Bound {
            enabled: bound.child(SM, "enabled").cloned(),
            archived: Some(last.unwrap_or_default().to_owned()),
        }))
    }

    fn prove(
        &mut self,
        scram: Scram,
        hash: HashName,
        password: &str,
        challenge: &[u8],
    ) -> Result<(Vec<u8>, Proven), Failure> {
        let (salt, count) = asked(challenge).map_err(|error| Failure(error.to_string()))?;
        let keys = self.keys(hash, password, &salt, count)?;
        scram
            .respond(challenge, |_, _| keys)
            .map_err(|error| Failure(error.to_string()))
    }

    /// The keys of the account, derived when they are not known.
    fn keys(&mut self, hash: HashName, password: &str, salt: &[u8], count: u32) -> Result<Keys, Failure> {
        if let Some(kept) = &self.kept.keys
            && (kept.hash, &*kept.salt, kept.count) == (hash, salt, count)
        {
            return Ok(kept.keys.clone());
        }
        let keys = Keys::derive(hash, password, salt, count).map_err(|error| Failure(error.to_string()))?;
        let derived = Derived {
            hash,
            salt: salt.to_vec(),
            count,
            keys: keys.clone(),
        };
        self.kept.keys = Some(Box::new(derived));
        Ok(keys)
    }
}

/// A connection with an open stream, encrypted as the scenario says; and the stream's features.
///
/// # Errors
/// What went wrong.
pub async fn connect(world: &World, user: u32, attempt: u32) -> Result<(Link, Element), Failure> {
    let socket = world.connect(user, attempt).await?;
    let mut link = match (&world.tls, world.scenario.server.tls) {
        (Some((connector, name)), Tls::Direct) => secure(socket, connector, name).await?,
        _ => Link::plain(socket),
    };
    let mut features = open(&mut link, world).await?;
    if let (Some((connector, name)), Tls::Starttls) = (&world.tls, world.scenario.server.tls) {
        let answer = ask(&mut link, &format!("<starttls xmlns='{STARTTLS}'/>")).await?;
        let socket = link.into_socket().filter(|_| answer.is(STARTTLS, "proceed"));
        let socket = socket.ok_or_else(|| Failure("the server does not offer STARTTLS".to_owned()))?;
        link = secure(socket, connector, name).await?;
        features = open(&mut link, world).await?;
    }
    Ok((link, features))
}

async fn secure(socket: TcpStream, connector: &TlsConnector, name: &ServerName<'static>) -> Result<Link, Failure> {
    let link = Link::tls(socket, connector, name.clone()).await;
    link.map_err(|error| Failure(format!("TLS: {error}")))
}

/// Opens a stream and reads its features.
async fn open(link: &mut Link, world: &World) -> Result<Element, Failure> {
    link.restart();
    let domain = escaped(&world.scenario.server.domain);
    let header = format!(
        "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' xmlns:stream='{}'>",
        xml::ns::STREAMS
    );
    let features = ask(link, &header).await?;
    if features.is(xml::ns::STREAMS, "features") {
        Ok(features)
    } else {
        Err(refusal("stream", &features))
    }
}

/// Writes, and reads the next element.
///
/// # Errors
/// When the connection ends before.
pub async fn ask(link: &mut Link, text: &str) -> Result<Element, Failure> {
    link.output().extend_from_slice(text.as_bytes());
    Ok(link.element().await?)
}

/// What the server has against it: what was asked, and the condition.
pub fn refusal(what: &str, answer: &Element) -> Failure {
    let error = answer
        .children()
        .find(|child| child.name() == "error")
        .unwrap_or(answer);
    let condition = error.children().find(|child| child.name() != "text");
    Failure(format!("{what}: {}", condition.unwrap_or(error).name()))
}

fn succeeded(answer: &Element) -> Result<&Element, Failure> {
    if answer.is(SASL, "success") {
        Ok(answer)
    } else {
        Err(refusal("authentication", answer))
    }
}

/// How many stanzas the server has handled, if the session goes on.
fn resumed(answer: &Element) -> Option<u32> {
    answer.attribute("h").filter(|_| answer.is(SM, "resumed"))?.parse().ok()
}

fn data(element: &Element) -> Result<Vec<u8>, Failure> {
    STANDARD
        .decode(element.content())
        .map_err(|_| Failure("authentication: not base64".to_owned()))
}

fn mechanisms(list: Option<&Element>, ns: &str) -> Vec<String> {
    let children = list.into_iter().flat_map(Element::children);
    children
        .filter(|child| child.is(ns, "mechanism"))
        .map(Element::content)
        .collect()
}

/// The mechanism to use, and the hash that it has.
fn choose(wanted: Mechanism, offered: &[String]) -> Result<(&'static str, Option<HashName>), Failure> {
    const SHA256: (&str, Option<HashName>) = ("SCRAM-SHA-256", Some(HashName::Sha256));
    const SHA1: (&str, Option<HashName>) = ("SCRAM-SHA-1", Some(HashName::Sha1));
    const PLAIN: (&str, Option<HashName>) = ("PLAIN", None);
    let good: &[_] = match wanted {
        Mechanism::Auto => &[SHA256, SHA1, PLAIN],
        Mechanism::Plain => &[PLAIN],
        Mechanism::ScramSha1 => &[SHA1],
        Mechanism::ScramSha256 => &[SHA256],
    };
    let found = good.iter().find(|(name, _)| offered.iter().any(|offer| offer == name));
    found.copied().ok_or_else(|| {
        let offered = if offered.is_empty() {
            "none".to_owned()
        } else {
            offered.join(", ")
        };
        Failure(format!("authentication: the server offers {offered}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_mechanism_is_chosen_unless_one_is_wanted() {
        let offered: Vec<String> = ["PLAIN", "SCRAM-SHA-1", "X"].map(str::to_owned).to_vec();
        let name = |wanted| {
            choose(wanted, &offered)
                .map(|(name, _)| name)
                .map_err(|failure| failure.0)
        };
        assert_eq!(name(Mechanism::Auto), Ok("SCRAM-SHA-1"));
        assert_eq!(name(Mechanism::Plain), Ok("PLAIN"));
        let missing = "authentication: the server offers PLAIN, SCRAM-SHA-1, X";
        assert_eq!(name(Mechanism::ScramSha256), Err(missing.to_owned()));
    }

    #[test]
    fn a_refusal_says_what_and_why() {
        let check = |text: &str, expected: &str| {
            let element = Element::parse(text.as_bytes(), xml::ns::CLIENT, &xml::Limits::default()).unwrap();
            assert_eq!(refusal("x", &element).0, expected);
        };
        check(
            "<failure xmlns='a'><not-authorized/><text>no</text></failure>",
            "x: not-authorized",
        );
        check(
            "<iq type='error'><bind/><error type='cancel'><text/><conflict/></error></iq>",
            "x: conflict",
        );
        check("<odd/>", "x: odd");
    }
}
