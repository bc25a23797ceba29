//! What may happen to a cluster, one scenario each.

use std::time::Duration;

use swarm::Manner;

use crate::scenarios::Party::{Edge, Edges, Etcd, Postgres, Redis, Router, Routers};
use crate::scenarios::Place::{Always, Drill};
use crate::scenarios::Step::{
    Away, Back, Clock, Cut, Delay, DoubleLogins, FillDisk, FreeDisk, Freeze, Heal, Kill, KillLeader, Part, RestartAll,
    Start, Stop, Talk, Wake,
};

/// A fault and what is expected of the clients' traffic.
pub(crate) struct Scenario {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) about: &'static str,
    /// When it runs.
    pub(crate) place: Place,
    /// How the clients read, by their place in the swarm.
    pub(crate) manner: fn(usize) -> Manner,
    /// Members of etcd.
    pub(crate) etcds: usize,
    /// Whether nodes have clocks that can be set.
    pub(crate) clocks: bool,
    /// Lines of TOML for every node.
    pub(crate) settings: &'static str,
    /// Whether it is about one process with its own database, and not about a cluster.
    pub(crate) embedded: bool,
    /// What happens, in order.
    pub(crate) steps: &'static [Step],
}

/// When a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// With every change.
    Always,
    /// In the whole drill only: it takes long, is much like another, or is beyond what is promised.
    Drill,
}

/// Who something happens to. Which edge and which router it is follows from the seed and stays the same during a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Edge,
    /// All edges.
    Edges,
    Router,
    /// All routers but that one.
    Routers,
    Redis,
    Etcd,
    Postgres,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Traffic goes on for a time between so many and so many milliseconds.
    Talk(u64, u64),
    /// SIGKILL.
    Kill(Party),
    /// SIGTERM, and its end.
    Stop(Party),
    /// A node that has ended starts again.
    Start(Party),
    /// SIGSTOP.
    Freeze(Party),
    /// SIGCONT.
    Wake(Party),
    /// A database is killed.
    Away(Party),
    /// Whatever has ended starts again: Redis without its data, the other databases with it.
    Back,
    /// The leading member of etcd is killed.
    KillLeader,
    /// Nothing passes between the two.
    Part(Party, Party),
    /// Nothing passes from the one to the other; the other way is open.
    Cut(Party, Party),
    /// Everything between the two takes so long, each way.
    Delay(Party, Party, Duration),
    /// All ways are open again.
    Heal,
    /// Every node is stopped and started, one after the other.
    RestartAll,
    /// A node's clock is so many seconds ahead.
    Clock(Party, i64),
    /// Two clients ask for the same resource of the same account over two edges at the same time; of many accounts.
    DoubleLogins,
    /// Nothing can be written to any file of the server's any more.
    FillDisk,
    /// It can again.
    FreeDisk,
}

fn prompt(_: usize) -> Manner {
    Manner::Prompt
}

/// One of ten never reads while the others talk.
fn some_deaf(at: usize) -> Manner {
    if at.is_multiple_of(10) {
        Manner::Deaf
    } else {
        Manner::Prompt
    }
}

/// Every other one is away while the others talk: what is said to them has to be kept.
fn half_away(at: usize) -> Manner {
    if at.is_multiple_of(2) {
        Manner::Prompt
    } else {
        Manner::Away
    }
}

/// One of five reads nothing for four seconds of ten.
fn some_pausing(at: usize) -> Manner {
    let (every, pause) = (Duration::from_secs(10), Duration::from_secs(4));
    if at.is_multiple_of(5) {
        Manner::Pausing { every, pause }
    } else {
        Manner::Prompt
    }
}

const fn scenario(name: &'static str, place: Place, about: &'static str, steps: &'static [Step]) -> Scenario {
    Scenario {
        name,
        about,
        place,
        manner: prompt,
        etcds: 1,
        clocks: false,
        settings: "",
        embedded: false,
        steps,
    }
}

