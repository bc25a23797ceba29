//! A cluster on which scenarios are played, and the playing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use swarm::chance::Chance;
use swarm::{Habits, Persona, Report, Swarm};
use testkit::fleet::{Fleet, Layout};
use testkit::settings::DOMAINS;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::scenarios::{Party, Scenario, Step};
use crate::{double, embedded, results, scripts};

/// Clients of a swarm; they talk in pairs, each with its neighbour.
const CLIENTS: usize = 200;
/// How often each of them says something.
const EVERY: Duration = Duration::from_millis(500);
/// How long a client waits for an answer before it looks for another edge.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long all clients together may take to get their sessions.
pub(crate) const GATHERING: Duration = Duration::from_secs(90);
/// How long nothing may happen before what has not come is given up. Longer than anything that a server waits for.
const GIVEN_UP: Duration = Duration::from_secs(25);
/// How long nothing may happen once all clients have logged in anew, to get what lies there.
const COLLECTING: Duration = Duration::from_secs(10);
/// How long is waited for duplicates once everything has come.
const QUIET: Duration = Duration::from_secs(2);

/// Where scenarios are played: a cluster, kept for the next one that wants the same.
#[derive(Default)]
pub(crate) struct Stage {
    fleet: Option<(Layout, Fleet)>,
}

/// What came of a scenario.
pub(crate) struct Outcome {
    /// The clients' ledger in figures.
    pub(crate) report: Report,
    /// What was done, and when.
    pub(crate) schedule: Vec<String>,
}

impl Outcome {
    /// Whether all promises were kept.
    pub(crate) fn is_as_promised(&self) -> bool {
        self.report.is_clean()
    }
}

/// A scenario that is being played.
struct Play<'a> {
    fleet: &'a mut Fleet,
    swarm: &'a Swarm,
    chance: Chance,
    edge: String,
    router: String,
    fault: Option<Duration>,
    schedule: Vec<String>,
}

impl Stage {
    /// Plays a scenario to its end. The cluster is whole again afterwards.
    pub(crate) async fn play(&mut self, scenario: &Scenario, seed: u64) -> Result<Outcome> {
        if scenario.embedded {
            return embedded::play(scenario, seed).await;
        }
        let fleet = self.fleet(scenario)?;
        let swarm = Swarm::start(personas(scenario), habits(fleet.c2s()), seed);
        swarm.gather(GATHERING).await?;
        swarm.talk();
        let mut chance = Chance::new(seed);
        let pick = |chance: &mut Chance, all: Vec<String>| chance.pick(&all).cloned().context("no nodes");
        let (edge, router) = (
            pick(&mut chance, fleet.named("edge"))?,
            pick(&mut chance, fleet.named("router"))?,
        );
        let mut play = Play {
            fleet,
            swarm: &swarm,
            chance,
            edge,
            router,
            fault: None,
            schedule: Vec::new(),
        };
        let played = play.all(scenario).await;
        let (fault, schedule) = (play.fault.unwrap_or_default(), play.schedule);
        let report = finish(swarm, fault).await;
        let outcome = Outcome { report, schedule };
        if played.is_err() || !outcome.is_as_promised() {
            fleet.save_logs(&results::folder().join(format!("{}-{seed}", scenario.name)))?;
        }
        played?;
        block_in_place(|| fleet.restore())?;
        Ok(outcome)
    }

    fn fleet(&mut self, scenario: &Scenario) -> Result<&mut Fleet> {
        let layout = Layout {
            edges: 3,
            routers: 3,
            etcds: scenario.etcds,
            settings: scenario.settings.to_owned(),
            clocks: scenario.clocks,
        };
        if self.fleet.as_ref().is_none_or(|(standing, _)| *standing != layout) {
            self.fleet = None;
            let fleet = block_in_place(|| begin(&layout))?;
            self.fleet = Some((layout, fleet));
        }
        self.fleet.as_mut().map(|(_, fleet)| fleet).context("no cluster")
    }
}

