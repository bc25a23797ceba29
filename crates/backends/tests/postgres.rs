//! PostgreSQL keeps the promises of the store's ports, and some of its own.
#![allow(clippy::unwrap_used, reason = "tests")]

mod fixture;

use std::sync::Arc;
use std::time::Duration;

use dunlin_backends::Secret;
use dunlin_backends::postgres::{Config, Postgres};
use fixture::services;
use store::{Accounts, Error, Stores, memory};

/// A schema of its own in the shared server, so that tests do not see each other.
async fn config() -> Config {
    use sqlx::ConnectOptions;
    let url = fixture::postgres();
    let schema = fixture::unique("test");
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    sqlx::raw_sql(create).execute(&mut connection).await.unwrap();
    let url = Secret(format!("{url}?options[search_path]={schema}"));
    Config {
        url,
        connections: 4,
        append_connections: 2,
        ..Config::default()
    }
}

async fn fresh() -> (Stores, ()) {
    (stores(&config().await).await, ())
}

async fn stores(config: &Config) -> Stores {
    let postgres = Arc::new(Postgres::connect(config).unwrap());
    postgres.migrate().await.unwrap();
    Stores {
        accounts: postgres.clone(),
        rosters: postgres.clone(),
        archive: postgres.clone(),
        items: postgres,
        ..memory::stores()
    }
}

mod suite {
    use super::fresh;
    store::suite!(fresh: accounts, rosters, archive, items);
}

/// How many there are, by their files.
fn migrations() -> usize {
    std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres/migrations"))
        .unwrap()
        .count()
}

#[tokio::test]
async fn says_clearly_which_migrations_are_missing() {
    let postgres = Postgres::connect(&config().await).unwrap();
    let error = postgres.check_schema().await.unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt(text) if text.contains("dunlin migrate")),
        "{error}"
    );
    assert_eq!(postgres.migrate().await.unwrap(), migrations());
    postgres.check_schema().await.unwrap();
    assert_eq!(postgres.migrate().await.unwrap(), 0);
}

#[tokio::test]
async fn several_may_migrate_at_once() {
    let config = config().await;
    let all: Vec<_> = (0..4).map(|_| Postgres::connect(&config).unwrap()).collect();
    let done = futures::future::join_all(all.iter().map(Postgres::migrate)).await;
    assert_eq!(done.into_iter().map(Result::unwrap).sum::<usize>(), migrations());
    all[0].check_schema().await.unwrap();
}

#[tokio::test]
async fn an_append_that_is_refused_harms_no_other() {
    let (stores, ()) = fresh().await;
    let append = |n: u128| store::Append {
        owner: stanza::Bare::parse("r@x.example").unwrap(),
        log: if n == 30 { "no text\0" } else { "offline" },
        entry: store::Entry {
            id: store::EntryId(n),
            at: stanza::Timestamp(1),
            with: None,
            key: None,
            stanza: "<message/>".into(),
        },
    };
    let appends: Vec<_> = (0..60).map(|n| [append(n)]).collect();
    let answers = futures::future::join_all(appends.iter().map(|entries| stores.archive.append(entries))).await;
    let failed: Vec<_> = answers
        .iter()
        .enumerate()
        .filter(|(_, answer)| answer.is_err())
        .map(|(n, _)| n)
        .collect();
    assert_eq!(failed, [30]);
}

/// What is gone is not only not found any more: nothing of it stays in the index.
#[tokio::test]
async fn no_word_outlives_what_was_said() {
    use sqlx::ConnectOptions;
    let config = config().await;
    store::suite::archive::finds_what_is_there(&stores(&config).await).await;
    let options: sqlx::postgres::PgConnectOptions = config.url.expose().parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let count = sqlx::query_scalar("SELECT (SELECT count(*) FROM words) + 100 * (SELECT count(*) FROM indexed)");
    let count: i64 = count.fetch_one(&mut connection).await.unwrap();
    assert_eq!(count, 100, "no word of one indexed log");
}

#[tokio::test]
async fn comes_back_by_itself_and_says_when_it_is_away() {
    let mut server = tokio::task::spawn_blocking(|| services::Postgres::start().unwrap())
        .await
        .unwrap();
    let config = Config {
        url: server.url().into(),
        timeout: Duration::from_secs(2),
        ..Config::default()
    };
    let postgres = Postgres::connect(&config).unwrap();
    postgres.migrate().await.unwrap();
    assert_eq!(postgres.list("x.example", None, 1).await.unwrap(), []);
    server.kill().unwrap();
    let jid = stanza::Bare::parse("romeo@montague.example").unwrap();
    assert!(postgres.get(&jid).await.unwrap_err().is_retryable());
    let entry = store::Entry {
        id: store::EntryId(1),
        at: stanza::Timestamp(0),
        with: None,
        key: None,
        stanza: "<message/>".into(),
    };
    let append = [store::Append {
        owner: jid.clone(),
        log: "offline",
        entry,
    }];
    assert!(
        store::Archive::append(&postgres, &append)
            .await
            .unwrap_err()
            .is_retryable()
    );
    server.restart().unwrap();
    fixture::eventually("an answer", async || postgres.get(&jid).await.is_ok()).await;
    fixture::eventually("an append", async || {
        store::Archive::append(&postgres, &append).await.is_ok()
    })
    .await;
}

#[test]
fn secrets_are_not_shown() {
    let config: Config = toml::from_str("url = 'postgres://u:hush@h/d'\npassword = 'hush'").unwrap();
    assert!(!format!("{config:?}").contains("hush"));
    assert!(toml::from_str::<Config>("pool = 3").is_err());
    let broken = Config {
        url: "postgres://u:hush@h:port/d".into(),
        ..Config::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(async { Postgres::connect(&broken).err().unwrap() });
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}
