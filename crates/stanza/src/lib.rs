//! Addresses, stanzas and their errors: the vocabulary of RFC 6120, 6121 and 7622. Values only; no IO.

mod archived;
mod condition;
mod delay;
pub mod form;
mod forward;
mod jid;
mod login;
mod managed;
pub mod ns;
mod payload;
mod prepare;
mod read;
mod register;
pub mod rsm;
mod sasl2;
mod stanza;
mod stream_condition;
mod time;
mod types;
mod write;

pub use archived::{ArchiveId, MessageKey, is_at, stanza_id};
pub use condition::{Condition, ErrorType, StanzaError};
pub use delay::{Delay, delay};
pub use forward::{forward, forwarded};
pub use jid::{Bare, Full, InvalidJid, Jid};
pub use login::{
    BindReply, BindRequest, Exchange, Grant, Peer, ResourceRequest, SaslFailure, SaslReply, SaslRequest, SessionId,
    TlsFacts,
};
pub use managed::{
    Counts, EnableReply, EnableRequest, ResumeReply, ResumeRequest, Resumption, TooHigh, acknowledged, handled,
};
pub use payload::{Child, Payload};
pub use register::{Invited, RegisterReply, RegisterRequest, RegisterStep};
pub use sasl2::{ClientId, FastUse, InvalidClientId, Sasl2, Token, UserAgent};
pub use stanza::{Head, InvalidStanza, Iq, IqType, Message, MessageType, Presence, PresenceType, Show, Stanza};
pub use stream_condition::StreamCondition;
pub use time::Timestamp;