impl Play<'_> {
    async fn all(&mut self, scenario: &Scenario) -> Result<()> {
        for step in scenario.steps {
            self.step(*step).await.with_context(|| format!("{step:?}"))?;
        }
        Ok(())
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        if let Step::Talk(least, most) = step {
            let time = Duration::from_millis(least)..Duration::from_millis(most);
            sleep(self.chance.time(time)).await;
            return Ok(());
        }
        let now = self.swarm.now();
        self.fault.get_or_insert(now);
        self.schedule.push(format!(
            "{:.3} s {step:?}, {} and {}",
            now.as_secs_f64(),
            self.edge,
            self.router
        ));
        println!("{}", self.schedule.last().map_or("", String::as_str));
        match step {
            Step::Part(one, other) => self.between(one, other, |play, one, other| play.fleet.network.part(one, other)),
            Step::Cut(from, to) => self.between(from, to, |play, from, to| play.fleet.network.cut(from, to)),
            Step::Delay(one, other, delay) => {
                self.between(one, other, |play, one, other| {
                    play.fleet.network.delay(one, other, delay)
                });
            }
            Step::Heal => self.fleet.network.heal(),
            Step::DoubleLogins => double::log_in(self.fleet).await?,
            Step::FillDisk | Step::FreeDisk => bail!("a cluster has no disk of its own"),
            other => block_in_place(|| self.process(other))?,
        }
        Ok(())
    }

    /// Steps that end, freeze or start processes.
    fn process(&mut self, step: Step) -> Result<()> {
        let parties = |party| self.names(party);
        match step {
            Step::Kill(party) => parties(party).iter().try_for_each(|id| self.fleet.kill(id)),
            Step::Stop(party) => parties(party).iter().try_for_each(|id| self.fleet.stop(id)),
            Step::Start(party) => parties(party).iter().try_for_each(|id| self.fleet.restart(id)),
            Step::Freeze(party) => parties(party).iter().try_for_each(|id| self.fleet.signal(id, "STOP")),
            Step::Wake(party) => parties(party).iter().try_for_each(|id| self.fleet.signal(id, "CONT")),
            Step::Away(Party::Redis) => self.fleet.redis.kill(),
            Step::Away(Party::Postgres) => self.fleet.postgres.kill(),
            Step::Away(_) => self.fleet.etcd.members.iter_mut().try_for_each(|member| member.kill()),
            Step::KillLeader => {
                let leader = self.fleet.etcd.leader()?;
                self.fleet.etcd.members[leader].kill()
            }
            Step::RestartAll => self.restart_all(),
            Step::Clock(party, ahead) => parties(party).iter().try_for_each(|id| self.fleet.set_clock(id, ahead)),
            _ => self.fleet.restore(),
        }
    }

    fn restart_all(&mut self) -> Result<()> {
        for id in self.fleet.named("") {
            self.fleet.stop(&id)?;
            self.fleet.restart(&id)?;
            println!("  {:.3} s {id} is back", self.swarm.now().as_secs_f64());
        }
        Ok(())
    }

    fn between(&self, from: Party, to: Party, act: impl Fn(&Self, &str, &str)) {
        for from in self.names(from) {
            for to in self.names(to) {
                act(self, &from, &to);
            }
        }
    }

    fn names(&self, party: Party) -> Vec<String> {
        match party {
            Party::Edge => vec![self.edge.clone()],
            Party::Edges => self.fleet.named("edge"),
            Party::Router => vec![self.router.clone()],
            Party::Routers => {
                let mut others = self.fleet.named("router");
                others.retain(|id| *id != self.router);
                others
            }
            Party::Redis => vec!["redis".to_owned()],
            Party::Etcd => vec!["etcd".to_owned()],
            Party::Postgres => vec!["postgres".to_owned()],
        }
    }
}

/// Has the clients come to rest and log out. What their ledger says, since a fault at `fault`.
pub(crate) async fn finish(swarm: Swarm, fault: Duration) -> Report {
    swarm.settle(QUIET, GIVEN_UP).await;
    swarm.collect(QUIET, COLLECTING).await;
    Report::of(&swarm.leave().await, fault.saturating_sub(EVERY))
}

/// The accounts of the clients, `(name, password)` each.
pub(crate) fn users() -> impl Iterator<Item = (String, String)> {
    (0..CLIENTS).map(|at| (user(at), password(at)))
}

fn begin(layout: &Layout) -> Result<Fleet> {
    let fleet = Fleet::start(&binary(), layout)?;
    fleet.add_users(&users().chain(double::users()).collect::<Vec<_>>())?;
    Ok(fleet)
}

/// The binary under test; `DUNLIN` names another one.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("DUNLIN").map_or_else(scripts::binary, |path| Path::new(&path).to_owned())
}

fn user(at: usize) -> String {
    format!("u{at}")
}

fn password(at: usize) -> String {
    format!("password-{at}")
}

/// The clients of a scenario.
pub(crate) fn personas(scenario: &Scenario) -> Vec<Persona> {
    let persona = |at| Persona {
        user: user(at),
        password: password(at),
        peer: at ^ 1,
        manner: (scenario.manner)(at),
    };
    (0..CLIENTS).map(persona).collect()
}

/// How every client of the drill lives, with these edges.
pub(crate) fn habits(edges: Vec<SocketAddr>) -> Habits {
    Habits {
        edges: Mutex::new(edges),
        tls: None,
        domain: DOMAINS[0].to_owned(),
        resource: "swarm".to_owned(),
        every: EVERY,
        patience: PATIENCE,
    }
}
