//! What a hook may know: values loaded before the pipeline runs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stanza::{
    ArchiveId, Bare, ClientId, Full, IqType, Jid, MessageType, Presence, PresenceType, SessionId, Stanza, Timestamp,
};
use store::{Contact, Roster};

use crate::fact::{Fact, Facts};
use crate::host::Host;
use crate::lent::Lent;
use crate::outcome::Outcome;

/// On whose behalf the account acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// On behalf of the sender's account.
    Out,
    /// On behalf of the recipient's account.
    In,
}

/// Everything a hook may know.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Which way.
    pub way: Way,
    /// Now.
    pub now: Timestamp,
    /// The virtual host.
    pub host: &'a Host,
    /// The account.
    pub account: &'a AccountView,
    /// On the way out, and for session events: the session that acts.
    pub session: Option<&'a SessionView>,
    /// On the way in, for observers: what was decided.
    pub outcome: &'a Outcome,
    /// The id under which the account's archive holds the stanza, should it be written there.
    pub archive_id: ArchiveId,
}

/// An account as its home knows it.
#[derive(Clone, Debug)]
pub struct AccountView {
    /// Its bare address.
    pub jid: Bare,
    /// Its bound sessions, oldest first.
    pub sessions: Vec<SessionView>,
    /// Its roster, with what is lent to it.
    pub roster: Arc<Roster>,
    /// What is lent to it, if anything.
    pub lent: Option<Arc<Lent>>,
    /// Since when no session is available, as far as that is known (RFC 6121, 4.3.2); of no meaning while one is.
    pub away_since: Option<Timestamp>,
    /// What modules keep warm.
    pub facts: Facts,
    /// What modules count.
    pub meters: Meters,
}

/// Counts of one account in windows of time, in its home's memory only: they begin anew when it moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meters(BTreeMap<&'static str, (Timestamp, u32)>);

/// A session as its home knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// Its full address.
    pub jid: Full,
    /// Which client it is of, if that is known.
    pub client: Option<ClientId>,
    /// Its last broadcast presence; `None` while it is not available ("connected resource" only).
    pub presence: Option<Arc<Presence>>,
    /// When that presence was sent.
    pub since: Timestamp,
    /// Whether it asked for the roster ("interested resource").
    pub interested: bool,
    /// Addresses it sent directed presence to.
    pub directed: BTreeSet<Jid>,
    /// What modules noted of it ([`crate::SessionChange::Flag`]).
    pub flags: BTreeSet<Cow<'static, str>>,
    /// Whether nobody sees what is delivered to it now: it has no stream, or its client says that nobody looks (XEP-0352).
    pub unattended: bool,
}

/// Something that happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// It was bound.
    Opened,
    /// Its stream is gone; it is kept for its client to resume (XEP-0198).
    Detached {
        /// Whether messages were sent to the client that it did not acknowledge.
        unseen: bool,
    },
    /// It ended, for whatever reason; the view still holds it.
    Closed,
}

impl View<'_> {
    /// The roster's contact for `jid`, by full address first, then by bare.
    pub fn contact(&self, jid: &Jid) -> Option<&Contact> {
        self.account.contact(jid)
    }

    /// The fact of type `F`.
    pub fn fact<F: Fact>(&self) -> Option<&F> {
        self.account.facts.get()
    }
}

impl Meters {
    /// How often `name` was counted in the window of so many seconds that `now` is in.
    pub fn read(&self, name: &str, now: Timestamp, window: u32) -> u32 {
        match self.0.get(name) {
            Some((began, count)) if now.seconds_since(*began) < u64::from(window) => *count,
            _ => 0,
        }
    }

    /// Counts `name`. The window begins with the first.
    pub fn count(&mut self, name: &'static str, now: Timestamp, window: u32) {
        match self.read(name, now, window) {
            0 => self.0.insert(name, (now, 1)),
            count => self.0.insert(
                name,
                (
                    self.0.get(name).map_or(now, |(began, _)| *began),
                    count.saturating_add(1),
                ),
            ),
        };
    }
}

