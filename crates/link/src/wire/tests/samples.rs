//! One of each frame, for tests.

use std::sync::Arc;

use ::stanza::{
    ArchiveId, Bare, BindReply, BindRequest, ClientId, Condition, Counts, EnableReply, EnableRequest, Exchange,
    FastUse, Full, Grant, Head, Invited, Jid, Message as Chat, MessageKey, MessageType, Payload, Peer, RegisterReply,
    RegisterRequest, RegisterStep, ResourceRequest, ResumeReply, ResumeRequest, Resumption, Sasl2, SaslReply,
    SaslRequest, SessionId, Stanza, StreamCondition, Timestamp, TlsFacts, Token, TooHigh, UserAgent,
};
use ::topology::{Epoch, Member, NodeRecord, Role, Slot, SlotTable, Snapshot};

use crate::wire::{EdgeFrame, Part, PeerFrame, PeerReply, RouterFrame};
use crate::{Attach, CloseReason, Delivery, Gone, Held, Said, SessionRef, Submission, Unwritten, Waiting};

pub(in crate::wire) fn stanza() -> Stanza {
    let head = Head {
        to: Some(Jid::parse("juliet@capulet.example/balcony").unwrap()),
        from: Some(Jid::parse("romeo@montague.example").unwrap()),
        id: Some("1".into()),
        ..Head::default()
    };
    let payload = Payload::from_canonical("<body>Soft!</body>".into());
    Stanza::Message(Chat {
        head,
        kind: MessageType::Chat,
        payload,
    })
}

/// Frames of stream management.
pub(in crate::wire) fn managed_frames() -> Vec<EdgeFrame> {
    let (id, account) = (SessionId(9), Bare::parse("juliet@capulet.example").unwrap());
    let (grant, peer) = (Grant("grant".into()), Peer::default());
    let answered = Submission {
        number: 5,
        said: Said::Answered(Some(stanza())),
        trace: None,
    };
    let resume = ResumeRequest {
        session: id,
        account,
        grant,
        id: "previd".into(),
        h: 7,
        peer,
    };
    let enable = EnableRequest {
        since: Counts { received: 1, sent: 2 },
        resume: true,
        max: Some(60),
    };
    vec![
        EdgeFrame::Resume(3, resume),
        EdgeFrame::Enable {
            call: 4,
            session: id,
            generation: 1,
            request: enable,
        },
        EdgeFrame::Submit {
            session: id,
            generation: 1,
            submission: answered,
        },
    ]
}

pub(in crate::wire) fn edge_frames() -> Vec<EdgeFrame> {
    let (id, account) = (SessionId(u128::MAX / 3), Bare::parse("juliet@capulet.example").unwrap());
    let session = SessionRef::new(id, account.with_resource("balcony").unwrap());
    let (grant, peer) = (
        Grant("grant".into()),
        Peer {
            address: Some([127, 0, 0, 1].into()),
            tls: None,
        },
    );
    let exchange = Exchange {
        router: "router-1".into(),
        number: 1,
    };
    let attach = Attach {
        session,
        grant: grant.clone(),
        peer: peer.clone(),
        mirror: "mirror".into(),
        delivered: 3,
        written: 2,
        done: 1,
        unwritten: vec![Unwritten {
            number: 3,
            stanza: Arc::new(stanza()),
            readdress: true,
            archived: Some(ArchiveId(u128::MAX / 7)),
            settled: false,
        }],
        archived: Some((3, ArchiveId(u128::MAX / 7))),
        detached: true,
        inactive: false,
        held: Held::default(),
    };
    let submission = Submission {
        number: 4,
        said: Said::Stanza(stanza()),
        trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok(),
    };
    vec![
        EdgeFrame::Sasl(
            1,
            SaslRequest::Respond {
                exchange,
                response: "r".into(),
            },
        ),
        EdgeFrame::Bind(
            2,
            BindRequest {
                session: id,
                account,
                grant,
                resource: ResourceRequest::Any,
                peer,
            },
        ),
        EdgeFrame::Attach {
            generation: 1,
            attach: Box::new(attach),
        },
        EdgeFrame::Attached(7, [Slot::new(0).unwrap(), Slot::new(4095).unwrap()].into()),
        EdgeFrame::Submit {
            session: id,
            generation: 1,
            submission,
        },
        EdgeFrame::Written { session: id, number: 9 },
        EdgeFrame::Close {
            session: id,
            generation: 1,
            reason: CloseReason::Kicked,
        },
    ]
}

