//! How etcd is reached.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
