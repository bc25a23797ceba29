//! A swarm of XMPP clients for tests and load, and the ledger that knows what became of every message. For tests only.

pub mod chance;
pub mod client;
pub mod ledger;
pub mod outgoing;
mod report;
pub mod scram;
mod shared;
mod swarm;
mod talker;

pub use ledger::Ledger;
pub use report::Report;
pub use shared::{Habits, Manner, Persona, Phase};
pub use swarm::Swarm;
