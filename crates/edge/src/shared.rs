//! What all connections of an edge share.

use std::sync::Arc;
use std::time::Instant;

use link::Router;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::gate::Gate;
use crate::meters::Meters;
use crate::sessions::Sessions;
use crate::tls::Tls;

/// The small context of every session.
pub(crate) struct Shared {
    /// Which logins go on to a router.
    pub(crate) gate: Gate,
    pub(crate) config: Config,
    /// For the stream machine, with STARTTLS as configured.
    pub(crate) stream: Arc<stream::Config>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) router: Arc<dyn Router>,
    /// Whether the edge may not do anything, because the cluster may think it dead.
    pub(crate) fenced: watch::Receiver<bool>,
    /// Cancelled when the edge begins to stop.
    pub(crate) stopping: CancellationToken,
}

impl Shared {
    pub(crate) fn meters(&self) -> &Meters {
        &self.sessions.meters
    }
}

/// The time by tokio's clock, which tests may hold.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