pub(in crate::wire) fn router_frames() -> Vec<RouterFrame> {
    let id = SessionId(5);
    let record = NodeRecord {
        id: "router-1".into(),
        role: Role::Router,
        address: "[::1]:7000".into(),
        weight: 100,
        version: "0.1.0".into(),
        protocol: 1,
        draining: false,
    };
    let table = SlotTable::empty()
        .next(&[("router-1".into(), Epoch(1), 100)], 0)
        .unwrap();
    let snapshot = Snapshot {
        revision: 4,
        members: vec![Member {
            record,
            epoch: Epoch(1),
        }],
        table,
    };
    let bound = BindReply::Bound(balcony(), Payload::default());
    let delivery = Delivery {
        sessions: vec![(id, 1), (id, 2)],
        stanza: Arc::new(stanza()),
        readdress: true,
        archived: Some(ArchiveId(5)),
        settled: false,
        trace: None,
    };
    vec![
        RouterFrame::Delivery(delivery),
        RouterFrame::Sasl(1, SaslReply::Failure(::stanza::SaslFailure::NotAuthorized)),
        RouterFrame::Bind(2, Ok(bound)),
        RouterFrame::Done(vec![(id, 3)]),
        RouterFrame::Mirror(id, "m".into()),
        RouterFrame::Kick(id, StreamCondition::Conflict),
        RouterFrame::Refused {
            session: id,
            generation: 2,
            why: Gone::Home,
        },
        RouterFrame::Closed {
            session: id,
            kept: true,
        },
        RouterFrame::Sealed(7),
        RouterFrame::Snapshot(Arc::new(snapshot)),
    ]
}

pub(in crate::wire) fn part() -> Part {
    Part {
        slot: Slot::new(9).unwrap(),
        generation: 1,
        number: 2,
        to: vec![Jid::parse("a@b").unwrap()],
    }
}

pub(in crate::wire) fn peer_frame() -> PeerFrame {
    PeerFrame {
        parts: vec![part(), part()],
        stanza: Some(Arc::new(stanza())),
        key: Some(MessageKey {
            session: SessionId(u128::MAX / 9),
            number: 3,
        }),
        trace: None,
    }
}

pub(in crate::wire) fn peer_replies() -> Vec<PeerReply> {
    vec![
        PeerReply::Taken(vec![(Slot::new(1).unwrap(), 2, 3)]),
        PeerReply::Returned(part()),
    ]
}

/// What the steps of a login look like beside those in [`edge_frames`].
pub(in crate::wire) fn login_frames() -> Vec<EdgeFrame> {
    let tls = TlsFacts {
        version: "TLSv1.3".into(),
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        exporter: Some([7; 32]),
        server_end_point: Some(vec![8; 32]),
        certificate_addresses: vec!["juliet@capulet.example".into()],
    };
    let start = SaslRequest::Start {
        session: SessionId(9),
        domain: "capulet.example".into(),
        mechanism: "SCRAM-SHA-256-PLUS".into(),
        offered: vec!["SCRAM-SHA-256-PLUS".into(), "SCRAM-SHA-256".into()],
        bindings: Vec::new(),
        initial: Some("".into()),
        sasl2: None,
        peer: Peer {
            address: Some("2001:db8::1".parse().unwrap()),
            tls: Some(tls),
        },
    };
    let exchange = Exchange {
        router: "router-1".into(),
        number: 2,
    };
    vec![
        EdgeFrame::Sasl(1, start),
        EdgeFrame::Sasl(2, SaslRequest::Abort { exchange }),
    ]
}

/// What an edge says since 1.2.
pub(in crate::wire) fn newer_edge_frames() -> Vec<EdgeFrame> {
    let client = ClientId::parse("d4565fa7-4d72-4749-b3d3-740edbf87770").unwrap();
    let sasl2 = Sasl2 {
        agent: UserAgent {
            id: Some(client),
            software: Some("Client".into()),
            device: Some("Phone".into()),
        },
        fast: Some(FastUse {
            count: Some(3),
            invalidate: true,
        }),
        request_token: Some("HT-SHA-256-EXPR".into()),
        resumes: true,
    };
    let start = SaslRequest::Start {
        session: SessionId(9),
        domain: "capulet.example".into(),
        mechanism: "HT-SHA-256-EXPR".into(),
        offered: vec!["SCRAM-SHA-256".into()],
        bindings: vec!["tls-exporter".into()],
        initial: Some("i".into()),
        sasl2: Some(Box::new(sasl2)),
        peer: Peer::default(),
    };
    let bind = |resource| BindRequest {
        session: SessionId(9),
        account: Bare::parse("juliet@capulet.example").unwrap(),
        grant: Grant("grant".into()),
        resource,
        peer: Peer::default(),
    };
    let mut inactive = an_attach();
    inactive.inactive = true;
    inactive.held.hold(waiting());
    let tagged = |wishes| ResourceRequest::Tagged {
        tag: Some("Client".into()),
        client: Some(client),
        wishes,
    };
    let wishes = Payload::from_canonical("<enable xmlns='urn:xmpp:carbons:2'/>".into());
    vec![
        EdgeFrame::Sasl(1, start),
        EdgeFrame::Bind(2, bind(tagged(Payload::default()))),
        EdgeFrame::Bind(3, bind(ResourceRequest::Named("balcony".into()))),
        EdgeFrame::Bind(4, bind(tagged(wishes))),
        EdgeFrame::Look {
            session: SessionId(9),
            active: true,
        },
        EdgeFrame::Attach {
            generation: 2,
            attach: inactive,
        },
        EdgeFrame::Attach {
            generation: 5,
            attach: settled(),
        },
        register(1, None, RegisterStep::Form),
        register(2, None, RegisterStep::Present("token".into())),
        register(3, Some(invited()), create()),
    ]
}

