//! What may happen to a cluster, one scenario each.

use std::time::Duration;

use crate::scenarios::Party::{Edge, Edges, Etcd, Postgres, Redis, Router, Routers};
use crate::scenarios::Step::{
    Away, Back, Cut, Delay, Freeze, Heal, Kill, KillLeader, Part, RestartAll, Start, Stop, Talk, Wake,
};

/// A fault and what is expected of the clients' traffic.
pub(crate) struct Scenario {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) about: &'static str,
    /// Whether it runs with every change: those that hold, and are quick.
    pub(crate) essential: bool,
    /// Members of etcd.
    pub(crate) etcds: usize,
    /// What happens, in order.
    pub(crate) steps: &'static [Step],
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
}

const fn scenario(name: &'static str, about: &'static str, steps: &'static [Step]) -> Scenario {
    Scenario {
        name,
        about,
        essential: false,
        etcds: 1,
        steps,
    }
}

const fn essential(name: &'static str, about: &'static str, steps: &'static [Step]) -> Scenario {
    Scenario {
        essential: true,
        ..scenario(name, about, steps)
    }
}

/// The failure drill.
pub(crate) const SCENARIOS: &[Scenario] = &[
    essential("calm", "nothing fails", &[Talk(8_000, 8_001)]),
    essential(
        "edge-killed",
        "an edge is killed and started again",
        &[
            Talk(2_000, 4_000),
            Kill(Edge),
            Talk(8_000, 9_000),
            Start(Edge),
            Talk(3_000, 3_001),
        ],
    ),
    essential(
        "router-killed",
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
        "edge-and-router-killed",
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
        "a router stops in order (SIGTERM) and is started again",
        &[
            Talk(2_000, 4_000),
            Stop(Router),
            Talk(4_000, 5_000),
            Start(Router),
            Talk(4_000, 4_001),
        ],
    ),
    essential(
        "rolling-restart",
        "every node is stopped in order and started again, one after the other",
        &[Talk(2_000, 3_000), RestartAll, Talk(3_000, 3_001)],
    ),
    essential(
        "redis-emptied",
        "Redis is killed and comes back empty",
        &[
            Talk(2_000, 3_000),
            Away(Redis),
            Talk(4_000, 5_000),
            Back,
            Talk(4_000, 4_001),
        ],
    ),
    essential(
        "etcd-away",
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
    essential(
        "postgres-restarted",
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
        "router-parted-from-routers",
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
        "router-parted-from-all",
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
        "edge-hears-nothing",
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
];
