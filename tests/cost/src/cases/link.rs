//! Frames between edge and router become bytes, and bytes become frames.

#![allow(clippy::unwrap_used, reason = "a case that cannot be made ready must not be counted")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use link::{Delivery, Said, Submission, measured};
use stanza::{ArchiveId, SessionId, Stanza};

use super::{Round, chat};

/// An edge submits a client's message.
pub(crate) fn submit_encode() -> Round {
    let submission = submission();
    Box::new(move || {
        let bytes = measured::submit_to(SESSION, black_box(&submission).clone());
        assert!(black_box(bytes).len() > super::CHAT.len() / 2, "it was written");
    })
}

/// A router reads it.
pub(crate) fn submit_decode() -> Round {
    let bytes = Bytes::from(measured::submit_to(SESSION, submission()));
    Box::new(move || {
        let submission = measured::submit_from(black_box(bytes.clone()));
        assert!(black_box(submission).is_some(), "it was read");
    })
}

/// A router delivers a message to one session.
pub(crate) fn delivery_encode() -> Round {
    let delivery = delivery();
    Box::new(move || {
        let bytes = measured::delivery_to(black_box(&delivery).clone());
        assert!(black_box(bytes).len() > super::CHAT.len() / 2, "it was written");
    })
}

/// An edge reads it.
pub(crate) fn delivery_decode() -> Round {
    let bytes = Bytes::from(measured::delivery_to(delivery()));
    Box::new(move || {
        let delivery = measured::delivery_from(black_box(bytes.clone()));
        assert!(black_box(delivery).is_some(), "it was read");
    })
}

const SESSION: SessionId = SessionId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

fn submission() -> Submission {
    Submission {
        number: 1_000,
        said: Said::Stanza(Stanza::parse(&chat()).unwrap()),
        trace: None,
    }
}

fn delivery() -> Delivery {
    Delivery {
        sessions: vec![(SESSION, 1_000)],
        stanza: Arc::new(Stanza::parse(&chat()).unwrap()),
        readdress: false,
        archived: Some(ArchiveId(7)),
        settled: false,
        trace: None,
    }
}
