//! How Redis is reached.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// How Redis is reached.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it is: `redis://host:port` or `rediss://host:port` (TLS); for a Redis Cluster some of its nodes, with `sentinel` the
    /// sentinels. Default `redis://127.0.0.1:6379`.
    pub urls: Vec<Secret>,
    /// Whether it is a Redis Cluster. Default false.
    pub cluster: bool,
    /// Asks sentinels for the master of this name, and again when it is gone: writes go on after a failover. Sentinels are
    /// logged in to with what their URLs hold, the master with `user` and `password`. Default none: no sentinels.
    pub sentinel: Option<String>,
    /// A PEM file with the certificates that Redis' is checked against; the system's when there is none. Default none.
    pub ca: Option<PathBuf>,
    /// A PEM file with the client's certificate, together with `key`. Default none.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the key of `certificate`. Default none.
    pub key: Option<PathBuf>,
    /// The user name, unless the URL holds it. Default none.
    pub user: Option<String>,
    /// The password, unless the URL holds it. Default none.
    pub password: Option<Secret>,
    /// What all keys begin with, for several installations in one Redis. Default `dunlin:`.
    pub prefix: String,
    /// How long a call may take, connecting included, before the caller is told that Redis is away. Default 2s.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            urls: vec!["redis://127.0.0.1:6379".into()],
            cluster: false,
            sentinel: None,
            ca: None,
            certificate: None,
            key: None,
            user: None,
            password: None,
            prefix: "dunlin:".into(),
            timeout: Duration::from_secs(2),
        }
    }
}
