//! How the embedded database is kept.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the embedded database is kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The database file; made, with its folder, when it does not exist. Default `dunlin.db`.
    pub path: PathBuf,
    /// How many connections read at once. Default 4.
    pub readers: u32,
    /// How long a write waits for another process that writes, such as `dunlin user add`. Default 5s.
    #[serde(with = "crate::duration")]
    #[schemars(with = "String")]
    pub busy_timeout: Duration,
    /// Whether a commit waits for the disk, so that it outlives a power failure. Without, it outlives a crash of the server
    /// only. Default true.
    pub sync: bool,
    /// How many writes may wait before callers do. Default 4096.
    pub queue: usize,
    /// How many writes share a transaction at most. Default 512.
    pub batch: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "dunlin.db".into(),
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            sync: true,
            queue: 4096,
            batch: 512,
        }
    }
}
