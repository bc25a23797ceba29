//! What goes over the wire, as domain values, and its bytes. Reading never panics and trusts nothing.

mod address;
mod condition;
mod edge_frame;
mod fuzz;
mod login;
mod managed;
pub mod measured;
mod peer_frame;
mod register;
mod router_frame;
mod sasl2;
mod snapshot;
mod stanza;
#[cfg(test)]
mod tests;

/// What `prost` and `tonic` generate.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::too_many_lines
)]
pub(crate) mod pb {
    tonic::include_proto!("dunlin.link.v1");
}

pub(crate) use edge_frame::EdgeFrame;
pub use fuzz::decode_any;
pub(crate) use peer_frame::{Part, PeerFrame, PeerReply};
pub(crate) use router_frame::{RouterFrame, Unreadable};
pub(crate) use snapshot::{node_from, node_to, snapshot_from, snapshot_to};

/// Highest protocol version this release speaks: major, minor. Majors do not mix; minors are listed in the protocol file.
pub const PROTOCOL: (u32, u32) = (1, 2);
