//! What happens to a world: how large it is, and which faults befall it when, drawn from its seed.

use crate::chance::Chance;
use crate::pulse::Seat;
use crate::stores::Which;

/// Places for routers; edges have the next.
pub(crate) const ROUTERS: usize = 3;
/// Places for edges.
pub(crate) const EDGES: usize = 3;
/// How long faults happen, in milliseconds.
pub(crate) const CHAOS: u64 = 24_000;
/// Between two faults of which each takes a node away: the cluster promises to survive one at a time.
const APART: u64 = 13_000;

/// A world to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Routers at the beginning.
    pub(crate) routers: usize,
    pub(crate) clients: usize,
    /// Clients that are away when everything has come to rest.
    pub(crate) away: Vec<usize>,
    /// Whether a router dies, sleeps, or is cut off: then what is known to fall short is tolerated.
    pub(crate) is_rough: bool,
    /// When, in milliseconds after the beginning, and what.
    pub(crate) faults: Vec<(u64, Fault)>,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// A node dies, and comes back later. `silently`: nobody is told.
    Crash { seat: Seat, silently: bool, back: u64 },
    /// A node sleeps, and does not know that it did.
    Pause { seat: Seat, lasts: u64 },
    /// A router joins.
    Join { seat: Seat },
    /// A node stops in order, and comes back later.
    Leave { seat: Seat, back: u64 },
    /// Nothing comes through between two nodes for a while.
    Cut { a: Seat, b: Seat, lasts: u64 },
    /// Nothing comes through between a router and any edge: first one, then the others, until all of it is mended.
    Strand {
        router: Seat,
        edge: Seat,
        then: u64,
        lasts: u64,
    },
    /// What goes between two nodes takes longer for a while.
    Slow { a: Seat, b: Seat, by: u64, lasts: u64 },
    /// The connections between two nodes break.
    Sever { a: Seat, b: Seat },
    /// A store cannot be reached, by one node or by all.
    Shut {
        seat: Option<Seat>,
        which: Which,
        lasts: u64,
    },
    /// A client's connection breaks.
    Drop { client: usize, lossy: bool, away: u64 },
    /// Two connections of a client race to resume.
    Race { client: usize },
    /// A client does not read for a while.
    Dawdle { client: usize, lasts: u64 },
    /// A client logs out.
    Close { client: usize, away: u64 },
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    EdgeCrash,
    RouterCrash,
    EdgePause,
    RouterPause,
    Join,
    EdgeLeave,
    RouterLeave,
    Cut,
    Strand,
    Slow,
    Sever,
    Shut,
    Drop,
    Race,
    Dawdle,
    Close,
}

/// How often each kind of fault happens, relative to the others.
pub(crate) const MIX: &[(Kind, u64)] = &[
    (Kind::EdgeCrash, 5),
    (Kind::RouterCrash, 5),
    (Kind::EdgePause, 2),
    (Kind::RouterPause, 3),
    (Kind::Join, 3),
    (Kind::EdgeLeave, 3),
    (Kind::RouterLeave, 3),
    (Kind::Cut, 3),
    (Kind::Strand, 2),
    (Kind::Slow, 3),
    (Kind::Sever, 4),
    (Kind::Shut, 3),
    (Kind::Drop, 16),
    (Kind::Race, 4),
    (Kind::Dawdle, 4),
    (Kind::Close, 5),
];

impl Plan {
    /// The plan of `seed`, with faults of the kinds in `mix`.
    pub(crate) fn draw(seed: u64, mix: &[(Kind, u64)]) -> Self {
        let mut chance = Chance::new(seed, "plan");
        let clients = chance.within(3..=6) as usize;
        let mut away: Vec<usize> = (0..clients).filter(|_| chance.happens(25)).collect();
        away.truncate(clients - 2);
        let mut plan = Self {
            seed,
            routers: 2,
            clients,
            away,
            is_rough: false,
            faults: Vec::new(),
        };
        let mut last_loss = None;
        let mut times: Vec<u64> = (0..chance.within(3..=12)).map(|_| chance.within(0..=CHAOS)).collect();
        times.sort_unstable();
        for at in times {
            let kind = draw_kind(&mut chance, mix);
            if kind.takes_a_node() {
                if last_loss.is_some_and(|last| at < last + APART) {
                    continue;
                }
                last_loss = Some(at);
            }
            let fault = plan.fault(&mut chance, kind);
            if let Fault::Strand { then, lasts, .. } = fault {
                last_loss = Some(at + then + lasts); // as long as it is away for everybody's clients
            }
            plan.is_rough |= fault.is_rough();
            plan.faults.push((at, fault));
        }
        plan
    }

