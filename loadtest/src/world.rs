//! What all users of a worker share: the scenario, the server as it was found, and the accounts.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::scenario::{Scenario, Tls};
use crate::schedule::Circle;
use crate::trust::connector;

/// What all users share.
pub struct World {
    /// What is to happen.
    pub scenario: Scenario,
    /// Who knows whom.
    pub circle: Circle,
    /// The run, which all messages carry.
    pub run: u32,
    /// Where the targets are, in their order.
    pub addresses: Vec<SocketAddr>,
    /// For TLS: how, and whose name the certificate must have.
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
    /// What stands before and after a user's number in its local part, as in an attribute, if it stands there once.
    pub stem: Option<(String, String)>,
    /// Given accounts; empty when they follow from the pattern.
    pub given: Vec<(String, String)>,
    /// Domain and resource, as they stand in an attribute.
    pub domain: String,
    /// The resource.
    pub resource: String,
    /// As long as the longest body.
    pub padding: String,
}

impl World {
    /// The world of a scenario, with the targets looked up and the files read.
    ///
    /// # Errors
    /// When a target has no address, or a file cannot be read; says what to do.
    pub fn new(scenario: Scenario, run: u32) -> io::Result<Self> {
        let domain = escaped(&scenario.server.domain);
        let server = &scenario.server;
        let tls = match server.tls {
            Tls::Off => None,
            Tls::Direct | Tls::Starttls => {
                let name = ServerName::try_from(server.domain.clone()).map_err(io::Error::other)?;
                Some((connector(&server.trust)?, name))
            }
        };
        let given = match &scenario.accounts.file {
            Some(path) => read_accounts(path, scenario.users)?,
            None => Vec::new(),
        };
        let user = &scenario.accounts.user;
        let halves = user.split_once("{n}").filter(|(_, after)| !after.contains("{n}"));
        Ok(Self {
            circle: Circle::of(&scenario),
            run,
            addresses: addresses(&server.targets)?,
            tls,
            stem: halves.map(|(before, after)| (escaped(before), escaped(after))),
            given,
            resource: escaped(&scenario.login.resource),
            padding: "x".repeat(scenario.messages.body.most),
            domain,
            scenario,
        })
    }

    /// Local part and password of a user.
    pub fn account(&self, user: u32) -> (String, String) {
        (self.local(user), self.password(user))
    }

    /// Local part of a user.
    pub fn local(&self, user: u32) -> String {
        match self.given.get(user as usize) {
            Some((local, _)) => local.clone(),
            None => self.fill(&self.scenario.accounts.user, user),
        }
    }

    /// Appends a user's bare address as it stands in an attribute.
    pub fn write_address(&self, user: u32, out: &mut Vec<u8>) {
        match (&self.stem, self.given.is_empty()) {
            (Some((before, after)), true) => {
                let number = u64::from(self.scenario.accounts.first) + u64::from(user);
                // A vector takes everything.
                let _ = write!(out, "{before}{number}{after}");
            }
            _ => xml::escape_attribute(&self.local(user), out),
        }
        out.push(b'@');
        out.extend_from_slice(self.domain.as_bytes());
    }

    fn password(&self, user: u32) -> String {
        match self.given.get(user as usize) {
            Some((_, password)) => password.clone(),
            None => self.fill(&self.scenario.accounts.password, user),
        }
    }

    fn fill(&self, pattern: &str, user: u32) -> String {
        let number = u64::from(self.scenario.accounts.first) + u64::from(user);
        pattern.replace("{n}", &number.to_string())
    }

    /// How long after the first `user` comes, when all come at the scenario's greatest rate.
    pub fn pace(&self, user: u32) -> Duration {
        let rates = self.scenario.phases.iter().filter_map(|phase| phase.logins);
        let greatest = rates.map(|rate| rate.per_second).fold(0.0, f64::max);
        if greatest > 0.0 {
            Duration::from_secs_f64(f64::from(user) / greatest)
        } else {
            Duration::ZERO
        }
    }

    /// Connects `user` to a target; each attempt goes to the next.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(&self, user: u32, attempt: u32) -> io::Result<TcpStream> {
        let place = user as usize + attempt as usize;
        let address = self.addresses[place % self.addresses.len()];
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        let sources = &self.scenario.server.sources;
        if !sources.is_empty() {
            // Apart from the targets' rhythm, so that each source meets each target.
            let source = sources[place / self.addresses.len() % sources.len()];
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.set_nodelay(true)?;
        socket.connect(address).await
    }
}

/// Where the targets are.
fn addresses(targets: &[String]) -> io::Result<Vec<SocketAddr>> {
    let address = |target: &String| {
        let found = target.to_socket_addrs().map(|mut all| all.next());
        match found {
            Ok(Some(address)) => Ok(address),
            Ok(None) => Err(io::Error::other(format!("{target}: the name has no address"))),
            Err(error) => Err(io::Error::other(format!("{target}: {error}; a target is HOST:PORT"))),
        }
    };
    targets.iter().map(address).collect()
}

/// Reads `LOCAL PASSWORD` lines, one for each user.
fn read_accounts(path: &Path, users: u32) -> io::Result<Vec<(String, String)>> {
    let told = |what: String| io::Error::other(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let account = |(at, line): (usize, &str)| {
        let split = line.trim().split_once(char::is_whitespace);
        let (local, password) =
            split.ok_or_else(|| told(format!("line {}: a local part and a password are needed", at + 1)))?;
        Ok((local.to_owned(), password.trim().to_owned()))
    };
    let accounts: Vec<_> = lines.map(account).collect::<io::Result<_>>()?;
    if accounts.len() < users as usize {
        return Err(told(format!("{} accounts, for {users} users", accounts.len())));
    }
    Ok(accounts)
}

/// As it stands in an attribute.
pub fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    xml::escape_attribute(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
