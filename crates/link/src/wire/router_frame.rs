//! What a router says to an edge.

use std::sync::Arc;

use ::stanza::{BindReply, EnableReply, RegisterReply, ResumeReply, SaslReply, SessionId, StreamCondition};
use ::topology::Snapshot;
use bytes::Bytes;

use super::address::{
    Malformed, archived_from, archived_to, session_from, session_to, target_from, target_to, trace_from, trace_to,
};
use super::condition::{kick_from, kick_to};
use super::edge_frame::{attach_from, attach_size, attach_to, waiting_from, waiting_to};
use super::login::{bind_reply_from, bind_reply_to, sasl_reply_from, sasl_reply_to};
use super::managed::{enable_reply_from, enable_reply_to, resume_reply_from, resume_reply_to};
use super::pb;
use super::pb::router_frame::Frame;
use super::register::{register_reply_from, register_reply_to};
use super::snapshot::{snapshot_from, snapshot_to};
use super::stanza::{stanza_from, stanza_size, stanza_to};
use crate::{Attach, Delivery, Gone, Waiting};

/// A frame that cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) why: Malformed,
    /// If it is a delivery: to which sessions, each with its number.
    pub(crate) sessions: Vec<(SessionId, u64)>,
}

impl From<Malformed> for Unreadable {
    fn from(why: Malformed) -> Self {
        let sessions = Vec::new();
        Self { why, sessions }
    }
}

/// A frame as a value; see the protocol file.
#[derive(Clone, Debug)]
pub(crate) enum RouterFrame {
    Snapshot(Arc<Snapshot>),
    Sasl(u64, SaslReply),
    Register(u64, RegisterReply),
    Bind(u64, Result<BindReply, Gone>),
    Enable(u64, Result<EnableReply, Gone>),
    Resume(u64, Result<ResumeReply, Gone>),
    Delivery(Delivery),
    Done(Vec<(SessionId, u64)>),
    Mirror(SessionId, Bytes),
    Hold(SessionId, Waiting),
    Kick(SessionId, StreamCondition),
    /// A session without a stream, to be kept.
    Keep(Box<Attach>),
    /// With `Gone::Session`, or `Gone::Home` for every other reason: then the edge tries again.
    Refused {
        session: SessionId,
        generation: u32,
        why: Gone,
    },
    Closed {
        session: SessionId,
        /// It is kept for its client to resume.
        kept: bool,
    },
    Sealed(u64),
}

