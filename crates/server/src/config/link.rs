//! How nodes reach each other, with how much patience, and what may be under way between them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use link::grpc;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How nodes reach each other.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LinkConfig {
    /// Routers: where to listen for edges and other routers. Unset: this process stands alone.
    pub(crate) listen: Option<SocketAddr>,
    /// Routers: the address at which others reach this one, `host:port`. Default: `listen`.
    pub(crate) advertise: Option<String>,
    /// Edges: routers to join the cluster through, `host:port` each. Unset: the router in this process.
    pub(crate) routers: Vec<String>,
    /// PEM file with the CA that signs the nodes' certificates. Unset: links are not encrypted (loopback and trusted networks only).
    pub(crate) ca: Option<PathBuf>,
    /// The DNS name that all certificates of the cluster share, if they do; without it each names its node.
    pub(crate) name: Option<String>,
    /// PEM file with this node's certificate.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file with this node's private key.
    pub(crate) key: Option<PathBuf>,
    /// How long nodes wait for each other.
    pub(crate) patience: Patience,
    /// What may be under way between nodes.
    pub(crate) windows: Windows,
}

/// How long nodes wait for each other, in milliseconds.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Patience {
    /// Idle connections between nodes are pinged this often.
    pub(crate) ping_interval_ms: u64,
    /// A ping that is not answered within this time ends the connection.
    pub(crate) ping_timeout_ms: u64,
    /// Time allowed to connect and greet.
    pub(crate) connect_timeout_ms: u64,
    /// First wait before a link is tried again; doubles.
    pub(crate) retry_first_ms: u64,
    /// Longest wait before a link is tried again.
    pub(crate) retry_most_ms: u64,
    /// Edges: how long a SASL step, a bind or a resumption waits for its router; then the client is told to try again.
    pub(crate) call_timeout_ms: u64,
    /// Edges: how long a client's stanza waits for room while its home is away; then the session is given up.
    pub(crate) submit_timeout_ms: u64,
    /// Routers: how long a stanza for another home is held while that moves or cannot be reached; then its sender gets an error of type
    /// `wait`. It must outlast a failover. A message that had been sent and not answered may have arrived all the same.
    pub(crate) hold_ms: u64,
    /// Edges: how long to wait for an old home to say that it has given a slot away.
    pub(crate) seal_timeout_ms: u64,
    /// Routers: how long stanzas for a slot that moved go to its old home, if that gives none back.
    pub(crate) linger_ms: u64,
    /// Edges: how long one that leaves waits until what its clients said last is done, and its sessions are settled.
    pub(crate) leave_timeout_ms: u64,
}

/// What may be under way between nodes. Who reaches a bound waits: the edge reads no further from the client.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Windows {
    /// Edges: undone stanzas of one session.
    pub(crate) session: Window,
    /// Edges: undone stanzas of all sessions.
    pub(crate) edge: Window,
    /// Routers: unanswered stanzas for one slot of another home.
    pub(crate) slot: Window,
    /// Routers: unanswered stanzas for all other homes.
    pub(crate) peer: Window,
    /// Routers: what may wait to be written to one edge; beyond, its link is dropped and set up again.
    pub(crate) outbound: Window,
    /// Tasks that work for one link.
    pub(crate) lanes: usize,
    /// Largest message between nodes, in bytes; the same in the whole cluster.
    pub(crate) message_bytes: usize,
}

/// A bound in stanzas and bytes, whichever comes first.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    /// Stanzas.
    pub(crate) stanzas: usize,
    /// Bytes.
    pub(crate) bytes: usize,
}

impl Default for Patience {
    fn default() -> Self {
        let like = grpc::Config::default();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            ping_interval_ms: ms(like.ping_interval),
            ping_timeout_ms: ms(like.ping_timeout),
            connect_timeout_ms: ms(like.connect_timeout),
            retry_first_ms: ms(like.retry_first),
            retry_most_ms: ms(like.retry_most),
            call_timeout_ms: ms(like.call_timeout),
            submit_timeout_ms: ms(like.submit_timeout),
            hold_ms: ms(like.hold),
            seal_timeout_ms: ms(like.seal_timeout),
            linger_ms: ms(like.linger),
            leave_timeout_ms: ms(like.leave_timeout),
        }
    }
}

impl Default for Windows {
    fn default() -> Self {
        let like = grpc::Config::default();
        Self {
            session: like.session_window.into(),
            edge: like.edge_window.into(),
            slot: like.slot_window.into(),
            peer: like.peer_window.into(),
            outbound: like.outbound_window.into(),
            lanes: like.lanes,
            message_bytes: like.message_bytes,
        }
    }
}

impl From<link::Window> for Window {
    fn from(window: link::Window) -> Self {
        Self {
            stanzas: window.items,
            bytes: window.bytes,
        }
    }
}

impl From<Window> for link::Window {
    fn from(window: Window) -> Self {
        Self {
            items: window.stanzas,
            bytes: window.bytes,
        }
    }
}

impl LinkConfig {
    /// As the links take it, with keys and certificates as they were read.
    pub(crate) fn grpc(&self, tls: Option<grpc::Tls>) -> grpc::Config {
        let (patience, windows) = (&self.patience, &self.windows);
        let ms = Duration::from_millis;
        grpc::Config {
            tls,
            ping_interval: ms(patience.ping_interval_ms),
            ping_timeout: ms(patience.ping_timeout_ms),
            connect_timeout: ms(patience.connect_timeout_ms),
            retry_first: ms(patience.retry_first_ms),
            retry_most: ms(patience.retry_most_ms),
            call_timeout: ms(patience.call_timeout_ms),
            submit_timeout: ms(patience.submit_timeout_ms),
            hold: ms(patience.hold_ms),
            seal_timeout: ms(patience.seal_timeout_ms),
            linger: ms(patience.linger_ms),
            leave_timeout: ms(patience.leave_timeout_ms),
            session_window: windows.session.into(),
            edge_window: windows.edge.into(),
            slot_window: windows.slot.into(),
            peer_window: windows.peer.into(),
            outbound_window: windows.outbound.into(),
            lanes: windows.lanes,
            message_bytes: windows.message_bytes,
            ..grpc::Config::default()
        }
    }
}
