//! When each user does what: a pure function of scenario, seed, user and phase. An open model: nothing that the server does, or fails to
//! do, moves a time.

use std::time::Duration;

use swarm::chance::Chance;

use crate::scenario::{Action, Arrivals, Graph, Group, Phase, Scenario};
use crate::units::Rate;

/// What a user is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Comes online.
    Enter,
    /// Logs out.
    Leave,
    /// Loses its connection.
    Cut,
    /// Logs out, and in again.
    Renew,
    /// Does something.
    Act(Action),
}

/// What one user is to do in one phase, in order. Times are since the run began.
#[derive(Clone, Debug)]
pub struct Agenda {
    courses: Vec<Course>,
}

/// One deed, once or over and over.
#[derive(Clone, Debug)]
struct Course {
    next: Duration,
    deed: Deed,
    gaps: Gaps,
}

#[derive(Clone, Debug)]
enum Gaps {
    /// There is no next time.
    Once,
    Even(Duration),
    Exponential {
        mean: f64,
        chance: Chance,
    },
}

impl Agenda {
    /// What `user` does in the scenario's phase `at`, which began at `began`.
    pub fn new(scenario: &Scenario, user: u32, at: usize, began: Duration) -> Self {
        let Some(phase) = scenario.phases.get(at) else {
            return Self::nothing();
        };
        let planner = Planner {
            scenario,
            phase,
            user,
            at,
            began,
        };
        let (before, after) = scenario.online(at);
        let mut courses = planner.moves(before, after);
        if user < after {
            courses.extend(planner.churn(after));
            courses.extend(planner.actions());
        }
        Self { courses }
    }

    /// For a user who does nothing of its own.
    pub fn nothing() -> Self {
        Self { courses: Vec::new() }
    }

    /// As [`Agenda::nothing`], but for coming online at `time`.
    pub fn enter(time: Duration) -> Self {
        Self {
            courses: vec![Course::once(time, Deed::Enter)],
        }
    }

    /// When the next deed is due.
    pub fn due(&self) -> Option<Duration> {
        self.courses.iter().map(|course| course.next).min()
    }

    /// The next deed that is due by `now`, with the time when it was to be done.
    pub fn take(&mut self, now: Duration) -> Option<(Duration, Deed)> {
        let at = (0..self.courses.len()).min_by_key(|at| self.courses[*at].next)?;
        let course = &mut self.courses[at];
        if course.next > now {
            return None;
        }
        let taken = (course.next, course.deed);
        match course.gaps.draw() {
            Some(gap) => course.next += gap,
            None => drop(self.courses.swap_remove(at)),
        }
        Some(taken)
    }
}

impl Course {
    fn once(next: Duration, deed: Deed) -> Self {
        Self {
            next,
            deed,
            gaps: Gaps::Once,
        }
    }
}

impl Gaps {
    fn draw(&mut self) -> Option<Duration> {
        match self {
            Self::Once => None,
            Self::Even(gap) => Some(*gap),
            Self::Exponential { mean, chance } => {
                // Within (0, 1], so that the logarithm is finite.
                let share = 1.0 - fraction(chance);
                Some(Duration::from_secs_f64(-share.ln() * *mean))
            }
        }
    }
}

/// What all courses of a user in a phase follow from.
struct Planner<'a> {
    scenario: &'a Scenario,
    phase: &'a Phase,
    user: u32,
    at: usize,
    began: Duration,
}

