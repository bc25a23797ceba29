//! What a router says to another router, and the answers.

use std::sync::Arc;

use ::stanza::{Jid, MessageKey, Stanza};
use ::topology::Slot;

use super::address::{Malformed, jid_from, key_from, key_to, trace_from, trace_to};
use super::pb;
use super::stanza::{stanza_from, stanza_size, stanza_to};
use crate::Trace;

/// A stanza for recipients that share a home.
#[derive(Clone, Debug)]
pub(crate) struct PeerFrame {
    pub(crate) parts: Vec<Part>,
    /// `None` when nobody can read it: counts as taken in, or its slots would stop.
    pub(crate) stanza: Option<Arc<Stanza>>,
    pub(crate) key: Option<MessageKey>,
    pub(crate) trace: Option<Trace>,
}

/// The recipients of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) slot: Slot,
    pub(crate) generation: u32,
    pub(crate) number: u64,
    pub(crate) to: Vec<Jid>,
}

/// The answer to parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PeerReply {
    /// Slot, generation, and the highest number taken in.
    Taken(Vec<(Slot, u32, u64)>),
    /// A part that is given back: these recipients of it are not at home here.
    Returned(Part),
}

impl PeerFrame {
    /// Roughly the memory it takes in a queue, in bytes.
    pub(crate) fn size(&self) -> usize {
        let recipients: usize = self.parts.iter().map(|part| 64 + 32 * part.to.len()).sum();
        self.stanza.as_ref().map_or(0, |stanza| stanza_size(stanza)) + recipients
    }

    pub(crate) fn encode(self) -> pb::PeerFrame {
        let route = pb::Route {
            parts: self.parts.into_iter().map(part_to).collect(),
            stanza: self.stanza.map(|stanza| stanza_to(&stanza)),
            key: self.key.map(key_to),
            trace: trace_to(self.trace),
        };
        pb::PeerFrame {
            frame: Some(pb::peer_frame::Frame::Route(route)),
        }
    }

    pub(crate) fn decode(frame: pb::PeerFrame) -> Result<Self, Malformed> {
        let Some(pb::peer_frame::Frame::Route(route)) = frame.frame else {
            return Err(Malformed("frame"));
        };
        let part = |part: pb::route::Part| part_from(part.slot, part.generation, part.number, &part.to);
        Ok(Self {
            parts: route.parts.into_iter().map(part).collect::<Result<_, _>>()?,
            stanza: stanza_from(route.stanza).ok().map(Arc::new),
            key: route.key.and_then(key_from),
            trace: trace_from(&route.trace),
        })
    }
}

impl PeerReply {
    pub(crate) fn encode(self) -> pb::PeerReply {
        let reply = match self {
            Self::Taken(numbers) => pb::peer_reply::Reply::Taken(pb::Taken {
                numbers: numbers.into_iter().map(number_to).collect(),
            }),
            Self::Returned(part) => {
                let pb::route::Part {
                    slot,
                    generation,
                    number,
                    to,
                } = part_to(part);
                pb::peer_reply::Reply::Returned(pb::Returned {
                    slot,
                    generation,
                    number,
                    to,
                })
            }
        };
        pb::PeerReply { reply: Some(reply) }
    }

    pub(crate) fn decode(reply: pb::PeerReply) -> Result<Self, Malformed> {
        Ok(match reply.reply.ok_or(Malformed("reply"))? {
            pb::peer_reply::Reply::Hello(_) => return Err(Malformed("second hello")),
            pb::peer_reply::Reply::Taken(taken) => {
                let number = |n: &pb::taken::Number| Ok((slot_from(n.slot)?, n.generation, n.number));
                Self::Taken(taken.numbers.iter().map(number).collect::<Result<_, _>>()?)
            }
            pb::peer_reply::Reply::Returned(back) => {
                Self::Returned(part_from(back.slot, back.generation, back.number, &back.to)?)
            }
        })
    }
}

fn number_to((slot, generation, number): (Slot, u32, u64)) -> pb::taken::Number {
    pb::taken::Number {
        slot: slot.index().into(),
        generation,
        number,
    }
}

fn part_to(part: Part) -> pb::route::Part {
    pb::route::Part {
        slot: part.slot.index().into(),
        generation: part.generation,
        number: part.number,
        to: part.to.iter().map(|jid| jid.as_str().to_owned()).collect(),
    }
}

/// Addresses that cannot be read are left out.
fn part_from(slot: u32, generation: u32, number: u64, to: &[String]) -> Result<Part, Malformed> {
    let to = to.iter().filter_map(|text| jid_from(text).ok()).collect();
    Ok(Part {
        slot: slot_from(slot)?,
        generation,
        number,
        to,
    })
}

fn slot_from(index: u32) -> Result<Slot, Malformed> {
    u16::try_from(index).ok().and_then(Slot::new).ok_or(Malformed("slot"))
}
