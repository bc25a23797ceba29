//! Runs a conformance script against a stage: something that serves the domains of the scripts.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use tokio::time::timeout;
use xml::Element;

use crate::client::{Client, PATIENCE, Resumption, Seen};
use crate::script::{Action, Invitation, Script, Step, User};
use crate::settings::COMPONENT_SECRET;
use crate::{metrics, pattern, sasl2, scram};

/// Something that serves the domains of the scripts.
#[async_trait]
pub trait Stage: Send + Sync {
    /// Creates an account.
    async fn create_account(&self, name: &str, domain: &str, password: &str) -> Result<()>;
    /// Removes an account, and waits until it is gone.
    async fn remove_account(&self, name: &str, domain: &str) -> Result<()>;
    /// Makes an invitation to register at `domain`, for the name `user` if given, with an introduction to `contact` if given. Returns
    /// its token.
    async fn invite(&self, domain: &str, user: Option<&str>, contact: Option<&str>) -> Result<String>;
    /// Connects session number `index` of a script: on a cluster each to another edge.
    async fn connect(&self, index: usize) -> Result<Client>;
    /// Connects a component, as session number `index`.
    async fn connect_component(&self, index: usize) -> Result<Client>;
    /// What `/metrics` of every node says, one after the other; `None` where there is none.
    async fn metrics(&self) -> Result<Option<String>> {
        Ok(None)
    }
}

/// How often to look at counters.
const LOOK: std::time::Duration = std::time::Duration::from_millis(20);
/// The password of every account in scripts.
const PASSWORD: &str = "orchard wall";
/// Namespace of the messages that find out whether anything is on its way.
const BARRIER: &str = "test:barrier";

/// Runs `script`; `tag` tells its accounts from those of other runs on the same stage.
///
/// # Errors
/// Names the line that did not hold.
pub async fn run(script: &Script, stage: &dyn Stage, tag: &str) -> Result<()> {
    let mut run = Run {
        script,
        stage,
        tag,
        sessions: BTreeMap::new(),
        dropped: BTreeMap::new(),
        tokens: BTreeMap::new(),
        invitations: BTreeMap::new(),
        connected: 0,
        barrier: 0,
        captured: BTreeMap::new(),
        counted: BTreeMap::new(),
    };
    run.prepare().await.context("before the first step")?;
    for step in &script.steps {
        run.step(step)
            .await
            .with_context(|| format!("line {}: {} {:?}", step.line, step.who, step.action))?;
    }
    Ok(())
}

struct Run<'a> {
    script: &'a Script,
    stage: &'a dyn Stage,
    tag: &'a str,
    sessions: BTreeMap<String, Session>,
    /// What sessions that were dropped need to be resumed: their addresses among it.
    dropped: BTreeMap<String, (Resumption, Option<String>)>,
    /// The tokens that sessions were given last (XEP-0484).
    tokens: BTreeMap<String, String>,
    /// The tokens of invitations, by who was invited last.
    invitations: BTreeMap<String, String>,
    connected: usize,
    barrier: u32,
    /// What stood where a pattern says `$name`.
    captured: BTreeMap<String, String>,
    /// Where the counters stood that the script looks at.
    counted: BTreeMap<String, f64>,
}

struct Session {
    client: Client,
    /// Full address once logged in; a component's domain.
    jid: Option<String>,
    component: bool,
    /// What has arrived and was not looked at yet.
    pending: VecDeque<Element>,
    ended: bool,
}

