//! A cluster of real processes whose every connection goes through a [`Network`] of ours, and of which everything can be killed, stopped,
//! frozen and started again: redis-server, etcd, PostgreSQL, routers and edges. Calls block; none needs a runtime.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::network::Network;
use crate::services::{self, EtcdCluster, Plan, Postgres, Redis, Server};
use crate::settings::DOMAINS;

/// The file in a node's folder that sets its clock.
const CLOCK: &str = "clock";

/// What a fleet is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many edges.
    pub edges: usize,
    /// How many routers.
    pub routers: usize,
    /// How many members etcd has.
    pub etcds: usize,
    /// Lines of TOML for every node.
    pub settings: String,
    /// Whether the nodes' clocks can be set (with the Debian package faketime).
    pub clocks: bool,
}

/// A cluster of real processes; ended when dropped.
pub struct Fleet {
    /// The ways between them. Nodes are called by their ids, databases `redis`, `etcd` (all members) and `postgres`.
    pub network: Network,
    /// Redis.
    pub redis: Redis,
    /// etcd.
    pub etcd: EtcdCluster,
    /// PostgreSQL.
    pub postgres: Postgres,
    nodes: Vec<Node>,
    binary: PathBuf,
}

/// A router or an edge.
pub struct Node {
    /// Its name, such as `edge-1`.
    pub id: String,
    /// Where clients connect, if it is an edge.
    pub c2s: Option<SocketAddr>,
    /// Where its health and metrics are.
    pub http: SocketAddr,
    config: PathBuf,
    server: Server,
}

/// What a node is told of its surroundings before it starts.
struct Place {
    id: String,
    is_edge: bool,
    http: u16,
    /// An edge's port for clients, a router's for other nodes.
    port: u16,
    /// What its configuration says of other processes.
    links: String,
}

