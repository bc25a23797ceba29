//! What a hook may ask for. The router performs effects in order after the pipeline; tests compare them as values.

use std::sync::Arc;

use stanza::{Jid, Message, Presence, SessionId, Stanza};
use store::Contact;

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
    /// Change what is known of a session.
    Session(SessionId, SessionChange),
    /// Write a message to the account's archive, before it is delivered and acknowledged. Bounces with `resource-constraint` when
    /// the store is away, and with `service-unavailable` when nobody is there to take it and too many wait already. One that
    /// was written before, when it came for the first time, is not delivered again. Asked for more than once, it is written once.
    Archive {
        /// The account's own copy.
        message: Message,
        /// Whether it stays when somebody has taken it.
        lasting: bool,
    },
    /// Deliver to this session what waits for somebody to take it, in order.
    Flush(SessionId),
}

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
    /// It sent available presence directly to this address (RFC 6121, 4.6).
    DirectedAvailable(Jid),
    /// It sent unavailable presence directly to this address.
    DirectedUnavailable(Jid),
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
