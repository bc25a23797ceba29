//! How coordinator and workers know each other: by a token that both have, over TLS. Without both, all of them are of one machine.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::{fmt, fs, io};

use subtle::ConstantTimeEq as _;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Request, Status};

/// Where the token is when no file has it.
pub const TOKEN: &str = "DUNLIN_LOADTEST_TOKEN";
/// What can be guessed is no token.
const LEAST: usize = 16;

/// What coordinator and workers of a run both know. Never shows itself.
#[derive(Clone)]
pub struct Token(String);

/// Who is let in by a coordinator, and how. Never shows its key.
#[derive(Clone, Default)]
pub struct Gate {
    /// What workers must know.
    pub token: Option<Token>,
    /// Certificate chain and key, for TLS.
    pub identity: Option<Identity>,
}

/// How a worker is let in.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    /// What the coordinator asks for.
    pub token: Option<Token>,
    /// The authority of its certificate, PEM; TLS if there is one.
    pub authority: Option<Certificate>,
    /// The name in its certificate, if that is not the host that is joined.
    pub name: Option<String>,
}

/// Why coordinator and worker do not come together; says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    File(String, io::Error),
    /// The token is none.
    #[error("a token is one line of at least {LEAST} letters, digits and signs: `openssl rand -hex 32` makes one")]
    NoToken,
    /// Others could listen, or join.
    #[error(
        "{0} is not only this machine: workers and coordinator on several need a token (--token-file FILE, or {TOKEN}) and TLS \
         (coordinator: --tls-certificate and --tls-key; worker: --tls-authority)"
    )]
    Open(String),
}

impl Token {
    /// The token in a file, or else in the environment ([`TOKEN`]); `None` when there is neither. It never stands on a command line, which everybody
    /// on a machine can read.
    ///
    /// # Errors
    /// When the file cannot be read, or what is there is no token.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, Error> {
        let text = match file {
            Some(file) => Some(String::from_utf8_lossy(&read(file)?).into_owned()),
            None => std::env::var(TOKEN).ok(),
        };
        text.map(|text| Self::read(&text)).transpose()
    }

    fn read(text: &str) -> Result<Self, Error> {
        let token = text.trim();
        let is_token = token.len() >= LEAST && token.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(token.to_owned())).ok_or(Error::NoToken)
    }

    /// As it travels (RFC 6750, 2.1).
    fn header(&self) -> Option<MetadataValue<Ascii>> {
        let mut value: MetadataValue<Ascii> = format!("{BEARER}{}", self.0).parse().ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether somebody knows it. Takes as long for one that is nearly right as for any other of that length.
    fn is_in(&self, metadata: &MetadataMap) -> bool {
        let said = metadata.get(HEADER).and_then(|value| value.to_str().ok());
        let said = said.and_then(|value| value.strip_prefix(BEARER)).unwrap_or_default();
        said.as_bytes().ct_eq(self.0.as_bytes()).into()
    }
}

const HEADER: &str = "authorization";
const BEARER: &str = "Bearer ";

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("token", &self.token)
            .field("tls", &self.identity.is_some())
            .finish()
    }
}

impl Gate {
    /// Certificate chain and key of two PEM files.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn identity(certificate: &Path, key: &Path) -> Result<Identity, Error> {
        Ok(Identity::from_pem(read(certificate)?, read(key)?))
    }

    /// Checks that nobody unknown can come in at that address.
    ///
    /// # Errors
    /// When somebody could.
    pub(crate) fn check(&self, listening: SocketAddr) -> Result<(), Error> {
        let is_guarded = self.token.is_some() && self.identity.is_some();
        if is_guarded || is_here(listening.ip()) {
            Ok(())
        } else {
            Err(Error::Open(listening.to_string()))
        }
    }

    /// A server to put services on.
    pub(crate) fn server(&self) -> io::Result<Server> {
        let Some(identity) = &self.identity else {
            return Ok(Server::builder());
        };
        let tls = ServerTlsConfig::new().identity(identity.clone());
        Server::builder().tls_config(tls).map_err(in_full)
    }

    /// Lets a worker in, or not.
    pub(crate) fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        match &self.token {
            Some(token) if !token.is_in(request.metadata()) => Err(Status::unauthenticated(
                "the worker does not have the coordinator's token",
            )),
            _ => Ok(()),
        }
    }
}

