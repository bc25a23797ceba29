//! One client of a swarm: it talks to its peer, keeps its session over stream management (XEP-0198), comes back over another edge
//! when its connection ends, and writes everything down in the ledger.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::rustls::pki_types::ServerName;
use xml::Element;

use crate::chance::Chance;
use crate::client::{Client, Resumption, Seen};
use crate::ledger::{Connected, Key};
use crate::outgoing::Outgoing;
use crate::scram::Login;
use crate::shared::{Manner, Phase, Shared};

const SM: &str = "urn:xmpp:sm:3";
/// How often the server is asked to acknowledge while it has not acknowledged everything.
const ASK: Duration = Duration::from_millis(500);
/// How long a client waits at most before it tries to connect again; at first it does not wait much longer than a tenth of that.
const BACKOFF: Duration = Duration::from_secs(4);
/// How long the server may take to answer the closing tag.
const GOODBYE: Duration = Duration::from_secs(3);

/// Why a connection ended.
enum Ending {
    /// The client logged out, and with it went its session.
    Left,
    /// Anything after which a client comes back.
    Lost(String),
}

/// Something sent under stream management.
enum Sent {
    Message(Key),
    Other,
}

pub(crate) struct Talker {
    at: usize,
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    chance: Chance,
    login: Login,
    /// The edge it goes to next.
    edge: usize,
    /// Its session, counted from 1.
    session: u32,
    /// Its last session before it collects what was kept for it.
    last: u32,
    /// Whether stream management has begun in this session.
    managed: bool,
    resumption: Option<Resumption>,
    outgoing: Outgoing<Sent>,
    /// Wanted sent, and not given to any connection of this session.
    unsent: VecDeque<Key>,
    /// When it wants to say something next.
    next: Option<Instant>,
    /// Since when the server has been asked to acknowledge.
    asked: Option<Instant>,
}

impl Talker {
    pub(crate) fn new(at: usize, shared: Arc<Shared>, phase: watch::Receiver<Phase>, seed: u64) -> Self {
        let persona = &shared.personas[at];
        Self {
            at,
            chance: Chance::new(seed ^ (at as u64).rotate_left(32)),
            login: Login::new(&persona.user, &persona.password),
            phase,
            edge: at,
            session: 0,
            last: 0,
            managed: false,
            resumption: None,
            outgoing: Outgoing::new(),
            unsent: VecDeque::new(),
            next: None,
            asked: None,
            shared,
        }
    }

