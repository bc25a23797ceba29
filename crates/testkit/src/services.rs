//! Real Redis, etcd and PostgreSQL servers for tests: each in a fresh folder on free loopback ports, ended and removed with the
//! value that stands for it, or with the test process however that ends. Calls block; none needs a runtime.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

// Named in full: this file is also read from elsewhere.
#[path = "services/guarded.rs"]
mod guarded;
#[path = "services/quorum.rs"]
mod quorum;

#[allow(unused_imports, reason = "who reads this file from elsewhere may need a part only")]
pub use guarded::{Papers, RedisSentinel};
#[allow(unused_imports, reason = "as above")]
pub use quorum::EtcdCluster;

/// How long a server may take to answer after its start, or to end after a polite signal.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(10);
/// How many ports are tried, from 10,000 on.
const PORTS: u16 = 20_000;
/// How many times a server is started with other ports when it did not come up.
const TRIES: usize = 5;

/// A standalone Redis.
pub struct Redis {
    server: Server,
    port: u16,
}

impl Redis {
    /// Starts `redis-server` without persistence.
    ///
    /// # Errors
    /// When it is not installed (Debian package `redis-server`) or does not answer.
    pub fn start() -> Result<Self> {
        again(|| Self::with(&[]))
    }

    fn with(more: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let program = program("redis-server", "redis-server")?;
        let folder = folder("redis")?;
        let port_text = port.to_string();
        let arguments = redis_arguments(&[&["--port", &port_text], more].concat());
        let ready = Box::new(move || redis(port, "PING").is_some_and(|answer| answer.starts_with("+PONG")));
        let server = Server::start(Plan {
            program,
            arguments,
            folder,
            user: None,
            polite: "TERM",
            ready,
        })?;
        Ok(Self { server, port })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Sends one inline command and returns the raw answer's first bytes.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn command(&self, line: &str) -> Result<String> {
        redis(self.port, line).with_context(|| format!("ask redis: {line}"))
    }
}

fn redis_arguments(more: &[&str]) -> Vec<String> {
    let common = [
        ["--bind", "127.0.0.1"],
        ["--save", ""],
        ["--appendonly", "no"],
        ["--daemonize", "no"],
    ];
    common
        .concat()
        .iter()
        .chain(more)
        .map(|&argument| argument.to_owned())
        .collect()
}

/// A Redis Cluster of primaries that share all slots.
pub struct RedisCluster {
    /// Its nodes.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts `nodes` primaries and waits until each sees the whole cluster.
    ///
    /// # Errors
    /// As [`Redis::start`]; also when the nodes do not find each other in time.
    pub fn start(nodes: u16) -> Result<Self> {
        ensure!(nodes > 0, "a cluster has nodes");
        let mut buses = Vec::new();
        let nodes: Vec<Redis> = (0..nodes)
            .map(|_| again(|| cluster_node(&mut buses)))
            .collect::<Result<_>>()?;
        let share = 16_384_usize.div_ceil(nodes.len());
        for (n, node) in nodes.iter().enumerate() {
            let (first, last) = (n * share, ((n + 1) * share).min(16_384) - 1);
            node.expect_ok(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"))?;
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            nodes[0].expect_ok(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port))?;
        }
        let all = format!("cluster_known_nodes:{}", nodes.len());
        let joined = |node: &Redis| {
            redis(node.port, "CLUSTER INFO")
                .is_some_and(|info| info.contains("cluster_state:ok") && info.contains(&all))
        };
        wait("redis cluster", || nodes.iter().all(joined))?;
        Ok(Self { nodes })
    }

    /// `redis://127.0.0.1:PORT` of each node.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }
}

fn cluster_node(buses: &mut Vec<u16>) -> Result<Redis> {
    let bus = free_port()?;
    let more = [
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus.to_string(),
        "--cluster-node-timeout",
        "5000",
    ];
    let node = Redis::with(&more)?;
    buses.push(bus);
    Ok(node)
}

impl Redis {
    fn expect_ok(&self, line: &str) -> Result<()> {
        let answer = self.command(line)?;
        ensure!(answer.starts_with("+OK"), "{line}: {answer}");
        Ok(())
    }
}

/// A single etcd.
pub struct Etcd {
    server: Server,
    port: u16,
}