/// The failure drill.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("calm", Always, "nothing fails", &[Talk(8_000, 8_001)]),
    scenario(
        "edge-killed",
        Always,
        "an edge is killed and started again",
        &[
            Talk(2_000, 4_000),
            Kill(Edge),
            Talk(8_000, 9_000),
            Start(Edge),
            Talk(3_000, 3_001),
        ],
    ),
    scenario(
        "router-killed",
        Always,
        "a router is killed and started again",
        &[
            Talk(2_000, 4_000),
            Kill(Router),
            Talk(12_000, 13_000),
            Start(Router),
            Talk(4_000, 4_001),
        ],
    ),
    scenario(
        "router-vanished",
        Drill,
        "a router's machine is gone without a word, and is back later",
        &[
            Talk(2_000, 4_000),
            Part(Router, Routers),
            Part(Router, Edges),
            Part(Router, Etcd),
            Part(Router, Redis),
            Part(Router, Postgres),
            Kill(Router),
            Talk(14_000, 15_000),
            Heal,
            Start(Router),
            Talk(4_000, 4_001),
        ],
    ),
    scenario(
        "edge-and-router-killed",
        Drill,
        "an edge and a router are killed at once and started again",
        &[
            Talk(2_000, 4_000),
            Kill(Edge),
            Kill(Router),
            Talk(12_000, 13_000),
            Start(Router),
            Start(Edge),
            Talk(4_000, 4_001),
        ],
    ),
    scenario(
        "edge-stopped",
        Always,
        "an edge stops in order (SIGTERM) and is started again",
        &[
            Talk(2_000, 4_000),
            Stop(Edge),
            Talk(4_000, 5_000),
            Start(Edge),
            Talk(3_000, 3_001),
        ],
    ),
    scenario(
        "router-stopped",
        Always,
        "a router stops in order (SIGTERM) and is started again",
        &[
            Talk(2_000, 4_000),
            Stop(Router),
            Talk(4_000, 5_000),
            Start(Router),
            Talk(4_000, 4_001),
        ],
    ),
    scenario(
        "rolling-restart",
        Always,
        "every node is stopped in order and started again, one after the other",
        &[Talk(2_000, 3_000), RestartAll, Talk(3_000, 3_001)],
    ),
    scenario(
        "redis-emptied",
        Always,
        "Redis is killed and comes back empty",
        &[
            Talk(2_000, 3_000),
            Away(Redis),
            Talk(4_000, 5_000),
            Back,
            Talk(4_000, 4_001),
        ],
    ),
    scenario(
        "etcd-away",
        Drill,
        "etcd is away for 15 s",
        &[
            Talk(2_000, 3_000),
            Away(Etcd),
            Talk(15_000, 15_001),
            Back,
            Talk(5_000, 5_001),
        ],
    ),
    scenario(
        "etcd-away-long",
        Drill,
        "etcd is away for 60 s",
        &[
            Talk(2_000, 3_000),
            Away(Etcd),
            Talk(60_000, 60_001),
            Back,
            Talk(8_000, 8_001),
        ],
    ),
    Scenario {
        etcds: 3,
        ..scenario(
            "etcd-leader-killed",
            Drill,
            "the leading member of three of etcd is killed and comes back",
            &[
                Talk(2_000, 3_000),
                KillLeader,
                Talk(10_000, 11_000),
                Back,
                Talk(4_000, 4_001),
            ],
        )
    },
    scenario(
        "postgres-restarted",
        Always,
        "PostgreSQL is killed and recovers",
        &[
            Talk(2_000, 3_000),
            Away(Postgres),
            Talk(3_000, 4_000),
            Back,
            Talk(5_000, 5_001),
        ],
    ),
    scenario(
        "router-frozen",
        Always,
        "a router is frozen (SIGSTOP) for 15 s and wakes while another has its slots",
        &[
            Talk(2_000, 4_000),
            Freeze(Router),
            Talk(15_000, 15_001),
            Wake(Router),
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "edge-frozen",
        Drill,
        "an edge is frozen (SIGSTOP) for 15 s and wakes",
        &[
            Talk(2_000, 4_000),
            Freeze(Edge),
            Talk(15_000, 15_001),
            Wake(Edge),
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "router-parted-from-etcd",
        Always,
        "a router and etcd do not reach each other for 15 s",
        &[
            Talk(2_000, 4_000),
            Part(Router, Etcd),
            Talk(15_000, 15_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "router-parted-from-redis",
        Drill,
        "a router and Redis do not reach each other for 15 s",
        &[
            Talk(2_000, 4_000),
            Part(Router, Redis),
            Talk(15_000, 15_001),
            Heal,
            Talk(5_000, 5_001),
        ],
    ),
    scenario(
        "router-parted-from-postgres",
        Drill,
        "a router and PostgreSQL do not reach each other for 15 s",
        &[
            Talk(2_000, 4_000),
            Part(Router, Postgres),
            Talk(15_000, 15_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "router-unanswered-by-postgres",
        Drill,
        "PostgreSQL hears a router, which hears nothing of PostgreSQL, for 13 s",
        &[
            Talk(2_000, 4_000),
            Cut(Postgres, Router),
            Talk(13_000, 13_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "router-parted-from-routers",
        Drill,
        "a router and the other routers do not reach each other for 15 s",
        &[
            Talk(2_000, 4_000),
            Part(Router, Routers),
            Talk(15_000, 15_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "router-parted-from-edge",
        Drill,
        "a router and an edge do not reach each other for 15 s",
        &[
            Talk(2_000, 4_000),
            Part(Router, Edge),
            Talk(15_000, 15_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "router-parted-from-edges",
        Always,
        "one edge, and then all of them, do not reach a router, for 12 s",
        &[
            Talk(2_000, 4_000),
            Part(Router, Edge),
            Talk(6_000, 6_001),
            Part(Router, Edges),
            Talk(12_000, 12_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "router-parted-from-all",
        Always,
        "a router is reached by nobody, and reaches nobody, for 15 s",
        &[
            Talk(2_000, 4_000),
            Part(Router, Routers),
            Part(Router, Edges),
            Part(Router, Etcd),
            Part(Router, Redis),
            Part(Router, Postgres),
            Talk(15_000, 15_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "router-parted-in-doubt",
        Drill,
        "PostgreSQL does not answer a router, which then is reached by other routers alone, for 15 s",
        &[
            Talk(2_000, 4_000),
            Cut(Postgres, Router),
            Talk(30, 31),
            Part(Router, Edges),
            Part(Router, Etcd),
            Part(Router, Redis),
            Part(Router, Postgres),
            Talk(15_000, 15_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "edge-hears-nothing",
        Drill,
        "an edge hears nothing of a router for 10 s, which hears it",
        &[
            Talk(2_000, 4_000),
            Cut(Router, Edge),
            Talk(10_000, 10_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "router-hears-nothing",
        Drill,
        "a router hears nothing of an edge for 10 s, which hears it",
        &[
            Talk(2_000, 4_000),
            Cut(Edge, Router),
            Talk(10_000, 10_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "router-unanswered-by-etcd",
        Drill,
        "etcd hears a router, which hears nothing of etcd, for 15 s",
        &[
            Talk(2_000, 4_000),
            Cut(Etcd, Router),
            Talk(15_000, 15_001),
            Heal,
            Talk(8_000, 8_001),
        ],
    ),
    scenario(
        "links-slow",
        Drill,
        "everything to and from a router takes 200 ms each way for 10 s",
        &[
            Talk(2_000, 4_000),
            Delay(Router, Routers, Duration::from_millis(200)),
            Delay(Router, Edges, Duration::from_millis(200)),
            Delay(Router, Etcd, Duration::from_millis(200)),
            Delay(Router, Redis, Duration::from_millis(200)),
            Delay(Router, Postgres, Duration::from_millis(200)),
            Talk(10_000, 10_001),
            Heal,
            Talk(5_000, 5_001),
        ],
    ),
    Scenario {
        manner: some_pausing,
        settings: "router.queue_stanzas = 6",
        ..scenario(
            "clients-pausing",
            Drill,
            "one client of five reads nothing for 4 s of every 10, and six stanzas may be under way to it",
            &[Talk(25_000, 25_001)],
        )
    },
    Scenario {
        manner: some_deaf,
        settings: "router.queue_stanzas = 20\nrouter.owed_messages = 20",
        ..scenario(
            "clients-deaf",
            Drill,
            "one client of ten never reads until its session has ended at the limit (20 messages that there is no room for)",
            &[Talk(25_000, 25_001)],
        )
    },
    scenario(
        "double-logins",
        Always,
        "forty accounts log in twice at once with the same resource, over two edges",
        &[Talk(2_000, 3_000), DoubleLogins, Talk(3_000, 3_001)],
    ),
    Scenario {
        clocks: true,
        ..scenario(
            "clock-ahead",
            Drill,
            "the clocks of a router and an edge jump an hour ahead, and back again",
            &[
                Talk(2_000, 4_000),
                Clock(Router, 3_600),
                Clock(Edge, 3_600),
                Talk(8_000, 8_001),
                Clock(Router, 0),
                Clock(Edge, 0),
                Talk(6_000, 6_001),
            ],
        )
    },
    Scenario {
        clocks: true,
        ..scenario(
            "clock-back",
            Drill,
            "the clocks of a router and an edge jump an hour back",
            &[
                Talk(2_000, 4_000),
                Clock(Router, -3_600),
                Clock(Edge, -3_600),
                Talk(10_000, 10_001),
            ],
        )
    },
    Scenario {
        manner: half_away,
        embedded: true,
        ..scenario(
            "disk-full",
            Drill,
            "the disk of a single process is full for some seconds, while messages have to be kept",
            &[
                Talk(3_000, 4_000),
                FillDisk,
                Talk(8_000, 9_000),
                FreeDisk,
                Talk(4_000, 4_001),
            ],
        )
    },
];
