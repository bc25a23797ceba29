//! Stream management: enabling and resuming.

use ::stanza::{Counts, EnableReply, EnableRequest, Grant, ResumeReply, ResumeRequest, Resumption, SessionId, TooHigh};

use super::address::{Malformed, bare_from, full_from, session_from, session_to};
use super::condition::{error_from, error_to};
use super::login::{peer_from, peer_to};
use super::pb;
use crate::Gone;

pub(crate) fn enable_to(call: u64, session: SessionId, generation: u32, request: EnableRequest) -> pb::EnableRequest {
    pb::EnableRequest {
        call,
        session: Some(session_to(session)),
        generation,
        since: Some(counts_to(request.since)),
        resume: request.resume,
        max: request.max,
    }
}

pub(crate) fn enable_from(request: &pb::EnableRequest) -> EnableRequest {
    EnableRequest {
        since: counts_from(request.since.as_ref()),
        resume: request.resume,
        max: request.max,
    }
}

pub(crate) fn enable_reply_to(call: u64, reply: Result<EnableReply, Gone>) -> pb::EnableReply {
    use pb::enable_reply::{Enabled, Outcome};
    let outcome = match reply {
        Ok(EnableReply::Enabled(resumption)) => {
            let (id, max) = resumption.map_or_else(Default::default, |Resumption { id, max }| (id, max));
            Outcome::Enabled(Enabled { id, max })
        }
        Ok(EnableReply::Refused(error)) => Outcome::Refused(error_to(&error)),
        Err(_) => Outcome::Fenced(true),
    };
    pb::EnableReply {
        call,
        outcome: Some(outcome),
    }
}

pub(crate) fn enable_reply_from(reply: pb::EnableReply) -> Result<Result<EnableReply, Gone>, Malformed> {
    use pb::enable_reply::{Enabled, Outcome};
    Ok(match reply.outcome.ok_or(Malformed("enable reply"))? {
        Outcome::Enabled(Enabled { id, max }) => {
            Ok(EnableReply::Enabled((!id.is_empty()).then_some(Resumption { id, max })))
        }
        Outcome::Refused(error) => Ok(EnableReply::Refused(error_from(error))),
        Outcome::Fenced(_) => Err(Gone::Home),
    })
}

pub(crate) fn resume_to(call: u64, request: ResumeRequest) -> pb::ResumeRequest {
    pb::ResumeRequest {
        call,
        session: Some(session_to(request.session)),
        account: request.account.as_str().into(),
        grant: request.grant.0,
        id: request.id,
        h: request.h,
        connection: Some(peer_to(&request.peer)),
    }
}

pub(crate) fn resume_from(request: pb::ResumeRequest) -> Result<ResumeRequest, Malformed> {
    Ok(ResumeRequest {
        session: session_from(request.session)?,
        account: bare_from(&request.account)?,
        grant: Grant(request.grant),
        id: request.id,
        h: request.h,
        peer: peer_from(request.connection)?,
    })
}

pub(crate) fn resume_reply_to(call: u64, reply: Result<ResumeReply, Gone>) -> pb::ResumeReply {
    use pb::resume_reply::{self, Failed, Outcome, Resumed};
    let outcome = match reply {
        Ok(ResumeReply::Resumed { jid, since, now }) => Outcome::Resumed(Resumed {
            jid: jid.as_str().into(),
            since: Some(counts_to(since)),
            now: Some(counts_to(now)),
        }),
        Ok(ResumeReply::Refused { error, h }) => Outcome::Failed(Failed {
            error: Some(error_to(&error)),
            h,
        }),
        Ok(ResumeReply::TooHigh(TooHigh { h, sent })) => Outcome::TooHigh(resume_reply::TooHigh { h, sent }),
        Err(_) => Outcome::Fenced(true),
    };
    pb::ResumeReply {
        call,
        outcome: Some(outcome),
    }
}

pub(crate) fn resume_reply_from(reply: pb::ResumeReply) -> Result<Result<ResumeReply, Gone>, Malformed> {
    use pb::resume_reply::Outcome;
    Ok(match reply.outcome.ok_or(Malformed("resume reply"))? {
        Outcome::Resumed(resumed) => Ok(ResumeReply::Resumed {
            jid: full_from(&resumed.jid)?,
            since: counts_from(resumed.since.as_ref()),
            now: counts_from(resumed.now.as_ref()),
        }),
        Outcome::Failed(failed) => Ok(ResumeReply::Refused {
            error: error_from(failed.error.ok_or(Malformed("error"))?),
            h: failed.h,
        }),
        Outcome::TooHigh(numbers) => Ok(ResumeReply::TooHigh(TooHigh {
            h: numbers.h,
            sent: numbers.sent,
        })),
        Outcome::Fenced(_) => Err(Gone::Home),
    })
}

fn counts_to(counts: Counts) -> pb::Counts {
    pb::Counts {
        received: counts.received,
        sent: counts.sent,
    }
}

/// Absent counts are zero, as absent numbers are.
fn counts_from(counts: Option<&pb::Counts>) -> Counts {
    counts.map_or_else(Counts::default, |counts| Counts {
        received: counts.received,
        sent: counts.sent,
    })
}

#[cfg(test)]
mod tests {
    use ::stanza::{Bare, Condition, Full, Peer};

    use super::*;

    const SINCE: Counts = Counts { received: 4, sent: 5 };

    #[test]
    fn every_request_comes_back() {
        for (resume, max) in [(true, Some(60)), (false, None)] {
            let since = SINCE;
            let request = EnableRequest { since, resume, max };
            assert_eq!(enable_from(&enable_to(1, SessionId(3), 2, request)), request);
        }
        let request = ResumeRequest {
            session: SessionId(3),
            account: Bare::parse("juliet@capulet.example").unwrap(),
            grant: Grant("g".into()),
            id: "some-id".into(),
            h: 7,
            peer: Peer::default(),
        };
        assert_eq!(resume_from(resume_to(1, request.clone())), Ok(request));
    }

    #[test]
    fn every_reply_comes_back() {
        let (id, max) = ("some-id".into(), 300);
        let replies = [
            Ok(EnableReply::Enabled(Some(Resumption { id, max }))),
            Ok(EnableReply::Enabled(None)),
            Ok(EnableReply::Refused(Condition::ResourceConstraint.into())),
            Err(Gone::Home),
        ];
        for reply in replies {
            assert_eq!(enable_reply_from(enable_reply_to(1, reply.clone())), Ok(reply));
        }
        let jid = Full::parse("juliet@capulet.example/balcony").unwrap();
        let (since, now, error) = (SINCE, Counts::default(), Condition::ItemNotFound.into());
        let replies = [
            Ok(ResumeReply::Resumed { jid, since, now }),
            Ok(ResumeReply::Refused { error, h: Some(0) }),
            Ok(ResumeReply::TooHigh(TooHigh { h: 2, sent: 1 })),
            Err(Gone::Home),
        ];
        for reply in replies {
            assert_eq!(resume_reply_from(resume_reply_to(1, reply.clone())), Ok(reply));
        }
    }
}
