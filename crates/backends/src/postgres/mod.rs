//! The cluster's database: accounts, rosters, logs and items in PostgreSQL, or in what speaks its protocol and spreads tables by
//! their key.

mod accounts;
mod appender;
mod archive;
mod items;
mod rosters;
mod schema;

use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use store::{Error, Result};

use crate::Secret;
use crate::observe::At;
use crate::sql::failed;
use appender::Appender;

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

/// The cluster's database: [`store::Accounts`], [`store::Rosters`], [`store::Archive`] and [`store::Items`].
pub struct Postgres {
    pool: PgPool,
    appender: Appender,
    timeout: Duration,
}

impl Postgres {
    /// Prepares the connections; each is made when first needed, and again when it broke. Changes no schema:
    /// see [`migrate`](Self::migrate) and [`check_schema`](Self::check_schema).
    ///
    /// # Errors
    /// `Corrupt` when the URL cannot be understood.
    pub fn connect(config: &Config) -> Result<Self> {
        let pool = |connections: u32| -> Result<PgPool> {
            let pool = PgPoolOptions::new()
                .min_connections(0)
                .max_connections(connections.max(1));
            Ok(pool.acquire_timeout(config.timeout).connect_lazy_with(options(config)?))
        };
        let appender = Appender::start(pool(config.append_connections)?, config);
        Ok(Self {
            pool: pool(config.connections)?,
            appender,
            timeout: config.timeout,
        })
    }

    /// Brings the schema up to date. Several processes may try at once. Returns how many migrations it applied.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be reached or refuses; `Corrupt` when it was made by a newer release.
    pub async fn migrate(&self) -> Result<usize> {
        schema::migrate(&self.pool).await
    }

    /// Says clearly when migrations are missing.
    ///
    /// # Errors
    /// `Corrupt`, naming both versions and what to do; `Unavailable` when the database cannot be reached.
    pub async fn check_schema(&self) -> Result<()> {
        self.call(
            At {
                backend: "postgres",
                port: "schema",
            },
            "check",
            schema::check(&self.pool),
        )
        .await
    }

    /// One call, measured and bounded in time.
    async fn call<T>(&self, at: At, call: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        at.call_within(self.timeout, call, work).await
    }
}

fn options(config: &Config) -> Result<PgConnectOptions> {
    // The driver's own message may quote the URL, and with it a password.
    let options = PgConnectOptions::from_str(config.url.expose());
    let options = options.map_err(|_| Error::Corrupt("the URL of the PostgreSQL database is malformed".into()))?;
    let options = options.application_name("dunlin");
    Ok(match &config.password {
        Some(password) => options.password(password.expose()),
        None => options,
    })
}

/// Whether the database broke off a statement for the sake of another, and it may succeed at once: a serialization failure or a
/// deadlock.
fn is_collision(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

/// Whether a row with that key is there already.
fn is_repetition(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Repeats `work` while it collides, a few times; then the caller decides.
async fn persist<T, F: Future<Output = sqlx::Result<T>>>(mut work: impl FnMut() -> F) -> sqlx::Result<T> {
    const TRIES: usize = 5;
    for _ in 1..TRIES {
        match work().await {
            Err(error) if is_collision(&error) => {}
            done => return done,
        }
    }
    work().await
}

/// What a driver's failure means to the caller, in short.
fn answer<T>(done: sqlx::Result<T>) -> Result<T> {
    done.map_err(failed)
}
