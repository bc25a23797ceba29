//! Measures a release binary as its operators would: CPU time and memory of the server's process, seen from outside,
//! while clients log in, sit idle and chat. `make bench` runs it; `docs/performance.md` says how to read it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dunlin_testkit::client::Io;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use sasl::client::{Binding, Keys, Scram};
use store::HashName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;

/// Sessions that are measured; they chat in pairs, each with its neighbour.
const SESSIONS: usize = 1_000;
/// Sessions that log in before anything is measured, so that caches, pools and code pages are there.
const WARM_UP: usize = 100;
/// Logins under way at a time.
const AT_A_TIME: usize = 16;
/// Bytes of a message stanza as its sender writes it.
const MESSAGE_BYTES: usize = 300;
/// Before a window is measured: for the load to become even.
const RAMP: Duration = Duration::from_secs(1);
/// How long messages are counted.
const WINDOW: Duration = Duration::from_secs(6);
/// How long sessions are left alone before memory is read.
const SETTLE: Duration = Duration::from_secs(3);
/// For anything that must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Units of CPU time in `/proc/PID/stat` (`USER_HZ`, the same on all Linux systems of today).
const TICKS_PER_SECOND: u64 = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("dunlin-measure-").tempdir()?;
    println!("| Measure | Server | of that in the kernel | Generator |");
    println!("|---|---|---|---|");
    for tls in [false, true] {
        let server = Server::start(folder.path(), tls).await?;
        if !tls {
            server.add_accounts(SESSIONS + WARM_UP)?;
        }
        measure(&server).await?;
    }
    Ok(())
}

/// All measurements with one server and one kind of transport.
async fn measure(server: &Server) -> Result<()> {
    let kind = if server.tls.is_some() { "TLS 1.3" } else { "plaintext" };
    let warm = log_in_all(server, SESSIONS..SESSIONS + WARM_UP).await?;
    sleep(SETTLE).await;
    let memory = server.resident()?;

    let before = Usage::now(server)?;
    let sessions = log_in_all(server, 0..SESSIONS).await?;
    let logins = Usage::now(server)?.since(&before);
    logins.print(&format!("login, {kind}"), SESSIONS as u64);
    sleep(SETTLE).await;
    let grown = server.resident()?.saturating_sub(memory);
    let each = grown as f64 / 1000.0 / SESSIONS as f64;
    println!("| idle session, {kind} | {each:.1} kB | | |");

    let (sessions, _) = chat(
        server,
        sessions,
        Pace::Saturated,
        &format!("message, {kind}, saturated"),
    )
    .await?;
    let (sessions, mut delays) = chat(
        server,
        sessions,
        Pace::Each(Duration::from_secs(1)),
        &format!("message, {kind}, 1,000/s"),
    )
    .await?;
    print_delays(kind, &mut delays)?;
    drop((sessions, warm));
    Ok(())
}

fn print_delays(kind: &str, delays: &mut [u64]) -> Result<()> {
    ensure!(!delays.is_empty(), "no message came");
    delays.sort_unstable();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    let (half, most, nearly_all) = (at(0.5), at(0.99), at(0.999));
    println!(
        "| latency, {kind}, 1,000/s | p50 {half:.2} ms, p99 {most:.2} ms, p99.9 {nearly_all:.2} ms, {} messages | | |",
        delays.len()
    );
    Ok(())
}

