//! The configuration: one TOML file, environment overrides, secrets from files. Each component's settings stand beside the
//! component; here they are put together.

mod explain;
mod link;
mod load;
mod sense;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use explain::{Entry, entries};
pub(crate) use link::LinkConfig;
pub(crate) use load::{Problem, load, load_as, load_readable, problem};

/// Everything that can be configured.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// What this process does: `edge` (client connections), `router` (accounts, routing), or both.
    pub(crate) roles: Vec<Role>,
    /// Name of this node, unique in the cluster. Default: the host's name.
    pub(crate) node: String,
    /// Folder for everything that is kept on this machine: the embedded database, the development CA.
    pub(crate) data: PathBuf,
    /// The virtual hosts. Default: one, `localhost`.
    pub(crate) hosts: Vec<HostConfig>,
    /// Settings of modules, by module name, for all virtual hosts. `enabled = false` switches one off.
    pub(crate) modules: BTreeMap<String, Value>,
    /// Client connections.
    pub(crate) edge: edge::Config,
    /// Accounts and routing.
    pub(crate) router: router::Config,
    /// How nodes reach each other.
    pub(crate) link: LinkConfig,
    /// Where things are kept.
    pub(crate) store: StoreConfig,
    /// How passwords are kept.
    pub(crate) passwords: PasswordConfig,
    /// Health, readiness and metrics.
    pub(crate) http: HttpConfig,
    /// Logs and traces.
    pub(crate) log: LogConfig,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Client connections.
    Edge,
    /// Accounts and routing.
    Router,
}

/// A virtual host.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HostConfig {
    /// Its domain.
    pub(crate) domain: String,
    /// PEM file with its certificate chain. Without one, a certificate of the development CA is made.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    pub(crate) key: Option<PathBuf>,
    /// SASL mechanisms offered, in order of preference; -PLUS forms follow from the TLS layer.
    pub(crate) mechanisms: Vec<String>,
    /// Mechanisms for tokens (FAST, XEP-0484), by which clients log in again without a password, in order of preference; those bound
    /// to the channel are offered where the TLS layer can give the binding. Empty: no tokens.
    pub(crate) tokens: Vec<String>,
    /// Whether PLAIN may be used without TLS. Passwords then travel readable.
    pub(crate) plain_without_tls: bool,
    /// Who may register.
    pub(crate) registration: router::Registration,
    /// Bare addresses of those who administer it with ad-hoc commands (XEP-0133): users of hosts that are served here.
    pub(crate) admins: Vec<String>,
    /// Settings of modules for this host only, by module name; they replace those under `modules`.
    pub(crate) modules: BTreeMap<String, Value>,
}

/// Where things are kept.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// Durable data: `sqlite` (embedded, the default) or `postgres`.
    pub(crate) durable: Durable,
    /// The embedded database. Its path defaults to `dunlin.db` in `data`.
    pub(crate) sqlite: backends::sqlite::Config,
    /// PostgreSQL, for clusters.
    pub(crate) postgres: backends::postgres::Config,
    /// Redis (presence). Unset: kept in memory, for a single process.
    pub(crate) redis: Option<backends::redis::Config>,
    /// etcd (membership, locations). Unset: kept in memory, for a single process.
    pub(crate) etcd: Option<backends::etcd::Config>,
}

/// The durable store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durable {
    /// The embedded database.
    #[default]
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// How passwords are kept: as SCRAM verifiers, never as such.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PasswordConfig {
    /// PBKDF2 iterations for new passwords (4,096 to 10,000,000). More makes a stolen database harder to use, and each new
    /// password and PLAIN login dearer; SCRAM logins cost the client, not the server.
    pub(crate) iterations: u32,
}

/// Health, readiness and metrics.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpConfig {
    /// Where to listen; unset: no such endpoint.
    pub(crate) listen: Option<SocketAddr>,
}

/// Logs and traces.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// What to log, such as `info` or `info,dunlin_edge=debug`. Reloadable.
    pub(crate) filter: String,
    /// `text` or `json`.
    pub(crate) format: LogFormat,
    /// OTLP endpoint (gRPC) to export traces to, such as `http://127.0.0.1:4317`: of the share of stanzas that the edges choose
    /// (`edge.trace_ratio`), from edge to edge. Unset: no export.
    pub(crate) otlp: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For collectors.
    Json,
}

impl Config {
    /// Whether this process does `role`.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether this process is part of a cluster: it listens for other nodes or joins through them.
    pub(crate) fn is_clustered(&self) -> bool {
        self.link.listen.is_some() || !self.link.routers.is_empty()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            roles: vec![Role::Edge, Role::Router],
            node: std::env::var("HOSTNAME").unwrap_or_else(|_| "dunlin".to_owned()),
            data: PathBuf::from("data"),
            hosts: vec![HostConfig::default()],
            modules: BTreeMap::new(),
            edge: edge::Config::default(),
            router: router::Config::default(),
            link: LinkConfig::default(),
            store: StoreConfig::default(),
            passwords: PasswordConfig::default(),
            http: HttpConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for HostConfig {
    fn default() -> Self {
        let mechanisms = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "EXTERNAL", "PLAIN"];
        Self {
            domain: "localhost".to_owned(),
            certificate: None,
            key: None,
            mechanisms: mechanisms.map(str::to_owned).to_vec(),
            tokens: sasl::TOKEN_MECHANISMS.map(str::to_owned).to_vec(),
            plain_without_tls: false,
            registration: router::Registration::default(),
            admins: Vec::new(),
            modules: BTreeMap::new(),
        }
    }
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { iterations: 10_000 }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 5280))),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
            otlp: None,
        }
    }
}