impl Fleet {
    /// Starts all of `layout` with `binary`, for [`DOMAINS`], without TLS for clients. Ready when every node says so.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start(binary: &Path, layout: &Layout) -> Result<Self> {
        let mut fleet = Self {
            network: Network::start()?,
            redis: Redis::start()?,
            etcd: EtcdCluster::start(layout.etcds)?,
            postgres: Postgres::start()?,
            nodes: Vec::new(),
            binary: binary.to_owned(),
        };
        let routers: Vec<Place> = (1..=layout.routers)
            .map(|number| fleet.router(&format!("router-{number}")))
            .collect::<Result<_>>()?;
        let doors: Vec<String> = routers.iter().map(|place| place.links.clone()).collect();
        fleet.migrate(layout, &routers)?;
        fleet.launch(layout, routers)?;
        let seeds: Vec<&str> = doors.iter().filter_map(|links| advertised(links)).collect();
        let edges: Vec<Place> = (1..=layout.edges)
            .map(|number| edge(&format!("edge-{number}"), &seeds))
            .collect::<Result<_>>()?;
        fleet.launch(layout, edges)?;
        Ok(fleet)
    }

    /// The nodes: routers, then edges.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Names of the nodes whose names begin with `role` (`edge`, `router`).
    pub fn named(&self, role: &str) -> Vec<String> {
        let ids = self.nodes.iter().map(|node| node.id.clone());
        ids.filter(|id| id.starts_with(role)).collect()
    }

    /// Where clients connect.
    pub fn c2s(&self) -> Vec<SocketAddr> {
        self.nodes.iter().filter_map(|node| node.c2s).collect()
    }

    /// Kills a node (SIGKILL).
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self, id: &str) -> Result<()> {
        self.node(id)?.server.kill()
    }

    /// Asks a node to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self, id: &str) -> Result<()> {
        self.node(id)?.server.stop()
    }

    /// Starts a node that has ended, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn restart(&mut self, id: &str) -> Result<()> {
        let server = &mut self.node(id)?.server;
        if server.child.is_none() {
            server.relaunch()?;
        }
        Ok(())
    }

    /// Sends a signal, such as `STOP`, to a node.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&mut self, id: &str, name: &str) -> Result<()> {
        let node = self.node(id)?;
        let child = node
            .server
            .child
            .as_ref()
            .with_context(|| format!("{id} does not run"))?;
        services::signal(child.id(), name)
    }

    /// Sets a node's clock so many seconds ahead, or back. Time that passes is still measured right, as with any clock that is set.
    ///
    /// # Errors
    /// When the layout says that clocks cannot be set.
    pub fn set_clock(&mut self, id: &str, ahead: i64) -> Result<()> {
        let clock = self.node(id)?.config.with_file_name(CLOCK);
        ensure!(clock.exists(), "{id} has no clock of its own");
        std::fs::write(&clock, format!("{ahead:+}s\n")).with_context(|| clock.display().to_string())
    }

    /// Holds back everything between `id` and all nodes whose names begin with `role`.
    pub fn part_from(&self, id: &str, role: &str) {
        for other in self.named(role) {
            self.network.part(id, &other);
        }
    }

    /// Opens all ways, wakes all nodes, and starts everything that has ended.
    ///
    /// # Errors
    /// When something does not get ready.
    pub fn restore(&mut self) -> Result<()> {
        self.network.heal();
        if self.redis.pid().is_none() {
            self.redis.restart()?;
        }
        if self.postgres.pid().is_none() {
            self.postgres.restart()?;
        }
        for member in self.etcd.members.iter_mut().filter(|member| member.pid().is_none()) {
            member.restart()?;
        }
        for id in self.named("") {
            if self.node(&id)?.config.with_file_name(CLOCK).exists() {
                self.set_clock(&id, 0)?;
            }
            // One that has ended cannot be woken.
            let _ = self.signal(&id, "CONT");
            self.restart(&id)?;
        }
        Ok(())
    }

    /// Creates accounts of the first of [`DOMAINS`], `(name, password)` each.
    ///
    /// # Errors
    /// What the command says.
    pub fn add_users(&self, users: &[(String, String)]) -> Result<()> {
        let node = self.nodes.first().context("no nodes")?;
        let file = node.config.with_file_name("users");
        let lines: Vec<String> = users
            .iter()
            .map(|(name, password)| format!("{name}@{} {password}", DOMAINS[0]))
            .collect();
        std::fs::write(&file, lines.join("\n"))?;
        let bulk = ["user", "add", "--iterations", "4096", "--bulk"].map(str::to_owned);
        let line = [&bulk[..], &[file.display().to_string()]].concat();
        run(&self.binary, &line, &node.config)
    }

    /// Copies every node's log into `folder`, as `NAME.log`.
    ///
    /// # Errors
    /// When one cannot be copied.
    pub fn save_logs(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        for node in &self.nodes {
            let log = node.server.plan.folder.join("log");
            std::fs::copy(&log, folder.join(format!("{}.log", node.id))).with_context(|| log.display().to_string())?;
        }
        Ok(())
    }

    fn node(&mut self, id: &str) -> Result<&mut Node> {
        let found = self.nodes.iter_mut().find(|node| node.id == id);
        found.with_context(|| format!("no node {id}"))
    }

    /// A router with doors of its own to each database, and one through which others reach it.
    fn router(&self, id: &str) -> Result<Place> {
        let (http, port) = (services::free_port()?, services::free_port()?);
        let door = |to: &str, address: String| self.network.door(Some(id), to, address.parse()?);
        let redis = door("redis", self.redis.address())?;
        let postgres = door("postgres", self.postgres.address())?;
        let etcd = self.etcd.members.iter().map(|member| door("etcd", member.address()));
        let etcd: Vec<String> = etcd
            .map(|door| Ok(format!("'http://{}'", door?)))
            .collect::<Result<_>>()?;
        let advertised = self.network.door(None, id, SocketAddr::from(([127, 0, 0, 1], port)))?;
        let links = format!(
            "[link]\nlisten = '127.0.0.1:{port}'\nadvertise = '{advertised}'\n[store]\ndurable = 'postgres'\n\
             postgres.url = 'postgres://dunlin@{postgres}/postgres'\nredis.urls = ['redis://{redis}']\netcd.endpoints = [{}]\n",
            etcd.join(", ")
        );
        Ok(Place {
            id: id.to_owned(),
            is_edge: false,
            http,
            port,
            links,
        })
    }

    fn migrate(&self, layout: &Layout, routers: &[Place]) -> Result<()> {
        let folder = tempfile::Builder::new().prefix("dunlin-migrate-").tempdir()?;
        let config = folder.path().join("migrate.toml");
        let place = routers.first().context("no routers")?;
        std::fs::write(&config, settings(place, folder.path(), layout))?;
        run(&self.binary, &["migrate".to_owned()], &config)
    }

    /// Starts nodes, all at the same time.
    fn launch(&mut self, layout: &Layout, places: Vec<Place>) -> Result<()> {
        let binary = &self.binary;
        let started: Vec<Result<Node>> = thread::scope(|scope| {
            let starts: Vec<_> = places
                .iter()
                .map(|place| scope.spawn(|| start(binary, layout, place)))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().expect("no panic"))
                .collect()
        });
        for node in started {
            self.nodes.push(node?);
        }
        Ok(())
    }
}

