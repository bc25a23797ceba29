//! What an edge says to a router.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::stanza::{BindRequest, EnableRequest, Grant, RegisterRequest, ResumeRequest, SaslRequest, SessionId};
use ::topology::Slot;

use super::address::{
    Malformed, archived_from, archived_to, full_from, session_from, session_to, trace_from, trace_to,
};
use super::login::{bind_from, bind_to, peer_from, peer_to, sasl_from, sasl_to};
use super::managed::{enable_from, enable_to, resume_from, resume_to};
use super::pb;
use super::pb::edge_frame::Frame;
use super::register::{register_from, register_size, register_to};
use super::stanza::{stanza_from, stanza_size, stanza_to};
use crate::{Attach, CloseReason, Said, SessionRef, Submission, Unwritten, Waiting};

/// A frame as a value; see the protocol file.
#[derive(Clone, Debug)]
pub(crate) enum EdgeFrame {
    Sasl(u64, SaslRequest),
    Register(u64, Box<RegisterRequest>),
    Bind(u64, BindRequest),
    Enable {
        call: u64,
        session: SessionId,
        generation: u32,
        request: EnableRequest,
    },
    Resume(u64, ResumeRequest),
    Attach {
        generation: u32,
        attach: Box<Attach>,
    },
    /// All but the sessions of these slots are attached by that table.
    Attached(u64, BTreeSet<Slot>),
    Submit {
        session: SessionId,
        generation: u32,
        submission: Submission,
    },
    /// A submission that nobody can read: counts as done, or its session would stop.
    Unreadable {
        session: SessionId,
        generation: u32,
        number: u64,
    },
    Written {
        session: SessionId,
        number: u64,
    },
    /// Whether somebody looks at the client.
    Look {
        session: SessionId,
        active: bool,
    },
    Close {
        session: SessionId,
        generation: u32,
        reason: CloseReason,
    },
}

impl EdgeFrame {
    /// Roughly the memory it takes in a queue, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Submit { submission, .. } => submission.said.stanza().map_or(64, stanza_size),
            Self::Attach { attach, .. } => attach_size(attach),
            Self::Register(_, request) => register_size(request),
            Self::Sasl(..) | Self::Bind(..) | Self::Resume(..) => 512,
            Self::Attached(_, pending) => 64 + 8 * pending.len(),
            _ => 64,
        }
    }

    pub(crate) fn encode(self) -> pb::EdgeFrame {
        let frame = match self {
            Self::Sasl(call, request) => Frame::Sasl(sasl_to(call, request)),
            Self::Register(call, request) => Frame::Register(register_to(call, *request)),
            Self::Bind(call, request) => Frame::Bind(bind_to(call, request)),
            Self::Enable {
                call,
                session,
                generation,
                request,
            } => Frame::Enable(enable_to(call, session, generation, request)),
            Self::Resume(call, request) => Frame::Resume(resume_to(call, request)),
            Self::Attach { generation, attach } => Frame::Attach(attach_to(generation, *attach)),
            Self::Attached(table, pending) => {
                let pending = pending.into_iter().map(|slot| slot.index().into()).collect();
                Frame::Attached(pb::Attached { table, pending })
            }
            Self::Submit {
                session,
                generation,
                submission,
            } => Frame::Submit(pb::Submit {
                session: Some(session_to(session)),
                generation,
                number: submission.number,
                stanza: submission.said.stanza().map(stanza_to),
                answered: matches!(submission.said, Said::Answered(_)),
                trace: trace_to(submission.trace),
            }),
            Self::Unreadable {
                session,
                generation,
                number,
            } => {
                let session = Some(session_to(session));
                Frame::Submit(pb::Submit {
                    session,
                    generation,
                    number,
                    ..Default::default()
                })
            }
            Self::Written { session, number } => Frame::Written(pb::Written {
                session: Some(session_to(session)),
                number,
            }),
            Self::Look { session, active } => Frame::Look(pb::Look {
                session: Some(session_to(session)),
                active,
            }),
            Self::Close {
                session,
                generation,
                reason,
            } => {
                let reason = reason_to(reason).into();
                Frame::Close(pb::Close {
                    session: Some(session_to(session)),
                    generation,
                    reason,
                })
            }
        };
        pb::EdgeFrame { frame: Some(frame) }
    }

    pub(crate) fn decode(frame: pb::EdgeFrame) -> Result<Self, Malformed> {
        Ok(match frame.frame.ok_or(Malformed("frame"))? {
            Frame::Hello(_) => return Err(Malformed("second hello")),
            Frame::Sasl(request) => Self::Sasl(request.call, sasl_from(request)?),
            Frame::Register(request) => Self::Register(request.call, Box::new(register_from(request)?)),
            Frame::Bind(request) => Self::Bind(request.call, bind_from(request)?),
            Frame::Enable(request) => Self::Enable {
                call: request.call,
                request: enable_from(&request),
                generation: request.generation,
                session: session_from(request.session)?,
            },
            Frame::Resume(request) => Self::Resume(request.call, resume_from(request)?),
            Frame::Attach(attach) => {
                let (generation, attach) = attach_from(attach)?;
                let attach = Box::new(attach);
                Self::Attach { generation, attach }
            }
            Frame::Attached(attached) => Self::Attached(attached.table, pending_from(&attached.pending)?),
            Frame::Submit(submit) => submit_from(submit)?,
            Frame::Written(written) => Self::Written {
                session: session_from(written.session)?,
                number: written.number,
            },
            Frame::Look(look) => Self::Look {
                session: session_from(look.session)?,
                active: look.active,
            },
            Frame::Close(close) => {
                let reason = reason_from(close.reason());
                Self::Close {
                    session: session_from(close.session)?,
                    generation: close.generation,
                    reason,
                }
            }
        })
    }
}

