//! The embedded database keeps the promises of the store's ports, and some of its own.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_backends::sqlite::{Config, Sqlite};
use store::{Accounts, Error, Stores, memory};
use tempfile::TempDir;

fn config(folder: &TempDir) -> Config {
    Config {
        path: folder.path().join("made/dunlin.db"),
        ..Config::default()
    }
}

fn stores(sqlite: Sqlite) -> Stores {
    let sqlite = Arc::new(sqlite);
    Stores {
        accounts: sqlite.clone(),
        rosters: sqlite.clone(),
        archive: sqlite.clone(),
        items: sqlite,
        ..memory::stores()
    }
}

/// The file, opened by somebody else.
fn behind_its_back(folder: &TempDir) -> rusqlite::Connection {
    rusqlite::Connection::open(config(folder).path).unwrap()
}

async fn fresh() -> (Stores, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (stores(Sqlite::open(&config(&folder)).await.unwrap()), folder)
}

mod suite {
    use super::fresh;
    store::suite!(fresh: accounts, rosters, archive, items);
}

#[tokio::test]
async fn opens_fast_and_keeps_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    store::suite::items::puts_and_gets(&stores(Sqlite::open(&config(&folder)).await.unwrap())).await;
    let start = Instant::now();
    let again = Sqlite::open(&config(&folder)).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    again.check_schema().await.unwrap();
    let owner = stanza::Bare::parse("romeo@montague.example").unwrap();
    assert_eq!(store::Items::list(&again, &owner, "private").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_second_process_may_write_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (server, tool) = tokio::join!(async { Sqlite::open(&config(&folder)).await }, async {
        Sqlite::open(&config(&folder)).await
    });
    let (server, tool) = (server.unwrap(), tool.unwrap());
    let add = |name: String| store::Account {
        jid: stanza::Bare::parse(&name).unwrap(),
        created: stanza::Timestamp(1),
        verifiers: Vec::new(),
        last_seen: None,
        disabled: false,
    };
    for n in 0..50 {
        let (a, b) = ([add(format!("a{n}@x.example"))], [add(format!("b{n}@x.example"))]);
        let (a, b) = tokio::join!(server.create(&a), tool.create(&b));
        a.unwrap();
        b.unwrap();
    }
    assert_eq!(server.list("x.example", None, 1_000).await.unwrap().len(), 100);
}

#[tokio::test]
async fn a_newer_schema_is_refused_clearly() {
    let folder = tempfile::tempdir().unwrap();
    drop(Sqlite::open(&config(&folder)).await.unwrap());
    behind_its_back(&folder)
        .execute_batch("PRAGMA user_version = 999")
        .unwrap();
    let Err(error) = Sqlite::open(&config(&folder)).await else {
        panic!("opened")
    };
    assert!(
        matches!(&error, Error::Corrupt(text) if text.contains("999") && text.contains("newer")),
        "{error}"
    );
}

/// What is gone is not only not found any more: nothing of it stays in the index.
#[tokio::test]
async fn no_word_outlives_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(Sqlite::open(&config(&folder)).await.unwrap());
    store::suite::archive::finds_what_is_there(&stores).await;
    let count = "SELECT (SELECT count(*) FROM words) + 100 * (SELECT count(*) FROM logs WHERE indexed IS NOT NULL)";
    let count: i64 = behind_its_back(&folder).query_one(count, (), |row| row.get(0)).unwrap();
    assert_eq!(count, 100, "no word of one indexed log");
}

/// On one thread, and with one connection: nobody waits for somebody who waits.
#[tokio::test]
async fn more_than_is_short_is_read_in_full() {
    const MANY: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let one = Config {
        readers: 1,
        ..config(&folder)
    };
    let sqlite = Sqlite::open(&one).await.unwrap();
    let owner = stanza::Bare::parse("romeo@montague.example").unwrap();
    let contact = |n| store::Contact::new(stanza::Jid::parse(&format!("c{n}@capulet.example")).unwrap());
    let contacts: Vec<_> = (0..MANY).map(contact).collect();
    store::Rosters::change(&sqlite, &owner, 0, &contacts, &[])
        .await
        .unwrap();
    let loads = (0..20).map(|_| store::Rosters::load(&sqlite, &owner));
    let counts = (0..20).map(|_| store::Archive::count(&sqlite, &owner, "archive"));
    let gets = (0..20).map(|_| sqlite.get(&owner));
    use futures::future::join_all;
    let (rosters, counts, accounts) = tokio::join!(join_all(loads), join_all(counts), join_all(gets));
    assert!(
        rosters
            .iter()
            .all(|roster| roster.as_ref().unwrap().contacts.len() == MANY)
    );
    assert!(counts.iter().all(|count| *count.as_ref().unwrap() == 0));
    assert!(accounts.iter().all(|account| account.as_ref().unwrap().is_none()));
}

#[tokio::test]
async fn a_path_that_cannot_be_is_unavailable() {
    let Err(error) = Sqlite::open(&Config {
        path: "/proc/none/dunlin.db".into(),
        ..Config::default()
    })
    .await
    else {
        panic!("opened")
    };
    assert!(error.is_retryable(), "{error}");
}

#[test]
fn only_its_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _open = runtime.block_on(Sqlite::open(&config(&folder))).unwrap();
    for name in ["made/dunlin.db", "made/dunlin.db-wal"] {
        let mode = std::fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name} {mode:o}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    assert!(toml::from_str::<Config>("path = 'x'\nbusy_timeout = '1s'").is_ok());
    assert!(toml::from_str::<Config>("pfad = 'x'").is_err());
    assert!(toml::from_str::<Config>("busy_timeout = 5").is_err());
}

#[tokio::test]
async fn a_write_that_breaks_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&config(&folder)).await.unwrap();
    let damaged = "
        INSERT INTO logs (number, owner, name) VALUES (1, 'r@x.example', 'offline');
        INSERT INTO archive (log, id, at, unique_key, stanza) VALUES (1, x'01', 1, x'ff', x'')";
    behind_its_back(&folder).execute_batch(damaged).unwrap();
    let append = |n: u8| store::Append {
        owner: stanza::Bare::parse("r@x.example").unwrap(),
        log: "offline",
        entry: store::Entry {
            id: store::EntryId(1 << 100 | u128::from(n)),
            at: stanza::Timestamp(1),
            with: None,
            key: Some(vec![n].into()),
            stanza: "<message/>".into(),
        },
    };
    let appends: Vec<_> = (200..=255).map(|n| [append(n)]).collect();
    let answers =
        futures::future::join_all(appends.iter().map(|entries| store::Archive::append(&sqlite, entries))).await;
    let (last, others) = answers.split_last().unwrap();
    assert!(matches!(last, Err(Error::Corrupt(_))), "{last:?}");
    assert!(others.iter().all(Result::is_ok), "{others:?}");
}
