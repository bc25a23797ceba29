//! Reads bytes as every message there is: for fuzzers.

use prost::Message;

use super::{EdgeFrame, PeerFrame, PeerReply, RouterFrame, pb, snapshot_from};

/// Reads `bytes` as each message of the protocol. Returns how many frames could be read; never panics.
#[doc(hidden)]
pub fn decode_any(bytes: &[u8]) -> usize {
    let edge = pb::EdgeFrames::decode(bytes).map_or_else(|_| Vec::new(), |batch| batch.frames);
    let router = pb::RouterFrames::decode(bytes).map_or_else(|_| Vec::new(), |batch| batch.frames);
    let peer = pb::PeerFrames::decode(bytes).map_or_else(|_| Vec::new(), |batch| batch.frames);
    let reply = pb::PeerReplies::decode(bytes).map_or_else(|_| Vec::new(), |batch| batch.replies);
    let joined = pb::JoinReply::decode(bytes).ok().and_then(|reply| reply.snapshot);
    edge.into_iter()
        .filter_map(|frame| EdgeFrame::decode(frame).ok())
        .count()
        + router
            .into_iter()
            .filter_map(|frame| RouterFrame::decode(frame).ok())
            .count()
        + peer
            .into_iter()
            .filter_map(|frame| PeerFrame::decode(frame).ok())
            .count()
        + reply
            .into_iter()
            .filter_map(|reply| PeerReply::decode(reply).ok())
            .count()
        + usize::from(joined.is_some_and(|snapshot| snapshot_from(snapshot).is_ok()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::stanza::{
        ArchiveId, Bare, BindReply, BindRequest, Counts, EnableRequest, Exchange, Full, Grant, Head, Jid,
        Message as Chat, MessageKey, MessageType, Payload, Peer, ResourceRequest, ResumeRequest, SaslReply,
        SaslRequest, SessionId, Stanza, StreamCondition,
    };
    use ::topology::{Epoch, Member, NodeRecord, Role, Slot, SlotTable, Snapshot};

    use super::*;
    use crate::wire::Part;
    use crate::{Attach, CloseReason, Delivery, Gone, Said, SessionRef, Submission, Unwritten};

    fn stanza() -> Stanza {
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
    fn managed_frames() -> Vec<EdgeFrame> {
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

    fn edge_frames() -> Vec<EdgeFrame> {
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
            }],
            archived: Some((3, ArchiveId(u128::MAX / 7))),
            detached: true,
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

    fn router_frames() -> Vec<RouterFrame> {
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
        let bound = BindReply::Bound(Full::parse("juliet@capulet.example/balcony").unwrap());
        let delivery = Delivery {
            sessions: vec![(id, 1), (id, 2)],
            stanza: Arc::new(stanza()),
            readdress: true,
            archived: Some(ArchiveId(5)),
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

    fn part() -> Part {
        Part {
            slot: Slot::new(9).unwrap(),
            generation: 1,
            number: 2,
            to: vec![Jid::parse("a@b").unwrap()],
        }
    }

    /// One message of each stream, with every frame in it.
    fn seeds() -> Vec<Vec<u8>> {
        let peer = PeerFrame {
            parts: vec![part()],
            stanza: Some(Arc::new(stanza())),
            key: Some(MessageKey {
                session: SessionId(u128::MAX / 9),
                number: 3,
            }),
            trace: None,
        };
        let replies = [
            PeerReply::Taken(vec![(Slot::new(1).unwrap(), 2, 3)]),
            PeerReply::Returned(part()),
        ];
        vec![
            pb::EdgeFrames {
                frames: edge_frames().into_iter().map(EdgeFrame::encode).collect(),
            }
            .encode_to_vec(),
            pb::RouterFrames {
                frames: router_frames().into_iter().map(RouterFrame::encode).collect(),
            }
            .encode_to_vec(),
            pb::PeerFrames {
                frames: vec![peer.encode()],
            }
            .encode_to_vec(),
            pb::PeerReplies {
                replies: replies.map(PeerReply::encode).into(),
            }
            .encode_to_vec(),
        ]
    }

    #[test]
    fn every_frame_comes_back() {
        let debug = |value: &dyn std::fmt::Debug| format!("{value:?}");
        for frame in edge_frames().into_iter().chain(managed_frames()) {
            assert_eq!(
                debug(&EdgeFrame::decode(frame.clone().encode()).unwrap()),
                debug(&frame)
            );
        }
        for frame in router_frames() {
            assert_eq!(
                debug(&RouterFrame::decode(frame.clone().encode()).unwrap()),
                debug(&frame)
            );
        }
        let frame = PeerFrame {
            parts: vec![part(), part()],
            stanza: Some(Arc::new(stanza())),
            key: Some(MessageKey {
                session: SessionId(u128::MAX / 9),
                number: 3,
            }),
            trace: None,
        };
        assert_eq!(
            debug(&PeerFrame::decode(frame.clone().encode()).unwrap()),
            debug(&frame)
        );
        for reply in [
            PeerReply::Taken(vec![(Slot::new(1).unwrap(), 2, 3)]),
            PeerReply::Returned(part()),
        ] {
            assert_eq!(PeerReply::decode(reply.clone().encode()), Ok(reply));
        }
    }

    #[test]
    fn a_stanza_nobody_can_read_does_not_stop_its_session() {
        let submit = |frame: EdgeFrame| match frame.encode().frame {
            Some(pb::edge_frame::Frame::Submit(submit)) if submit.number == 4 => Some(submit),
            _ => None,
        };
        let mut submit = edge_frames().into_iter().find_map(submit).unwrap();
        submit.stanza.as_mut().unwrap().to = "@@".into();
        let frame = pb::EdgeFrame {
            frame: Some(pb::edge_frame::Frame::Submit(submit)),
        };
        assert!(matches!(
            EdgeFrame::decode(frame),
            Ok(EdgeFrame::Unreadable { number: 4, .. })
        ));
    }

    #[test]
    fn there_is_no_slot_4096() {
        for (slot, fits) in [(4095, true), (4096, false), (65_536, false)] {
            let attached = pb::Attached {
                table: 1,
                pending: vec![slot],
            };
            let frame = pb::EdgeFrame {
                frame: Some(pb::edge_frame::Frame::Attached(attached)),
            };
            assert_eq!(EdgeFrame::decode(frame).is_ok(), fits, "{slot}");
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = move |below: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).unwrap() % below
        };
        for seed in seeds() {
            assert!(decode_any(&seed) > 0);
            for _ in 0..4_000 {
                let mut bytes = seed.clone();
                for _ in 0..=draw(4) {
                    let at = draw(bytes.len());
                    match draw(3) {
                        0 => bytes[at] ^= 1 << draw(8),
                        1 => bytes[at] = u8::try_from(draw(256)).unwrap(),
                        _ => bytes.truncate(at + 1),
                    }
                }
                decode_any(&bytes);
            }
        }
    }
}
