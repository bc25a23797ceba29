//! How Redis is reached.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// How Redis is reached.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it is: `redis://host:port` or `rediss://host:port` (TLS); for a Redis Cluster some of its nodes.
    /// Default `redis://127.0.0.1:6379`.
    pub urls: Vec<Secret>,
    /// Whether it is a Redis Cluster. Default false.
    pub cluster: bool,
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
            user: None,
            password: None,
            prefix: "dunlin:".into(),
            timeout: Duration::from_secs(2),
        }
    }
}
