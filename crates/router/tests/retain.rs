//! Archives of hosts that do not keep all: what is too old or too many goes, at its home, and what waits for somebody stays.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use dunlin_router::{Config, NoPeers, Router};
use engine::{About, Hooks, Module, Retention, Row, row};
use stanza::Timestamp;
use store::{Append, Entry, EntryId, Key, Stores};
use support::{Ticks, bare};

/// Now, by the clock of the tests, in seconds.
const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// Keeps three messages for thirty days.
struct Few;

impl Module for Few {
    const ABOUT: About = About {
        name: "few",
        rfcs: &[],
        xeps: &[],
        summary: "Keeps little.",
    };
    type Config = ();

    fn new((): ()) -> Self {
        Self
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.retention(Retention {
            max_age: Some(Duration::from_secs(30 * 86_400)),
            max_messages: Some(3),
        });
    }
}

static FEW: Row = row::<Few>();

/// The id of the message of that second.
fn id(second: i64) -> EntryId {
    EntryId::first_at(Timestamp(second * 1_000_000))
}

/// Writes messages of these seconds to an archive, of which all up to `mark` are through.
async fn write(stores: &Stores, user: &str, seconds: impl IntoIterator<Item = i64>, mark: Option<i64>) {
    let append = |second: i64| Append {
        owner: bare(user),
        log: "archive",
        entry: Entry {
            id: id(second),
            at: id(second).time(),
            with: None,
            key: None,
            stanza: "<message/>".into(),
        },
    };
    let entries: Vec<_> = seconds.into_iter().map(append).collect();
    stores.archive.append(&entries).await.unwrap();
    if let Some(mark) = mark {
        let key = Key {
            space: "archive".into(),
            name: "mark".into(),
        };
        let record = [&[1], &id(mark).0.to_le_bytes()[..]].concat();
        stores.items.put(&bare(user), &key, record.into(), None).await.unwrap();
    }
}

async fn left(stores: &Stores, user: &str) -> u64 {
    stores.archive.count(&bare(user), "archive").await.unwrap()
}

fn home(stores: &Stores) -> Router {
    let config = Config {
        retain_s: 60,
        ..Config::default()
    };
    let clock = Arc::new(Ticks::default());
    support::router_of(&[&FEW], clock, "router-1", stores.clone(), Arc::new(NoPeers), config)
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_no_longer_goes() {
    let users = [
        ("many", NOW - 10 * DAY..NOW - 10 * DAY + 8, Some(NOW), 3),
        ("old", NOW - 40 * DAY..NOW - 40 * DAY + 2, Some(NOW), 0),
        ("young", NOW - 30 * DAY + 1..NOW - 30 * DAY + 5, Some(NOW), 3),
        (
            "waiting",
            NOW - 40 * DAY..NOW - 40 * DAY + 8,
            Some(NOW - 40 * DAY + 1),
            6,
        ),
        ("unread", NOW - 40 * DAY..NOW - 40 * DAY + 8, None, 8),
        ("fresh", NOW - 60..NOW - 50, Some(NOW), 10),
        ("few", NOW - DAY..NOW - DAY + 3, Some(NOW), 3),
        // In several steps.
        ("zealous", NOW - 40 * DAY..NOW - 40 * DAY + 2_500, Some(NOW), 0),
    ];
    let stores = support::stores(&users.each_ref().map(|(user, ..)| *user)).await;
    for (user, seconds, mark, _) in &users {
        write(&stores, user, seconds.clone(), *mark).await;
    }
    let router = home(&stores);
    router.serve_alone();
    let done = async {
        while left(&stores, "zealous").await > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), done).await.unwrap();
    for (user, .., expected) in users {
        assert_eq!(left(&stores, user).await, expected, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_router_leaves_other_homes_archives_alone() {
    let stores = support::stores(&["old"]).await;
    write(&stores, "old", [NOW - 40 * DAY], Some(NOW)).await;
    let router = home(&stores); // serves no slot
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(left(&stores, "old").await, 1);
    router.serve_alone();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(left(&stores, "old").await, 0);
}
