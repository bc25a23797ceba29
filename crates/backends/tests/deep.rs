//! An archive of a million entries: a page costs the same wherever it lies, in both directions, with a party and without, because each plan
//! takes the index made for it. Prints what it measured: `cargo test --workspace --test deep -- --nocapture`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod fixture;

use std::time::{Duration, Instant};

use dunlin_backends::{postgres, sqlite};
use sqlx::ConnectOptions;
use stanza::{Bare, Jid, Timestamp};
use store::{Archive, EntryId, PageRequest};

const ENTRIES: u128 = 1_000_000;
const PAGE: u32 = 100;
/// How often each page is read.
const READS: usize = 15;
/// What a deep page may cost beside the first: generous, as others use the machine; to read all before it takes a hundred times as long.
const FACTOR: u32 = 4;
const GRACE: Duration = Duration::from_millis(10);
/// Every second entry is Juliet's, every thousandth the nurse's, the others those of a thousand others.
const PARTIES: [Option<&str>; 4] = [
    None,
    Some("juliet@capulet.example"),
    Some("nurse@capulet.example"),
    Some("juliet@capulet.example/balcony"),
];
/// The index by party.
const BY_PARTY: &str = "archive_by_peer";

fn owner() -> Bare {
    Bare::parse("romeo@montague.example").unwrap()
}

/// The id of entry `n`, of second `n`.
fn id(n: u128) -> EntryId {
    EntryId(EntryId::first_at(Timestamp(n as i64 * 1_000_000)).0 + n)
}

fn request(with: Option<&str>, backwards: bool) -> PageRequest {
    PageRequest {
        with: with.map(|with| Jid::parse(with).unwrap()),
        limit: PAGE,
        backwards,
        ..PageRequest::default()
    }
}

/// The request for the page that begins, or ends, after so many entries of the log.
fn at(mut request: PageRequest, entries: u128) -> PageRequest {
    if request.backwards {
        request.before = Some(id(ENTRIES + 1 - entries));
    } else {
        request.after = Some(id(entries));
    }
    request
}

