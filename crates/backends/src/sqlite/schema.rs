//! The schema's versions: numbered, forward only, kept in SQLite's own `user_version`.

use store::{Error, Result};

use super::connection::Connection;

/// Migration `n` leads from version `n` to version `n + 1`.
const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_begin.sql"),
    include_str!("migrations/0002_retired.sql"),
    include_str!("migrations/0003_archive.sql"),
    include_str!("migrations/0004_archive.sql"),
    include_str!("migrations/0005_disabled.sql"),
];

/// Brings the schema up to date. Several processes may try at once.
pub(super) fn migrate(connection: &Connection) -> Result<()> {
    if at_least(connection)? {
        return Ok(());
    }
    connection.batch("BEGIN IMMEDIATE")?;
    let answer = advance(connection);
    connection.batch(if answer.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    answer
}

/// Whether the schema is this release's.
pub(super) fn check(connection: &Connection) -> Result<()> {
    if at_least(connection)? {
        return Ok(());
    }
    let found = version(connection)?;
    Err(Error::Corrupt(format!(
        "the database has schema {found}, this release needs {}",
        MIGRATIONS.len()
    )))
}

fn at_least(connection: &Connection) -> Result<bool> {
    let found = version(connection)?;
    if found > MIGRATIONS.len() {
        let known = MIGRATIONS.len();
        return Err(Error::Corrupt(format!(
            "the database has schema {found}, made by a newer release; this one knows {known}"
        )));
    }
    Ok(found == MIGRATIONS.len())
}

fn advance(connection: &Connection) -> Result<()> {
    for migration in &MIGRATIONS[version(connection)?.min(MIGRATIONS.len())..] {
        connection.batch(migration)?;
    }
    connection.batch(&format!("PRAGMA user_version = {}", MIGRATIONS.len()))
}

fn version(connection: &Connection) -> Result<usize> {
    let found: Option<(i64,)> = connection.one("PRAGMA user_version", ())?;
    let found = found.map_or(0, |(version,)| version);
    usize::try_from(found).map_err(|_| Error::Corrupt("the database's schema version is negative".into()))
}