/// The server under test; ends with this value.
struct Server {
    binary: PathBuf,
    config: PathBuf,
    process: Child,
    address: SocketAddr,
    tls: Option<TlsConnector>,
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
        let mut server = Self {
            binary,
            config,
            process,
            address: if tls { direct } else { plain },
            tls: None,
        };
        timeout(PATIENCE, ready(http))
            .await
            .context("the server does not become ready")?;
        let took = begun.elapsed().as_millis();
        sleep(SETTLE).await;
        let megabytes = server.resident()? as f64 / 1e6;
        let data = if tls { "accounts there" } else { "empty folder" };
        println!("| start, {data} | {took} ms, {megabytes:.1} MB | | |");
        if tls {
            server.tls = Some(connector(&folder.join("dev-ca/ca.pem"))?);
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

    /// Bytes of memory that the process holds (`VmRSS`).
    fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .context("no VmRSS")?;
        Ok(kib.parse::<u64>()? * 1024)
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

/// CPU time of both sides at one moment, or between two.
struct Usage {
    user: Duration,
    kernel: Duration,
    generator: Duration,
}

impl Usage {
    fn now(server: &Server) -> Result<Self> {
        let (user, kernel) = cpu(&server.process.id().to_string())?;
        let (own_user, own_kernel) = cpu("self")?;
        Ok(Self {
            user,
            kernel,
            generator: own_user + own_kernel,
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            kernel: self.kernel.saturating_sub(before.kernel),
            generator: self.generator.saturating_sub(before.generator),
        }
    }

    fn print(&self, name: &str, count: u64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count.max(1) as f64;
        let (all, kernel, generator) = (each(self.user + self.kernel), each(self.kernel), each(self.generator));
        println!("| {name} | {all:.1} µs | {kernel:.1} µs | {generator:.1} µs |");
    }
}

/// User and kernel time of a process (proc(5), fields 14 and 15 of `stat`).
fn cpu(process: &str) -> Result<(Duration, Duration)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no command in stat")?;
    let ticks = |at: usize| -> Result<Duration> {
        let ticks: u64 = fields.split_whitespace().nth(at).context("stat is short")?.parse()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    };
    Ok((ticks(11)?, ticks(12)?))
}

/// A client that reads no more of XML than where things end, to be cheap beside the server.
struct Session {
    socket: Box<dyn Io>,
    input: Vec<u8>,
    at: usize,
}

async fn log_in_all(server: &Server, range: std::ops::Range<usize>) -> Result<Vec<Session>> {
    let mut sessions = Vec::with_capacity(range.len());
    let mut under_way = JoinSet::new();
    for at in range {
        if under_way.len() == AT_A_TIME
            && let Some(done) = under_way.join_next().await
        {
            sessions.push(done??);
        }
        under_way.spawn(Session::log_in(server.address, server.tls.clone(), at));
    }
    while let Some(done) = under_way.join_next().await {
        sessions.push(done??);
    }
    Ok(sessions)
}

impl Session {
    /// Connects, logs in with SCRAM-SHA-1, binds, gets the roster and becomes available.
    async fn log_in(address: SocketAddr, tls: Option<TlsConnector>, at: usize) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let socket: Box<dyn Io> = match tls {
            Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, socket).await?),
            None => Box::new(socket),
        };
        let input = Vec::with_capacity(4096);
        let mut session = Self { socket, input, at };
        session.open().await?;
        session.authenticate().await?;
        session.open().await?;
        session
            .ask("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>", "</iq>")
            .await?;
        session
            .ask("<iq type='get' id='q'><query xmlns='jabber:iq:roster'/></iq>", "</iq>")
            .await?;
        // Presence comes back to the session that sent it (RFC 6121, 4.2.2).
        session.ask("<presence/>", "<presence").await?;
        Ok(session)
    }

    async fn open(&mut self) -> Result<()> {
        let header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
        self.ask(header, "</stream:features>").await.map(drop)
    }

    async fn authenticate(&mut self) -> Result<()> {
        let nonce = format!("measure-{}", self.at);
        let scram = Scram::new(
            HashName::Sha1,
            &format!("u{}", self.at),
            None,
            Binding::Unsupported,
            &nonce,
        );
        let first = STANDARD.encode(scram.first());
        let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>{first}</auth>");
        let challenge = self.ask(&auth, "</challenge>").await?;
        let (answer, proven) = scram.respond(&content(&challenge)?, |salt, iterations| {
            Keys::derive(HashName::Sha1, &password(self.at), salt, iterations).expect("plain ASCII is a valid password")
        })?;
        let response = format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>",
            STANDARD.encode(answer)
        );
        let success = self.ask(&response, "</success>").await?;
        Ok(proven.finish(&content(&success)?)?)
    }

    /// Writes, then reads until `end` has come. Returns what came up to there.
    async fn ask(&mut self, text: &str, end: &str) -> Result<String> {
        self.write(text).await?;
        loop {
            if let Some(found) = find(&self.input, end.as_bytes()) {
                let came = self.input.drain(..found + end.len()).collect();
                return Ok(String::from_utf8(came)?);
            }
            let read = timeout(PATIENCE, self.socket.read_buf(&mut self.input)).await;
            if read.with_context(|| format!("no {end} came: {}", String::from_utf8_lossy(&self.input)))?? == 0 {
                bail!("the server ended the stream: {}", String::from_utf8_lossy(&self.input));
            }
        }
    }

    /// Sends the neighbour a message that tells when it was sent.
    async fn say(&mut self, epoch: Instant) -> Result<()> {
        let (to, now) = (self.at ^ 1, epoch.elapsed().as_micros());
        let end = "</body></message>";
        let mut text = format!("<message to='u{to}@localhost/r' type='chat' id='m{now}'><body>t={now};");
        let padding = MESSAGE_BYTES.saturating_sub(text.len() + end.len());
        text.extend(std::iter::repeat_n('x', padding));
        text.push_str(end);
        self.write(&text).await
    }

    async fn write(&mut self, text: &str) -> Result<()> {
        self.socket.write_all(text.as_bytes()).await?;
        Ok(self.socket.flush().await?)
    }

    /// Takes the messages that have come, and returns when each was sent.
    fn take(&mut self) -> Result<Vec<u64>> {
        let (mut sent, mut taken) = (Vec::new(), 0);
        while let Some(end) = find(&self.input[taken..], b"</message>") {
            let message = std::str::from_utf8(&self.input[taken..taken + end])?;
            let (_, after) = message.split_once("<body>t=").context("a message that is not ours")?;
            let (time, _) = after.split_once(';').context("a message without a time")?;
            sent.push(time.parse()?);
            taken += end + b"</message>".len();
        }
        self.input.drain(..taken);
        Ok(sent)
    }
}

