//! What a hook may ask for. The router performs effects in order after the pipeline; tests compare them as values.

use std::sync::Arc;

use bytes::Bytes;
use stanza::{Bare, Jid, Message, Presence, SessionId, Stanza, StreamCondition};
use store::{Contact, Key, Version};
use xml::Element;

use crate::fact::{Fact, FactLoader};

/// Something to be done. A closed list: it is the vocabulary of the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Deliver to sessions of this account.
    Deliver {
        /// The sessions; those that have gone meanwhile are passed over.
        to: Vec<SessionId>,
        /// The stanza.
        stanza: Arc<Stanza>,
        /// Whether each session gets it with its own full address in `to`.
        readdress: bool,
    },
    /// Deliver a copy of the message at hand to sessions of this account that did not hear it, each with its own full address in `to`. Whose
    /// client takes the copy has taken the message: should those that heard it end before they took it, it comes to no other any more.
    Copy {
        /// The sessions; those that have gone meanwhile are passed over.
        to: Vec<SessionId>,
        /// The copy.
        stanza: Arc<Stanza>,
    },
    /// Send to somebody else on behalf of this account: it goes the recipient's way in. `to` and `from` are set.
    Send(Stanza),
    /// Send to many: one frame per home. Each recipient gets it with its own address in `to`.
    Broadcast {
        /// The recipients.
        to: Vec<Jid>,
        /// The stanza; its own `to` does not count.
        stanza: Arc<Stanza>,
    },
    /// Change the roster durably (conditional on the version seen), then push the change to interested sessions
    /// ([`crate::roster_pushes`] says what, if anything). On a conflict the stanza is decided anew. Must succeed before what follows it.
    Roster(RosterChange),
    /// Write a small value durably (conditional on the version seen); hooks see the fact that is read from it from then on. On a conflict the
    /// stanza is decided anew, on fresh facts. Must succeed before what follows it.
    Put(Put),
    /// Change what is known of a session.
    Session(SessionId, SessionChange),
    /// End sessions of this account with a stream error.
    End {
        /// The sessions; those that have gone meanwhile are passed over.
        sessions: Vec<SessionId>,
        /// What their clients are told.
        condition: StreamCondition,
    },
    /// End the sessions that this account has when this is performed, with a stream error.
    EndAll {
        /// One that goes on.
        but: Option<SessionId>,
        /// What their clients are told.
        condition: StreamCondition,
    },
    /// Write a message to the account's archive, before it is delivered and acknowledged. Bounces with `resource-constraint` when
    /// the store is away, and with `service-unavailable` when nobody is there to take it and too many wait already. One that
    /// was written before, when it came for the first time, is not delivered again. Asked for more than once, it is written once.
    Archive {
        /// The account's own copy.
        message: Message,
        /// Whether it stays when somebody has taken it.
        lasting: bool,
    },
    /// Put a tombstone in the place of a message in the account's archive, if it is found among the newest
    /// (`router.retractable_messages`) with the other party.
    Retract(Retraction),
    /// Count something of the account under a module's name; see [`crate::Meters`].
    Meter {
        /// What.
        name: &'static str,
        /// How long it counts, in seconds.
        window: u32,
    },
    /// Deliver what waits for somebody to take it, in order.
    Flush {
        /// To which session.
        to: SessionId,
        /// Whether its client reads the archive itself: what stays there and came before the session is taken to be read.
        reads_archive: bool,
    },
    /// Change the account's password, if the rules of its host allow this one. Only a handler may ask for it: it is hashed and kept
    /// before the account's lock is taken, and must succeed before the result is sent. All tokens of the account are void then.
    Password(Password),
    /// Make an account of a host, or give one another password, as [`Effect::Password`] does for the account itself.
    Account(Credentials),
    /// Retire the account: nobody logs in to it any more, and its home removes it soon. Must succeed before what follows it.
    Retire,
}

/// Which message of the archive is taken back, and what is left of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Retraction {
    /// The other party of the conversation.
    pub with: Bare,
    /// Who said it.
    pub author: Bare,
    /// The id that its author gave it.
    pub id: String,
    /// What stands in the place of what it said.
    pub tombstone: Element,
}

/// A small value to be written, or removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// Where it stands under the account.
    pub key: Key,
    /// The value; `None` removes it.
    pub value: Option<Bytes>,
    /// The version seen; `None`: there was none.
    pub seen: Option<Version>,
    /// The fact that is read from it, if any.
    pub fact: Option<FactLoader>,
}

/// A password on its way to be hashed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

/// A change of the roster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RosterChange {
    /// Contacts to insert or replace.
    pub put: Vec<Contact>,
    /// Contacts to remove.
    pub remove: Vec<Jid>,
}

/// A change of what is known of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionChange {
    /// It is available with this presence (RFC 6121, 4.2 and 4.4).
    Available(Arc<Presence>),
    /// It is unavailable; directed presence is forgotten (RFC 6121, 4.5).
    Unavailable,
    /// It asked for the roster: it gets pushes (RFC 6121, 2.1.6).
    Interested,
    /// A module notes something of it under its own name, or no longer does.
    Flag(&'static str, bool),
    /// It sent available presence directly to this address (RFC 6121, 4.6).
    DirectedAvailable(Jid),
    /// It sent unavailable presence directly to this address.
    DirectedUnavailable(Jid),
}

impl Put {
    /// Writes `element`, from which the fact `F` is read ([`crate::kept`]).
    pub fn element<F: Fact>(key: Key, element: &Element, seen: Option<Version>) -> Self {
        let value = Bytes::from(element.to_string().into_bytes());
        Self::fact::<F>(key, Some(value), seen)
    }

    /// Writes `value`, or removes it, from which the fact `F` is read.
    pub fn fact<F: Fact>(key: Key, value: Option<Bytes>, seen: Option<Version>) -> Self {
        let fact = Some(FactLoader::of::<F>());
        Self { key, value, seen, fact }
    }
}

/// What somebody is to log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The account.
    pub account: Bare,
    /// Its password.
    pub password: Password,
    /// Whether it is to be made; if not, it is there.
    pub is_new: bool,
}

impl std::fmt::Debug for Password {
    /// Never prints it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Effects in the order asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects(pub Vec<Effect>);

impl Effects {
    /// Asks for `effect`.
    pub fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Delivers to one session of this account.
    pub fn deliver(&mut self, to: SessionId, stanza: impl Into<Stanza>) {
        self.push(Effect::Deliver {
            to: vec![to],
            stanza: Arc::new(stanza.into()),
            readdress: false,
        });
    }

    /// Delivers to several sessions, each addressed in full.
    pub fn deliver_each(&mut self, to: Vec<SessionId>, stanza: impl Into<Stanza>) {
        if !to.is_empty() {
            self.push(Effect::Deliver {
                to,
                stanza: Arc::new(stanza.into()),
                readdress: true,
            });
        }
    }

    /// Sends to somebody else.
    pub fn send(&mut self, stanza: impl Into<Stanza>) {
        self.push(Effect::Send(stanza.into()));
    }

    /// Sends to many.
    pub fn broadcast(&mut self, to: Vec<Jid>, stanza: impl Into<Stanza>) {
        if !to.is_empty() {
            self.push(Effect::Broadcast {
                to,
                stanza: Arc::new(stanza.into()),
            });
        }
    }
}