fn submit_from(submit: pb::Submit) -> Result<EdgeFrame, Malformed> {
    let session = session_from(submit.session)?;
    let (generation, number, trace) = (submit.generation, submit.number, trace_from(&submit.trace));
    let said = match submit.stanza {
        None if submit.answered => Ok(Said::Answered(None)),
        stanza if submit.answered => stanza_from(stanza).map(|answer| Said::Answered(Some(answer))),
        stanza => stanza_from(stanza).map(Said::Stanza),
    };
    Ok(match said {
        Ok(said) => EdgeFrame::Submit {
            session,
            generation,
            submission: Submission { number, said, trace },
        },
        Err(_) => EdgeFrame::Unreadable {
            session,
            generation,
            number,
        },
    })
}

pub(super) fn attach_size(attach: &Attach) -> usize {
    let unwritten = attach.unwritten.iter().map(|unwritten| stanza_size(&unwritten.stanza));
    512 + attach.mirror.len() + attach.grant.0.len() + unwritten.sum::<usize>() + attach.held.bytes()
}

pub(super) fn attach_to(generation: u32, attach: Attach) -> pb::Attach {
    pb::Attach {
        session: Some(session_to(attach.session.id)),
        generation,
        jid: attach.session.jid.as_str().into(),
        grant: attach.grant.0,
        connection: Some(peer_to(&attach.peer)),
        mirror: attach.mirror,
        delivered: attach.delivered,
        written: attach.written,
        done: attach.done,
        unwritten: attach.unwritten.iter().map(unwritten_to).collect(),
        archived_number: attach.archived.map_or(0, |(number, _)| number),
        archived: attach.archived.map(|(_, id)| archived_to(id)),
        detached: attach.detached,
        inactive: attach.inactive,
        held: attach.held.iter().map(waiting_to).collect(),
    }
}

fn unwritten_to(unwritten: &Unwritten) -> pb::attach::Unwritten {
    pb::attach::Unwritten {
        number: unwritten.number,
        stanza: Some(stanza_to(&unwritten.stanza)),
        readdress: unwritten.readdress,
        archived: unwritten.archived.map(archived_to),
        settled: unwritten.settled,
    }
}

pub(super) fn waiting_to(waiting: &Waiting) -> pb::Waiting {
    pb::Waiting {
        stanza: Some(stanza_to(&waiting.stanza)),
        readdress: waiting.readdress,
    }
}

pub(super) fn waiting_from(waiting: pb::Waiting) -> Result<Waiting, Malformed> {
    Ok(Waiting {
        stanza: Arc::new(stanza_from(waiting.stanza)?),
        readdress: waiting.readdress,
    })
}

/// `None` when nobody can read it.
fn unwritten_from(unwritten: pb::attach::Unwritten) -> Option<Unwritten> {
    Some(Unwritten {
        number: unwritten.number,
        stanza: Arc::new(stanza_from(unwritten.stanza).ok()?),
        readdress: unwritten.readdress,
        archived: unwritten.archived.map(archived_from),
        settled: unwritten.settled,
    })
}

pub(super) fn attach_from(attach: pb::Attach) -> Result<(u32, Attach), Malformed> {
    let generation = attach.generation;
    let session = SessionRef::new(session_from(attach.session)?, full_from(&attach.jid)?);
    let value = Attach {
        session,
        grant: Grant(attach.grant),
        peer: peer_from(attach.connection)?,
        mirror: attach.mirror,
        delivered: attach.delivered,
        written: attach.written,
        done: attach.done,
        unwritten: attach.unwritten.into_iter().filter_map(unwritten_from).collect(),
        archived: attach.archived.map(|id| (attach.archived_number, archived_from(id))),
        detached: attach.detached,
        inactive: attach.inactive,
        held: attach
            .held
            .into_iter()
            .filter_map(|held| waiting_from(held).ok())
            .collect(),
    };
    Ok((generation, value))
}

fn pending_from(slots: &[u32]) -> Result<BTreeSet<Slot>, Malformed> {
    let slot = |index: &u32| u16::try_from(*index).ok().and_then(Slot::new).ok_or(Malformed("slot"));
    slots.iter().map(slot).collect()
}

fn reason_to(reason: CloseReason) -> pb::close::Reason {
    match reason {
        CloseReason::Client => pb::close::Reason::Client,
        CloseReason::Edge => pb::close::Reason::Edge,
        CloseReason::Kicked => pb::close::Reason::Kicked,
        CloseReason::Lost => pb::close::Reason::Lost,
    }
}

fn reason_from(reason: pb::close::Reason) -> CloseReason {
    match reason {
        pb::close::Reason::Client => CloseReason::Client,
        pb::close::Reason::Edge => CloseReason::Edge,
        pb::close::Reason::Kicked => CloseReason::Kicked,
        pb::close::Reason::Lost => CloseReason::Lost,
    }
}
