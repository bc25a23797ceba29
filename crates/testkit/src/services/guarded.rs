//! Servers as production has them: with certificates and passwords, and a Redis that fails over.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Account, Etcd, Plan, Postgres, Redis, Server};
use super::{again, etcd_arguments, folder, free_port, program, redis, redis_arguments, wait};

/// A server's certificate for `localhost`, its key, and the CA that clients must be signed by; PEM texts.
pub struct Papers {
    /// The CA.
    pub ca: String,
    /// The server's certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Papers {
    /// Writes `ca.pem`, `server.pem` and `server.key` as PostgreSQL wants them: nobody else may read the key.
    fn lay(&self, folder: &Path, user: Option<&Account>) -> Result<()> {
        use std::os::unix::fs::{PermissionsExt, chown};
        for (name, text) in [
            ("ca.pem", &self.ca),
            ("server.pem", &self.certificate),
            ("server.key", &self.key),
        ] {
            let file = folder.join(name);
            std::fs::write(&file, text)?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
            if let Some(user) = user {
                chown(&file, Some(user.uid), Some(user.gid))?;
            }
        }
        Ok(())
    }
}

/// Whether anybody listens.
fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

impl Redis {
    /// Starts `redis-server` for TLS only, with a password.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub fn start_guarded(papers: &Papers, password: &str) -> Result<Self> {
        again(|| {
            let (port, folder) = (free_port()?, folder("redis")?);
            papers.lay(&folder, None)?;
            let port_text = port.to_string();
            let more = [
                ["--port", "0"],
                ["--tls-port", &port_text],
                ["--tls-cert-file", "server.pem"],
                ["--tls-key-file", "server.key"],
                ["--tls-ca-cert-file", "ca.pem"],
                ["--tls-auth-clients", "no"],
                ["--requirepass", password],
            ];
            let server = Server::start(Plan {
                program: program("redis-server", "redis-server")?,
                arguments: redis_arguments(&more.concat()),
                folder,
                user: None,
                polite: "TERM",
                ready: Box::new(move || listens(port)),
            })?;
            Ok(Self { server, port })
        })
    }
}

impl Etcd {
    /// Starts `etcd` for TLS only; clients need a certificate.
    ///
    /// # Errors
    /// As [`Etcd::start`].
    pub fn start_guarded(papers: &Papers) -> Result<Self> {
        again(|| {
            let (port, peer, folder) = (free_port()?, free_port()?, folder("etcd")?);
            papers.lay(&folder, None)?;
            let mut arguments = etcd_arguments(&folder, "https", port, peer);
            let more = [
                ["--cert-file", "server.pem"],
                ["--key-file", "server.key"],
                ["--trusted-ca-file", "ca.pem"],
            ];
            arguments.extend(more.concat().into_iter().map(str::to_owned));
            arguments.push("--client-cert-auth".to_owned());
            let server = Server::start(Plan {
                program: program("etcd", "etcd-server")?,
                arguments,
                folder,
                user: None,
                polite: "TERM",
                ready: Box::new(move || listens(port)),
            })?;
            Ok(Self { server, port })
        })
    }
}

impl Postgres {
    /// Starts PostgreSQL that takes the user `dunlin` with `password`, over TLS only.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_guarded(papers: &Papers, password: &str) -> Result<Self> {
        let guard = |folder: &Path, user: Option<&Account>| {
            papers.lay(folder, user)?;
            let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
            std::fs::write(folder.join("data/pg_hba.conf"), rules).context("pg_hba.conf")
        };
        let settings = [
            "fsync=off",
            "ssl=on",
            "ssl_cert_file=../server.pem",
            "ssl_key_file=../server.key",
        ];
        let server = again(|| Self::within(&settings, guard))?;
        server.psql(&format!("ALTER USER dunlin PASSWORD '{password}'"))?;
        Ok(server)
    }

    /// Runs a statement over the socket, where no password is asked for.
    fn psql(&self, statement: &str) -> Result<()> {
        let socket = self.server.plan.folder.display().to_string();
        let port = self.port.to_string();
        let line = [
            "-h", &socket, "-p", &port, "-U", "dunlin", "-d", "postgres", "-qc", statement,
        ];
        let done = std::process::Command::new(program("psql", "postgresql-client")?)
            .args(line)
            .output()?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }
}

/// A Redis with a replica, and a sentinel that makes the replica the master when the master is gone.
pub struct RedisSentinel {
    /// The first master.
    pub master: Redis,
    /// Its replica.
    pub replica: Redis,
    sentinel: Server,
    port: u16,
}

impl RedisSentinel {
    /// What the sentinel calls the master.
    pub const NAME: &'static str = "dunlin";

    /// Starts all three and waits until they know each other.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub fn start() -> Result<Self> {
        let master = Redis::start()?;
        let replica = Redis::start()?;
        replica.expect_ok(&format!("REPLICAOF 127.0.0.1 {}", master.port))?;
        wait("the replica", || {
            master
                .command("INFO replication")
                .is_ok_and(|info| info.contains("state=online"))
        })?;
        let (sentinel, port) = again(|| sentinel(master.port))?;
        wait("the sentinel", || {
            redis(port, &format!("SENTINEL REPLICAS {}", Self::NAME))
                .is_some_and(|known| known.contains(&replica.port.to_string()) && !known.contains("disconnected"))
        })?;
        Ok(Self {
            master,
            replica,
            sentinel,
            port,
        })
    }

    /// `redis://127.0.0.1:PORT` of the sentinel.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The sentinel's process id.
    pub fn pid(&self) -> Option<u32> {
        self.sentinel.child.as_ref().map(std::process::Child::id)
    }
}

fn sentinel(master: u16) -> Result<(Server, u16)> {
    let (port, folder, name) = (free_port()?, folder("sentinel")?, RedisSentinel::NAME);
    let settings = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor {name} 127.0.0.1 {master} 1\n\
         sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 3000\n"
    );
    std::fs::write(folder.join("sentinel.conf"), settings)?;
    let server = Server::start(Plan {
        program: program("redis-server", "redis-server")?,
        arguments: ["sentinel.conf", "--sentinel"].map(str::to_owned).to_vec(),
        folder,
        user: None,
        polite: "TERM",
        ready: Box::new(move || redis(port, "PING").is_some_and(|answer| answer.starts_with("+PONG"))),
    })?;
    Ok((server, port))
}
