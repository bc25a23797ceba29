//! Decisions: the hook table, the pipeline, the routing rules of RFC 6121 and the effects that modules may ask for.
//!
//! Everything that runs for a stanza here is a plain function of values: no await, no lock, no clock, no randomness. Only
//! IQ handlers, facts and account hooks await, and only stores.

mod about;
mod client;
mod disco;
mod effect;
mod fact;
mod handler;
mod hooks;
mod host;
mod invites;
mod lent;
mod outcome;
mod payload;
mod pipeline;
mod roster;
mod route;
mod view;

pub use about::{About, Config, Module, Row, row};
pub use client::{Client, Clients};
pub use disco::{At, Disco, Identity};
pub use effect::{Credentials, Effect, Effects, Password, Put, Retraction, RosterChange, SessionChange};
pub use fact::{Fact, FactFuture, FactLoader, Facts, kept};
pub use handler::{
    Access, AccountCx, AccountEvent, Answer, BindCx, Bound, Command, Cx, Done, Reply, Stage, StageFuture,
};
pub use hooks::{AccountFuture, BindFuture, Hooks, InstallError, LoanFuture, Retention};
pub use host::{Host, MayInvite};
pub use invites::{Invitation, Invites, Wish};
pub use lent::{Lent, Loan, loan_change};
pub use outcome::Outcome;
pub use payload::{Malformed, Request};
pub use pipeline::{Decision, HookRow, Pipeline, Query, Verdict};
pub use roster::{push as roster_push, pushes as roster_pushes, roster_item};
pub use route::{incoming as route_incoming, outgoing as route_outgoing};
pub use view::{AccountView, LOAN_WINDOW, Meters, SessionEvent, SessionView, View, Way};

pub use stanza::{
    ArchiveId, Bare, Condition, ErrorType, Full, Head, Iq, IqType, Jid, Message, MessageType, Payload, Presence,
    PresenceType, SessionId, Show, Stanza, StanzaError, StreamCondition, Timestamp, ns,
};
pub use xml::Element;
