//! The schema's versions: numbered, forward only, kept in SQLite's own `user_version`.

use store::{Error, Result};

use super::connection::Connection;

/// Migration `n` leads from version `n` to version `n + 1`.
const MIGRATIONS: [&str; 6] = [
    include_str!("migrations/0001_begin.sql"),
    include_str!("migrations/0002_retired.sql"),
    include_str!("migrations/0003_archive.sql"),
    include_str!("migrations/0004_archive.sql"),
    include_str!("migrations/0005_disabled.sql"),
    include_str!("migrations/0006_archive.sql"),
];

/// Brings the schema up to date. Several processes may try at once.
pub(super) fn migrate(connection: &Connection) -> Result<()> {
    if at_least(connection)? {
        return Ok(());
    }
    connection.batch("BEGIN IMMEDIATE")?;
    let answer = advance(connection);
    connection.batch(if answer.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    // The log written ahead may have become as large as the database. Should others read just now, the next one shortens it.
    let _ = connection.batch("PRAGMA wal_checkpoint(TRUNCATE)");
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
    let (from, to) = (version(connection)?.min(MIGRATIONS.len()), MIGRATIONS.len());
    if from > 0 {
        tracing::info!(
            from,
            to,
            "bringing the database to this release's schema; a long archive takes a while"
        );
    }
    for migration in &MIGRATIONS[from..] {
        connection.batch(migration)?;
    }
    connection.batch(&format!("PRAGMA user_version = {to}"))
}

fn version(connection: &Connection) -> Result<usize> {
    let found: Option<(i64,)> = connection.one("PRAGMA user_version", ())?;
    let found = found.map_or(0, |(version,)| version);
    usize::try_from(found).map_err(|_| Error::Corrupt("the database's schema version is negative".into()))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, prepare};
    use super::*;

    /// What was said, its words and how far they are indexed, before logs had numbers.
    const BEFORE: &str = "
        INSERT INTO archive (owner, log, id, at, peer, peer_bare, unique_key, stanza) VALUES
            ('r@m.example', 'archive', x'02', 2, 'j@c.example/b', 'j@c.example', x'0a', 'good night'),
            ('r@m.example', 'archive', x'01', 1, NULL, NULL, NULL, 'soft'),
            ('j@c.example', 'archive', x'01', 1, NULL, NULL, x'0a', 'ay me');
        INSERT INTO words (owner, log, word, id) VALUES ('r@m.example', 'archive', 'night', x'02');
        INSERT INTO indexed (owner, log, id) VALUES ('r@m.example', 'archive', x'02'), ('n@c.example', 'archive', x'05');
        PRAGMA user_version = 5";

    #[test]
    fn what_was_said_stays_when_logs_get_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            path: folder.path().join("dunlin.db"),
            ..Config::default()
        };
        prepare(&config.path).unwrap();
        let connection = Connection::writing(&config).unwrap();
        MIGRATIONS[..5].iter().for_each(|step| connection.batch(step).unwrap());
        connection.batch(BEFORE).unwrap();

        migrate(&connection).unwrap();

        let said = "SELECT owner, name, hex(id), at, peer, peer_bare, hex(unique_key), CAST(stanza AS TEXT)
            FROM archive JOIN logs ON number = log ORDER BY owner, id";
        type Said = (
            String,
            String,
            String,
            i64,
            Option<String>,
            Option<String>,
            String,
            String,
        );
        let said: Vec<Said> = connection.all(said, ()).unwrap();
        let line = |(owner, name, id, at, peer, peer_bare, key, stanza): Said| {
            format!("{owner} {name} {id} {at} {peer:?} {peer_bare:?} {key} {stanza}")
        };
        let lines: Vec<_> = said.into_iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "j@c.example archive 01 1 None None 0A ay me",
                "r@m.example archive 01 1 None None  soft",
                "r@m.example archive 02 2 Some(\"j@c.example/b\") Some(\"j@c.example\") 0A good night",
            ]
        );
        let words = "SELECT owner, word, hex(id) FROM words JOIN logs ON number = log";
        let words: Vec<(String, String, String)> = connection.all(words, ()).unwrap();
        assert_eq!(words, [("r@m.example".into(), "night".into(), "02".into())]);
        let indexed = "SELECT owner, hex(indexed) FROM logs WHERE indexed IS NOT NULL ORDER BY owner";
        let indexed: Vec<(String, String)> = connection.all(indexed, ()).unwrap();
        let expected = [("n@c.example", "05"), ("r@m.example", "02")].map(|(owner, id)| (owner.into(), id.into()));
        assert_eq!(indexed, expected);
    }
}
