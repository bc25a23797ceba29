//! What an account sends out, and the order in which that leaves.
//!
//! Whoever changed an account under its lock takes a ticket for what follows from it, still under the lock; what one ticket
//! stands for leaves when its turn comes. So everything that leaves an account does so in the order in which it was decided,
//! whichever task carries it, and nobody holds two accounts' locks.

use std::pin::Pin;
use std::sync::Arc;

use engine::At;
use link::Trace;
use stanza::{Bare, Iq, Jid, MessageKey, SessionId, Stanza, StreamCondition};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::Span;

use crate::account::Account;
use crate::hosts::VirtualHost;

/// Something to be carried elsewhere once the account's lock is free.
pub(crate) enum Errand {
    /// A stanza for its addressee.
    Send(Sent),
    /// A stanza for many, each addressed by its own address.
    Broadcast { to: Vec<Jid>, stanza: Arc<Stanza> },
    /// A request to be answered.
    Ask(Question),
    /// A session to be ended.
    End {
        account: Bare,
        session: SessionId,
        condition: StreamCondition,
    },
}

/// A stanza on its way.
pub(crate) struct Sent {
    /// Shared: it is handed on from stop to stop.
    pub(crate) stanza: Arc<Stanza>,
    /// What makes it known when it comes again; `None` for what no client said.
    pub(crate) key: Option<MessageKey>,
}

/// A request to be answered.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) at: At,
    pub(crate) host: Arc<VirtualHost>,
    /// The account asked, or at [`At::Server`] the one that asks.
    pub(crate) account: Bare,
    pub(crate) request: Arc<Iq>,
}

impl Question {
    /// A request to an account that is here.
    pub(crate) fn to(account: &Account, request: Arc<Iq>) -> Self {
        Self {
            at: At::Account,
            host: account.host.clone(),
            account: account.jid().clone(),
            request,
        }
    }
}

/// Errands in the making, under the account's lock.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) errands: Vec<Errand>,
    pub(crate) trace: Option<Trace>,
    /// How many errands led to this one.
    pub(crate) depth: u32,
}

/// Errands with their place in the order.
pub(crate) struct Batch {
    pub(crate) ticket: Ticket,
    pub(crate) out: Out,
}

/// A place in the order of what leaves an account.
pub(crate) enum Ticket {
    /// Order does not matter.
    Free,
    /// It is this one's turn, until dropped.
    Held { _turn: OwnedMutexGuard<()> },
    /// Others come first.
    Waiting(Pin<Box<dyn Future<Output = OwnedMutexGuard<()>> + Send>>),
}

impl From<Stanza> for Sent {
    fn from(stanza: Stanza) -> Self {
        Self {
            stanza: Arc::new(stanza),
            key: None,
        }
    }
}

impl Out {
    pub(crate) fn new(trace: Option<Trace>, depth: u32) -> Self {
        Self {
            errands: Vec::new(),
            trace,
            depth,
        }
    }

    /// Says in the span of a traced stanza what became of it.
    pub(crate) fn note(&self, outcome: &'static str) {
        if self.trace.is_some() {
            Span::current().record("outcome", outcome);
        }
    }

    pub(crate) fn push(&mut self, errand: Errand) {
        self.errands.push(errand);
    }

    /// Sends a stanza if there is one.
    pub(crate) fn send(&mut self, stanza: Option<Stanza>) {
        self.errands.extend(stanza.map(|stanza| Errand::Send(stanza.into())));
    }

    /// These errands as a batch whose order does not matter.
    pub(crate) fn free(self) -> Option<Batch> {
        let ticket = Ticket::Free;
        (!self.errands.is_empty()).then_some(Batch { ticket, out: self })
    }
}

impl Ticket {
    /// The next place in the order kept by `line`. Call it under the account's lock.
    pub(crate) async fn take(line: &Arc<Mutex<()>>) -> Self {
        if let Ok(turn) = line.clone().try_lock_owned() {
            return Self::Held { _turn: turn };
        }
        let mut waiting: Pin<Box<dyn Future<Output = OwnedMutexGuard<()>> + Send>> =
            Box::pin(line.clone().lock_owned());
        // The first poll queues: tokio's mutex is first come, first served.
        match futures::poll!(&mut waiting) {
            std::task::Poll::Ready(turn) => Self::Held { _turn: turn },
            std::task::Poll::Pending => Self::Waiting(waiting),
        }
    }
}