    /// Connects, and again whenever the connection ends, until it is to leave.
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        if self.shared.personas[self.at].manner == Manner::Away {
            let is_late = |phase: &Phase| !matches!(phase, Phase::Gathering | Phase::Talking);
            if self.phase.wait_for(is_late).await.is_err() {
                return;
            }
        }
        loop {
            let ending = match self.connect().await {
                Ok(mut client) => {
                    failures = 0;
                    self.shared.online.fetch_add(1, Relaxed);
                    let ending = self.talk(&mut client).await;
                    self.shared.online.fetch_sub(1, Relaxed);
                    self.keep(&client);
                    ending
                }
                Err(error) => {
                    failures += 1;
                    Ok(Ending::Lost(format!("{error:#}")))
                }
            };
            match ending {
                Ok(Ending::Left) => self.give_up_session(),
                Ok(Ending::Lost(why)) => self.note(&why),
                Err(error) => self.note(&format!("{error:#}")),
            }
            if *self.phase.borrow() == Phase::Leaving {
                return;
            }
            self.edge += 1;
            let most = BACKOFF.min(BACKOFF / 10 * (1 << failures.min(5)));
            sleep(self.chance.time(Duration::ZERO..most)).await;
        }
    }

    fn note(&self, why: &str) {
        self.shared.ledger().ended(self.at, brief(why), self.shared.now());
    }

    /// A connection with a session, the former one if the server lets it.
    async fn connect(&mut self) -> Result<Client> {
        let patience = self.shared.habits.patience;
        let mut client = timeout(patience, self.reach())
            .await
            .context("connecting takes too long")??;
        let entered = timeout(patience, self.enter(&mut client)).await;
        if !matches!(entered, Ok(Ok(()))) {
            self.keep(&client);
        }
        entered.context("logging in takes too long")??;
        Ok(client)
    }

    async fn reach(&mut self) -> Result<Client> {
        let habits = &self.shared.habits;
        let edges = habits.edges.lock().expect("not poisoned").clone();
        let address = edges.get(self.edge % edges.len().max(1)).context("no edges")?;
        let socket = TcpStream::connect(address).await.context("connecting")?;
        socket.set_nodelay(true)?;
        match &habits.tls {
            Some(tls) => {
                let name = ServerName::try_from(habits.domain.clone())?;
                Ok(Client::over(tls.connect(name, socket).await.context("TLS")?))
            }
            None => Ok(Client::over(socket)),
        }
    }

    async fn enter(&mut self, client: &mut Client) -> Result<()> {
        let domain = self.shared.habits.domain.clone();
        client.open(&domain).await.context("opening")?;
        let nonce = format!("{:016x}{:016x}", self.chance.draw(), self.chance.draw());
        self.login
            .authenticate(client, &nonce)
            .await
            .context("authenticating")?;
        client.open(&domain).await.context("opening again")?;
        if let Some(resumption) = self.resumption.clone()
            && self.resume(client, resumption).await.context("resuming")?
        {
            return Ok(());
        }
        self.give_up_session();
        self.bind(client).await.context("binding")
    }

    /// Goes on with the session. False when the server does not let it.
    async fn resume(&mut self, client: &mut Client, resumption: Resumption) -> Result<bool> {
        client.ask_to_resume(resumption).await?;
        let answer = client.element().await?;
        let h = answer.attribute("h").map(str::parse::<u32>).transpose()?;
        let is_resumed = answer.is(SM, "resumed");
        ensure!(
            is_resumed || answer.is(SM, "failed"),
            "expected resumed or failed, saw {answer}"
        );
        ensure!(h.is_some() || !is_resumed, "resumed without h");
        if let Some(h) = h {
            self.acknowledge(h);
        }
        let how = if is_resumed {
            Connected::Resumed
        } else {
            Connected::NotResumed
        };
        self.connected(how);
        if is_resumed {
            self.say_again(client);
        }
        Ok(is_resumed)
    }

    /// Writes what the server has not handled once more, in its order, in the same session.
    fn say_again(&mut self, client: &mut Client) {
        for sent in self.outgoing.waiting() {
            match sent {
                Sent::Message(key) => client.queue(self.message(*key).as_bytes()),
                Sent::Other => client.queue(b"<presence/>"),
            }
        }
        self.asked = None;
    }

    /// What was not acknowledged is to be said again in the next session, before anything else.
    fn give_up_session(&mut self) {
        let outgoing = std::mem::take(&mut self.outgoing);
        let again = outgoing.into_waiting().filter_map(|sent| match sent {
            Sent::Message(key) => Some(key),
            Sent::Other => None,
        });
        self.unsent = again.chain(self.unsent.drain(..)).collect();
        (self.managed, self.resumption) = (false, None);
    }

    /// Begins a session: resource, stream management, presence.
    async fn bind(&mut self, client: &mut Client) -> Result<()> {
        self.session += 1;
        client.bind(&self.shared.habits.resource).await?;
        client.queue(format!("<enable xmlns='{SM}' resume='true'/>").as_bytes());
        loop {
            let answer = client.element().await?;
            if answer.is(SM, "enabled") {
                break;
            }
            ensure!(answer.ns() != SM, "expected enabled, saw {answer}");
            self.hear_stanza(&answer);
        }
        self.managed = true;
        self.keep(client);
        client.queue(b"<presence/>");
        self.outgoing.push(Sent::Other);
        self.asked = None;
        self.connected(Connected::Bound);
        Ok(())
    }

    fn connected(&self, how: Connected) {
        let (now, edges) = (
            self.shared.now(),
            self.shared.habits.edges.lock().expect("not poisoned").len(),
        );
        let edge = self.edge % edges.max(1) + 1;
        self.shared.ledger().connected(self.at, how, self.session, edge, now);
    }

    /// Remembers what it takes to resume, if this connection has come so far.
    fn keep(&mut self, client: &Client) {
        if let (true, Some(resumption)) = (self.managed, client.resumption()) {
            self.resumption = Some(resumption.clone()).filter(|resumption| !resumption.id.is_empty());
        }
    }

    async fn talk(&mut self, client: &mut Client) -> Result<Ending> {
        let pauses = Pauses::of(self.shared.personas[self.at].manner);
        let begun = Instant::now();
        loop {
            let phase = *self.phase.borrow_and_update();
            let is_old = self.session == self.last && phase == Phase::Collecting;
            if phase == Phase::Leaving || is_old {
                return self.leave(client).await;
            }
            if phase != Phase::Collecting {
                self.last = self.session;
            }
            if phase == Phase::Talking && pauses == Pauses::Always {
                return self.hold(client).await;
            }
            self.say(client, phase);
            let (reads, until) = pauses.at(begun);
            let patience = self.asked.map(|asked| asked + self.shared.habits.patience);
            tokio::select! {
                seen = client.see_whenever(), if reads => if let Some(ending) = self.hear(seen?) {
                    return Ok(ending);
                },
                () = until_some(self.next), if phase == Phase::Talking => {}
                () = until_some(patience), if reads => return Ok(Ending::Lost("no acknowledgement in time".to_owned())),
                () = sleep(ASK), if self.asked.is_none() && !self.outgoing.is_empty() => self.ask(client),
                () = until_some(until) => {}
                changed = self.phase.changed() => changed.context("the swarm is gone")?,
            }
        }
    }

    /// Says what is due, as far as anything is.
    fn say(&mut self, client: &mut Client, phase: Phase) {
        let (every, now) = (self.shared.habits.every, Instant::now());
        let peer = self.shared.personas[self.at].peer;
        if phase == Phase::Talking && peer != self.at {
            let offset = every.mul_f64(self.at as f64 / self.shared.personas.len() as f64);
            let mut next = *self.next.get_or_insert(now + offset);
            while next <= now {
                let wanted = self.shared.since_epoch(next);
                self.unsent
                    .push_back(self.shared.ledger().intend(self.at, peer, wanted));
                next += every;
            }
            self.next = Some(next);
        }
        let any = !self.unsent.is_empty();
        while let Some(key) = self.unsent.pop_front() {
            client.queue(self.message(key).as_bytes());
            self.outgoing.push(Sent::Message(key));
            self.shared.ledger().written(key, self.session, self.shared.now());
        }
        if any && self.asked.is_none() {
            self.ask(client);
        }
    }

    fn ask(&mut self, client: &mut Client) {
        client.queue(format!("<r xmlns='{SM}'/>").as_bytes());
        self.asked = Some(Instant::now());
    }

    /// The id says which message it is, of which swarm and which session.
    fn message(&self, key: Key) -> String {
        let Shared { personas, habits, .. } = &*self.shared;
        let to = &personas[personas[self.at].peer].user;
        let id = format!("{}.{}.{}.{}", self.shared.name, key.from, self.session, key.number);
        let domain = &habits.domain;
        format!("<message to='{to}@{domain}' type='chat' id='{id}'><body>{id}</body></message>")
    }

    fn hear(&mut self, seen: Seen) -> Option<Ending> {
        let element = match seen {
            Seen::Element(element) => element,
            Seen::Open(_) => return None,
            Seen::End => return Some(Ending::Lost("connection closed".to_owned())),
        };
        if element.ns() == SM && element.name() == "a" {
            self.asked = None;
            match element.attribute("h").and_then(|h| h.parse().ok()) {
                Some(h) => self.acknowledge(h),
                None => self.complain(format!("no h: {element}")),
            }
        } else if element.ns() == xml::ns::STREAMS && element.name() == "error" {
            let condition = element.children().next().map_or("error", Element::name).to_owned();
            if condition == "conflict" {
                // Each client of a swarm has a resource of its own (RFC 6120, 7.7.2.2).
                self.complain("conflict without another client".to_owned());
            }
            return Some(Ending::Lost(format!("stream error {condition}")));
        } else {
            self.hear_stanza(&element);
        }
        None
    }

    fn hear_stanza(&mut self, element: &Element) {
        let id = element.attribute("id").filter(|_| element.name() == "message");
        // What another swarm has left behind is none of this one's business.
        let key = id.and_then(|id| read_id(id.strip_prefix(&self.shared.name)?));
        let Some((key, written_in)) = key else { return };
        let now = self.shared.now();
        if element.attribute("type") == Some("error") {
            self.shared.ledger().refused(key, now);
        } else {
            self.shared
                .ledger()
                .received(key, written_in, self.at, self.session, now);
        }
    }

    fn acknowledge(&mut self, h: u32) {
        let Some(handled) = self.outgoing.acknowledge(h) else {
            let (handled, waiting) = (self.outgoing.handled(), self.outgoing.waiting().count());
            return self.complain(format!("h={h} after h={handled}, with {waiting} more sent"));
        };
        let now = self.shared.now();
        for sent in handled {
            if let Sent::Message(key) = sent {
                self.shared.ledger().acknowledged(key, now);
            }
        }
    }

    fn complain(&self, what: String) {
        self.shared
            .ledger()
            .complain(format!("client {}, session {}: {what}", self.at, self.session));
    }

    /// Reads nothing while the others talk.
    async fn hold(&mut self, client: &mut Client) -> Result<Ending> {
        // What was queued goes out first, so that the client is available.
        client.write(b" ").await?;
        self.phase
            .wait_for(|phase| *phase != Phase::Talking)
            .await
            .context("the swarm is gone")?;
        Ok(Ending::Lost("deaf until now".to_owned()))
    }

    /// Ends the stream, and with it the session; what came is acknowledged before (XEP-0198, 4).
    async fn leave(&mut self, client: &mut Client) -> Result<Ending> {
        let h = client.resumption().map_or(0, |resumption| resumption.h);
        client.queue(format!("<a xmlns='{SM}' h='{h}'/>").as_bytes());
        client.write(b"</stream:stream>").await?;
        let end = async {
            while let Seen::Element(element) = client.see_whenever().await? {
                self.hear(Seen::Element(element));
            }
            anyhow::Ok(())
        };
        // A server that does not answer is left all the same.
        let _ = timeout(GOODBYE, end).await;
        Ok(Ending::Left)
    }
}

