//! The embedded database: accounts, rosters, logs and items in one SQLite file, for a server that stands alone.
//!
//! One thread writes, with everything that waits in one transaction (group commit). Readers never wait for it, as the file has a log
//! written ahead; what is short is read where it is asked for
//! ([decision 21](../../../../docs/decisions/0021-what-is-short-is-read-where-it-is-asked-for.md)).

mod accounts;
mod archive;
mod config;
mod connection;
mod items;
mod readers;
mod rosters;
mod schema;
mod writer;

use std::path::Path;

use store::{Error, Result};

pub use config::Config;

use connection::Connection;
use readers::Readers;
use writer::Writer;

/// The embedded database: [`store::Accounts`], [`store::Rosters`], [`store::Archive`] and [`store::Items`].
pub struct Sqlite {
    writer: Writer,
    readers: Readers,
}

impl Sqlite {
    /// Opens the file, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be opened or written; `Corrupt` when it was made by a newer release.
    pub async fn open(config: &Config) -> Result<Self> {
        let config = config.clone();
        let opened = tokio::task::spawn_blocking(move || Self::open_here(&config)).await;
        opened.map_err(|error| Error::Unavailable(Box::new(error)))?
    }

    fn open_here(config: &Config) -> Result<Self> {
        prepare(&config.path).map_err(|error| Error::Unavailable(Box::new(error)))?;
        let connection = Connection::writing(config)?;
        schema::migrate(&connection)?;
        Ok(Self {
            writer: Writer::start(connection, config)?,
            readers: Readers::new(config),
        })
    }

    /// Says clearly when the file's schema is not this release's.
    ///
    /// # Errors
    /// `Corrupt`, naming both versions.
    pub async fn check_schema(&self) -> Result<()> {
        self.readers.short(schema::check).await
    }
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
