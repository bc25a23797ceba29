//! A world: nodes, network, stores, clients and a ledger, run from its beginning to its end by one thread.

use std::cell::Cell;
use std::sync::Arc;

use store::{Contact, Subscription};

use crate::chance::Chance;
use crate::client::{Client, account};
use crate::ledger::Ledger;
use crate::net::Net;
use crate::node::{Ground, Node, RESUME};
use crate::plan::{CHAOS, EDGES, Fault, Plan, ROUTERS};
use crate::pulse::{Pulse, Seat};
use crate::stores::{Shelf, Which, stored};

/// A step of the world, in milliseconds.
const STEP: u64 = 2;
/// Nodes that nothing stirs are run this often.
const IDLE: u64 = 40;
/// How long a cluster may take to form.
const FORMING: u64 = 10_000;
/// How long everything may take to come to rest once all is whole: sessions time out, presence converges.
const REST: u64 = RESUME as u64 * 1_000 + 16_000;
/// How long what was kept may take to be heard.
const LAST: u64 = 6_000;

/// What became of a world.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    /// Those of promises that are known to be broken so far.
    pub(crate) known: Vec<String>,
    pub(crate) log: Vec<String>,
    /// Messages said, and heard.
    pub(crate) messages: (usize, usize),
}

struct World {
    ground: Ground,
    places: Vec<Place>,
    clients: Vec<Client>,
    ledger: Ledger,
    chance: Chance,
    /// What ends when.
    later: Vec<(u64, End)>,
    /// Says now and then how the nodes are.
    verbose: bool,
}

/// Where a node is, or was.
#[derive(Default)]
struct Place {
    node: Option<Node>,
    lives: u64,
    paused: bool,
    /// It slept and has not run since.
    slept: bool,
    leaving: bool,
}

/// The end of a fault.
#[derive(Clone, Copy)]
enum End {
    Start(Seat),
    Wake(Seat),
    /// Nothing comes through from now on; that is an end, too.
    Cut(Seat, Seat),
    Mend(Seat, Seat),
    Open(Option<Seat>, Which),
}

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Counts panics of this thread, wherever they are caught.
pub(crate) fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
}

/// Runs the world of `plan`.
pub(crate) fn run(plan: &Plan) -> Outcome {
    PANICS.set(0);
    let mut world = World::new(plan);
    world.live(plan);
    if PANICS.get() > 0 {
        world.ledger.violated(format!("{} panics", PANICS.get()));
    }
    let messages = world.ledger.counts();
    let (violations, known, log) = world.ledger.into_log();
    Outcome {
        violations,
        known,
        log,
        messages,
    }
}

impl World {
    fn new(plan: &Plan) -> Self {
        let pulse = Pulse::new();
        let ground = Ground {
            seed: plan.seed,
            net: Net::new(pulse.clone(), Chance::new(plan.seed, "net")),
            shelf: Shelf::new(pulse.clone(), Chance::new(plan.seed, "stores")),
            seeds: (0..plan.routers).map(name).collect(),
            pulse: pulse.clone(),
        };
        let clients = (0..plan.clients)
            .map(|index| Client::new(plan.seed, index, plan.clients, &pulse))
            .collect();
        Self {
            places: (0..ROUTERS + EDGES).map(|_| Place::default()).collect(),
            clients,
            ledger: Ledger::new(pulse, plan),
            chance: Chance::new(plan.seed, "world"),
            later: Vec::new(),
            verbose: std::env::var_os("SIM_LOG").is_some(),
            ground,
        }
    }

    fn live(&mut self, plan: &Plan) {
        self.create_accounts(plan.clients);
        let edges = ROUTERS..ROUTERS + EDGES;
        (0..plan.routers).chain(edges).for_each(|seat| self.start(seat));
        if !self.until(FORMING, |world| world.is_settled(plan.routers)) {
            return self.ledger.violated("the cluster does not form".to_owned());
        }
        let began = self.ground.pulse.now();
        for (at, fault) in &plan.faults {
            if !self.run_until(began + at, true) {
                return;
            }
            self.befall(*fault);
        }
        if !self.run_until(began + CHAOS, true) {
            return;
        }
        self.heal(plan);
        if !self.run_until(self.ground.pulse.now() + REST, true) {
            return;
        }
        self.check_rest(plan);
        plan.away.iter().for_each(|client| self.clients[*client].come_back());
        if self.run_until(self.ground.pulse.now() + LAST, true) {
            self.ledger.check_messages();
        }
    }