/// What a router says since 1.2.
pub(in crate::wire) fn newer_router_frames() -> Vec<RouterFrame> {
    let record = NodeRecord {
        id: "edge-1".into(),
        role: Role::Edge,
        address: String::new(),
        weight: 100,
        version: "0.2.0".into(),
        protocol: 1,
        draining: true,
    };
    let snapshot = Snapshot {
        revision: 5,
        members: vec![Member {
            record,
            epoch: Epoch(2),
        }],
        table: SlotTable::empty(),
    };
    let success = SaslReply::Success {
        account: Bare::parse("juliet@capulet.example").unwrap(),
        data: None,
        grant: Grant("grant".into()),
        token: Some(Token {
            token: "token".into(),
            expiry: Timestamp(7),
        }),
    };
    let said = Payload::from_canonical("<metadata xmlns='urn:xmpp:mam:2'/>".into());
    vec![
        RouterFrame::Snapshot(Arc::new(snapshot)),
        RouterFrame::Sasl(1, success),
        RouterFrame::Bind(2, Ok(BindReply::Bound(balcony(), said))),
        RouterFrame::Keep(an_attach()),
        RouterFrame::Hold(SessionId(9), waiting()),
        RouterFrame::Delivery(Delivery {
            sessions: vec![(SessionId(9), 1)],
            stanza: Arc::new(stanza()),
            readdress: false,
            archived: None,
            settled: true,
            trace: None,
        }),
        RouterFrame::Register(
            1,
            RegisterReply::Form {
                instructions: "Choose a name and a password.".into(),
                username: Some("juliet".into()),
            },
        ),
        RouterFrame::Register(2, RegisterReply::Accepted(invited())),
        RouterFrame::Register(3, RegisterReply::Created),
        RouterFrame::Register(4, RegisterReply::Refused(Condition::Conflict.into())),
    ]
}

fn balcony() -> Full {
    Full::parse("juliet@capulet.example/balcony").unwrap()
}

fn register(call: u64, invited: Option<Invited>, step: RegisterStep) -> EdgeFrame {
    let request = RegisterRequest {
        session: SessionId(9),
        domain: "capulet.example".into(),
        invited,
        step,
        peer: Peer::default(),
    };
    EdgeFrame::Register(call, Box::new(request))
}

fn create() -> RegisterStep {
    RegisterStep::Create {
        username: "juliet".into(),
        password: "orchard wall".into(),
    }
}

fn invited() -> Invited {
    Invited {
        token: "token".into(),
        at: Timestamp(7),
    }
}

fn an_attach() -> Box<Attach> {
    let attach = edge_frames().into_iter().find_map(|frame| match frame {
        EdgeFrame::Attach { attach, .. } => Some(attach),
        _ => None,
    });
    attach.unwrap()
}

fn waiting() -> Waiting {
    Waiting {
        stanza: Arc::new(stanza()),
        readdress: true,
    }
}

/// A session whose client has answered what was delivered.
fn settled() -> Box<Attach> {
    let mut attach = an_attach();
    attach.unwritten.iter_mut().for_each(|one| one.settled = true);
    attach
}

/// What is answered beside what is in [`router_frames`].
pub(in crate::wire) fn replies() -> Vec<RouterFrame> {
    let account = Bare::parse("juliet@capulet.example").unwrap();
    let jid = account.with_resource("balcony").unwrap();
    let challenge = SaslReply::Challenge {
        exchange: Exchange {
            router: "router-1".into(),
            number: 1,
        },
        data: "c".into(),
    };
    let success = SaslReply::Success {
        account,
        data: Some("v".into()),
        grant: Grant("grant".into()),
        token: None,
    };
    let resumption = Resumption {
        id: "previd".into(),
        max: 60,
    };
    let resumed = ResumeReply::Resumed {
        jid,
        since: Counts { received: 1, sent: 2 },
        now: Counts { received: 3, sent: 4 },
    };
    let refused = ResumeReply::Refused {
        error: Condition::ItemNotFound.into(),
        h: Some(5),
    };
    vec![
        RouterFrame::Sasl(1, challenge),
        RouterFrame::Sasl(2, success),
        RouterFrame::Bind(3, Ok(BindReply::Refused(Condition::Conflict.into()))),
        RouterFrame::Bind(4, Err(Gone::Home)),
        RouterFrame::Enable(5, Ok(EnableReply::Enabled(Some(resumption)))),
        RouterFrame::Enable(6, Ok(EnableReply::Enabled(None))),
        RouterFrame::Enable(7, Ok(EnableReply::Refused(Condition::ResourceConstraint.into()))),
        RouterFrame::Resume(8, Ok(resumed)),
        RouterFrame::Resume(9, Ok(refused)),
        RouterFrame::Resume(10, Ok(ResumeReply::TooHigh(TooHigh { h: 9, sent: 8 }))),
        RouterFrame::Kick(SessionId(5), StreamCondition::SeeOtherHost("other.example:5222".into())),
    ]
}
