//! The schema's versions: numbered, forward only, kept in SQLite's own `user_version`.

use sqlx::SqliteConnection;
use store::{Error, Result};

use crate::sql::failed;

/// Migration `n` leads from version `n` to version `n + 1`.
const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_begin.sql"),
    include_str!("migrations/0002_retired.sql"),
    include_str!("migrations/0003_archive.sql"),
    include_str!("migrations/0004_archive.sql"),
    include_str!("migrations/0005_disabled.sql"),
];

/// Brings the schema up to date. Several processes may try at once.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<()> {
    if at_least(connection).await? {
        return Ok(());
    }
    run(connection, "BEGIN IMMEDIATE").await?;
    let answer = advance(connection).await;
    run(connection, if answer.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    answer
}

/// Whether the schema is this release's.
pub(super) async fn check(connection: &mut SqliteConnection) -> Result<()> {
    if at_least(connection).await? {
        return Ok(());
    }
    let found = version(connection).await?;
    Err(Error::Corrupt(format!(
        "the database has schema {found}, this release needs {}",
        MIGRATIONS.len()
    )))
}

async fn at_least(connection: &mut SqliteConnection) -> Result<bool> {
    let found = version(connection).await?;
    if found > MIGRATIONS.len() {
        let known = MIGRATIONS.len();
        return Err(Error::Corrupt(format!(
            "the database has schema {found}, made by a newer release; this one knows {known}"
        )));
    }
    Ok(found == MIGRATIONS.len())
}

async fn advance(connection: &mut SqliteConnection) -> Result<()> {
    for migration in &MIGRATIONS[version(connection).await?.min(MIGRATIONS.len())..] {
        run(connection, migration).await?;
    }
    let version = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {}", MIGRATIONS.len()));
    sqlx::raw_sql(version).execute(connection).await.map_err(failed)?;
    Ok(())
}

async fn version(connection: &mut SqliteConnection) -> Result<usize> {
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    usize::try_from(found).map_err(|_| Error::Corrupt("the database's schema version is negative".into()))
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop).map_err(failed)
}
