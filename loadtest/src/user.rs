//! One user: it comes online when the scenario says so, lives as its group does, loses its connection and comes back.
//!
//! ```text
//!            Enter                 session
//! Away ───────────────▶ Arriving ───────────▶ Online
//!  ▲                      ▲  │ failed: later     │
//!  │                      │  ▼                   │ connection lost: soon
//!  │                      └──┴──────◀────────────┤
//!  └───────────────◀─────────────────────────────┘ Leave, Cut
//! ```

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use swarm::chance::Chance;
use tokio::time::timeout;

use crate::board::{Board, Call, Order};
use crate::ledger::Book;
use crate::link::Link;
use crate::login::{Entered, Failure, Former, Kept, Login};
use crate::scenario::{Action, Pause};
use crate::schedule::{Agenda, Deed, group};
use crate::session::Session;
use crate::tally::{Kind, Tally, micros};
use crate::world::World;

mod catching_up;
mod hearing;
mod talking;

/// Messages that wait for a connection at most; more are not sent at all.
const BACKLOG: usize = 1_000;
/// How soon a user comes back at the latest after its first failure; twice as long after each other, up to the second.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(16);
/// How long the end of a stream may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// What the users of one thread share.
pub struct Crew {
    /// What all users share.
    pub world: Arc<World>,
    /// What wakes them.
    pub board: Arc<Board>,
    /// What they count on.
    pub tally: Mutex<Tally>,
}

/// A user.
pub struct User {
    /// Its number.
    at: u32,
    /// Its place on the board.
    slot: u32,
    crew: Arc<Crew>,
    /// The number of the last order that it has seen, the order, and the phase that it is in.
    seen: u32,
    order: Order,
    phase: usize,
    agenda: Agenda,
    /// Whether it is to be online.
    wanted: bool,
    kept: Kept,
    session: Session,
    book: Book,
    /// What was to be sent while it was not online.
    backlog: VecDeque<Late>,
    chance: Chance,
    pause: Option<Pause>,
    inactive: bool,
    /// How many logins it has tried, and how many presences it has sent.
    attempts: u32,
    presences: u32,
    /// The phase whose closed loop it has begun.
    looped: Option<usize>,
    /// Until where it knows its archive, if it has to look there, and the request that looks.
    archived: Option<Box<str>>,
    catching_up: Option<u32>,
    /// Whether it has said goodbye, and takes no stanza any more.
    deaf: bool,
    /// The session that it has just got; it is counted when the roster is there.
    arrival: Option<Arrival>,
}

/// A message that waits for a connection.
#[derive(Clone, Copy, Debug)]
struct Late {
    to: u32,
    /// Which one it is, if it was sent before, in a session that is gone.
    number: Option<u32>,
    intended: u64,
}

/// A session that is wanted.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    since: Duration,
    phase: usize,
    /// The request for the roster, once it was sent.
    roster: Option<u32>,
}

/// How being online ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    /// The connection was cut on purpose; the user comes back when it is told to.
    Cut,
    /// The connection was lost; why.
    Lost(String),
    /// It is to log out.
    Left,
    /// It is to log out and come back at once; since when.
    Renewed(Duration),
    /// It loses its connection and comes back at once; since when.
    Reconnected(Duration),
}

/// What a wait came to.
enum Woken {
    Call(Call),
    Read(io::Result<usize>),
}

