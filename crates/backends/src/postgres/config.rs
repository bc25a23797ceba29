//! How the cluster's database is reached.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// How the cluster's database is reached.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it is: `postgres://user@host:port/database`, with options such as `?sslmode=verify-full&sslrootcert=FILE`.
    /// Default `postgres://dunlin@localhost/dunlin`.
    pub url: Secret,
    /// The password, unless the URL holds it. Default none.
    pub password: Option<Secret>,
    /// How many connections serve all but appends to logs. Default 16.
    pub connections: u32,
    /// How many connections append to logs, each with a batch at a time. Default 4.
    pub append_connections: u32,
    /// How many log entries one insert takes at most. Default 512.
    pub append_rows: usize,
    /// How long a log entry waits for others to share its insert. Default 2ms.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub append_linger: Duration,
    /// How many appends may wait before callers do. Default 4096.
    pub queue: usize,
    /// How long a call may take, waiting for a connection included, before the caller is told that the database is away.
    /// Default 10s.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "postgres://dunlin@localhost/dunlin".into(),
            password: None,
            connections: 16,
            append_connections: 4,
            append_rows: 512,
            append_linger: Duration::from_millis(2),
            queue: 4096,
            timeout: Duration::from_secs(10),
        }
    }
}