impl Node {
    /// Its process id; `None` while it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.server.child.as_ref().map(std::process::Child::id)
    }
}

fn edge(id: &str, seeds: &[&str]) -> Result<Place> {
    let port = services::free_port()?;
    let seeds: Vec<String> = seeds.iter().map(|seed| format!("'{seed}'")).collect();
    let links = format!(
        "[link]\nrouters = [{}]\n[edge.listeners]\nc2s = ['127.0.0.1:{port}']\nc2s_tls = []\n[edge.tls]\nstarttls = 'off'\n",
        seeds.join(", ")
    );
    Ok(Place {
        id: id.to_owned(),
        is_edge: true,
        http: services::free_port()?,
        port,
        links,
    })
}

/// What a router's configuration says where it is reached.
fn advertised(links: &str) -> Option<&str> {
    let line = links.lines().find_map(|line| line.strip_prefix("advertise = '"));
    line.and_then(|line| line.strip_suffix('\''))
}

fn start(binary: &Path, layout: &Layout, place: &Place) -> Result<Node> {
    let folder = services::folder(&place.id)?;
    let config = folder.join(format!("{}.toml", place.id));
    std::fs::write(&config, settings(place, &folder, layout))?;
    let mut arguments = if layout.clocks { own_clock(&folder)? } else { Vec::new() };
    arguments.push(binary.display().to_string());
    arguments.extend(["serve", "--config"].map(str::to_owned));
    arguments.push(config.display().to_string());
    let http = place.http;
    let server = Server::start(Plan {
        program: services::program("env", "coreutils")?,
        arguments,
        folder,
        user: None,
        polite: "TERM",
        ready: Box::new(move || is_ready(http)),
    })
    .with_context(|| place.id.clone())?;
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    Ok(Node {
        id: place.id.clone(),
        c2s: place.is_edge.then(|| loopback(place.port)),
        http: loopback(http),
        config,
        server,
    })
}

/// What gives a process a clock that a file in `folder` sets (faketime(1)).
fn own_clock(folder: &Path) -> Result<Vec<String>> {
    let file = folder.join(CLOCK);
    std::fs::write(&file, "+0s\n")?;
    let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let library = libraries
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .context("libfaketime is not installed: install the Debian package faketime")?;
    Ok(vec![
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "DONT_FAKE_MONOTONIC=1".to_owned(),
    ])
}

fn settings(place: &Place, data: &Path, layout: &Layout) -> String {
    let role = if place.is_edge { "edge" } else { "router" };
    let hosts: Vec<String> = DOMAINS
        .iter()
        .map(|domain| format!("[[hosts]]\ndomain = '{domain}'\nplain_without_tls = true\n"))
        .collect();
    format!(
        "roles = ['{role}']\nnode = '{}'\ndata = '{}'\nhttp.listen = '127.0.0.1:{}'\nrouter.sasl.failures = 0\n{}\n{}{}",
        place.id,
        data.display(),
        place.http,
        layout.settings,
        hosts.join(""),
        place.links
    )
}

fn is_ready(port: u16) -> bool {
    let ask = format!("GET /ready HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    services::exchange(port, &ask).is_some_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// Runs a command of the binary to its end.
fn run(binary: &Path, command: &[String], config: &Path) -> Result<()> {
    let output = Command::new(binary)
        .args(command)
        .arg("--config")
        .arg(config)
        .output()?;
    ensure!(
        output.status.success(),
        "dunlin {}: {}",
        command.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
