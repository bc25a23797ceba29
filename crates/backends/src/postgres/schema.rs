//! The schema's versions: numbered, forward only, one row each in `dunlin_schema`.

use sqlx::{Connection, PgConnection, PgPool};
use store::{Error, Result};

use super::retry::{answer, is_repetition};

/// Migration `n` leads from version `n` to version `n + 1`.
const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_begin.sql"),
    include_str!("migrations/0002_retired.sql"),
    include_str!("migrations/0003_archive.sql"),
    include_str!("migrations/0004_archive.sql"),
    include_str!("migrations/0005_disabled.sql"),
];

/// Brings the schema up to date.
pub(super) async fn migrate(pool: &PgPool) -> Result<usize> {
    let mut connection = answer(pool.acquire().await)?;
    found(&mut connection).await?;
    make_table(&mut connection).await?;
    let mut applied = 0;
    loop {
        let found = found(&mut connection).await?;
        let Some(next) = MIGRATIONS.get(found) else {
            return Ok(applied);
        };
        applied += usize::from(apply(&mut connection, found + 1, next).await?);
    }
}

/// Whether the schema is this release's.
pub(super) async fn check(pool: &PgPool) -> Result<()> {
    let found = found(&mut *answer(pool.acquire().await)?).await?;
    match MIGRATIONS.len() - found {
        0 => Ok(()),
        missing => Err(Error::Corrupt(format!(
            "the database has schema {found}, this release needs {}: {missing} migration(s) missing; run `dunlin migrate`",
            MIGRATIONS.len()
        ))),
    }
}

/// The version found, 0 for an empty database.
async fn found(connection: &mut PgConnection) -> Result<usize> {
    let known = MIGRATIONS.len();
    let version = sqlx::query_scalar("SELECT max(version) FROM dunlin_schema")
        .fetch_one(connection)
        .await;
    let version: Option<i64> = match version {
        Err(error) if is_undefined_table(&error) => None,
        version => answer(version)?,
    };
    match usize::try_from(version.unwrap_or(0)) {
        Ok(version) if version <= known => Ok(version),
        _ => Err(Error::Corrupt(format!(
            "the database has schema {}, made by a newer release; this one knows {known}",
            version.unwrap_or(0)
        ))),
    }
}

/// Applies the migration to `version` in a transaction, unless another process does or did so: whoever writes the row first goes
/// on.
async fn apply(connection: &mut PgConnection, version: usize, migration: &'static str) -> Result<bool> {
    let mut transaction = answer(connection.begin().await)?;
    let claim = sqlx::query("INSERT INTO dunlin_schema (version, applied) VALUES ($1, now())").bind(version as i64);
    match claim.execute(&mut *transaction).await {
        Err(error) if is_repetition(&error) => return answer(transaction.rollback().await).map(|()| false),
        done => answer(done)?,
    };
    answer(sqlx::raw_sql(migration).execute(&mut *transaction).await)?;
    answer(transaction.commit().await).map(|()| true)
}

async fn make_table(connection: &mut PgConnection) -> Result<()> {
    const TABLE: &str =
        "CREATE TABLE IF NOT EXISTS dunlin_schema (version BIGINT PRIMARY KEY, applied TIMESTAMPTZ NOT NULL)";
    match sqlx::query(TABLE).execute(&mut *connection).await {
        // Two processes at once: `IF NOT EXISTS` does not see what the other has not committed.
        Err(error) if is_repetition(&error) || is_duplicate_table(&error) => Ok(()),
        done => answer(done).map(drop),
    }
}

fn is_undefined_table(error: &sqlx::Error) -> bool {
    has_code(error, "42P01")
}

/// A table, or the type that goes with it, is there already.
fn is_duplicate_table(error: &sqlx::Error) -> bool {
    has_code(error, "42P07") || has_code(error, "42710")
}

fn has_code(error: &sqlx::Error, wanted: &str) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some(wanted)
}
