//! Frames as releases have written them (`tests/frames/MAJOR.MINOR/`), and what they must mean for ever: the proof that a release
//! understands the one before it. A frame that was recorded is never recorded again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use super::samples::{
    edge_frames, login_frames, managed_frames, newer_edge_frames, newer_router_frames, peer_frame, peer_replies,
    replies, router_frames,
};
use crate::wire::{EdgeFrame, PROTOCOL, PeerFrame, PeerReply, RouterFrame, pb};

/// Writes what is not recorded yet, under the present version.
const RECORD: &str = "DUNLIN_RECORD_FRAMES";

/// A frame: what it means, and its bytes.
type Frame = (String, Vec<u8>);

/// One direction of one stream.
struct Direction {
    /// Its message in the protocol file; also the name of its files.
    message: &'static str,
    samples: Vec<Frame>,
    /// What bytes mean, and how they are written now.
    read: fn(&[u8]) -> Frame,
}

macro_rules! direction {
    ($message:ident, $samples:expr) => {{
        let written = |frame: $message| frame.encode().encode_to_vec();
        Direction {
            message: stringify!($message),
            samples: $samples
                .into_iter()
                .map(|frame: $message| (meaning(&frame), written(frame)))
                .collect(),
            read: |bytes| {
                let frame = $message::decode(pb::$message::decode(bytes).unwrap()).unwrap();
                (meaning(&frame), frame.encode().encode_to_vec())
            },
        }
    }};
}

fn directions() -> Vec<Direction> {
    let edge = [edge_frames(), managed_frames(), login_frames(), newer_edge_frames()].concat();
    let router = [router_frames(), replies(), newer_router_frames()].concat();
    vec![
        direction!(EdgeFrame, edge),
        direction!(RouterFrame, router),
        direction!(PeerFrame, [peer_frame()]),
        direction!(PeerReply, peer_replies()),
    ]
}

fn meaning(frame: &dyn Debug) -> String {
    format!("{frame:?}")
}

impl Direction {
    /// The samples by name: that of the frame, and which of them it is.
    fn named(&self) -> BTreeMap<String, &Frame> {
        let mut seen = BTreeMap::<&str, usize>::new();
        let name = |frame| {
            let (meaning, _): &'_ Frame = frame;
            let kind = meaning.split(['(', ' ']).next().unwrap_or_default();
            let nth = seen.entry(kind).and_modify(|nth| *nth += 1).or_insert(1);
            (format!("{kind}-{nth}"), frame)
        };
        self.samples.iter().map(name).collect()
    }

    /// Everything that was recorded, by version and name.
    fn recorded(&self) -> BTreeMap<(String, String), Vec<u8>> {
        let mut all = BTreeMap::new();
        for version in std::fs::read_dir(frames()).unwrap() {
            let version = version.unwrap();
            let text = std::fs::read_to_string(version.path().join(format!("{}.txt", self.message)));
            for line in text.unwrap_or_default().lines() {
                let (name, hex) = line.split_once(' ').unwrap();
                let version = version.file_name().into_string().unwrap();
                all.insert((version, name.to_owned()), unhex(hex));
            }
        }
        all
    }

    fn record(&self) {
        let known: BTreeSet<String> = self.recorded().into_keys().map(|(_, name)| name).collect();
        let (major, minor) = PROTOCOL;
        let folder = frames().join(format!("{major}.{minor}"));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}.txt", self.message));
        let mut text = std::fs::read_to_string(&file).unwrap_or_default();
        for (name, (_, bytes)) in self.named() {
            if !known.contains(&name) {
                writeln!(text, "{name} {}", hex(bytes)).unwrap();
            }
        }
        std::fs::write(file, text).unwrap();
    }
}

#[test]
fn what_was_written_once_means_the_same() {
    for direction in directions() {
        let samples = direction.named();
        for ((version, name), bytes) in direction.recorded() {
            let sample = samples.get(&name);
            let what = format!(
                "{} {name} as {version} writes it: is its sample another, or the format? Change neither, add: record new frames",
                direction.message
            );
            assert_eq!(Some(&(direction.read)(&bytes)), sample.copied(), "{what}");
            let newer = with_unknown_field(&bytes);
            assert_eq!(Some(&(direction.read)(&newer)), sample.copied(), "a field more: {what}");
        }
    }
}

#[test]
fn every_frame_is_recorded() {
    let proto = std::fs::read_to_string(root().join("../../proto/dunlin/link/v1/link.proto")).unwrap();
    for direction in directions() {
        if std::env::var_os(RECORD).is_some() {
            direction.record();
        }
        let recorded = direction.recorded();
        for name in direction.named().keys() {
            let known = recorded.keys().any(|(_, known)| known == name);
            assert!(
                known,
                "{} {name}: record new frames, with {RECORD}=1",
                direction.message
            );
        }
        let tags: BTreeSet<u64> = recorded.values().map(|bytes| varint(bytes).0 >> 3).collect();
        for (field, name) in fields(&proto, direction.message) {
            let known = name == "hello" || tags.contains(&field);
            assert!(known, "{}.{name}: add a sample and record it", direction.message);
        }
    }
}

/// Number and name of each field of a message whose fields are one `oneof`.
fn fields(proto: &str, message: &str) -> Vec<(u64, String)> {
    let (_, rest) = proto.split_once(&format!("message {message} {{")).unwrap();
    let (_, rest) = rest.split_once("oneof").unwrap();
    let (body, _) = rest.split_once('}').unwrap();
    let field = |line: &str| {
        let (name, number) = line.trim().strip_suffix(';')?.split_once(" = ")?;
        Some((number.parse().ok()?, name.split_once(' ')?.1.to_owned()))
    };
    body.lines().filter_map(field).collect()
}

/// As a later release may write it: the frame has field 500, a text.
fn with_unknown_field(frame: &[u8]) -> Vec<u8> {
    const UNKNOWN: &[u8] = &[0xa2, 0x1f, 1, b'x'];
    let (tag, rest) = varint(frame);
    assert_eq!(tag & 7, 2, "a message");
    let (length, body) = varint(rest);
    assert_eq!(usize::try_from(length).unwrap(), body.len(), "one frame");
    let mut out = Vec::new();
    prost::encoding::encode_varint(tag, &mut out);
    prost::encoding::encode_varint((body.len() + UNKNOWN.len()) as u64, &mut out);
    [&out, body, UNKNOWN].concat()
}

fn varint(mut bytes: &[u8]) -> (u64, &[u8]) {
    let value = prost::encoding::decode_varint(&mut bytes).unwrap();
    (value, bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn frames() -> PathBuf {
    root().join("tests/frames")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