impl AccountView {
    /// The session `id`.
    pub fn session(&self, id: SessionId) -> Option<&SessionView> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// The session bound to `resource`.
    pub fn resource(&self, resource: &str) -> Option<&SessionView> {
        self.sessions.iter().find(|session| session.jid.resource() == resource)
    }

    /// Sessions that have sent initial presence and are available.
    pub fn available(&self) -> impl Iterator<Item = &SessionView> {
        self.sessions.iter().filter(|session| session.presence.is_some())
    }

    /// Sessions that asked for the roster.
    pub fn interested(&self) -> impl Iterator<Item = &SessionView> {
        self.sessions.iter().filter(|session| session.interested)
    }

    /// Whether `jid` is subscribed to the account's presence, or is one of its own sessions (RFC 6121, 4.3.2).
    pub fn is_seen_by(&self, jid: &Jid) -> bool {
        let bare = jid.bare();
        bare == self.jid
            || self
                .roster
                .contacts
                .get(bare.jid())
                .is_some_and(|contact| contact.subscription.is_from())
    }

    /// Whether `jid` may know whether `session` is there: by subscription, or because the session told it so (RFC 6121, 8.5.3.1).
    /// The account's own server may, too.
    pub fn shares_presence(&self, session: &SessionView, jid: &Jid) -> bool {
        self.is_seen_by(jid) || session.has_told(jid) || jid.as_str() == self.jid.domain()
    }

    /// Whether `jid` is a contact because the server says so.
    pub fn is_lent(&self, jid: &Jid) -> bool {
        self.lent.as_ref().is_some_and(|lent| lent.has(jid.bare().jid()))
    }

    /// The roster's `version` as clients see it, which is another when other contacts are lent.
    pub fn roster_version(&self, version: u64) -> String {
        match &self.lent {
            Some(lent) => format!("{version}-{}", lent.mark()),
            None => version.to_string(),
        }
    }

    /// Whether a stanza shows that somebody is to be lent now who was not, or no longer; and as what that is counted ([`Meters`]), as each is
    /// looked into once a minute at most. Only where everybody is lent: a group whose members are named stays as it is, whoever of them has
    /// an account. An error or a goodbye shows nothing of somebody new.
    pub fn outdates_loan(&self, stanza: &Stanza, now: Timestamp) -> Option<&'static str> {
        let lent = self.lent.as_ref().filter(|lent| lent.has_everyone())?;
        let from = stanza.from()?.bare();
        let is_user = from.local().is_some() && from.domain() == self.jid.domain() && from != self.jid;
        let parts = matches!(stanza, Stanza::Presence(presence) if presence.kind == PresenceType::Unsubscribed);
        let what = match (lent.has(from.jid()), parts) {
            (true, true) => WENT,
            (false, _) if is_user && !is_farewell(stanza) => CAME,
            _ => return None,
        };
        (self.meters.read(what, now, LOAN_WINDOW) == 0).then_some(what)
    }

    /// The roster's contact for `jid`, by full address first, then by bare.
    pub fn contact(&self, jid: &Jid) -> Option<&Contact> {
        self.roster
            .contacts
            .get(jid)
            .or_else(|| self.roster.contacts.get(jid.bare().jid()))
    }
}

/// Whether a stanza says that something failed or that somebody goes.
fn is_farewell(stanza: &Stanza) -> bool {
    use PresenceType::{Error, Unavailable, Unsubscribe, Unsubscribed};
    match stanza {
        Stanza::Message(message) => message.kind == MessageType::Error,
        Stanza::Presence(presence) => matches!(presence.kind, Error | Unavailable | Unsubscribe | Unsubscribed),
        Stanza::Iq(iq) => iq.kind == IqType::Error,
    }
}

