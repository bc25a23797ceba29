//! The edge: sockets, TLS and framing of client connections. It drives `stream::Stream` for each connection, asks a
//! `link::Router` whatever it does not know itself, and is the `link::Edge` that routers deliver to.

mod admission;
mod alarm;
mod config;
mod dev_ca;
mod edge;
mod gate;
mod handshake;
mod listener;
mod meters;
mod outbox;
mod pace;
mod session;
mod sessions;
mod shaper;
mod shared;
mod socket;
mod tls;
mod units;
mod wire;

pub use config::{
    Certificate, ClientAuthority, Config, Drain, Limits, Listeners, Outbox, Rate, Rates, StanzaLimits, StartTls,
    Timeouts, Tls as TlsConfig,
};
pub use dev_ca::{Development, dev_ca};
pub use edge::{Edge, Parts, Readiness};
pub use listener::Listener;
pub use meters::METRICS;
pub use sessions::Sessions;
pub use tls::{Tls, TlsError};
