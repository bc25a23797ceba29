//! The embedded database: accounts, rosters, logs and items in one SQLite file, for a server that stands alone.
//!
//! One task writes, with everything that waits in one transaction (group commit); readers come from a pool and, in
//! write-ahead mode, never wait for it.

mod accounts;
mod archive;
mod config;
mod items;
mod rosters;
mod schema;
mod writer;

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use store::{Error, Result};

pub use config::Config;

use crate::sql::failed;
use writer::Writer;

/// The embedded database: [`store::Accounts`], [`store::Rosters`], [`store::Archive`] and [`store::Items`].
pub struct Sqlite {
    writer: Writer,
    readers: SqlitePool,
}

impl Sqlite {
    /// Opens the file, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be opened or written; `Corrupt` when it was made by a newer release.
    pub async fn open(config: &Config) -> Result<Self> {
        prepare(&config.path).map_err(|error| Error::Unavailable(Box::new(error)))?;
        let options = options(config);
        let mut connection = options.connect().await.map_err(failed)?;
        schema::migrate(&mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .min_connections(0)
            .max_connections(config.readers.max(1))
            .acquire_timeout(Duration::from_secs(10))
            .test_before_acquire(false) // a file does not go away like a server
            .connect_lazy_with(options.read_only(true).create_if_missing(false));
        Ok(Self {
            writer: Writer::start(connection, config),
            readers,
        })
    }

    /// Says clearly when the file's schema is not this release's.
    ///
    /// # Errors
    /// `Corrupt`, naming both versions.
    pub async fn check_schema(&self) -> Result<()> {
        let mut connection = self.readers.acquire().await.map_err(failed)?;
        schema::check(&mut connection).await
    }
}

fn options(config: &Config) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&config.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(if config.sync {
            SqliteSynchronous::Full
        } else {
            SqliteSynchronous::Normal
        })
        .busy_timeout(config.busy_timeout)
        .statement_cache_capacity(64)
}

/// Makes the folder, and the file so that only its owner reads the verifiers in it; SQLite gives its side files the same mode.
fn prepare(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}