impl Planner<'_> {
    /// Coming and going.
    fn moves(&self, before: u32, after: u32) -> Vec<Course> {
        let phase = self.phase;
        if (before..after).contains(&self.user) {
            let time = self.turn(self.user - before, phase.logins);
            return vec![Course::once(time, Deed::Enter)];
        }
        if (after..before).contains(&self.user) {
            let time = self.turn(before - 1 - self.user, phase.logouts);
            return vec![Course::once(time, Deed::Leave)];
        }
        let share = phase.drop.map_or(0.0, |amount| amount.share_of(after));
        if self.user >= after || fraction(&mut self.chance(Stream::Drop)) >= share {
            return Vec::new();
        }
        // Those before it lose their connection with the same probability.
        let rank = (f64::from(self.user) * share) as u32;
        let back = self.turn(rank, phase.logins);
        vec![Course::once(self.began, Deed::Cut), Course::once(back, Deed::Enter)]
    }

    /// When the one with so many before it has its turn: somewhere in its share of the time.
    fn turn(&self, rank: u32, rate: Option<Rate>) -> Duration {
        let jitter = fraction(&mut self.chance(Stream::Turn));
        let wait = rate.map_or(0.0, |rate| (f64::from(rank) + jitter) / rate.per_second);
        self.began + Duration::from_secs_f64(wait)
    }

    fn churn(&self, online: u32) -> Option<Course> {
        let rate = self.phase.churn?.per_second / f64::from(online);
        self.course(rate, Deed::Renew, Arrivals::Exponential, Stream::Churn)
    }

    fn actions(&self) -> Vec<Course> {
        let Some(group) = group(self.scenario, self.user) else {
            return Vec::new();
        };
        let scale = self
            .scenario
            .rate
            .map_or(1.0, |rate| rate.per_second / self.scenario.messages_per_second());
        let course = |(action, rate): (&Action, &Rate)| {
            let scale = if *action == Action::Message { scale } else { 1.0 };
            let rate = rate.per_second * self.phase.pace * scale;
            self.course(
                rate,
                Deed::Act(*action),
                self.scenario.arrivals,
                Stream::Action(*action),
            )
        };
        group.rates.iter().filter_map(course).collect()
    }

    fn course(&self, rate: f64, deed: Deed, arrivals: Arrivals, stream: Stream) -> Option<Course> {
        let mean = 1.0 / rate;
        // Slower than once in a thousand years is never.
        if !(rate > 0.0 && mean < 3e10) {
            return None;
        }
        let mut chance = self.chance(stream);
        let (first, gaps) = match arrivals {
            Arrivals::Even => {
                let offset = f64::from(self.user) / f64::from(self.scenario.users) * mean;
                (
                    Duration::from_secs_f64(offset),
                    Gaps::Even(Duration::from_secs_f64(mean)),
                )
            }
            Arrivals::Exponential => {
                let mut gaps = Gaps::Exponential {
                    mean,
                    chance: Chance::new(chance.draw()),
                };
                (gaps.draw()?, gaps)
            }
        };
        Some(Course {
            next: self.began + first,
            deed,
            gaps,
        })
    }

    fn chance(&self, stream: Stream) -> Chance {
        let stream = match stream {
            Stream::Churn => 0,
            Stream::Drop => 1,
            Stream::Turn => 2,
            Stream::Action(action) => 16 + action as u64,
        };
        let place = (u64::from(self.user) << 24) | ((self.at as u64) << 8) | stream;
        let mut chance = Chance::new(self.scenario.seed);
        Chance::new(chance.draw() ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// What chance is asked for: each has numbers of its own.
#[derive(Clone, Copy)]
enum Stream {
    Churn,
    Drop,
    Turn,
    Action(Action),
}

/// The group that `user` is of: groups are mixed evenly over the numbers. `None` when there are no groups.
pub fn group(scenario: &Scenario, user: u32) -> Option<&Group> {
    /// The golden ratio's multiples lie as evenly as can be.
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let weights: f64 = scenario.groups.iter().map(|group| group.share).sum();
    let mut place = (f64::from(user) * GOLDEN).fract() * weights;
    let found = scenario.groups.iter().find(|group| {
        place -= group.share;
        place < 0.0
    });
    found.or(scenario.groups.last())
}

/// Who knows whom. Each user's contacts have it as a contact too.
#[derive(Clone, Debug)]
pub struct Circle {
    users: u32,
    /// How far away everybody's contacts are, in both directions; none for pairs.
    offsets: Vec<u32>,
}

impl Circle {
    /// As the scenario says.
    pub fn of(scenario: &Scenario) -> Self {
        let count = scenario.contacts.count;
        let offsets = match scenario.contacts.graph {
            Graph::Pairs => Vec::new(),
            Graph::Random => offsets(scenario.seed, scenario.users, count / 2),
            Graph::Ring => (1..=count / 2).collect(),
        };
        Self {
            users: scenario.users,
            offsets,
        }
    }

    /// How many contacts each user has.
    pub fn count(&self) -> usize {
        (self.offsets.len() * 2).max(1)
    }

    /// The contact of `user` at a place below [`Circle::count`].
    pub fn contact(&self, user: u32, place: usize) -> u32 {
        let Some(offset) = self.offsets.get(place / 2) else {
            return if self.users == 1 { user } else { user ^ 1 };
        };
        let away = if place.is_multiple_of(2) {
            *offset
        } else {
            self.users - *offset
        };
        ((u64::from(user) + u64::from(away)) % u64::from(self.users)) as u32
    }
}

/// Distances that differ, below half of all.
fn offsets(seed: u64, users: u32, count: u32) -> Vec<u32> {
    let mut chance = Chance::new(!seed);
    let most = (users - 1) / 2;
    let mut offsets: Vec<u32> = Vec::new();
    while (offsets.len() as u32) < count.min(most) {
        let offset = 1 + chance.below(most as usize) as u32;
        if !offsets.contains(&offset) {
            offsets.push(offset);
        }
    }
    offsets
}

/// A number within [0, 1).
fn fraction(chance: &mut Chance) -> f64 {
    (chance.draw() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn scenario(rest: &str) -> Scenario {
        let text = format!("name='a'\npurpose='b'\nusers=1000\nseed=7\n{rest}");
        Scenario::read(&text).unwrap()
    }

    /// All that all users do in a phase, up to `until` seconds.
    fn all(scenario: &Scenario, at: usize, until: u64) -> Vec<(Duration, Deed, u32)> {
        let mut done = Vec::new();
        for user in 0..scenario.users {
            let mut agenda = Agenda::new(scenario, user, at, Duration::ZERO);
            while let Some((time, deed)) = agenda.take(Duration::from_secs(until)) {
                done.push((time, deed, user));
            }
        }
        done.sort_by_key(|(time, _, user)| (*time, *user));
        done
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let text = "[[group]]\nrates={message='1/s'}\n[[phase]]\nname='x'\nfor='9s'\nonline='100%'\nlogins='100/s'\n";
        let one = scenario(text);
        assert_eq!(all(&one, 0, 5), all(&one, 0, 5));
        let other = Scenario { seed: 8, ..one.clone() };
        assert_ne!(all(&one, 0, 5), all(&other, 0, 5));
    }

    #[test]
    fn logins_come_at_their_rate() {
        let scenario = scenario("[[phase]]\nname='x'\nonline='50%'\nlogins='100/s'\n");
        let moves = all(&scenario, 0, 100);
        assert_eq!(moves.len(), 500);
        let within = |from: f64, to: f64| {
            let is_within = |time: Duration| (from..to).contains(&time.as_secs_f64());
            moves.iter().filter(|(time, _, _)| is_within(*time)).count()
        };
        for second in 0..5 {
            assert_eq!(within(f64::from(second), f64::from(second) + 1.0), 100, "{second}");
        }
    }

    #[test]
    fn messages_come_at_their_rate_whether_evenly_or_not() {
        for arrivals in ["even", "exponential"] {
            let scenario = scenario(&format!(
                "rate='300/s'\narrivals='{arrivals}'\n[[group]]\nrates={{message='1/s'}}\n[[phase]]\nname='x'\nfor='20s'\nonline='100%'\npace=2.0"
            ));
            let count = all(&scenario, 0, 20)
                .iter()
                .filter(|(_, deed, _)| *deed != Deed::Enter)
                .count();
            assert!((11_600..12_400).contains(&count), "{arrivals}: {count}");
        }
    }

    #[test]
    fn who_is_dropped_comes_back_at_the_rate_of_logins() {
        let phases = "[[phase]]\nname='a'\nonline='100%'\n[[phase]]\nname='b'\nfor='9s'\ndrop='40%'\nlogins='100/s'\n";
        let moves = all(&scenario(phases), 1, 9);
        let of = |wanted: Deed| moves.iter().filter(|(_, deed, _)| *deed == wanted).count();
        assert_eq!(of(Deed::Cut), of(Deed::Enter));
        assert!((350..450).contains(&of(Deed::Cut)), "{}", of(Deed::Cut));
        let last = moves.last().map(|(time, _, _)| time.as_secs_f64());
        assert!(last.is_some_and(|last| (3.5..4.5).contains(&last)), "{last:?}");
    }

    #[test]
    fn who_leaves_is_who_came_last() {
        let phases = "[[phase]]\nname='a'\nonline='100%'\n[[phase]]\nname='b'\nonline='999'\n";
        let moves = all(&scenario(phases), 1, 9);
        assert_eq!(moves, [(Duration::ZERO, Deed::Leave, 999)]);
    }

    #[test]
    fn knowing_each_other_is_mutual() {
        for graph in ["pairs", "ring", "random"] {
            let scenario = scenario(&format!(
                "contacts={{graph='{graph}',count=6}}\n[[phase]]\nname='x'\nfor='1s'"
            ));
            let circle = Circle::of(&scenario);
            let contacts = |user| -> Vec<u32> { (0..circle.count()).map(|at| circle.contact(user, at)).collect() };
            assert_eq!(circle.count(), if graph == "pairs" { 1 } else { 6 }, "{graph}");
            for user in 0..scenario.users {
                let own: BTreeSet<u32> = contacts(user).into_iter().collect();
                assert!(own.len() == circle.count() && !own.contains(&user), "{graph}: {user}");
                assert!(
                    own.iter().all(|other| contacts(*other).contains(&user)),
                    "{graph}: {user}"
                );
            }
        }
    }

    #[test]
    fn groups_are_as_large_as_their_share() {
        let text = "[[group]]\nname='a'\nshare=3.0\n[[group]]\nname='b'\n[[phase]]\nname='x'\nfor='1s'";
        let scenario = scenario(text);
        let first = (0..1000).filter(|user| group(&scenario, *user).is_some_and(|group| group.name == "a"));
        assert!((745..=755).contains(&first.count()));
    }
}
