//! Who is alive, and where sessions are, in etcd (3.4 or newer).
//!
//! Keys under the prefix: `n/NODE` (leased), `table`, `secret`, and `l/SLOT/BARE/RESOURCE`, which bear no lease: the epoch in
//! the value is the fence. Of one range of keys, nodes to table, everybody watches every change; nobody watches locations.

mod key;
mod locations;
mod members;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Error, Result};

pub use locations::Locations;
pub use members::Members;

use crate::Secret;

/// How etcd is reached.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where its members are: `http://host:port` or `https://host:port`. Default `http://127.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// What all keys begin with, for several installations in one etcd. Default `/dunlin`.
    pub prefix: String,
    /// The user name, when etcd asks for one. Default none.
    pub user: Option<String>,
    /// The user's password. Default none.
    pub password: Option<Secret>,
    /// A PEM file with the certificates that etcd's is checked against; the system's when there is none. Default none.
    pub ca: Option<PathBuf>,
    /// A PEM file with the client's certificate, together with `key`. Default none.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the key of `certificate`. Default none.
    pub key: Option<PathBuf>,
    /// How long a call may take before the caller is told that etcd is away. Default 3s.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// How long a location waits for others to share its transaction. Default 10ms.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub linger: Duration,
    /// How many operations a transaction takes at most; etcd's own limit (`--max-txn-ops`) is 128. Default 128.
    pub operations: usize,
    /// How many calls that write locations may wait before callers do. Default 4096.
    pub queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: vec!["http://127.0.0.1:2379".into()],
            prefix: "/dunlin".into(),
            user: None,
            password: None,
            ca: None,
            certificate: None,
            key: None,
            timeout: Duration::from_secs(3),
            linger: Duration::from_millis(10),
            operations: 128,
            queue: 4096,
        }
    }
}

/// A client of etcd, from which the ports are made.
#[derive(Clone)]
pub struct Etcd {
    client: Client,
    config: Config,
}

impl Etcd {
    /// Prepares the connections, which reconnect by themselves. With a user, logs in.
    ///
    /// # Errors
    /// `Corrupt` when an endpoint or a PEM file cannot be read; `Unavailable` when the login fails.
    pub async fn connect(config: &Config) -> Result<Self> {
        let options = options(config)?;
        let client = Client::connect(&config.endpoints, Some(options));
        let client = tokio::time::timeout(config.timeout, client).await;
        let client = client
            .map_err(|_| Error::Unavailable("no answer from etcd in time".into()))?
            .map_err(failed)?;
        Ok(Self {
            client,
            config: config.clone(),
        })
    }

    /// The port for membership.
    pub fn members(&self) -> Members {
        Members::new(self.client.clone(), &self.config)
    }

    /// The port for locations.
    pub fn locations(&self) -> Locations {
        Locations::new(self.client.clone(), &self.config)
    }
}

fn options(config: &Config) -> Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(config.timeout)
        .with_keep_alive(Duration::from_secs(5), config.timeout) // notices a peer that vanished without a word
        .with_keep_alive_while_idle(false)
        .with_require_leader(true) // a member cut off from its cluster must not go on answering
        .with_auto_token_refresh(true);
    if let (Some(user), Some(password)) = (&config.user, &config.password) {
        options = options.with_user(user, password.expose());
    }
    if config.endpoints.iter().any(|endpoint| endpoint.starts_with("https:")) {
        options = options.with_tls(tls(config)?);
    }
    Ok(options)
}

fn tls(config: &Config) -> Result<TlsOptions> {
    let mut tls = match &config.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca)?)),
        None => TlsOptions::new().with_native_roots(),
    };
    if let (Some(certificate), Some(key)) = (&config.certificate, &config.key) {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(tls)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::Corrupt(format!("read {}: {error}", path.display())))
}

/// What the client's failure means to the caller.
fn failed(error: etcd_client::Error) -> Error {
    match error {
        etcd_client::Error::InvalidUri(_) | etcd_client::Error::InvalidArgs(_) => Error::Corrupt(error.to_string()),
        error => Error::Unavailable(Box::new(error)),
    }
}
