//! The cluster's database: accounts, rosters, logs and items in PostgreSQL, or in what speaks its protocol and spreads tables by
//! their key.

mod accounts;
mod appender;
mod archive;
mod config;
mod items;
mod retry;
mod rosters;
mod schema;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use store::{Error, Result};

pub use config::Config;

use crate::observe::At;
use appender::Appender;

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