impl RouterFrame {
    /// Roughly the memory it takes in a queue, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Delivery(delivery) => stanza_size(&delivery.stanza) + 24 * delivery.sessions.len(),
            Self::Mirror(_, state) => 64 + state.len(),
            Self::Keep(attach) => attach_size(attach),
            Self::Hold(_, waiting) => stanza_size(&waiting.stanza),
            Self::Snapshot(snapshot) => 16 * 1024 + 128 * snapshot.members.len(),
            Self::Sasl(..) | Self::Register(..) | Self::Bind(..) | Self::Enable(..) | Self::Resume(..) => 512,
            _ => 64,
        }
    }

    pub(crate) fn encode(self) -> pb::RouterFrame {
        let frame = match self {
            Self::Snapshot(snapshot) => Frame::Snapshot(snapshot_to(&snapshot)),
            Self::Sasl(call, reply) => Frame::Sasl(sasl_reply_to(call, reply)),
            Self::Register(call, reply) => Frame::Register(register_reply_to(call, reply)),
            Self::Bind(call, reply) => Frame::Bind(bind_reply_to(call, &reply)),
            Self::Enable(call, reply) => Frame::Enable(enable_reply_to(call, reply)),
            Self::Resume(call, reply) => Frame::Resume(resume_reply_to(call, reply)),
            Self::Delivery(delivery) => Frame::Delivery(pb::Delivery {
                sessions: delivery.sessions.into_iter().map(target_to).collect(),
                stanza: Some(stanza_to(&delivery.stanza)),
                readdress: delivery.readdress,
                archived: delivery.archived.map(archived_to),
                settled: delivery.settled,
                trace: trace_to(delivery.trace),
            }),
            Self::Done(sessions) => Frame::Done(pb::Done {
                sessions: sessions.into_iter().map(target_to).collect(),
            }),
            Self::Mirror(session, state) => Frame::Mirror(pb::Mirror {
                session: Some(session_to(session)),
                state,
            }),
            Self::Hold(session, waiting) => Frame::Hold(pb::Hold {
                session: Some(session_to(session)),
                waiting: Some(waiting_to(&waiting)),
            }),
            Self::Kick(session, condition) => Frame::Kick(kick_to(session_to(session), &condition)),
            Self::Keep(attach) => Frame::Keep(attach_to(0, *attach)),
            Self::Refused {
                session,
                generation,
                why,
            } => {
                let why = if why == Gone::Session {
                    pb::refused::Why::Session
                } else {
                    pb::refused::Why::Home
                };
                Frame::Refused(pb::Refused {
                    session: Some(session_to(session)),
                    generation,
                    why: why.into(),
                })
            }
            Self::Closed { session, kept } => Frame::Closed(pb::Closed {
                session: Some(session_to(session)),
                kept,
            }),
            Self::Sealed(table) => Frame::Sealed(pb::Sealed { table }),
        };
        pb::RouterFrame { frame: Some(frame) }
    }

    pub(crate) fn decode(frame: pb::RouterFrame) -> Result<Self, Unreadable> {
        Ok(match frame.frame.ok_or(Malformed("frame"))? {
            Frame::Hello(_) => return Err(Malformed("second hello").into()),
            Frame::Snapshot(snapshot) => Self::Snapshot(Arc::new(snapshot_from(snapshot)?)),
            Frame::Sasl(reply) => Self::Sasl(reply.call, sasl_reply_from(reply)?),
            Frame::Register(reply) => Self::Register(reply.call, register_reply_from(reply)?),
            Frame::Bind(reply) => Self::Bind(reply.call, bind_reply_from(reply)?),
            Frame::Enable(reply) => Self::Enable(reply.call, enable_reply_from(reply)?),
            Frame::Resume(reply) => Self::Resume(reply.call, resume_reply_from(reply)?),
            Frame::Delivery(delivery) => {
                let sessions = delivery.sessions.iter().map(target_from).collect();
                match stanza_from(delivery.stanza) {
                    Ok(stanza) => Self::Delivery(Delivery {
                        sessions,
                        stanza: Arc::new(stanza),
                        readdress: delivery.readdress,
                        archived: delivery.archived.map(archived_from),
                        settled: delivery.settled,
                        trace: trace_from(&delivery.trace),
                    }),
                    Err(why) => return Err(Unreadable { why, sessions }),
                }
            }
            Frame::Done(done) => Self::Done(done.sessions.iter().map(target_from).collect()),
            Frame::Mirror(mirror) => Self::Mirror(session_from(mirror.session)?, mirror.state),
            Frame::Hold(hold) => Self::Hold(
                session_from(hold.session)?,
                waiting_from(hold.waiting.ok_or(Malformed("waiting"))?)?,
            ),
            Frame::Kick(kick) => {
                let condition = kick_from(&kick);
                Self::Kick(session_from(kick.session)?, condition)
            }
            Frame::Keep(attach) => Self::Keep(Box::new(attach_from(attach)?.1)),
            Frame::Refused(refused) => {
                let why = if refused.why() == pb::refused::Why::Session {
                    Gone::Session
                } else {
                    Gone::Home
                };
                Self::Refused {
                    session: session_from(refused.session)?,
                    generation: refused.generation,
                    why,
                }
            }
            Frame::Closed(closed) => Self::Closed {
                kept: closed.kept,
                session: session_from(closed.session)?,
            },
            Frame::Sealed(sealed) => Self::Sealed(sealed.table),
        })
    }
}
