//! The frames that carry messages, alone in their batches, as bytes: for those who count what they cost.

use ::stanza::SessionId;
use bytes::Bytes;
use prost::Message;

use super::{EdgeFrame, RouterFrame, pb};
use crate::{Delivery, Submission};

/// What an edge sends for a client's stanza.
pub fn submit_to(session: SessionId, submission: Submission) -> Vec<u8> {
    let frame = EdgeFrame::Submit {
        session,
        generation: 0,
        submission,
    };
    let frames = vec![frame.encode()];
    pb::EdgeFrames { frames }.encode_to_vec()
}

/// What a router makes of it.
pub fn submit_from(bytes: Bytes) -> Option<Submission> {
    match EdgeFrame::decode(only(pb::EdgeFrames::decode(bytes).ok()?.frames)?) {
        Ok(EdgeFrame::Submit { submission, .. }) => Some(submission),
        _ => None,
    }
}

/// What a router sends for a stanza to sessions.
pub fn delivery_to(delivery: Delivery) -> Vec<u8> {
    let frames = vec![RouterFrame::Delivery(delivery).encode()];
    pb::RouterFrames { frames }.encode_to_vec()
}

/// What an edge makes of it.
pub fn delivery_from(bytes: Bytes) -> Option<Delivery> {
    match RouterFrame::decode(only(pb::RouterFrames::decode(bytes).ok()?.frames)?) {
        Ok(RouterFrame::Delivery(delivery)) => Some(delivery),
        _ => None,
    }
}

fn only<T>(frames: Vec<T>) -> Option<T> {
    frames.into_iter().next()
}
