//! Who is alive, and where sessions are, in etcd (3.4 or newer).
//!
//! Keys under the prefix: `n/NODE` (leased), `table`, `secret`, and `l/SLOT/BARE/RESOURCE`, which bear no lease: the epoch in
//! the value is the fence. Of one range of keys, nodes to table, everybody watches every change; nobody watches locations.

mod config;
mod error;
mod key;
mod locations;
mod members;
mod watch;

use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use store::{Error, Result};

pub use config::Config;
pub use locations::Locations;
pub use members::Members;

use error::failed;

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
