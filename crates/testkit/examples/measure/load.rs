//! Clients: they log in, sit idle and chat, and cost little.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dunlin_testkit::client::Io;
use rustls::pki_types::ServerName;
use sasl::client::{Binding, Keys, Scram};
use store::HashName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use crate::target::{Target, Usage};
use crate::{PATIENCE, SESSIONS, password};

/// Logins under way at a time.
const AT_A_TIME: usize = 16;
/// Bytes of a message stanza as its sender writes it.
const MESSAGE_BYTES: usize = 300;
/// Before a window is measured: for the load to become even.
const RAMP: Duration = Duration::from_secs(1);
/// How long messages are counted.
const WINDOW: Duration = Duration::from_secs(6);

/// A client that reads no more of XML than where things end, to be cheap beside the server.
pub(crate) struct Session {
    socket: Box<dyn Io>,
    input: Vec<u8>,
    domain: &'static str,
    at: usize,
}

/// Logs in accounts `range`, some at a time.
pub(crate) async fn log_in_all(server: &Target, range: std::ops::Range<usize>) -> Result<Vec<Session>> {
    let mut sessions = Vec::with_capacity(range.len());
    let mut under_way = JoinSet::new();
    for at in range {
        if under_way.len() == AT_A_TIME
            && let Some(done) = under_way.join_next().await
        {
            sessions.push(done??);
        }
        under_way.spawn(Session::log_in(
            server.addresses[at % server.addresses.len()],
            server.domain,
            server.tls.clone(),
            at,
        ));
    }
    while let Some(done) = under_way.join_next().await {
        sessions.push(done??);
    }
    Ok(sessions)
}

impl Session {
    /// Connects, logs in with SCRAM-SHA-1, binds, gets the roster and becomes available.
    async fn log_in(address: SocketAddr, domain: &'static str, tls: Option<TlsConnector>, at: usize) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let socket: Box<dyn Io> = match tls {
            Some(tls) => Box::new(tls.connect(ServerName::try_from(domain)?, socket).await?),
            None => Box::new(socket),
        };
        let input = Vec::with_capacity(4096);
        let mut session = Self {
            socket,
            input,
            domain,
            at,
        };
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
        let header = format!(
            "<stream:stream to='{}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            self.domain
        );
        self.ask(&header, "</stream:features>").await.map(drop)
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
        let mut text = format!(
            "<message to='u{to}@{}/r' type='chat' id='m{now}'><body>t={now};",
            self.domain
        );
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
pub(crate) enum Pace {
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
pub(crate) async fn chat(
    server: &Target,
    sessions: Vec<Session>,
    pace: Pace,
    name: &str,
) -> Result<(Vec<Session>, Vec<u64>)> {
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
