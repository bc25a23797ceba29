//! One process with both roles and an embedded database: first in plaintext, then over direct TLS.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::target::Target;
use crate::{PATIENCE, SESSIONS, SETTLE, WARM_UP, measure, password};

/// Measures it.
pub(crate) async fn run() -> Result<()> {
    for tls in [false, true] {
        // One each: the archives that the first server leaves would be read, and kept in memory, by the second.
        let folder = tempfile::Builder::new().prefix("dunlin-measure-").tempdir()?;
        let server = Server::start(folder.path(), tls).await?;
        server.add_accounts(SESSIONS + WARM_UP)?;
        measure(&server.target).await?;
    }
    Ok(())
}

/// The server under test; ends with this value.
struct Server {
    binary: PathBuf,
    config: PathBuf,
    process: Child,
    target: Target,
}

impl Server {
    /// Starts it on free ports, waits until it is ready, and prints how long that took.
    async fn start(folder: &Path, tls: bool) -> Result<Self> {
        let binary = PathBuf::from(std::env::var("DUNLIN").unwrap_or_else(|_| "target/release/dunlin".to_owned()));
        let [plain, direct, http] = [free()?, free()?, free()?];
        let config = folder.join("dunlin.toml");
        std::fs::write(&config, configuration(folder, plain, direct, http))?;
        let begun = Instant::now();
        let process = Command::new(&binary)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let target = Target {
            kind: if tls { "TLS 1.3" } else { "plaintext" },
            domain: "localhost",
            processes: vec![process.id()],
            addresses: vec![if tls { direct } else { plain }],
            tls: None,
        };
        let mut server = Self {
            binary,
            config,
            process,
            target,
        };
        timeout(PATIENCE, ready(http))
            .await
            .context("the server does not become ready")?;
        let took = begun.elapsed().as_millis();
        sleep(SETTLE).await;
        let megabytes = server.target.resident()? as f64 / 1e6;
        let kind = server.target.kind;
        println!("| start, {kind}, empty folder | {took} ms, {megabytes:.1} MB | | |");
        if tls {
            server.target.tls = Some(connector(&folder.join("dev-ca/ca.pem"))?);
        }
        Ok(server)
    }

    /// Creates `u0`, `u1`, … with their passwords.
    fn add_accounts(&self, count: usize) -> Result<()> {
        let list = self.config.with_extension("accounts");
        let lines: String = (0..count)
            .map(|at| format!("u{at}@localhost {}\n", password(at)))
            .collect();
        std::fs::write(&list, lines)?;
        let done = Command::new(&self.binary)
            .args(["user", "add", "--iterations", "4096", "--bulk"])
            .arg(&list)
            .arg("--config")
            .arg(&self.config)
            .output()?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(folder: &Path, plain: SocketAddr, direct: SocketAddr, http: SocketAddr) -> String {
    format!(
        r#"data = {folder:?}
node = "measure"
edge.tls.starttls = "off"
edge.listeners = {{ c2s = ["{plain}"], c2s_tls = ["{direct}"] }}
# Counted, but never reached.
edge.rates.bytes = {{ per_second = 67108864, burst = 67108864 }}
edge.rates.bytes_before = {{ per_second = 67108864, burst = 67108864 }}
http.listen = "{http}"
log.filter = "warn"
"#
    )
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Asks `/ready` until the answer is yes.
async fn ready(http: SocketAddr) {
    loop {
        if let Ok(true) = ask(http).await {
            return;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

async fn ask(http: SocketAddr) -> Result<bool> {
    let mut socket = TcpStream::connect(http).await?;
    socket
        .write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

/// TLS with a full handshake each time, as after an edge was lost.
fn connector(authority: &Path) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
