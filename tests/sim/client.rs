//! A client: logs in, speaks, answers, counts (XEP-0198), comes back when its connection breaks. It says what it hears to the ledger.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use stanza::{Bare, Iq, IqType, Message, MessageType, Presence, PresenceType, SessionId, Stanza};

use crate::chance::Chance;
use crate::ledger::{Chain, Ledger, To};
use crate::line::{Hear, Line, Say};
use crate::node::{DOMAIN, RESUME};
use crate::pulse::{Pulse, Seat};

/// How long a client waits for its login or resumption, in milliseconds.
const PATIENCE: u64 = 14_000;

/// Opens connections to the edge at a seat; `None` when nobody is there.
pub(crate) type Open<'a> = &'a mut dyn FnMut(&Arc<Line>) -> bool;

/// A client.
pub(crate) struct Client {
    index: usize,
    /// How many clients there are.
    others: usize,
    pulse: Arc<Pulse>,
    chance: Chance,
    account: Bare,
    state: State,
    chain: u64,
    managed: Option<Managed>,
    /// By addressee: how many messages were said in this session.
    said: BTreeMap<To, u64>,
    asked: u64,
    next: u64,
    /// Reads nothing before.
    slow_until: u64,
    /// When it was told last what was handled, and which messages.
    told: (u64, Vec<String>),
    /// Connections it has given up, and when they break.
    abandoned: Vec<(u64, Arc<Line>)>,
    /// Says nothing new.
    pub(crate) quiet: bool,
    /// Who is there, as far as it has heard: by client.
    sees: BTreeMap<usize, bool>,
}

enum State {
    Away { until: u64 },
    Asking { line: Arc<Line>, since: u64 },
    Up(Arc<Line>),
}

/// Stream management, once it has asked for it.
#[derive(Default)]
struct Managed {
    enabled: bool,
    id: Option<String>,
    /// What it sent, of it what is acknowledged, and what is not.
    sent: u64,
    acknowledged: u64,
    waiting: VecDeque<Sent>,
    /// What it has handled.
    handled: u64,
}

/// A stanza that may have to be sent again.
struct Sent {
    what: What,
    stanza: Stanza,
}

enum What {
    Message(String),
    /// The answer to somebody's query.
    Answer(String),
    Other,
}

impl Client {
    pub(crate) fn new(seed: u64, index: usize, others: usize, pulse: &Arc<Pulse>) -> Self {
        let mut chance = Chance::new(seed, &format!("client {index}"));
        let until = chance.within(0..=600);
        Self {
            index,
            others,
            pulse: pulse.clone(),
            account: account(index),
            state: State::Away { until },
            chain: 0,
            managed: None,
            said: BTreeMap::new(),
            asked: 0,
            next: 0,
            slow_until: 0,
            told: (0, Vec::new()),
            abandoned: Vec::new(),
            quiet: false,
            sees: BTreeMap::new(),
            chance,
        }
    }