impl Etcd {
    /// Starts `etcd`.
    ///
    /// # Errors
    /// When it is not installed (Debian package `etcd-server`) or does not answer.
    pub fn start() -> Result<Self> {
        again(|| {
            let (port, peer) = (free_port()?, free_port()?);
            let program = program("etcd", "etcd-server")?;
            let folder = folder("etcd")?;
            let arguments = etcd_arguments(&folder, "http", port, peer);
            let ready = Box::new(move || etcd_is_healthy(port));
            let server = Server::start(Plan {
                program,
                arguments,
                folder,
                user: None,
                polite: "TERM",
                ready,
            })?;
            Ok(Self { server, port })
        })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

fn etcd_arguments(folder: &Path, scheme: &str, port: u16, peer: u16) -> Vec<String> {
    let (client, peer) = (
        format!("{scheme}://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{peer}"),
    );
    let data = folder.join("data").display().to_string();
    let cluster = format!("test={peer}");
    let arguments = [
        ["--name", "test"],
        ["--data-dir", &data],
        ["--listen-client-urls", &client],
        ["--advertise-client-urls", &client],
        ["--listen-peer-urls", &peer],
        ["--initial-advertise-peer-urls", &peer],
        ["--initial-cluster", &cluster],
    ];
    arguments.concat().into_iter().map(str::to_owned).collect()
}

/// A single PostgreSQL with the superuser `dunlin`, who needs no password, and the database `postgres`. Texts sort by an English
/// collation, so that tests notice what relies on the order of bytes.
pub struct Postgres {
    server: Server,
    port: u16,
}

impl Postgres {
    /// Starts the newest PostgreSQL installed, with commits that do not wait for the disk. As root, it runs as user `postgres`.
    ///
    /// # Errors
    /// When it is not installed (Debian package `postgresql`) or does not answer.
    pub fn start() -> Result<Self> {
        again(|| Self::with(&["fsync=off", "full_page_writes=off"]))
    }

    /// Starts it with commits that wait for the disk, as in production: for measurements.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_durable() -> Result<Self> {
        again(|| Self::with(&[]))
    }

    fn with(settings: &[&str]) -> Result<Self> {
        Self::within(settings, |_, _| Ok(()))
    }

    /// `prepare` may change what lies in the folder before the server starts.
    fn within(settings: &[&str], prepare: impl Fn(&Path, Option<&Account>) -> Result<()>) -> Result<Self> {
        let port = free_port()?;
        let user = Account::for_postgres()?;
        let folder = folder("postgres")?;
        if let Some(user) = &user {
            std::os::unix::fs::chown(&folder, Some(user.uid), Some(user.gid)).context("give postgres its folder")?;
        }
        let data = folder.join("data").display().to_string();
        initialise(&folder, &data, user.as_ref())?;
        prepare(&folder, user.as_ref())?;
        let address = format!("unix_socket_directories={}", folder.display());
        let port_text = format!("port={port}");
        let own = [
            "listen_addresses=127.0.0.1",
            &address,
            &port_text,
            "max_connections=300",
        ];
        let mut arguments = vec!["-D".to_owned(), data];
        arguments.extend(
            own.iter()
                .chain(settings)
                .flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]),
        );
        let program = postgres_program("postgres")?;
        let asks = postgres_program("pg_isready")?;
        let ready = Box::new(move || postgres_is_ready(&asks, port));
        let server = Server::start(Plan {
            program,
            arguments,
            folder,
            user,
            polite: "INT",
            ready,
        })?;
        Ok(Self { server, port })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `postgres://dunlin@127.0.0.1:PORT/postgres`.
    pub fn url(&self) -> String {
        format!("postgres://dunlin@{}/postgres", self.address())
    }
}

/// What all services can do.
macro_rules! controls {
    ($($service:ty),+) => {
        $(impl $service {
            /// The server's process id; `None` while it is stopped.
            pub fn pid(&self) -> Option<u32> {
                self.server.child.as_ref().map(Child::id)
            }

            /// Stops it politely and waits for its end. Its data stays.
            ///
            /// # Errors
            /// When it does not end in time.
            pub fn stop(&mut self) -> Result<()> {
                self.server.stop()
            }

            /// Kills it (SIGKILL) and waits for its end. Its data stays.
            ///
            /// # Errors
            /// When it cannot be killed.
            pub fn kill(&mut self) -> Result<()> {
                self.server.kill()
            }

            /// Starts it again on the same ports and data, after stopping it if it runs.
            ///
            /// # Errors
            /// When it does not answer in time.
            pub fn restart(&mut self) -> Result<()> {
                self.server.stop()?;
                self.server.relaunch()
            }
        })+
    };
}