/// When a client does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pauses {
    Never,
    Sometimes { every: Duration, pause: Duration },
    Always,
}

impl Pauses {
    fn of(manner: Manner) -> Self {
        match manner {
            Manner::Prompt | Manner::Away => Self::Never,
            Manner::Pausing { every, pause } => Self::Sometimes { every, pause },
            Manner::Deaf => Self::Always,
        }
    }

    /// Whether it reads now, and until when that stays so, when it began at `begun`.
    fn at(self, begun: Instant) -> (bool, Option<Instant>) {
        let Self::Sometimes { every, pause } = self else {
            return (true, None);
        };
        let passed = begun.elapsed().as_millis() % every.as_millis().max(1);
        let (passed, reading) = (Duration::from_millis(passed as u64), every.saturating_sub(pause));
        let reads = passed < reading;
        let left = if reads { reading - passed } else { every - passed };
        (reads, Some(Instant::now() + left))
    }
}

async fn until_some(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A reason with no more of a stream error than its condition.
fn brief(why: &str) -> String {
    let error = format!("<error xmlns='{}'><", xml::ns::STREAMS);
    match why.split_once(&error) {
        Some((before, after)) => {
            let condition = after.split([' ', '/', '>']).next().unwrap_or_default();
            format!("{before}stream error {condition}")
        }
        None => why.to_owned(),
    }
}

/// Reads `.FROM.SESSION.NUMBER`.
fn read_id(id: &str) -> Option<(Key, u32)> {
    let mut parts = id.strip_prefix('.')?.split('.');
    let from = parts.next()?.parse().ok()?;
    let session = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((Key { from, number }, session))
}