/// In which what is lent is read again at most once because somebody came, and once because somebody went; in seconds.
pub const LOAN_WINDOW: u32 = 60;
const CAME: &str = "lent: came";
const WENT: &str = "lent: went";

impl SessionView {
    /// A session bound at `now`.
    pub fn new(id: SessionId, jid: Full, now: Timestamp) -> Self {
        Self {
            id,
            jid,
            client: None,
            presence: None,
            since: now,
            interested: false,
            directed: BTreeSet::new(),
            flags: BTreeSet::new(),
            unattended: false,
        }
    }

    /// Whether a module noted `flag`.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    /// Its priority, while available.
    pub fn priority(&self) -> Option<i8> {
        self.presence.as_ref().map(|presence| presence.priority())
    }

    /// Whether the session sent directed presence to `jid`, or to another address of the same entity (RFC 6121, 4.6): the room is
    /// told, whichever of its occupants it speaks for.
    pub fn has_told(&self, jid: &Jid) -> bool {
        let bare = jid.bare();
        self.directed.iter().any(|told| told.bare() == bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_the_first() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let mut meters = Meters::default();
        for (now, before) in [(100, 0), (101, 1), (159, 2), (160, 0), (219, 1), (220, 0)] {
            assert_eq!(meters.read("a", at(now), 60), before, "{now}");
            meters.count("a", at(now), 60);
        }
        assert_eq!(meters.read("b", at(220), 60), 0);
    }

    /// Potpan is lent Gregory and Ghost, who has no account; and everybody of his domain, or not.
    #[test]
    fn what_shows_that_a_loan_is_out_of_date() {
        let view = |everyone| {
            let jid = Bare::parse("potpan@v.example").unwrap();
            let names = ["gregory@v.example", "ghost@v.example"].map(|name| (name.parse().unwrap(), BTreeSet::new()));
            let loan = crate::Loan {
                contacts: Arc::new(names.into()),
                everyone,
            };
            AccountView {
                lent: Some(Arc::new(Lent::new(jid.clone(), loan, Arc::default()))),
                jid,
                sessions: Vec::new(),
                roster: Arc::default(),
                away_since: None,
                facts: Facts::default(),
                meters: Meters::default(),
            }
        };
        let parse = |xml: &str| Stanza::parse(&bytes::Bytes::copy_from_slice(xml.as_bytes())).unwrap();
        let now = Timestamp(1_000_000);
        for (xml, expected) in [
            ("<presence from='gregory@v.example' type='unsubscribed'/>", Some(WENT)),
            ("<presence from='gregory@v.example/r'/>", None),
            ("<presence from='abraham@v.example/r'/>", Some(CAME)),
            ("<message from='abraham@v.example/r'/>", Some(CAME)),
            ("<message from='abraham@v.example' type='error'/>", None),
            ("<presence from='abraham@v.example' type='error'/>", None),
            ("<iq from='abraham@v.example' type='error' id='i'/>", None),
            ("<presence from='nobody@v.example' type='unsubscribed'/>", None),
            ("<presence from='nobody@v.example' type='unavailable'/>", None),
            ("<presence from='romeo@m.example/r'/>", None),
            ("<presence from='potpan@v.example/r'/>", None),
            ("<message from='v.example'/>", None),
        ] {
            let stanza = parse(xml);
            let mut everyone = view(true);
            assert_eq!(everyone.outdates_loan(&stanza, now), expected, "{xml}");
            assert_eq!(view(false).outdates_loan(&stanza, now), None, "{xml}");
            // Not again before a minute is over.
            let Some(what) = expected else { continue };
            everyone.meters.count(what, now, LOAN_WINDOW);
            let after = |seconds: i64| everyone.outdates_loan(&stanza, Timestamp(now.0 + seconds * 1_000_000));
            assert_eq!((after(59), after(60)), (None, expected), "{xml}");
        }
    }
}