controls!(Redis, Etcd, Postgres);

/// How a server is started.
pub(crate) struct Plan {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) folder: PathBuf,
    pub(crate) user: Option<Account>,
    /// The signal that ends it in order.
    pub(crate) polite: &'static str,
    pub(crate) ready: Box<dyn Fn() -> bool + Send + Sync>,
}

/// A server process and the folder it lives in.
pub(crate) struct Server {
    pub(crate) plan: Plan,
    pub(crate) child: Option<Child>,
    /// A shell that ends the server and removes the folder once this process is gone.
    keeper: Option<Child>,
}

impl Server {
    pub(crate) fn start(plan: Plan) -> Result<Self> {
        let keeper = keeper(&plan)?;
        let mut server = Self {
            plan,
            child: None,
            keeper: Some(keeper),
        };
        server.launch()?;
        Ok(server)
    }

    /// Starts the process again; more than once while the remains of a killed predecessor are in its way.
    pub(crate) fn relaunch(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.launch() {
                Err(_) if Instant::now() < deadline => std::thread::sleep(POLL * 10),
                done => return done,
            }
        }
    }

    /// Starts the process and waits until it is ready.
    fn launch(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.plan.folder.join("log"))
            .context("open the log")?;
        let mut command = command(&self.plan.program, self.plan.user.as_ref(), &self.plan.folder);
        command.args(&self.plan.arguments).stdout(log.try_clone()?).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("start {}", self.plan.program.display()))?;
        std::fs::write(self.plan.folder.join("pid"), child.id().to_string())?;
        let child = self.child.insert(child);
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                self.gone();
                bail!("{} ended with {status}:\n{}", self.plan.program.display(), self.log());
            }
            if (self.plan.ready)() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        self.kill()?;
        bail!(
            "{} did not answer in {PATIENCE:?}:\n{}",
            self.plan.program.display(),
            self.log()
        );
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        signal(child.id(), self.plan.polite)?;
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait()?.is_none() {
            ensure!(
                Instant::now() < deadline,
                "{} does not stop",
                self.plan.program.display()
            );
            std::thread::sleep(POLL);
        }
        self.gone();
        Ok(())
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child {
            child.kill()?;
            child.wait()?;
            self.gone();
        }
        Ok(())
    }

    /// The process has been waited for: its id may soon be another's.
    fn gone(&mut self) {
        self.child = None;
        let _ = std::fs::write(self.plan.folder.join("pid"), "");
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.plan.folder.join("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        drop(keeper.stdin.take()); // ends the server by its id, removes the folder
        let _ = keeper.wait();
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

/// Waits for the end of its input, which is the end of this process at the latest; a terminal's interrupt does not reach it.
/// PostgreSQL is asked first, for only a polite end gives its shared memory back.
fn keeper(plan: &Plan) -> Result<Child> {
    use std::os::unix::process::CommandExt;
    let script = r#"
        cat >/dev/null
        pid=$(cat "$1/pid" 2>/dev/null)
        if [ -n "$pid" ]; then
            [ "$2" = INT ] && kill -QUIT "$pid" && for _ in 1 2 3 4 5 6 7 8 9 10; do
                [ -e "$1/data/postmaster.pid" ] || break; sleep 0.1
            done
            kill -KILL "$pid"
        fi
        rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
    "#;
    Command::new("sh")
        .args(["-c", script, "keeper"])
        .arg(&plan.folder)
        .arg(plan.polite)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start the keeper")
}

/// The user a server runs as.
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// PostgreSQL refuses to run as root.
    fn for_postgres() -> Result<Option<Self>> {
        use std::os::unix::fs::MetadataExt;
        if std::fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd")?;
        let line = users.lines().find(|line| line.starts_with("postgres:"));
        let fields: Vec<_> = line
            .context("there is no user postgres: install the Debian package postgresql")?
            .split(':')
            .collect();
        let [_, _, uid, gid, ..] = fields[..] else {
            bail!("malformed /etc/passwd")
        };
        Ok(Some(Self {
            uid: uid.parse()?,
            gid: gid.parse()?,
        }))
    }
}

fn command(program: &Path, user: Option<&Account>, folder: &Path) -> Command {
    let mut command = match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            let ids = [format!("--reuid={}", user.uid), format!("--regid={}", user.gid)];
            command.args(ids).args(["--clear-groups", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn initialise(folder: &Path, data: &str, user: Option<&Account>) -> Result<()> {
    let order = [
        "--locale=C.UTF-8",
        "--locale-provider=icu",
        "--icu-locale=en-US",
        "--encoding=UTF8",
    ];
    let made = command(&postgres_program("initdb")?, user, folder)
        .args(["-D", data, "-U", "dunlin", "--auth=trust", "--no-sync"])
        .args(order)
        .output()
        .context("run initdb")?;
    ensure!(
        made.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(())
}

pub(crate) fn program(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.with_context(|| format!("{name} is not installed: install the Debian package {package}"))
}

/// Debian keeps PostgreSQL's programs out of the path.
fn postgres_program(name: &str) -> Result<PathBuf> {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    match installed
        .max_by_key(version)
        .map(|version| version.join("bin").join(name))
    {
        Some(file) if file.is_file() => Ok(file),
        _ => program(name, "postgresql"),
    }
}

pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    Ok(tempfile::Builder::new()
        .prefix(&format!("dunlin-{name}-"))
        .tempdir()?
        .keep())
}

/// A port nobody has just now, outside the range from which the system takes ports for connections, so that a server that is away for a
/// while finds it free again. Somebody may take it before the server does: then [`again`] helps.
pub(crate) fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 2_000) as u16 * 10;
    for _ in 0..PORTS {
        let port = 10_000 + first.wrapping_add(NEXT.fetch_add(1, Relaxed)) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}

pub(crate) fn again<T>(mut start: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tries = 1;
    loop {
        match start() {
            Err(error) if tries < TRIES && error.to_string().contains(" ended with ") => tries += 1,
            done => return done,
        }
    }
}

fn wait(what: &str, ready: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        ensure!(Instant::now() < deadline, "{what} is not ready after {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
    Ok(())
}

pub(crate) fn signal(pid: u32, name: &str) -> Result<()> {
    let done = Command::new("sh")
        .args(["-c", "kill -\"$1\" \"$2\"", "kill", name, &pid.to_string()])
        .status()?;
    ensure!(done.success(), "signal {name} to {pid}");
    Ok(())
}

/// Sends one inline command; the answer as far as one read brings it.
fn redis(port: u16, line: &str) -> Option<String> {
    exchange(port, &format!("{line}\r\n"))
}

fn etcd_is_healthy(port: u16) -> bool {
    let ask = format!("GET /health HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    exchange(port, &ask).is_some_and(|answer| answer.contains(r#""health":"true""#))
}

fn postgres_is_ready(program: &Path, port: u16) -> bool {
    let asked = Command::new(program)
        .args([
            "-q",
            "-h",
            "127.0.0.1",
            "-U",
            "dunlin",
            "-d",
            "postgres",
            "-p",
            &port.to_string(),
        ])
        .status();
    asked.is_ok_and(|status| status.success())
}

pub(crate) fn exchange(port: u16, ask: &str) -> Option<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    connection.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    connection.write_all(ask.as_bytes()).ok()?;
    let mut answer = vec![0; 16 * 1024];
    let mut length = connection.read(&mut answer).ok()?;
    if ask.contains(" HTTP/1.0") {
        while length < answer.len() {
            match connection.read(&mut answer[length..]).ok()? {
                0 => break,
                more => length += more,
            }
        }
    }
    answer.truncate(length);
    String::from_utf8(answer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server ends with its value and leaves nothing behind; stopped or killed, it comes back on the same port.
    fn check(folder: &Path, pid: Option<u32>) {
        assert!(pid.is_none_or(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
        assert!(!folder.exists(), "{}", folder.display());
    }

    macro_rules! life {
        ($($name:ident: $service:ty),+) => {
            $(#[test]
            fn $name() {
                let mut service = <$service>::start().unwrap();
                let address = service.address();
                service.kill().unwrap();
                assert_eq!(service.pid(), None);
                service.restart().unwrap();
                service.restart().unwrap();
                assert_eq!(service.address(), address);
                let (folder, pid) = (service.server.plan.folder.clone(), service.pid());
                assert!(folder.exists() && pid.is_some());
                drop(service);
                check(&folder, pid);
            })+
        };
    }

    life!(redis_lives_and_ends: Redis, etcd_lives_and_ends: Etcd, postgres_lives_and_ends: Postgres);

    #[test]
    fn a_missing_program_names_its_package() {
        let error = program("no-such-server", "no-such-package").unwrap_err();
        assert!(
            error.to_string().contains("install the Debian package no-such-package"),
            "{error}"
        );
    }
}
