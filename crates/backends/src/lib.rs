//! Adapters between the store's ports and databases: SQLite for a server alone; PostgreSQL, Redis and etcd for a cluster.

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "redis", feature = "etcd"))]
mod observe;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;

#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use observe::METRICS;
pub use store::Secret;
pub use store::duration;
