//! One connection to the file: how it is opened, and statements that are prepared once.

use std::cell::Cell;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, ErrorCode, OpenFlags, Params, Row};
use store::{Error, Result};

use super::config::Config;

/// Statements that are kept prepared: all there are, and the forms of pages that are asked for.
const STATEMENTS: usize = 128;
/// What the writer keeps of the file in memory at most. Those who write in turn have their pages all over the file.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// Pages that the log written ahead holds before they are put in their places: a page that is written again and again is put there once. No
/// more than one part of the log's index has room for, so that readers look into one only.
const LOG_PAGES: i64 = 4_000;

/// A connection.
pub(super) struct Connection {
    driver: rusqlite::Connection,
    /// How many rows may still be read.
    room: Cell<usize>,
}

impl Connection {
    /// Opens the file for the one who writes. It is there already ([`super::prepare`]).
    pub(super) fn writing(config: &Config) -> Result<Self> {
        let connection = Self::open(config, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.wait(config.busy_timeout)?;
        connection.batch("PRAGMA journal_mode = WAL")?;
        connection.batch(&format!(
            "PRAGMA cache_size = -{WRITER_CACHE_KIB}; PRAGMA wal_autocheckpoint = {LOG_PAGES}"
        ))?;
        connection.batch(if config.sync {
            "PRAGMA synchronous = FULL"
        } else {
            "PRAGMA synchronous = NORMAL"
        })?;
        Ok(connection)
    }

    /// Opens the file for one who reads.
    pub(super) fn reading(config: &Config) -> Result<Self> {
        Self::open(config, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    fn open(config: &Config, flags: OpenFlags) -> Result<Self> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let driver = rusqlite::Connection::open_with_flags(&config.path, flags).map_err(failed)?;
        // Else each value that is bound to a LIMIT has the statement prepared again, lest another plan be better for it.
        let steady = driver.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true);
        steady.map_err(failed)?;
        driver.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self {
            driver,
            room: Cell::new(usize::MAX),
        })
    }

    /// From now on waits so long for others who hold the file, and reads at most so many rows before it fails as
    /// [too long](is_too_long).
    pub(super) fn bound(&self, wait: Duration, rows: usize) -> Result<()> {
        self.room.set(rows);
        self.wait(wait)
    }

    fn wait(&self, wait: Duration) -> Result<()> {
        self.driver.busy_timeout(wait).map_err(failed)
    }

    /// Runs statements that are not worth keeping.
    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        self.driver.execute_batch(sql).map_err(failed)
    }

    /// Changes; returns how many rows.
    pub(super) fn execute(&self, sql: &str, values: impl Params) -> Result<usize> {
        self.prepare(sql)?.execute(values).map_err(failed)
    }

    /// The only row, if there is one.
    pub(super) fn one<T: FromRow>(&self, sql: &str, values: impl Params) -> Result<Option<T>> {
        let mut one = None;
        self.each(sql, values, |row| {
            one = Some(row);
            Ok(false)
        })?;
        Ok(one)
    }

    /// All rows.
    pub(super) fn all<T: FromRow>(&self, sql: &str, values: impl Params) -> Result<Vec<T>> {
        let mut all = Vec::new();
        self.each(sql, values, |row| {
            all.push(row);
            Ok(true)
        })?;
        Ok(all)
    }

    /// Row after row, while `take` asks for more. Returns whether there was none left.
    pub(super) fn each<T: FromRow>(
        &self,
        sql: &str,
        values: impl Params,
        mut take: impl FnMut(T) -> Result<bool>,
    ) -> Result<bool> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(values).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let Some(room) = self.room.get().checked_sub(1) else {
                return Err(Error::Unavailable(Box::new(TooLong)));
            };
            self.room.set(room);
            if !take(T::try_from(row).map_err(failed)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>> {
        let statement = self.driver.prepare_cached(sql).map_err(failed)?;
        debug_assert!(is_in_order(&statement), "places out of order: {sql}");
        Ok(statement)
    }
}

/// What a row is read as: a tuple of its columns.
pub(super) trait FromRow: for<'row> TryFrom<&'row Row<'row>, Error = rusqlite::Error> {}

impl<T: for<'row> TryFrom<&'row Row<'row>, Error = rusqlite::Error>> FromRow for T {}

/// Whether each place has the number of its turn, by which values are bound to it.
fn is_in_order(statement: &CachedStatement<'_>) -> bool {
    (1..=statement.parameter_count()).all(|place| statement.parameter_name(place) == Some(&format!("${place}")))
}

#[derive(Debug, thiserror::Error)]
#[error("more rows than may be read at once")]
struct TooLong;

/// Whether a read failed because of how it was [bound](Connection::bound): it had more rows, or would have had to wait longer.
pub(super) fn is_too_long(error: &Error) -> bool {
    let Error::Unavailable(source) = error else {
        return false;
    };
    let driver = source.downcast_ref::<rusqlite::Error>();
    source.is::<TooLong>() || driver.and_then(rusqlite::Error::sqlite_error_code) == Some(ErrorCode::DatabaseBusy)
}

/// What a driver's failure means to the caller.
fn failed(error: rusqlite::Error) -> Error {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnIndex, InvalidColumnType, Utf8Error,
    };
    match error {
        FromSqlConversionFailure(..)
        | IntegralValueOutOfRange(..)
        | InvalidColumnIndex(..)
        | InvalidColumnType(..)
        | Utf8Error(..) => Error::Corrupt(error.to_string()),
        error => Error::Unavailable(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::super::{prepare, schema};
    use super::*;

    #[test]
    fn another_limit_has_nothing_prepared_again() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            path: folder.path().join("dunlin.db"),
            ..Config::default()
        };
        prepare(&config.path).unwrap();
        schema::migrate(&Connection::writing(&config).unwrap()).unwrap();
        let connection = Connection::reading(&config).unwrap();
        let list = include_str!("sql/account_list.sql");
        for limit in 1..9 {
            let none: Vec<(String,)> = connection.all(list, ("x.example", "", limit)).unwrap();
            assert!(none.is_empty());
        }
        let statement = connection.prepare(list).unwrap();
        assert_eq!(statement.get_status(StatementStatus::Run), 8);
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