fn password(at: usize) -> String {
    format!("password-{at}")
}

/// The decoded text of the last element in `text`.
fn content(text: &str) -> Result<Vec<u8>> {
    let (before, _) = text.rsplit_once('<').context("no end tag")?;
    let (_, encoded) = before.rsplit_once('>').context("no start tag")?;
    Ok(STANDARD.decode(encoded)?)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// When sessions speak.
#[derive(Clone, Copy)]
enum Pace {
    /// At once, and again for each message that comes: two are in flight per pair.
    Saturated,
    /// Once per so long, whatever comes; spread evenly over the sessions.
    Each(Duration),
    /// Never: what is in flight comes to rest.
    Silent,
}

/// What all sessions of one load share.
struct Load {
    pace: Pace,
    epoch: Instant,
    until: Instant,
    received: AtomicU64,
}

/// Lets all sessions chat; prints CPU time per delivered message, and returns the delays in microseconds after the ramp.
async fn chat(server: &Server, sessions: Vec<Session>, pace: Pace, name: &str) -> Result<(Vec<Session>, Vec<u64>)> {
    let epoch = Instant::now();
    let load = Arc::new(Load::new(pace, epoch, epoch + RAMP + WINDOW));
    let running = spawn(&load, sessions);
    sleep(RAMP).await;
    let (before, from) = (Usage::now(server)?, load.received.load(Relaxed));
    let begun = Instant::now();
    sleep_until((load.until - Duration::from_millis(50)).into()).await;
    let (usage, took) = (Usage::now(server)?.since(&before), begun.elapsed());
    let count = load.received.load(Relaxed) - from;
    let per_second = count as f64 / took.as_secs_f64();
    usage.print(&format!("{name} ({per_second:.0}/s came)"), count);
    let (sessions, delays) = join(running).await?;
    let rest = Arc::new(Load::new(Pace::Silent, epoch, Instant::now() + RAMP));
    let (sessions, _) = join(spawn(&rest, sessions)).await?;
    Ok((sessions, delays))
}

fn spawn(load: &Arc<Load>, sessions: Vec<Session>) -> JoinSet<Result<(Session, Vec<u64>)>> {
    let mut running = JoinSet::new();
    for session in sessions {
        running.spawn(load.clone().talk(session));
    }
    running
}

async fn join(mut running: JoinSet<Result<(Session, Vec<u64>)>>) -> Result<(Vec<Session>, Vec<u64>)> {
    let (mut sessions, mut delays) = (Vec::new(), Vec::new());
    while let Some(done) = running.join_next().await {
        let (session, some) = done??;
        sessions.push(session);
        delays.extend(some);
    }
    Ok((sessions, delays))
}

impl Load {
    fn new(pace: Pace, epoch: Instant, until: Instant) -> Self {
        Self {
            pace,
            epoch,
            until,
            received: AtomicU64::new(0),
        }
    }

    /// One session's part, until the end.
    async fn talk(self: Arc<Self>, mut session: Session) -> Result<(Session, Vec<u64>)> {
        let mut delays = Vec::new();
        let mut next = self.first(session.at);
        if matches!(self.pace, Pace::Saturated) {
            session.say(self.epoch).await?;
        }
        let end = sleep_until(self.until.into());
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok((session, delays)),
                () = sleep_until(next.into()), if matches!(self.pace, Pace::Each(_)) => {
                    session.say(self.epoch).await?;
                    next = self.after(next);
                }
                read = session.socket.read_buf(&mut session.input) => {
                    ensure!(read? > 0, "the server ended a stream");
                    self.hear(&mut session, &mut delays).await?;
                }
            }
        }
    }

    async fn hear(&self, session: &mut Session, delays: &mut Vec<u64>) -> Result<()> {
        let now = self.epoch.elapsed().as_micros() as u64;
        for sent in session.take()? {
            self.received.fetch_add(1, Relaxed);
            match self.pace {
                Pace::Saturated => session.say(self.epoch).await?,
                Pace::Each(_) if sent >= RAMP.as_micros() as u64 => delays.push(now.saturating_sub(sent)),
                Pace::Each(_) | Pace::Silent => {}
            }
        }
        Ok(())
    }

    fn first(&self, at: usize) -> Instant {
        match self.pace {
            Pace::Each(every) => self.epoch + every.mul_f64(at as f64 / SESSIONS as f64),
            Pace::Saturated | Pace::Silent => self.until,
        }
    }

    fn after(&self, last: Instant) -> Instant {
        match self.pace {
            Pace::Each(every) => last + every,
            Pace::Saturated | Pace::Silent => self.until,
        }
    }
}