impl Run<'_> {
    async fn prepare(&mut self) -> Result<()> {
        for user in &self.script.users {
            self.stage
                .create_account(&self.own_name(&user.name), &user.domain, PASSWORD)
                .await?;
        }
        for (one, other) in &self.script.friends {
            self.befriend(one, other)
                .await
                .with_context(|| format!("befriending {one} and {other}"))?;
        }
        for user in &self.script.users {
            for (resource, _) in user.resources.iter().filter(|(_, from_the_start)| *from_the_start) {
                self.log_in(&format!("{}/{resource}", user.name)).await?;
            }
        }
        self.look_at_counters().await
    }

    async fn look_at_counters(&mut self) -> Result<()> {
        let series: Vec<&String> = self
            .script
            .steps
            .iter()
            .filter_map(|step| match &step.action {
                Action::Counts(series) => Some(series),
                _ => None,
            })
            .collect();
        if !series.is_empty()
            && let Some(text) = self.stage.metrics().await?
        {
            self.counted = series
                .into_iter()
                .map(|series| (series.clone(), metrics::total(&text, series)))
                .collect();
        }
        Ok(())
    }

    /// Counters rise shortly after the client saw why: looks again until it has.
    async fn counts(&mut self, series: &str) -> Result<()> {
        let Some(before) = self.counted.get(series).copied() else {
            return Ok(());
        };
        let rises = async {
            loop {
                let text = self.stage.metrics().await?.unwrap_or_default();
                let now = metrics::total(&text, series);
                if now > before {
                    return anyhow::Ok(now);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let now = timeout(PATIENCE, rises)
            .await
            .with_context(|| format!("{series} stays at {before}"))??;
        self.counted.insert(series.to_owned(), now);
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        let who = step.who.as_str();
        match &step.action {
            Action::Sends(element) => {
                let element = self.to_run(element);
                self.session(who)?.client.send(&element).await
            }
            Action::Receives(wanted) => {
                let wanted = self.to_run(wanted);
                let element = self.session(who)?.next().await?;
                if let Some(token) = self.session(who)?.client.token().cloned() {
                    self.tokens.insert(who.to_owned(), token);
                }
                pattern::compare(&wanted, &element).map_err(|reason| anyhow::anyhow!("{reason}\n  in {element}"))?;
                pattern::capture(&wanted, &element, &mut self.captured);
                Ok(())
            }
            Action::Gets(wanted) => {
                let wanted = self.to_run(wanted);
                let element = self.session(who)?.find(&wanted).await?;
                pattern::capture(&wanted, &element, &mut self.captured);
                Ok(())
            }
            Action::AsksUntil(request, wanted) => self.ask_until(who, request, wanted).await,
            Action::ReceivesNothing => self.nothing_more(who).await,
            Action::LogsIn => self.log_in(who).await,
            Action::LogsOut => {
                self.sessions
                    .remove(who)
                    .context("no such session")?
                    .client
                    .close()
                    .await
            }
            Action::Drops => self.drop_connection(who),
            Action::Resumes => self.resume(who).await,
            Action::Authenticates(user, tampering) => {
                let name = self.own_name(user);
                scram::authenticate(&mut self.session(who)?.client, &name, PASSWORD, *tampering).await
            }
            Action::AuthenticatesWith(wishes) => self.authenticate_with(who, wishes).await,
            Action::Counts(series) => self.counts(series).await,
            Action::Connects => self.connect(who).await.map(drop),
            Action::ConnectsAs(domain) => self.connect_component(who, domain).await,
            Action::ShakesHands(domain, secret) => self.shake_hands(who, domain, secret).await,
            Action::Opens(domain) => {
                let features = self.connect(who).await?.client.open(domain).await?;
                self.session(who)?.pending.push_back(features);
                Ok(())
            }
            Action::Writes(bytes) => {
                let text = bytes.clone();
                // The server may close before it has read everything: what it says then is what counts.
                let _ = self.session(who)?.client.write(&text).await;
                Ok(())
            }
            Action::IsClosed(wanted) => {
                let wanted = wanted.as_ref().map(|wanted| self.to_run(wanted));
                self.session(who)?.end(wanted.as_ref()).await
            }
            Action::IsInvited(invitation) => self.invite(who, invitation).await,
            Action::IsCreated => {
                let (name, domain) = (self.own_name(who), &self.user(who)?.domain);
                self.stage.create_account(&name, domain, PASSWORD).await
            }
            Action::IsRemoved => {
                let (name, domain) = (self.own_name(who), &self.user(who)?.domain);
                self.stage.remove_account(&name, domain).await
            }
        }
    }

    /// What is written behind is read a moment later: asks again until it is.
    async fn ask_until(&mut self, who: &str, request: &Element, wanted: &Element) -> Result<()> {
        let (request, wanted) = (self.to_run(request), self.to_run(wanted));
        let session = self.session(who)?;
        let mut last = String::new();
        let asks = async {
            loop {
                session.client.send(&request).await?;
                let answer = session.next().await?;
                match pattern::compare(&wanted, &answer) {
                    Ok(()) => return anyhow::Ok(()),
                    Err(reason) => last = format!("{reason}\n  in {answer}"),
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, asks).await.with_context(|| last)?
    }

    /// Subscribes two users to each other with sessions that nobody sees later.
    async fn befriend(&mut self, one: &str, other: &str) -> Result<()> {
        let mut pair = Vec::new();
        for name in [one, other] {
            let user = self.user(name)?;
            let mut client = self.stage.connect(0).await?;
            client
                .log_in(&self.own_name(name), &user.domain, PASSWORD, "befriending")
                .await?;
            client
                .write(b"<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>")
                .await?;
            pair.push((client, format!("{}@{}", self.own_name(name), user.domain)));
        }
        for (asks, grants) in [(0, 1), (1, 0)] {
            let (asking, granting) = (pair[asks].1.clone(), pair[grants].1.clone());
            pair[asks]
                .0
                .write(format!("<presence to='{granting}' type='subscribe'/>").as_bytes())
                .await?;
            until(&mut pair[grants].0, "presence", "subscribe").await?;
            pair[grants]
                .0
                .write(format!("<presence to='{asking}' type='subscribed'/>").as_bytes())
                .await?;
            until(&mut pair[asks].0, "presence", "subscribed").await?;
        }
        for (mut client, _) in pair {
            // What follows from the goodbye has gone out when the next request is answered: nobody hears it later.
            client
                .write(b"<presence type='unavailable'/><iq type='get' id='bye'><nothing xmlns='urn:example'/></iq>")
                .await?;
            until(&mut client, "iq", "error").await?;
            client.close().await?;
        }
        Ok(())
    }

    async fn log_in(&mut self, who: &str) -> Result<()> {
        let (name, resource) = who.split_once('/').context("only name/resource can log in")?;
        let (domain, own) = (self.user(name)?.domain.clone(), self.own_name(name));
        let session = self.connect(who).await?;
        session.jid = Some(session.client.log_in(&own, &domain, PASSWORD, resource).await?);
        Ok(())
    }

    fn drop_connection(&mut self, who: &str) -> Result<()> {
        let session = self.sessions.remove(who).context("no such session")?;
        if let Some(resumption) = session.client.resumption() {
            let dropped = (resumption.clone(), session.jid.clone());
            self.dropped.insert(who.to_owned(), dropped);
        }
        Ok(())
    }

    async fn resume(&mut self, who: &str) -> Result<()> {
        let (name, _) = who.split_once('/').context("only name/resource can resume")?;
        let (domain, own) = (self.user(name)?.domain.clone(), self.own_name(name));
        if self.sessions.contains_key(who) {
            self.drop_connection(who)?;
        }
        let (resumption, jid) = self.dropped.get(who).context("nothing to resume")?.clone();
        let session = self.connect(who).await?;
        session.jid = jid;
        session.client.resume(&own, &domain, PASSWORD, resumption).await
    }

    async fn authenticate_with(&mut self, who: &str, wishes: &Element) -> Result<()> {
        let name = who.split('/').next().unwrap_or(who);
        let (domain, own) = (self.user(name)?.domain.clone(), self.own_name(name));
        if self.sessions.contains_key(who) {
            self.drop_connection(who)?;
        }
        let (wishes, token) = (self.to_run(wishes), self.tokens.get(who).cloned());
        let dropped = self.dropped.get(who).cloned();
        let session = self.connect(who).await?;
        session.client.open(&domain).await?;
        let resumption = dropped.map(|(resumption, _)| resumption);
        let login = sasl2::Login {
            user: &own,
            password: PASSWORD,
            token: token.as_deref(),
            resumption: resumption.as_ref(),
        };
        session.client.take_over(resumption.clone());
        sasl2::authenticate(&mut session.client, &wishes, &login).await
    }

    async fn invite(&mut self, who: &str, invitation: &Invitation) -> Result<()> {
        let domain = self.user(who)?.domain.clone();
        let user = invitation.user.as_ref().map(|name| self.own_name(name));
        let contact = match &invitation.contact {
            Some(name) => Some(format!("{}@{}", self.own_name(name), self.user(name)?.domain)),
            None => None,
        };
        let token = self.stage.invite(&domain, user.as_deref(), contact.as_deref()).await?;
        self.invitations.insert(who.to_owned(), token);
        Ok(())
    }

    async fn connect(&mut self, who: &str) -> Result<&mut Session> {
        let client = self.stage.connect(self.connected).await?;
        self.take_in(who, client)
    }

    fn take_in(&mut self, who: &str, client: Client) -> Result<&mut Session> {
        self.connected += 1;
        let session = Session {
            client,
            jid: None,
            component: false,
            pending: VecDeque::new(),
            ended: false,
        };
        self.sessions.insert(who.to_owned(), session);
        self.session(who)
    }

    async fn connect_component(&mut self, who: &str, domain: &str) -> Result<()> {
        self.shake_hands(who, domain, COMPONENT_SECRET).await?;
        let session = self.session(who)?;
        let answer = session.client.element().await?;
        anyhow::ensure!(answer.name() == "handshake", "expected a handshake, saw {answer}");
        (session.jid, session.component) = (Some(domain.to_owned()), true);
        Ok(())
    }

    /// Without an id there is nothing to answer: the server has said already why.
    async fn shake_hands(&mut self, who: &str, domain: &str, secret: &str) -> Result<()> {
        let client = self.stage.connect_component(self.connected).await?;
        let client = &mut self.take_in(who, client)?.client;
        match client.open_as_component(domain).await? {
            Some(id) => {
                let hash = sasl::handshake(&id, secret);
                client.write(format!("<handshake>{hash}</handshake>").as_bytes()).await
            }
            None => Ok(()),
        }
    }

    /// Everybody who is logged in tells everybody, twice: order per sender means that whatever was caused before, directly
    /// or by way of somebody else's home, has arrived by then.
    async fn nothing_more(&mut self, who: &str) -> Result<()> {
        for _ in 0..2 {
            self.barrier += 1;
            let id = format!("barrier-{}", self.barrier);
            let everybody: Vec<String> = self
                .sessions
                .values()
                .filter(|session| !session.ended)
                .filter_map(|session| session.jid.clone())
                .collect();
            let from_all = everybody.len();
            for session in self
                .sessions
                .values_mut()
                .filter(|session| session.jid.is_some() && !session.ended)
            {
                for to in &everybody {
                    let tell = Element::new(BARRIER, "barrier");
                    let message = Element::new(xml::ns::CLIENT, "message")
                        .with("to", to.clone())
                        .with("id", id.clone());
                    let from = session.jid.clone().filter(|_| session.component);
                    session
                        .client
                        .send(&message.with_some("from", from).with("type", "headline").push(tell))
                        .await?;
                }
            }
            for session in self
                .sessions
                .values_mut()
                .filter(|session| session.jid.is_some() && !session.ended)
            {
                session.collect(&id, from_all).await?;
            }
        }
        match self.session(who)?.pending.pop_front() {
            None => Ok(()),
            Some(element) => bail!("unexpected {element}"),
        }
    }

    fn session(&mut self, who: &str) -> Result<&mut Session> {
        self.sessions
            .get_mut(who)
            .with_context(|| format!("{who} is not connected"))
    }

    fn user(&self, name: &str) -> Result<&User> {
        self.people()
            .find(|user| user.name == name)
            .with_context(|| format!("no user {name}"))
    }

    /// Everybody the script speaks of, whether they have an account or not.
    fn people(&self) -> impl Iterator<Item = &User> {
        self.script.users.iter().chain(&self.script.strangers)
    }

    fn own_name(&self, name: &str) -> String {
        format!("{name}-{}", self.tag)
    }

    /// The element with this run's addresses, names and tokens instead of the script's.
    fn to_run(&self, element: &Element) -> Element {
        pattern::rename(element, &|text| {
            self.people().fold(pattern::fill(text, &self.captured), |text, user| {
                let (own, domain) = (self.own_name(&user.name), &user.domain);
                let token = self.invitations.get(&user.name).map(String::as_str);
                text.replace(&format!("{}@{domain}", user.name), &format!("{own}@{domain}"))
                    .replace(&format!("(name of {})", user.name), &own)
                    .replace(&format!("(token of {})", user.name), token.unwrap_or("no token"))
            })
        })
    }
}

impl Session {
    async fn next(&mut self) -> Result<Element> {
        if let Some(element) = self.pending.pop_front() {
            return Ok(element);
        }
        let element = self.client.element().await?;
        self.jid = self.client.address().cloned().or(self.jid.take());
        Ok(element)
    }

    async fn find(&mut self, wanted: &Element) -> Result<Element> {
        if let Some(at) = self
            .pending
            .iter()
            .position(|element| pattern::compare(wanted, element).is_ok())
        {
            return self.pending.remove(at).context("pending");
        }
        loop {
            let element = self
                .client
                .element()
                .await
                .with_context(|| format!("pending: {:?}", self.shown()))?;
            if pattern::compare(wanted, &element).is_ok() {
                return Ok(element);
            }
            self.pending.push_back(element);
        }
    }

    fn shown(&self) -> Vec<String> {
        self.pending.iter().map(ToString::to_string).collect()
    }

    /// Reads until `count` barriers `id` have come; keeps everything else.
    async fn collect(&mut self, id: &str, count: usize) -> Result<()> {
        let mut seen = 0;
        while seen < count {
            let element = self.client.element().await.context("waiting for what is on its way")?;
            if element.child(BARRIER, "barrier").is_none() {
                self.pending.push_back(element);
            } else if element.attribute("id") == Some(id) {
                seen += 1;
            }
        }
        Ok(())
    }

    async fn end(&mut self, wanted: Option<&Element>) -> Result<()> {
        self.ended = true;
        let mut last = self.pending.pop_back();
        loop {
            match self.client.see().await {
                Ok(Seen::Element(element)) => last = Some(element),
                Ok(Seen::Open(_)) => {}
                Ok(Seen::End) => break,
                Err(error) => return Err(error.context("expected the end")),
            }
        }
        match (wanted, last) {
            (None, _) => Ok(()),
            (Some(wanted), Some(last)) => {
                pattern::compare(wanted, &last).map_err(|reason| anyhow::anyhow!("{reason}\n  in {last}"))
            }
            (Some(wanted), None) => bail!("ended without {wanted}"),
        }
    }
}

/// Reads until an element `name` of type `kind` comes.
async fn until(client: &mut Client, name: &str, kind: &str) -> Result<()> {
    loop {
        let element = client.element().await?;
        if element.name() == name && element.attribute("type") == Some(kind) {
            return Ok(());
        }
    }
}
