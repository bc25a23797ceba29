//! Settings of the links: security, patience and bounds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::connector::Connector;
use crate::Window;

/// Settings of the links. Clone, change what differs from [`Config::default`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Mutual TLS; `None` for clear text (one machine, or a network that is trusted).
    pub tls: Option<Tls>,
    /// What opens connections to routers; `None` for TCP.
    pub connector: Option<Arc<dyn Connector>>,
    /// Idle connections are pinged this often. Default 1 s.
    pub ping_interval: Duration,
    /// A ping not answered within this time ends the connection. Default 2 s.
    pub ping_timeout: Duration,
    /// Time allowed to connect and greet. Default 3 s.
    pub connect_timeout: Duration,
    /// First wait before a link is tried again; doubles. Default 50 ms.
    pub retry_first: Duration,
    /// Longest wait before a link is tried again. Default 2 s.
    pub retry_most: Duration,
    /// How long a SASL step or a bind waits for a router that answers. Default 10 s.
    pub call_timeout: Duration,
    /// How long a client's stanza waits for room while its home is away, before the session is given up. Default 30 s.
    pub submit_timeout: Duration,
    /// How long a stanza for another home is held while that moves or is away. Default 20 s.
    pub hold: Duration,
    /// How long an edge waits for an old home to say that it is sealed. Default 5 s.
    pub seal_timeout: Duration,
    /// How long stanzas for a slot that moved go to its old home, if that gives none back. Default 2 s.
    pub linger: Duration,
    /// Undone stanzas of one session. Default 64, 1 MiB.
    pub session_window: Window,
    /// Undone stanzas of all sessions of an edge. Default 262,144, 512 MiB.
    pub edge_window: Window,
    /// Unanswered stanzas for one slot. Default 1,024, 4 MiB.
    pub slot_window: Window,
    /// Unanswered stanzas for all other homes. Default 262,144, 256 MiB.
    pub peer_window: Window,
    /// What may wait to be written to one edge; beyond, the edge is stuck and its link is dropped. Default 262,144, 256 MiB.
    pub outbound_window: Window,
    /// Tasks that work for one link. Default 4.
    pub lanes: usize,
    /// How long an edge that leaves waits for what its clients said last to be done, and for the homes to say what becomes of their
    /// sessions. Default 10 s.
    pub leave_timeout: Duration,
    /// Largest message of a stream, in bytes. Default 16 MiB, the same in the whole cluster.
    pub message_bytes: usize,
    /// Spreads waits between tries: draws from 0 to 1. Default: at random.
    pub jitter: fn() -> f64,
}

/// Mutual TLS among the nodes of a cluster.
///
/// A node proves its name by a DNS subject alternative name in its certificate: its node id, or `cluster`, a name that all of the
/// cluster's certificates share. Whoever connects checks the same of whom it reaches.
#[derive(Clone)]
pub struct Tls {
    /// Certificate authorities of the cluster, PEM.
    pub ca: Vec<u8>,
    /// This node's certificate chain, PEM.
    pub certificate: Vec<u8>,
    /// Its private key, PEM.
    pub key: Vec<u8>,
    /// The name that all certificates of the cluster share, if they do. Needed by edges: they know routers of the seed list only
    /// by address.
    pub cluster: Option<String>,
}

/// Keys or certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("set up TLS for the links")]
pub struct InvalidTls(#[source] Box<dyn std::error::Error + Send + Sync>);

impl InvalidTls {
    pub(super) fn new(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(why.into())
    }
}

impl Default for Config {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            tls: None,
            connector: None,
            ping_interval: Duration::from_secs(1),
            ping_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(3),
            retry_first: Duration::from_millis(50),
            retry_most: Duration::from_secs(2),
            call_timeout: Duration::from_secs(10),
            submit_timeout: Duration::from_secs(30),
            hold: Duration::from_secs(20),
            seal_timeout: Duration::from_secs(5),
            linger: Duration::from_secs(2),
            session_window: Window { items: 64, bytes: MIB },
            edge_window: Window {
                items: 262_144,
                bytes: 512 * MIB,
            },
            slot_window: Window {
                items: 1024,
                bytes: 4 * MIB,
            },
            peer_window: Window {
                items: 262_144,
                bytes: 256 * MIB,
            },
            outbound_window: Window {
                items: 262_144,
                bytes: 256 * MIB,
            },
            lanes: 4,
            leave_timeout: Duration::from_secs(10),
            message_bytes: 16 * MIB,
            jitter: rand::random,
        }
    }
}

impl fmt::Debug for Tls {
    /// Never prints the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