async fn median<T>(mut read: impl AsyncFnMut() -> T) -> Duration {
    let mut times = Vec::new();
    for _ in 0..READS {
        let start = Instant::now();
        read().await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[READS / 2]
}

/// Compares the first page with those in the middle and at the end.
async fn check_pages(name: &str, archive: &dyn Archive) {
    for with in PARTIES {
        for backwards in [false, true] {
            let mut costs = Vec::new();
            for entries in [0, ENTRIES / 2, ENTRIES - 200_000] {
                let request = at(request(with, backwards), entries);
                let page = archive.page(&owner(), "archive", &request).await.unwrap();
                assert_eq!(
                    (page.entries.len(), page.complete),
                    (PAGE as usize, false),
                    "{request:?}"
                );
                costs.push(median(async || archive.page(&owner(), "archive", &request).await.unwrap()).await);
            }
            let last = at(request(with, backwards), ENTRIES - 100);
            costs.push(median(async || archive.page(&owner(), "archive", &last).await.unwrap()).await);
            let (with, way) = (
                with.unwrap_or("anybody"),
                if backwards { "backwards" } else { "forwards" },
            );
            println!("{name:<9} {with:<31} {way:<10} first, 5,000th, 8,000th, 10,000th page: {costs:.0?}");
            for cost in &costs[1..] {
                assert!(*cost <= costs[0] * FACTOR + GRACE, "{name} {with} {way}: {costs:?}");
            }
        }
    }
}

/// What else must not read the whole log.
async fn check_bounded(name: &str, archive: &dyn Archive) {
    let owner = owner();
    let begin = Instant::now();
    let mut since = request(None, false);
    since.start = Some(Timestamp(ENTRIES as i64 / 2 * 1_000_000));
    let page = archive.page(&owner, "archive", &since).await.unwrap();
    assert_eq!(page.entries[0].id, id(ENTRIES / 2));
    let mut until = request(None, true);
    until.end = since.start;
    let page = archive.page(&owner, "archive", &until).await.unwrap();
    assert_eq!(page.entries.last().unwrap().id, id(ENTRIES / 2));
    for with in PARTIES {
        let found = archive.count_found(&owner, "archive", &request(with, false), 500).await;
        assert_eq!(found.unwrap(), None, "{with:?}");
    }
    let excess = archive.excess(&owner, "archive", 10_000).await.unwrap();
    assert_eq!(excess, Some(id(ENTRIES - 10_000)));
    assert_eq!(
        archive.trim(&owner, "archive", id(500_000), 1_000).await.unwrap(),
        1_000
    );
    let took = begin.elapsed();
    println!("{name:<9} by time, counts up to 500, excess over 10,000, removal of 1,000: {took:.0?}");
    assert!(took < Duration::from_secs(2), "{name} {took:?}");
}

/// Words are found once they are indexed, and the first search costs no more than its bound.
async fn check_words(name: &str, archive: &dyn Archive) {
    let begin = Instant::now();
    assert!(!archive.index(&owner(), "archive", 5_000).await.unwrap());
    println!(
        "{name:<9} 5,000 entries of eight words indexed: {:.0?}",
        begin.elapsed()
    );
    let mut search = request(None, false);
    search.text = vec!["night number 3777".into()];
    let cost = median(async || archive.page(&owner(), "archive", &search).await.unwrap()).await;
    let found = archive.page(&owner(), "archive", &search).await.unwrap();
    println!("{name:<9} three words found: {cost:.0?}");
    assert_eq!(
        found.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        [id(3_777)]
    );
}

/// The plan of each page names `key` without a party and the index by party with one, and nothing of `never`.
async fn check_plans(explain: impl AsyncFn(&PageRequest) -> Vec<String>, key: &str, never: &[&str]) {
    for with in PARTIES {
        for backwards in [false, true] {
            let plan = explain(&at(request(with, backwards), 1_000)).await.join("\n");
            let (takes, leaves) = match with {
                Some(_) => (BY_PARTY, key),
                None => (key, BY_PARTY),
            };
            assert!(plan.contains(takes) && !plan.contains(leaves), "{with:?}\n{plan}");
            for never in never {
                assert!(!plan.contains(never), "{with:?}: {never}\n{plan}");
            }
        }
    }
}

async fn check_costs(name: &str, archive: &dyn Archive) {
    check_pages(name, archive).await;
    check_bounded(name, archive).await;
    check_words(name, archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let config = sqlite::Config {
        path: folder.path().join("dunlin.db"),
        sync: false,
        ..sqlite::Config::default()
    };
    let store = sqlite::Sqlite::open(&config).await.unwrap();
    let begin = Instant::now();
    let connection = rusqlite::Connection::open(&config.path).unwrap();
    connection.execute_batch(include_str!("deep/sqlite.sql")).unwrap();
    println!("sqlite    filled in {:.1?}", begin.elapsed());
    let explain = async |request: &PageRequest| store.explain(&owner(), "archive", request).await.unwrap();
    check_plans(explain, "archive_by_id", &["SCAN", "TEMP B-TREE"]).await;
    check_costs("sqlite", &store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_in_postgresql() {
    let url = fixture::postgres();
    let config = postgres::Config {
        url: url.as_str().into(),
        ..postgres::Config::default()
    };
    let store = postgres::Postgres::connect(&config).unwrap();
    store.migrate().await.unwrap();
    let begin = Instant::now();
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let fill = include_str!("deep/postgres.sql");
    sqlx::raw_sql(fill).execute(&mut connection).await.unwrap();
    println!("postgres  filled in {:.1?}", begin.elapsed());
    let explain = async |request: &PageRequest| store.explain(&owner(), "archive", request).await.unwrap();
    check_plans(explain, "archive_pkey", &["Seq Scan", "Sort", "Bitmap"]).await;
    check_costs("postgres", &store).await;
}