impl User {
    /// Number `at` among all, with the place `slot` on the thread's board.
    pub fn new(at: u32, slot: u32, crew: Arc<Crew>) -> Self {
        let scenario = &crew.world.scenario;
        let group = group(scenario, at);
        Self {
            at,
            slot,
            seen: 0,
            order: Order::Wait,
            phase: 0,
            agenda: Agenda::nothing(),
            wanted: false,
            kept: Kept::default(),
            session: Session::none(),
            book: Book::default(),
            backlog: VecDeque::new(),
            chance: Chance::new(scenario.seed ^ u64::from(at).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            pause: group.and_then(|group| group.pause),
            inactive: group.is_some_and(|group| group.inactive),
            attempts: 0,
            presences: 0,
            looped: None,
            archived: None,
            catching_up: None,
            deaf: false,
            arrival: None,
            crew,
        }
    }

    /// Lives until it is told to end. Returns its number and its book.
    pub async fn live(mut self) -> (u32, Book) {
        while let Some(since) = self.away().await {
            self.be_online(since).await;
        }
        (self.at, self.book)
    }

    fn now(&self) -> Duration {
        self.crew.board.now()
    }

    /// Waits until it is to be online. Returns since when; `None` at the end.
    async fn away(&mut self) -> Option<Duration> {
        loop {
            if self.order == Order::End {
                return None;
            }
            if self.wanted {
                return Some(self.now());
            }
            while let Some((time, deed)) = self.agenda.take(self.now()) {
                if deed == Deed::Enter {
                    self.wanted = true;
                    return Some(time);
                }
            }
            let due = self.agenda.due();
            if let Woken::Call(Call::Order(seen, order)) = self.wait(None, due).await {
                self.obey(seen, order);
            }
        }
    }

    /// Has sessions, one after the other, until it is no more to be online.
    async fn be_online(&mut self, since: Duration) {
        let mut failures = 0;
        let mut arrival = self.wish(since);
        while self.wanted && self.order != Order::End {
            let kind = self.arrival_kind();
            match self.enter().await {
                Some(Ok((mut link, entered))) => {
                    failures = 0;
                    self.begin(&mut link, entered, arrival);
                    let ending = Box::pin(self.converse(&mut link)).await;
                    let since = self.end(link, ending).await;
                    arrival = self.wish(since);
                }
                Some(Err(Failure(why))) => {
                    failures += 1;
                    self.crew.tally.lock().fail(arrival.phase, kind, &why);
                    self.rest(failures).await;
                }
                None => return,
            }
        }
    }

    /// It wants a session since then.
    fn wish(&self, since: Duration) -> Arrival {
        if self.wanted {
            self.crew.tally.lock().intend(self.phase, self.arrival_kind());
        }
        Arrival {
            since,
            phase: self.phase,
            roster: None,
        }
    }

    /// What coming online would be now.
    fn arrival_kind(&self) -> Kind {
        if self.session.id.is_some() {
            Kind::Resume
        } else {
            Kind::Login
        }
    }

    /// A connection with a session, in time; `None` when the run is over before.
    async fn enter(&mut self) -> Option<Result<(Link, Entered), Failure>> {
        let crew = self.crew.clone();
        let (world, attempt, h) = (&crew.world, self.attempts, self.session.read());
        self.attempts += 1;
        let mut login = Login {
            world,
            user: self.at,
            nonce: format!("{:x}-{:x}-{attempt:x}-{:x}", world.run, self.at, self.chance.draw()),
            kept: &mut self.kept,
            former: self.session.id.as_deref().map(|id| Former { id, h }),
        };
        // In a box, so that users who are online have no room for it.
        let mut entering = Box::pin(timeout(world.scenario.patience.login.0, login.enter(attempt)));
        let entered = poll_fn(|cx| {
            if crew.board.poll_end(cx, self.slot).is_ready() {
                return Poll::Ready(None);
            }
            Pin::new(&mut entering).poll(cx).map(Some)
        });
        Some(entered.await?.unwrap_or_else(|_| Err(Failure("time-out".to_owned()))))
    }

    /// A session has ended. Returns since when the next one is wanted.
    async fn end(&mut self, link: Link, ending: Ending) -> Duration {
        self.ended(&ending);
        match ending {
            Ending::Cut => self.wanted = false,
            Ending::Left => {
                self.leave(link).await;
                self.wanted = false;
            }
            Ending::Renewed(since) => {
                self.leave(link).await;
                return since;
            }
            Ending::Reconnected(since) => return since,
            Ending::Lost(_) => {
                let since = self.now();
                self.rest(1).await;
                return since;
            }
        }
        self.now()
    }

    /// Counts the end.
    fn ended(&mut self, ending: &Ending) {
        let mut tally = self.crew.tally.lock();
        tally.went();
        let arrival = self.arrival.take();
        match ending {
            Ending::Lost(why) => {
                tally.fail(self.phase, Kind::Session, why);
                arrival.inspect(|arrival| tally.fail(arrival.phase, Kind::Login, "disconnected"));
            }
            _ => {
                tally.finish(self.phase, Kind::Session);
                // It was there, if not for long.
                arrival.inspect(|arrival| tally.finish(arrival.phase, Kind::Login));
            }
        }
    }

    /// Waits after a failure.
    async fn rest(&mut self, failures: u32) {
        let most = (SOON * (1 << (failures - 1).min(4))).min(LATE);
        let until = self.now() + most.mul_f64(self.chance.below(1_000) as f64 / 1_000.0);
        loop {
            self.miss();
            if self.now() >= until || !self.wanted || self.order == Order::End {
                return;
            }
            let due = self.agenda.due().map_or(until, |due| due.min(until));
            if let Woken::Call(Call::Order(seen, order)) = self.wait(None, Some(due)).await {
                self.obey(seen, order);
            }
        }
    }

    /// Deals with what is due while there is no connection.
    fn miss(&mut self) {
        while let Some((time, deed)) = self.agenda.take(self.now()) {
            match deed {
                Deed::Act(Action::Message) => self.write_late(time),
                Deed::Act(action) => {
                    if let Some(kind) = Kind::of(action) {
                        let mut tally = self.crew.tally.lock();
                        tally.intend(self.phase, kind);
                        tally.fail(self.phase, kind, "disconnected");
                    }
                }
                Deed::Leave | Deed::Cut => self.wanted = false,
                Deed::Enter | Deed::Renew => {}
            }
        }
    }

    /// Keeps a message for when there is a connection.
    fn write_late(&mut self, time: Duration) {
        let late = Late {
            to: self.peer(),
            number: None,
            intended: micros(time),
        };
        self.crew.tally.lock().intend(self.phase, Kind::Message);
        self.keep(late);
    }

    /// Keeps a message until it can be sent; it was intended already.
    fn keep(&mut self, late: Late) {
        if self.backlog.len() < BACKLOG {
            self.backlog.push_back(late);
        } else {
            self.crew.tally.lock().fail(self.phase, Kind::Message, "backlog");
        }
    }

    /// One of its contacts.
    fn peer(&mut self) -> u32 {
        let circle = &self.crew.world.circle;
        circle.contact(self.at, self.chance.below(circle.count()))
    }

    /// Waits for an order, the alarm at `due`, or what comes over the link; what is to be written goes out meanwhile.
    async fn wait(&self, mut link: Option<&mut Link>, due: Option<Duration>) -> Woken {
        poll_fn(|cx| {
            if let Some(link) = &mut link
                && let Poll::Ready(read) = link.poll_turn(cx, self.reads())
            {
                return Poll::Ready(Woken::Read(read));
            }
            self.crew.board.poll(cx, self.slot, self.seen, due).map(Woken::Call)
        })
        .await
    }

    /// Whether it reads now.
    fn reads(&self) -> bool {
        self.pause.is_none_or(|pause| self.place_in(pause) >= pause.length.0)
    }

    /// How long ago a pause began; users pause at different times.
    fn place_in(&self, pause: Pause) -> Duration {
        let every = micros(pause.every.0).max(1);
        let offset = u64::from(self.at).wrapping_mul(0x9e37_79b9_7f4a_7c15) % every;
        Duration::from_micros((micros(self.now()) + offset) % every)
    }

    /// When it begins or ends to read.
    fn turns(&self) -> Option<Duration> {
        let pause = self.pause?;
        let place = self.place_in(pause);
        let end = if place < pause.length.0 {
            pause.length.0
        } else {
            pause.every.0
        };
        Some(self.now() + end.saturating_sub(place))
    }

    fn obey(&mut self, seen: u32, order: Order) {
        (self.seen, self.order) = (seen, order);
        match order {
            Order::Phase(at, began) => {
                self.phase = at;
                self.agenda = Agenda::new(&self.crew.world.scenario, self.at, at, began);
                // What did not come to pass in the phase before.
                let (before, after) = self.crew.world.scenario.online(at);
                if self.at < before.min(after) {
                    self.wanted = true;
                } else if self.at >= before.max(after) {
                    self.wanted = false;
                }
            }
            Order::Collect(since) if !self.wanted => {
                self.agenda = Agenda::enter(since + self.crew.world.pace(self.at));
            }
            Order::Wait | Order::Settle | Order::Collect(_) | Order::End => self.agenda = Agenda::nothing(),
        }
    }
}
