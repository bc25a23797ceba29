//! Makes tests short: a client, conformance scripts and their runner, and servers in a process. For tests only.

pub mod cluster;
pub mod fleet;
pub mod many;
pub mod metrics;
pub mod network;
pub mod pattern;
pub mod pipes;
pub mod process;
pub mod runner;
mod sasl2;
mod scram;
pub mod script;
pub mod services;
pub mod settings;
pub mod single;

pub use sasl::handshake;
pub use swarm::client;