    fn create_accounts(&self, clients: usize) {
        let stores = self.ground.shelf.real().clone();
        let create = async {
            for index in 0..clients {
                let jid = account(index);
                stores.accounts.create(&[stored(jid.clone())]).await?;
                let friends: Vec<Contact> = (0..clients).filter(|other| *other != index).map(friend).collect();
                stores.rosters.change(&jid, 0, &friends, &[]).await?;
            }
            store::Result::Ok(())
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(create).expect("accounts");
    }

    // Time.

    /// Runs until then; `false` when something is wrong before.
    fn run_until(&mut self, then: u64, clients: bool) -> bool {
        while self.ground.pulse.now() < then {
            self.step(clients);
            if !self.ledger.violations().is_empty() {
                return false;
            }
        }
        true
    }

    /// Runs until that is so, without clients; `false` when it takes too long.
    fn until(&mut self, limit: u64, so: impl Fn(&Self) -> bool) -> bool {
        while self.ground.pulse.now() < limit {
            self.step(false);
            if so(self) {
                return true;
            }
        }
        false
    }

    fn step(&mut self, clients: bool) {
        let now = self.ground.pulse.advance(STEP);
        let due: Vec<End> = self
            .later
            .iter()
            .filter(|(at, _)| *at <= now)
            .map(|(_, end)| *end)
            .collect();
        self.later.retain(|(at, _)| *at > now);
        due.into_iter().for_each(|end| self.end(end));
        if self.verbose && now.is_multiple_of(1_000) {
            self.describe();
        }
        self.ground.net.advance();
        self.ground.shelf.expire();
        if clients {
            self.step_clients();
        }
        let stirred = self.ground.pulse.take_stirred();
        let mut seats: Vec<Seat> = (0..self.places.len()).collect();
        self.chance.shuffle(&mut seats);
        for seat in seats {
            let place = &mut self.places[seat];
            let Some(node) = place.node.as_mut().filter(|_| !place.paused) else {
                continue;
            };
            if place.slept || stirred.contains(&seat) || now >= node.ran + IDLE {
                node.run(now, std::mem::take(&mut place.slept));
            }
            if place.leaving && node.has_left() {
                self.bury(seat, false);
            }
        }
    }

    fn describe(&mut self) {
        for (seat, place) in self.places.iter().enumerate() {
            if let Some(node) = &place.node {
                self.ledger.note(format!("{}: {}", name(seat), node.describe()));
            }
        }
    }

    fn step_clients(&mut self) {
        let edges = self.doors();
        let places = &self.places;
        for client in &mut self.clients {
            let mut open = |line: &Arc<_>| opens(places, line);
            client.step(&edges, &mut open, &mut self.ledger);
        }
    }

    /// Edges that clients know of: also those that do not answer.
    fn doors(&self) -> Vec<Seat> {
        let open = |seat: &Seat| self.places[*seat].node.is_some() && !self.places[*seat].leaving;
        (ROUTERS..ROUTERS + EDGES).filter(open).collect()
    }

    fn is_settled(&self, routers: usize) -> bool {
        let mut nodes = self.places.iter().filter_map(|place| place.node.as_ref());
        nodes.all(|node| node.is_settled(routers))
    }

    // What befalls it.

    fn befall(&mut self, fault: Fault) {
        self.ledger.note(format!("FAULT {fault:?}"));
        let now = self.ground.pulse.now();
        match fault {
            Fault::Crash { seat, silently, back } => self.crash(seat, silently, now + back),
            Fault::Pause { seat, lasts } => {
                self.places[seat].paused = true;
                self.later.push((now + lasts, End::Wake(seat)));
            }
            Fault::Join { seat } => self.start(seat),
            Fault::Leave { seat, back } => self.leave(seat, now + back),
            Fault::Cut { a, b, lasts } => {
                self.ground.net.cut(a, b);
                self.later.push((now + lasts, End::Mend(a, b)));
            }
            Fault::Strand {
                router,
                edge,
                then,
                lasts,
            } => {
                self.ground.net.cut(router, edge);
                for seat in ROUTERS..ROUTERS + EDGES {
                    if seat != edge {
                        self.later.push((now + then, End::Cut(router, seat)));
                    }
                    self.later.push((now + then + lasts, End::Mend(router, seat)));
                }
            }
            Fault::Slow { a, b, by, lasts } => {
                self.ground.net.slow(a, b, by);
                self.later.push((now + lasts, End::Mend(a, b)));
            }
            Fault::Sever { a, b } => self.ground.net.sever(a, b),
            Fault::Shut { seat, which, lasts } => {
                self.shut(seat, which, true);
                self.later.push((now + lasts, End::Open(seat, which)));
            }
            Fault::Drop { client, lossy, away } => self.clients[client].drop_line(lossy, away, &mut self.ledger),
            Fault::Race { client } => {
                let (edges, places) = (self.doors(), &self.places);
                let mut open = |line: &Arc<_>| opens(places, line);
                self.clients[client].race(&edges, &mut open, &mut self.ledger);
            }
            Fault::Dawdle { client, lasts } => self.clients[client].slow_down(lasts),
            Fault::Close { client, away } => self.clients[client].close(away, &mut self.ledger),
        }
    }

    fn end(&mut self, end: End) {
        match end {
            End::Start(seat) => self.start(seat),
            End::Wake(seat) => self.wake(seat),
            End::Cut(a, b) => self.ground.net.cut(a, b),
            End::Mend(a, b) => self.ground.net.mend(a, b),
            End::Open(seat, which) => self.shut(seat, which, false),
        }
    }

    fn start(&mut self, seat: Seat) {
        let place = &mut self.places[seat];
        if place.node.is_some() {
            return;
        }
        place.lives += 1;
        let (ground, name) = (&self.ground, name(seat));
        self.ledger.note(format!("{name} starts"));
        place.node = Some(if seat < ROUTERS {
            Node::router(ground, seat, &name, place.lives)
        } else {
            Node::edge(ground, seat, &name, place.lives)
        });
    }

    fn crash(&mut self, seat: Seat, silently: bool, back: u64) {
        if self.places[seat].node.is_some() {
            self.bury(seat, silently);
            self.later.push((back, End::Start(seat)));
        }
    }

    fn leave(&mut self, seat: Seat, back: u64) {
        let place = &mut self.places[seat];
        if let Some(node) = &place.node {
            place.leaving = true;
            node.leave();
            self.ground.pulse.stir(seat);
            self.later.push((back, End::Start(seat)));
        }
    }

    fn wake(&mut self, seat: Seat) {
        let place = &mut self.places[seat];
        place.slept |= std::mem::take(&mut place.paused);
        self.ledger.note(format!("{} wakes", name(seat)));
    }

    fn bury(&mut self, seat: Seat, silently: bool) {
        let place = &mut self.places[seat];
        let Some(node) = place.node.take() else { return };
        (place.paused, place.slept, place.leaving) = (false, false, false);
        self.ledger.note(format!("{} is gone", name(seat)));
        self.ground.net.bury(seat, silently);
        for line in node.lines() {
            let left = self.chance.within(0..=line.unheard() as u64) as usize;
            line.break_off(left);
        }
    }

    fn shut(&mut self, seat: Option<Seat>, which: Which, shut: bool) {
        let seats = seat.map_or(0..ROUTERS, |seat| seat..seat + 1);
        seats.for_each(|seat| self.ground.shelf.shut(seat, which, shut));
    }

    /// Everything is whole again.
    fn heal(&mut self, plan: &Plan) {
        self.ledger.note("HEALED");
        for end in std::mem::take(&mut self.later) {
            self.end(end.1);
        }
        self.ground.net.mend_all();
        for client in &mut self.clients {
            client.quiet = true;
            client.slow_down(0);
        }
        for client in &plan.away {
            self.clients[*client].drop_line(true, u64::MAX / 2, &mut self.ledger);
        }
    }

    // The end.

    fn check_rest(&mut self, plan: &Plan) {
        let here: Vec<usize> = (0..plan.clients).filter(|index| !plan.away.contains(index)).collect();
        for index in &here {
            if !self.clients[*index].is_at_rest() {
                self.ledger.violated(format!("client {index} does not come to rest"));
            }
            for other in (0..plan.clients).filter(|other| other != index) {
                let (sees, is) = (self.clients[*index].sees(other), here.contains(&other));
                if sees != is {
                    self.ledger.violated(format!(
                        "client {index} sees {other} as {}, who is {}",
                        presence(sees),
                        presence(is)
                    ));
                }
            }
        }
        let here: Vec<_> = here.iter().map(|index| self.clients[*index].me()).collect();
        self.ledger.check_queries(&here);
    }
}

fn opens(places: &[Place], line: &Arc<crate::line::Line>) -> bool {
    places[line.seat].node.as_ref().is_some_and(|node| node.accept(line))
}

fn presence(there: bool) -> &'static str {
    if there { "there" } else { "away" }
}

fn friend(index: usize) -> Contact {
    Contact {
        subscription: Subscription::Both,
        in_roster: true,
        ..Contact::new(account(index).into())
    }
}

/// A node's name.
fn name(seat: Seat) -> String {
    if seat < ROUTERS {
        format!("router-{seat}")
    } else {
        format!("edge-{}", seat - ROUTERS)
    }
}
