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
    use super::super::tests::samples::{edge_frames, managed_frames, peer_frame, peer_replies, router_frames};
    use super::*;

    /// One message of each stream, with every frame in it.
    fn seeds() -> Vec<Vec<u8>> {
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
                frames: vec![peer_frame().encode()],
            }
            .encode_to_vec(),
            pb::PeerReplies {
                replies: peer_replies().into_iter().map(PeerReply::encode).collect(),
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
        let frame = peer_frame();
        assert_eq!(
            debug(&PeerFrame::decode(frame.clone().encode()).unwrap()),
            debug(&frame)
        );
        for reply in peer_replies() {
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