    /// Whether links are cut for a while.
    pub(crate) fn has_cuts(&self) -> bool {
        let is_cut = |fault: &Fault| matches!(fault, Fault::Cut { .. } | Fault::Strand { .. });
        self.faults.iter().any(|(_, fault)| is_cut(fault))
    }

    /// Whether a home may have to refuse messages: it cannot hand them on, or keep them.
    pub(crate) fn refuses(&self) -> bool {
        let is_away = |fault: &Fault| matches!(fault, Fault::Shut { which, .. } if *which == Which::Durable);
        self.has_cuts() || self.faults.iter().any(|(_, fault)| is_away(fault))
    }

    fn fault(&self, chance: &mut Chance, kind: Kind) -> Fault {
        let router = chance.within(0..=self.routers as u64 - 1) as usize;
        let edge = ROUTERS + chance.within(0..=EDGES as u64 - 1) as usize;
        let client = chance.within(0..=self.clients as u64 - 1) as usize;
        let (a, b) = if chance.happens(30) { (0, 1) } else { (router, edge) };
        let back = chance.within(6_000..=9_000);
        let silently = chance.happens(30);
        match kind {
            Kind::EdgeCrash => Fault::Crash {
                seat: edge,
                silently,
                back,
            },
            Kind::RouterCrash => Fault::Crash {
                seat: router,
                silently,
                back,
            },
            Kind::EdgePause => Fault::Pause {
                seat: edge,
                lasts: chance.within(200..=9_000),
            },
            Kind::RouterPause => Fault::Pause {
                seat: router,
                lasts: chance.within(200..=9_000),
            },
            Kind::Join => Fault::Join { seat: 2 },
            Kind::EdgeLeave => Fault::Leave { seat: edge, back },
            Kind::RouterLeave => Fault::Leave { seat: router, back },
            Kind::Cut => Fault::Cut {
                a,
                b,
                lasts: chance.within(100..=6_000),
            },
            Kind::Strand => Fault::Strand {
                router,
                edge,
                then: chance.within(0..=6_000),
                lasts: chance.within(1_000..=12_000),
            },
            Kind::Slow => Fault::Slow {
                a,
                b,
                by: chance.within(20..=400),
                lasts: chance.within(500..=6_000),
            },
            Kind::Sever => Fault::Sever { a, b },
            Kind::Shut => {
                let which = chance.pick(&[Which::Durable, Which::Presence, Which::Membership]);
                Fault::Shut {
                    seat: chance.happens(50).then_some(router),
                    which: which.unwrap_or(Which::Durable),
                    lasts: chance.within(500..=7_000),
                }
            }
            Kind::Drop => Fault::Drop {
                client,
                lossy: chance.happens(60),
                away: if chance.happens(15) {
                    15_000
                } else {
                    chance.within(0..=4_000)
                },
            },
            Kind::Race => Fault::Race { client },
            Kind::Dawdle => Fault::Dawdle {
                client,
                lasts: chance.within(500..=5_000),
            },
            Kind::Close => Fault::Close {
                client,
                away: chance.within(100..=5_000),
            },
        }
    }
}

impl Fault {
    /// Whether a router may not be able to tell what it has done.
    fn is_rough(&self) -> bool {
        match self {
            Self::Crash { seat, .. } | Self::Pause { seat, .. } => *seat < ROUTERS,
            Self::Cut { .. } | Self::Strand { .. } | Self::Sever { .. } | Self::Shut { .. } => true,
            _ => false,
        }
    }
}

impl Kind {
    /// Whether a node is away because of it.
    fn takes_a_node(self) -> bool {
        use Kind::{EdgeCrash, EdgeLeave, EdgePause, RouterCrash, RouterLeave, RouterPause, Strand};
        matches!(
            self,
            EdgeCrash | RouterCrash | EdgePause | RouterPause | EdgeLeave | RouterLeave | Strand
        )
    }
}

fn draw_kind(chance: &mut Chance, mix: &[(Kind, u64)]) -> Kind {
    let mut at = chance.within(1..=mix.iter().map(|(_, weight)| weight).sum());
    for (kind, weight) in mix {
        if at <= *weight {
            return *kind;
        }
        at -= weight;
    }
    Kind::Drop
}
