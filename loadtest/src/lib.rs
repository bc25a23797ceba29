//! A load tester for any XMPP server: scenarios, clients that follow them, and what a run came to.

pub mod accounting;
pub mod compare;
pub mod latency;
pub mod live;
pub mod measure;
pub mod metrics;
pub mod quantity;
pub mod report;
pub mod results;
pub mod thresholds;
