//! The home of accounts: loads what a decision needs, lets the pipeline decide, performs the effects in order.

mod account;
mod arrive;
mod auth;
mod behind;
mod bind;
mod cells;
mod clock;
mod config;
mod core;
mod directory;
mod edges;
mod end;
mod errand;
mod gauges;
mod hosts;
mod kept;
mod limiter;
mod load;
mod mirror;
mod perform;
mod query;
mod receive;
mod router;
mod session;
mod settle;
mod slots;
mod submit;
mod travel;

pub use clock::{Clock, Entropy, System};
pub use config::{ClusterConfig, Config, ResourceConflict, SaslConfig};
pub use hosts::{Hosts, VirtualHost};
pub use router::{NoPeers, Parts, Router};