impl Pass {
    /// The authority of a PEM file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn authority(file: &Path) -> Result<Certificate, Error> {
        Ok(Certificate::from_pem(read(file)?))
    }

    /// How to reach the coordinator at `HOST:PORT`.
    ///
    /// # Errors
    /// When it may be elsewhere and others could hear what is said, or be the coordinator.
    pub(crate) async fn endpoint(&self, coordinator: &str) -> io::Result<Endpoint> {
        let is_guarded = self.token.is_some() && self.authority.is_some();
        if !is_guarded && !leads_here(coordinator).await? {
            return Err(io::Error::other(Error::Open(coordinator.to_owned())));
        }
        let Some(authority) = &self.authority else {
            return Endpoint::from_shared(format!("http://{coordinator}")).map_err(in_full);
        };
        let tls = ClientTlsConfig::new().ca_certificate(authority.clone());
        let tls = match &self.name {
            Some(name) => tls.domain_name(name),
            None => tls,
        };
        let endpoint = Endpoint::from_shared(format!("https://{coordinator}")).map_err(in_full)?;
        endpoint.tls_config(tls).map_err(in_full)
    }

    /// Shows the token, if there is one.
    pub(crate) fn show<T>(&self, mut request: Request<T>) -> Request<T> {
        if let Some(token) = self.token.as_ref().and_then(Token::header) {
            request.metadata_mut().insert(HEADER, token);
        }
        request
    }
}

/// Whether all that a `HOST:PORT` stands for is this machine.
async fn leads_here(coordinator: &str) -> io::Result<bool> {
    let mut addresses = tokio::net::lookup_host(coordinator).await?.peekable();
    Ok(addresses.peek().is_some() && addresses.all(|address| is_here(address.ip())))
}

fn is_here(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether trying again may help: TLS that failed fails again.
pub(crate) fn is_retryable(error: &(dyn StdError + 'static)) -> bool {
    !causes(error).any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
    })
}

/// An error with its causes: the outermost says only "transport error".
pub(crate) fn in_full(error: impl StdError + 'static) -> io::Error {
    let all: Vec<String> = causes(&error).map(ToString::to_string).collect();
    io::Error::other(all.join(": "))
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(|error| Error::File(file.display().to_string(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0123456789abcdef";

    #[test]
    fn a_token_is_a_line_that_cannot_be_guessed() {
        for (text, expected) in [
            (GOOD, true),
            (" 0123456789abcdef\n", true),
            ("0123456789abcde", false),
            ("0123456789 abcdef", false),
            ("0123456789abcdéf", false),
            ("", false),
        ] {
            assert_eq!(Token::read(text).is_ok(), expected, "{text:?}");
        }
        let token = Token::read(GOOD).expect("a token");
        assert!(!format!("{token:?}").contains("0123"));
    }

    #[test]
    fn who_does_not_show_the_token_is_not_let_in() {
        let token = |text| Some(Token::read(text).expect("a token"));
        let (gate, open) = (
            Gate {
                token: token(GOOD),
                ..Gate::default()
            },
            Gate::default(),
        );
        for (shown, admitted) in [
            (token(GOOD), true),
            (token("0123456789abcdeF"), false),
            (token("0123456789abcdef0"), false),
            (None, false),
        ] {
            let pass = Pass {
                token: shown,
                ..Pass::default()
            };
            let request = pass.show(Request::new(()));
            assert_eq!(gate.admit(&request).is_ok(), admitted, "{:?}", request.metadata());
            assert!(open.admit(&request).is_ok());
        }
    }

    #[tokio::test]
    async fn without_token_and_tls_all_are_of_one_machine() {
        let token = || Token::read(GOOD).expect("a token");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let authority = Certificate::from_pem(made.cert.pem());
        let cases = [
            (false, false, false),
            (true, false, false),
            (false, true, false),
            (true, true, true),
        ];
        for (has_token, has_tls, everywhere) in cases {
            let gate = Gate {
                token: has_token.then(token),
                identity: has_tls.then(|| Identity::from_pem("", "")),
            };
            let pass = Pass {
                token: has_token.then(token),
                authority: has_tls.then(|| authority.clone()),
                name: None,
            };
            for (address, is_here) in [
                ("127.0.0.1:7222", true),
                ("[::1]:7222", true),
                ("0.0.0.0:7222", false),
                ("192.0.2.1:7222", false),
            ] {
                let expected = is_here || everywhere;
                assert_eq!(
                    gate.check(address.parse().expect("an address")).is_ok(),
                    expected,
                    "{gate:?} {address}"
                );
                let endpoint = pass.endpoint(address).await;
                assert_eq!(endpoint.is_ok(), expected, "{pass:?} {address} {:?}", endpoint.err());
            }
        }
    }
}
