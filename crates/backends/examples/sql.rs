//! Measures the SQL back-ends: `cargo run --release -p dunlin-backends --example sql [CALLERS] [SECONDS]`. PostgreSQL is
//! started fresh, with commits that wait for the disk.

#[allow(dead_code, unreachable_pub, reason = "only PostgreSQL is started")]
#[path = "../../testkit/src/services.rs"]
mod services;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dunlin_backends::{postgres, sqlite};
use stanza::{Bare, Jid, Timestamp};
use store::{Account, Accounts, Append, Archive, Contact, Entry, EntryId, HashName, PageRequest, Rosters, Verifier};

const ACCOUNTS: u64 = 10_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let callers = arguments.next().transpose()?.unwrap_or(256);
    let load = Load {
        callers,
        time: Duration::from_secs(arguments.next().transpose()?.unwrap_or(5)),
    };
    let folder = tempfile::tempdir()?;
    let config = sqlite::Config {
        path: folder.path().join("dunlin.db"),
        ..Default::default()
    };
    let start = Instant::now();
    let sqlite = Arc::new(sqlite::Sqlite::open(&config).await?);
    println!(
        "sqlite    start, fresh file            {:>9.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    measure("sqlite", &sqlite, &load).await?;
    drop(sqlite);
    let start = Instant::now();
    let again = sqlite::Sqlite::open(&config).await?;
    println!(
        "sqlite    start, existing file         {:>9.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    drop(again);
    let server = services::Postgres::start_durable()?;
    let config = postgres::Config {
        url: server.url().into(),
        ..Default::default()
    };
    let postgres = Arc::new(postgres::Postgres::connect(&config)?);
    postgres.migrate().await?;
    measure("postgres", &postgres, &load).await
}

struct Load {
    callers: u64,
    time: Duration,
}

async fn measure<S>(name: &str, store: &Arc<S>, load: &Load) -> anyhow::Result<()>
where
    S: Accounts + Rosters + Archive + 'static,
{
    let start = Instant::now();
    store.create(&(0..ACCOUNTS).map(account).collect::<Vec<_>>()).await?;
    println!(
        "{name:<9} create {ACCOUNTS} accounts in one call {:>6.0} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    for callers in [1, load.callers] {
        run(name, "archive rows appended", load, callers, store, append).await;
    }
    for n in 0..1_000 {
        let contacts: Vec<_> = (0..50).filter_map(contact).collect();
        store.change(&jid(n), 0, &contacts, &[]).await?;
    }
    run(name, "rosters changed", load, load.callers, store, change).await;
    for callers in [1, load.callers] {
        run(name, "rosters of 50 contacts read", load, callers, store, roster).await;
        run(name, "archive pages of 50 read", load, callers, store, page).await;
        run(name, "accounts read", load, callers, store, read).await;
    }
    Ok(())
}

async fn append<S: Archive>(store: Arc<S>, n: u64) -> store::Result<()> {
    let entry = Entry {
        id: EntryId(u128::from(n)),
        at: Timestamp(n.cast_signed()),
        with: Jid::parse("juliet@capulet.example/balcony").ok(),
        key: Some(n.to_be_bytes().to_vec().into()),
        stanza: format!(
            "<message id='{n}' type='chat'><body>{}</body></message>",
            "x".repeat(250)
        )
        .into(),
    };
    store
        .append(&[Append {
            owner: jid(n % ACCOUNTS),
            log: "archive",
            entry,
        }])
        .await
        .map(drop)
}

/// Each call finds its own roster, and changes one contact in it.
async fn change<S: Rosters>(store: Arc<S>, n: u64) -> store::Result<()> {
    let contacts: Vec<_> = contact(n % 50).into_iter().collect();
    store.change(&jid(ACCOUNTS + n), 0, &contacts, &[]).await.map(drop)
}

fn contact(n: u64) -> Option<Contact> {
    Some(Contact {
        in_roster: true,
        ..Contact::new(Jid::parse(&format!("contact{n}@x.example")).ok()?)
    })
}

async fn roster<S: Rosters>(store: Arc<S>, n: u64) -> store::Result<()> {
    store.load(&jid(n * 7919 % 1_000)).await.map(drop)
}

/// The last page of a log that the appends before have filled.
async fn page<S: Archive>(store: Arc<S>, n: u64) -> store::Result<()> {
    let request = PageRequest {
        limit: 50,
        backwards: true,
        ..PageRequest::default()
    };
    let page = store.page(&jid(n * 7919 % ACCOUNTS), "archive", &request).await?;
    debug_assert!(!page.entries.is_empty());
    Ok(())
}

async fn read<S: Accounts>(store: Arc<S>, n: u64) -> store::Result<()> {
    store.get(&jid(n * 7919 % ACCOUNTS)).await.map(drop)
}

/// Lets `callers` tasks call one after the other, for a time.
async fn run<S, F>(
    name: &str,
    what: &str,
    load: &Load,
    callers: u64,
    store: &Arc<S>,
    call: impl Fn(Arc<S>, u64) -> F + Copy + Send + 'static,
) where
    S: Send + Sync + 'static,
    F: Future<Output = store::Result<()>> + Send,
{
    static NEXT: AtomicU64 = AtomicU64::new(0); // rows of one run are not those of another
    let (first, end) = (NEXT.fetch_add(1 << 40, Ordering::Relaxed), Instant::now() + load.time);
    let base = if what.starts_with("archive") { first } else { 0 };
    let (next, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (start, cpu) = (Instant::now(), cpu());
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (store, next, refused) = (store.clone(), next.clone(), refused.clone());
            tokio::spawn(async move {
                while Instant::now() < end {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if call(store.clone(), base + n).await.is_err() {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    futures::future::join_all(tasks).await;
    let (done, refused) = (next.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    let rate = done as f64 / start.elapsed().as_secs_f64();
    let millis = load.time.as_secs_f64() * 1e3 * callers as f64 / done as f64;
    let micros = (crate::cpu() - cpu) * 1e6 / done as f64;
    println!(
        "{name:<9} {what:<28} {callers:>4} callers {rate:>9.0}/s {millis:>8.3} ms, {micros:>6.1} µs of CPU here each {refused:>6} refused"
    );
}

/// Seconds of CPU time that this process has used; in steps of 10 ms.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.split_whitespace().skip(13).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn jid(n: u64) -> Bare {
    Bare::parse(&format!("user{n}@x.example")).unwrap_or_else(|error| panic!("{error}"))
}

fn account(n: u64) -> Account {
    let verifier = |hash| Verifier {
        hash,
        iterations: 10_000,
        salt: vec![1; 16],
        stored_key: vec![2; 32],
        server_key: vec![3; 32],
    };
    Account {
        jid: jid(n),
        created: Timestamp(1),
        verifiers: vec![verifier(HashName::Sha1), verifier(HashName::Sha256)],
        last_seen: None,
        disabled: false,
    }
}
