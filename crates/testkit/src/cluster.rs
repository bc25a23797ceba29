//! A cluster of real processes on loopback: redis-server, etcd, PostgreSQL, routers and edges, made by `scripts/cluster`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::metrics;
use crate::process::{invite, remove_account};
use crate::runner::Stage;
use crate::settings::{self, DOMAINS};

/// A cluster of real processes; ended when dropped.
pub struct Cluster {
    script: PathBuf,
    binary: PathBuf,
    folder: TempDir,
    settings: String,
}

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub id: String,
    /// Its process.
    pub pid: u64,
    /// Where its health and metrics are.
    pub http: SocketAddr,
    /// Where clients connect, if it is an edge.
    pub c2s: Option<SocketAddr>,
    /// Where components connect, if it is an edge.
    pub component: Option<SocketAddr>,
}

impl Cluster {
    /// Starts databases, `routers` and `edges` of `binary`, for [`DOMAINS`], without TLS for clients.
    ///
    /// # Errors
    /// What the script says.
    pub fn start(root: &Path, binary: &Path, edges: usize, routers: usize) -> Result<Self> {
        Self::start_with(root, binary, edges, routers, "")
    }

    /// As [`Cluster::start`], with `settings` (lines of TOML) for every node.
    ///
    /// # Errors
    /// What the script says.
    pub fn start_with(root: &Path, binary: &Path, edges: usize, routers: usize, settings: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dunlin-cluster-").tempdir()?;
        let cluster = Self {
            script: root.join("scripts/cluster"),
            binary: binary.to_owned(),
            folder,
            settings: settings.to_owned(),
        };
        let counts = [("EDGES", edges.to_string()), ("ROUTERS", routers.to_string())];
        cluster.run("up", &counts)?;
        Ok(cluster)
    }

    /// Adds a node of `role` (`edge`, `router` or `all`) and waits until it is ready. Returns it.
    ///
    /// # Errors
    /// What the script says.
    pub fn add(&self, role: &str) -> Result<Node> {
        self.run("add", &[("ROLE", role.to_owned())])?;
        let group = match role {
            "edge" => "edges",
            "router" => "routers",
            both => both,
        };
        self.nodes(group)?.pop().context("no node was added")
    }

    /// The nodes of a group: `edges`, `routers`, or `all` for those that are both.
    ///
    /// # Errors
    /// When cluster.json cannot be read.
    pub fn nodes(&self, group: &str) -> Result<Vec<Node>> {
        let state = self.state()?;
        let nodes = state
            .get(group)
            .and_then(Value::as_array)
            .with_context(|| format!("no {group}"))?;
        nodes.iter().map(node).collect()
    }

    /// Sends `signal` (such as `TERM`) to a node.
    ///
    /// # Errors
    /// When it is not there.
    pub fn signal(&self, node: &Node, signal: &str) -> Result<()> {
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(node.pid.to_string())
            .status()?;
        ensure!(sent.success(), "no process {} of {}", node.pid, node.id);
        Ok(())
    }

    /// Creates accounts, `(address, password)` each.
    ///
    /// # Errors
    /// What the command says.
    pub fn add_users(&self, users: &[(String, String)]) -> Result<()> {
        let config = self.config()?;
        let file = self
            .folder
            .path()
            .join(format!("users-{}", users.first().map_or("", |user| &user.0)));
        let lines: Vec<String> = users
            .iter()
            .map(|(jid, password)| format!("{jid} {password}"))
            .collect();
        std::fs::write(&file, lines.join("\n"))?;
        let output = Command::new(&self.binary)
            .args(["user", "add", "--iterations", "4096", "--config", &config, "--bulk"])
            .arg(&file)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Runs `dunlin node` with these arguments. Returns what it printed.
    ///
    /// # Errors
    /// What the command says.
    pub fn node(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.binary)
            .arg("node")
            .args(arguments)
            .args(["--config", &self.config()?])
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn config(&self) -> Result<String> {
        let state = self.state()?;
        let config = state.get("config").and_then(Value::as_str);
        Ok(config.context("no config")?.to_owned())
    }

    fn state(&self) -> Result<Value> {
        let path = self.folder.path().join("state/cluster.json");
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn run(&self, command: &str, settings: &[(&str, String)]) -> Result<()> {
        let output = Command::new(&self.script)
            .arg(command)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .env("CLUSTER_FOLDER", self.folder.path().join("state"))
            .env("CLUSTER_BINARY", &self.binary)
            .env("CLUSTER_DOMAINS", DOMAINS.join(" "))
            .env("CLUSTER_REGISTRATION", DOMAINS.map(settings::mode).join(" "))
            .env("CLUSTER_CLEARTEXT", "1")
            .env("DUNLIN_HOSTS", settings::hosts().to_string())
            .env("DUNLIN_ROUTER__COMPONENTS", settings::components().to_string())
            .env("CLUSTER_SETTINGS", &self.settings)
            .stdin(Stdio::null())
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(
            output.status.success(),
            "cluster {command}: {}",
            String::from_utf8_lossy(&said)
        );
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // What cannot be ended was ended before.
        let _ = self.run("down", &[]);
    }
}

#[async_trait]
impl Stage for Cluster {
    async fn create_account(&self, name: &str, domain: &str, password: &str) -> Result<()> {
        self.add_users(&[(format!("{name}@{domain}"), password.to_owned())])
    }

    async fn remove_account(&self, name: &str, domain: &str) -> Result<()> {
        remove_account(&self.binary, Path::new(&self.config()?), &format!("{name}@{domain}"))
    }

    async fn invite(&self, domain: &str, user: Option<&str>, contact: Option<&str>) -> Result<String> {
        invite(&self.binary, Path::new(&self.config()?), domain, user, contact)
    }

    async fn connect(&self, index: usize) -> Result<Client> {
        let edges = self.nodes("edges")?;
        let edge = edges.get(index % edges.len().max(1)).context("no edges")?;
        Client::connect(edge.c2s.context("not an edge")?).await
    }

    async fn connect_component(&self, index: usize) -> Result<Client> {
        let edges = self.nodes("edges")?;
        let edge = edges.get(index % edges.len().max(1)).context("no edges")?;
        let client = Client::connect(edge.component.context("not an edge")?).await?;
        Ok(client.of_component())
    }

    async fn metrics(&self) -> Result<Option<String>> {
        let mut text = String::new();
        for node in [self.nodes("edges")?, self.nodes("routers")?, self.nodes("all")?].concat() {
            text += &metrics::read(node.http).await.with_context(|| node.id.clone())?;
        }
        Ok(Some(text))
    }
}

fn node(value: &Value) -> Result<Node> {
    let id = value
        .get("id")
        .and_then(Value::as_str)
        .context("a node without id")?
        .to_owned();
    let pid = value
        .get("pid")
        .and_then(Value::as_u64)
        .with_context(|| format!("{id} has no pid"))?;
    let address = |name| value.get(name).and_then(Value::as_str).map(str::parse).transpose();
    let (c2s, component) = (address("c2s")?, address("component")?);
    let http = value
        .get("http")
        .and_then(Value::as_str)
        .with_context(|| format!("{id} has no http"))?
        .parse()?;
    Ok(Node {
        id,
        pid,
        http,
        c2s,
        component,
    })
}
