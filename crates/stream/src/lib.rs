//! One client connection's XML stream (RFC 6120) as a pure machine: bytes, answers and time in; bytes, events and a
//! deadline out. No sockets, no clock, no randomness.

mod about;
mod config;
mod event;
mod fault;
mod feature;
mod line;
mod login;
mod management;
mod state;
mod step;
mod stream;
mod welcome;

pub use about::About;
pub use config::{Config, HostConfig, TlsPolicy};
pub use event::{Closed, Event};
pub use feature::FEATURES;
pub use stream::Stream;
pub use xml::Dialect;
