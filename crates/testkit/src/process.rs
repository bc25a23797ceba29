//! The real binary as a process of its own, with an embedded database in a folder that goes away with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::metrics;
use crate::runner::Stage;
use crate::settings;

/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often to look.
const LOOK: Duration = Duration::from_millis(20);

/// A server in a process of its own.
pub struct Server {
    binary: PathBuf,
    config: PathBuf,
    ready: Value,
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts `binary serve` for [`crate::settings::DOMAINS`], without TLS, on free loopback ports.
    ///
    /// # Errors
    /// When it does not become ready; its log is in the message.
    pub async fn start(binary: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dunlin-test-").tempdir()?;
        let config = folder.path().join("dunlin.toml");
        std::fs::write(&config, settings(folder.path())?)?;
        let ready_file = folder.path().join("ready.json");
        let log = folder.path().join("log");
        let child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(&config)
            .arg("--ready-file")
            .arg(&ready_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let mut server = Self {
            binary: binary.to_owned(),
            config,
            ready: Value::Null,
            child,
            folder,
        };
        server.ready = server
            .wait_ready(&ready_file)
            .await
            .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        Ok(server)
    }

    /// Creates accounts, `(address, password)` each, with `dunlin user add --bulk` beside the running server.
    ///
    /// # Errors
    /// What the command says.
    pub fn add_users(&self, users: &[(String, String)]) -> Result<()> {
        let file = self.config.with_file_name("users");
        let lines: Vec<String> = users
            .iter()
            .map(|(jid, password)| format!("{jid} {password}"))
            .collect();
        std::fs::write(&file, lines.join("\n"))?;
        let output = Command::new(&self.binary)
            .args(["user", "add", "--iterations", "4096", "--config"])
            .arg(&self.config)
            .arg("--bulk")
            .arg(&file)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Runs a command of the binary beside the running server, with its configuration.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn beside(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--config").arg(&self.config);
        Ok(command.output()?)
    }

    /// The folder that holds its data, and goes away with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where a listener is: `c2s`, `c2s_tls`, `component` or `http`.
    ///
    /// # Errors
    /// When there is no such listener.
    pub fn address(&self, listener: &str) -> Result<std::net::SocketAddr> {
        let text = self
            .ready
            .get(listener)
            .and_then(Value::as_str)
            .with_context(|| format!("no {listener}"))?;
        Ok(text.parse()?)
    }

    /// Asks it to stop with SIGTERM and waits for its end.
    ///
    /// # Errors
    /// When it does not end, or ends badly.
    pub async fn stop(mut self) -> Result<()> {
        let told = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status()?;
        ensure!(told.success(), "kill failed");
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < until, "still there after SIGTERM");
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn wait_ready(&mut self, file: &Path) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Ok(text) = std::fs::read(file) {
                return Ok(serde_json::from_slice(&text)?);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("ended at once with {status}");
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("not ready in time")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[async_trait]
impl Stage for Server {
    async fn create_account(&self, name: &str, domain: &str, password: &str) -> Result<()> {
        self.add_users(&[(format!("{name}@{domain}"), password.to_owned())])
    }

    async fn remove_account(&self, name: &str, domain: &str) -> Result<()> {
        remove_account(&self.binary, &self.config, &format!("{name}@{domain}"))
    }

    async fn invite(&self, domain: &str, user: Option<&str>, contact: Option<&str>) -> Result<String> {
        invite(&self.binary, &self.config, domain, user, contact)
    }

    async fn connect(&self, _index: usize) -> Result<Client> {
        Client::connect(self.address("c2s")?).await
    }

    async fn connect_component(&self, _index: usize) -> Result<Client> {
        Ok(Client::connect(self.address("component")?).await?.of_component())
    }

    async fn metrics(&self) -> Result<Option<String>> {
        metrics::read(self.address("http")?).await.map(Some)
    }
}

/// Removes an account with `dunlin user remove`, beside running servers.
///
/// # Errors
/// What the command says, also when no server has removed it in time.
pub(crate) fn remove_account(binary: &Path, config: &Path, jid: &str) -> Result<()> {
    let output = Command::new(binary)
        .args(["user", "remove", jid, "--config"])
        .arg(config)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.starts_with("removed"), "{said}");
    Ok(())
}

/// Makes an invitation with `dunlin invite create`, beside running servers; its token is in the link that is printed.
///
/// # Errors
/// What the command says.
pub(crate) fn invite(
    binary: &Path,
    config: &Path,
    domain: &str,
    user: Option<&str>,
    contact: Option<&str>,
) -> Result<String> {
    let mut command = Command::new(binary);
    command
        .args(["invite", "create", "--host", domain, "--config"])
        .arg(config);
    command.args(user.into_iter().flat_map(|user| ["--user", user]));
    command.args(contact.into_iter().flat_map(|contact| ["--contact", contact]));
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    let (_, rest) = said
        .split_once("preauth=")
        .with_context(|| format!("no token in {said}"))?;
    let token: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    Ok(token)
}

fn settings(data: &Path) -> Result<String> {
    let all = json!({
        "data": data,
        "hosts": settings::hosts(),
        "edge": {
            "listeners": { "c2s": ["127.0.0.1:0"], "c2s_tls": ["127.0.0.1:0"], "component": ["127.0.0.1:0"] },
            "tls": { "starttls": "off" },
        },
        "http": { "listen": "127.0.0.1:0" },
        "router": { "sasl": { "failures": 0 }, "components": settings::components() },
    });
    Ok(toml::to_string(&all)?)
}
