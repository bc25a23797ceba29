//! The tiers as separate processes: gRPC streams with mutual TLS.

mod calls;
mod calm;
mod config;
mod connector;
mod dial;
mod edge_link;
mod handshake;
mod intake;
mod listen;
mod membership;
mod metric;
mod peer_pool;
mod renew;
mod router_pool;
mod server;
mod transport;

pub use config::{Config, InvalidTls, Tls};
pub use connector::{Connection, Connector};
pub use handshake::Identity;
pub use membership::Standing;
pub use metric::METRICS;
pub use peer_pool::PeerPool;
pub use router_pool::RouterPool;
pub use server::{Ports, serve, serve_on};
