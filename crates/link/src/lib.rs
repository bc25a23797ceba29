//! How the tiers talk: the ports between edge and router and between routers, in process and over gRPC.
//!
//! Domain types only; what `prost` and `tonic` generate stays private to this crate.

mod backoff;
mod courier;
mod held;
mod lanes;
mod link_id;
mod local;
mod outbox;
mod ports;
mod received;
mod session;
mod sessions;
mod slots;
mod trace;
mod wire;

pub mod grpc;

pub use courier::Window;
pub use grpc::METRICS;
pub use held::{Held, Waiting};
pub use local::local;
pub use ports::{
    Attach, CloseReason, Delivery, Edge, EdgeRef, Gone, Home, PeerHome, Peers, Registry, Renewal, Route, Router, Said,
    SessionRef, Submission, Unwritten,
};
pub use trace::{NotSampled, Step, TARGET as TRACE_TARGET, Trace};
#[doc(hidden)]
pub use wire::measured;
pub use wire::{PROTOCOL, decode_any};