    /// Whether it is logged in.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Whether it is logged in and nothing it has said waits to be acknowledged.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_up() && self.managed.as_ref().is_none_or(|managed| managed.waiting.is_empty())
    }

    /// Whether it believes that the client `other` is there.
    pub(crate) fn sees(&self, other: usize) -> bool {
        self.sees.get(&other).copied().unwrap_or(false)
    }

    // What befalls it.

    /// Its connection breaks; it stays away for a while.
    pub(crate) fn drop_line(&mut self, lossy: bool, away: u64, ledger: &mut Ledger) {
        if let State::Up(line) | State::Asking { line, .. } = &self.state {
            line.hang_up(lossy);
        }
        self.lost(away, ledger);
    }

    /// It logs out in order, and comes back later.
    pub(crate) fn close(&mut self, away: u64, ledger: &mut Ledger) {
        if let State::Up(line) = &self.state {
            let line = line.clone();
            if self.chance.happens(70) {
                self.acknowledge(&line); // as XEP-0198, 5 asks for
            }
            line.say(Say::Close);
            self.abandoned.push((self.pulse.now() + 2_000, line.clone()));
            self.end_chain(ledger);
            self.state = State::Away {
                until: self.pulse.now() + away,
            };
        }
    }

    /// It has been away for long enough.
    pub(crate) fn come_back(&mut self) {
        let until = self.pulse.now();
        if matches!(self.state, State::Away { .. }) {
            self.state = State::Away { until };
        }
    }

    pub(crate) fn slow_down(&mut self, lasts: u64) {
        self.slow_until = self.pulse.now() + lasts;
    }

    /// It tries to resume over one edge, loses heart, and tries another at once.
    pub(crate) fn race(&mut self, edges: &[Seat], open: Open<'_>, ledger: &mut Ledger) {
        let Some(id) = self.managed.as_ref().and_then(|managed| managed.id.clone()) else {
            return;
        };
        self.drop_line(true, 0, ledger);
        if let (Some(line), Some(h)) = (self.connect(edges, open), self.h()) {
            line.say(Say::Resume { id, h });
            let patience = self.chance.within(0..=60);
            self.abandoned.push((self.pulse.now() + patience, line));
        }
    }

    // What it does.

    /// Lives for a moment.
    pub(crate) fn step(&mut self, edges: &[Seat], open: Open<'_>, ledger: &mut Ledger) {
        let now = self.pulse.now();
        self.abandoned.retain(|(until, line)| {
            let patient = now < *until;
            if !patient {
                line.hang_up(true);
            }
            patient
        });
        match &self.state {
            State::Away { until } if now >= *until => self.come(edges, open, ledger),
            State::Away { .. } => {}
            State::Asking { line, since } => {
                let (line, late) = (line.clone(), now > since + PATIENCE);
                self.read(&line, ledger);
                if late && matches!(self.state, State::Asking { .. }) {
                    self.drop_line(true, 200, ledger);
                }
            }
            State::Up(line) => {
                let line = line.clone();
                self.read(&line, ledger);
                if self.is_up() && now >= self.next {
                    self.act(&line, ledger);
                }
            }
        }
    }

    fn come(&mut self, edges: &[Seat], open: Open<'_>, ledger: &mut Ledger) {
        let Some(line) = self.connect(edges, open) else {
            let until = self.pulse.now() + 100;
            self.state = State::Away { until };
            return;
        };
        let resumable = self.managed.as_ref().and_then(|managed| managed.id.clone());
        match (resumable, self.h()) {
            (Some(id), Some(h)) => {
                ledger.note(format!("{:?} resumes at {} with h {h}", self.me(), line.seat));
                line.say(Say::Resume { id, h });
            }
            _ => line.say(Say::Bind),
        }
        self.ask(line);
    }

    fn ask(&mut self, line: Arc<Line>) {
        let since = self.pulse.now();
        self.state = State::Asking { line, since };
    }

    fn connect(&mut self, edges: &[Seat], open: Open<'_>) -> Option<Arc<Line>> {
        let seat = self.chance.pick(edges)?;
        let id = SessionId(self.chance.wide());
        let line = Line::new(&self.pulse, seat, id, &self.account, &resource(self.index));
        open(&line).then_some(line)
    }

    fn read(&mut self, line: &Arc<Line>, ledger: &mut Ledger) {
        if self.pulse.now() < self.slow_until {
            return;
        }
        while let Some(hear) = line.hear() {
            self.hear(line, hear, ledger);
        }
        if line.is_over() && !matches!(self.state, State::Away { .. }) {
            ledger.note(format!("{:?} is cut off", self.me()));
            if self.told.0 == self.pulse.now() {
                self.told.1.iter().for_each(|id| ledger.handled_last(id));
            }
            let away = self.chance.within(20..=700);
            self.lost(away, ledger);
        }
    }

    fn hear(&mut self, line: &Arc<Line>, hear: Hear, ledger: &mut Ledger) {
        match hear {
            Hear::Bound => self.bound(line, ledger),
            Hear::NotBound | Hear::NotEnabled => self.drop_line(true, 300, ledger),
            Hear::Enabled(id) => {
                if let Some(managed) = &mut self.managed {
                    (managed.enabled, managed.id) = (true, id);
                }
            }
            Hear::Resumed(h) => self.resumed(line, h, ledger),
            Hear::NotResumed(h) => {
                ledger.note(format!("{:?} is not resumed, h {h:?}", self.me()));
                h.into_iter().for_each(|h| self.handled(h, true, ledger));
                self.end_chain(ledger);
                line.say(Say::Bind);
                self.ask(line.clone());
            }
            Hear::Handled(h) => self.handled(h, false, ledger),
            Hear::Stanza(stanza) => {
                if let Some(managed) = self.managed.as_mut().filter(|managed| managed.enabled) {
                    managed.handled += 1;
                }
                self.take(line, &stanza, ledger);
            }
        }
    }

    fn bound(&mut self, line: &Arc<Line>, ledger: &mut Ledger) {
        self.chain += 1;
        self.said.clear();
        self.sees.clear();
        ledger.note(format!("{:?} begins at {}", self.me(), line.seat));
        self.state = State::Up(line.clone());
        self.managed = Some(Managed::default());
        line.say(Say::Enable { max: RESUME });
        self.send(line, "<presence/>", What::Other);
    }

    fn resumed(&mut self, line: &Arc<Line>, h: u32, ledger: &mut Ledger) {
        ledger.note(format!("{:?} is resumed, h {h}", self.me()));
        self.handled(h, false, ledger);
        self.state = State::Up(line.clone());
        for sent in self.managed.iter().flat_map(|managed| &managed.waiting) {
            line.say(Say::Stanza(Box::new(sent.stanza.clone())));
        }
    }

    /// The server has handled that much; `late`: by the end of the session.
    fn handled(&mut self, h: u32, late: bool, ledger: &mut Ledger) {
        let me = self.me();
        let Some(managed) = &mut self.managed else { return };
        let h = u64::from(h);
        if h < managed.acknowledged || h > managed.sent {
            let (before, sent) = (managed.acknowledged, managed.sent);
            return ledger.violated(format!("{me:?}: told h {h} after {before}, having sent {sent}"));
        }
        let mut told = Vec::new();
        for sent in managed.waiting.drain(..(h - managed.acknowledged) as usize) {
            if let What::Message(id) = sent.what {
                ledger.handled(&id, late);
                told.push(id);
            }
        }
        self.told = (self.pulse.now(), told);
        if h > managed.acknowledged {
            ledger.note(format!("{me:?} is told h {h}"));
        }
        managed.acknowledged = h;
    }

    fn take(&mut self, line: &Arc<Line>, stanza: &Stanza, ledger: &mut Ledger) {
        let id = stanza.head().id.as_deref().unwrap_or_default().to_owned();
        match stanza {
            Stanza::Message(Message { kind, .. }) if *kind == MessageType::Error => {
                ledger.note(format!("{:?} gets {id} back", self.me()));
                ledger.unknown(&id);
            }
            Stanza::Message(_) => ledger.heard(&id, self.me()),
            Stanza::Presence(presence) => self.see(presence, ledger),
            Stanza::Iq(Iq { kind, head, .. }) => match kind {
                IqType::Get | IqType::Set => {
                    let to = head.from.as_ref().map(ToString::to_string).unwrap_or_default();
                    ledger.note(format!("{:?} answers {id}", self.me()));
                    self.send(
                        line,
                        &format!("<iq type='result' id='{id}' to='{to}'/>"),
                        What::Answer(id),
                    );
                }
                IqType::Result | IqType::Error => ledger.answered(&id, self.me()),
            },
        }
    }

    fn see(&mut self, presence: &Presence, ledger: &mut Ledger) {
        let Some(from) = &presence.head.from else { return };
        let Some(other) = from
            .resource()
            .and_then(|resource| resource.strip_prefix('r')?.parse().ok())
        else {
            return;
        };
        let there = match presence.kind {
            PresenceType::Available => true,
            PresenceType::Unavailable => false,
            _ => return,
        };
        if self.sees.insert(other, there) != Some(there) {
            ledger.note(format!(
                "{:?} sees {other} {}",
                self.me(),
                if there { "come" } else { "go" }
            ));
        }
    }

    /// Does one thing of its own.
    fn act(&mut self, line: &Arc<Line>, ledger: &mut Ledger) {
        self.next = self.pulse.now() + self.chance.within(40..=500);
        let what = self.chance.within(0..=99);
        match what {
            _ if self.quiet => {
                self.acknowledge(line);
                if !self.is_at_rest() {
                    line.say(Say::Ask);
                }
            }
            0..=59 => {
                for _ in 0..self.chance.within(1..=4) {
                    self.say(line, ledger);
                }
            }
            60..=71 => self.query(line, ledger),
            72..=75 => self.send(line, "<presence><show>away</show></presence>", What::Other),
            76..=89 => self.acknowledge(line),
            _ => line.say(Say::Ask),
        }
    }

    fn acknowledge(&mut self, line: &Arc<Line>) {
        if let Some(h) = self.h() {
            line.say(Say::Acknowledge(h));
        }
    }

    fn say(&mut self, line: &Arc<Line>, ledger: &mut Ledger) {
        let (other, full) = (self.another(), self.chance.happens(20));
        let number = self.said.entry((other, full)).or_default();
        *number += 1;
        let number = *number;
        let (bare, way) = (account(other), if full { "full" } else { "bare" });
        let id = format!("m.{}.{}.{other}.{way}.{number}", self.index, self.chain);
        let address = if full {
            format!("{bare}/{}", resource(other))
        } else {
            bare.to_string()
        };
        ledger.said(&id, self.me(), (other, full), number);
        let text = format!("<message type='chat' id='{id}' to='{address}'><body>{id}</body></message>");
        self.send(line, &text, What::Message(id));
    }

    fn query(&mut self, line: &Arc<Line>, ledger: &mut Ledger) {
        self.asked += 1;
        let id = format!("q.{}.{}.{}", self.index, self.chain, self.asked);
        let to = match self.chance.within(0..=3) {
            0 => DOMAIN.to_owned(),
            1 => account(self.index).to_string(),
            _ => {
                let other = self.another();
                format!("{}/{}", account(other), resource(other))
            }
        };
        ledger.asked(&id, self.me());
        let text = format!("<iq type='get' id='{id}' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>");
        self.send(line, &text, What::Other);
    }

    fn send(&mut self, line: &Arc<Line>, text: &str, what: What) {
        let stanza = Stanza::parse(&Bytes::copy_from_slice(text.as_bytes())).expect("a stanza");
        line.say(Say::Stanza(Box::new(stanza.clone())));
        if let Some(managed) = &mut self.managed {
            managed.sent += 1;
            managed.waiting.push_back(Sent { what, stanza });
        }
    }

    /// The connection is gone: it will resume, if it can.
    fn lost(&mut self, away: u64, ledger: &mut Ledger) {
        let until = self.pulse.now() + away;
        self.state = State::Away { until };
        if self.managed.as_ref().is_none_or(|managed| managed.id.is_none()) {
            self.end_chain(ledger);
        }
    }

    /// The session is over: what was not acknowledged may have been handled or not.
    fn end_chain(&mut self, ledger: &mut Ledger) {
        let Some(managed) = self.managed.take() else { return };
        for sent in managed.waiting {
            match sent.what {
                What::Message(id) => ledger.unknown(&id),
                What::Answer(id) => ledger.excused(&id),
                What::Other => {}
            }
        }
        ledger.over(self.me());
    }

    fn h(&self) -> Option<u32> {
        let managed = self.managed.as_ref().filter(|managed| managed.enabled)?;
        Some(managed.handled as u32)
    }

    pub(crate) fn me(&self) -> Chain {
        (self.index, self.chain)
    }

    /// Somebody else.
    fn another(&mut self) -> usize {
        let at = self.chance.within(1..=self.others as u64 - 1) as usize;
        (self.index + at) % self.others
    }
}

/// The account of the client `index`.
pub(crate) fn account(index: usize) -> Bare {
    Bare::parse(&format!("c{index}@{DOMAIN}")).expect("an address")
}

fn resource(index: usize) -> String {
    format!("r{index}")
}
