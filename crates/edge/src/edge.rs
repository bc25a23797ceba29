//! The role: listeners, sessions, fencing, and the end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use link::Router;
use rand::seq::SliceRandom;
use stanza::Peer;
use stream::{Dialect, HostConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, Place};
use crate::config::Config;
use crate::gate::Gate;
use crate::handshake::handshake;
use crate::listener::{Listener, Spoken};
use crate::outbox::Order;
use crate::pace;
use crate::session::serve;
use crate::sessions::Sessions;
use crate::shared::Shared;
use crate::socket::Socket;
use crate::tls::{Tls, Way};

/// How often a drain says how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

/// What an edge is made of.
pub struct Parts {
    /// Its settings. Listeners in it are not bound by the edge: give them to [`Edge::run`].
    pub config: Config,
    /// The virtual hosts.
    pub hosts: Vec<HostConfig>,
    /// Certificates; without them there is no TLS.
    pub tls: Option<Arc<Tls>>,
    /// The table that routers deliver to.
    pub sessions: Arc<Sessions>,
    /// What is asked.
    pub router: Arc<dyn Router>,
    /// True while the edge may not do anything, because the cluster may think it dead.
    pub fenced: watch::Receiver<bool>,
}

/// Whether clients should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet listening.
    Starting,
    /// Yes.
    Ready,
    /// Not now: the edge has lost its lease.
    Fenced,
    /// No more: it stops.
    Draining,
    /// It has stopped.
    Stopped,
}

/// An edge.
pub struct Edge {
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    tasks: TaskTracker,
    readiness: watch::Sender<Readiness>,
}

impl Edge {
    /// Puts an edge together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            config,
            hosts,
            tls,
            sessions,
            router,
            fenced,
        } = parts;
        let stream = Arc::new(config.stream(hosts, tls.is_some()));
        let admission = Admission::new(config.limits.clone());
        let stopping = CancellationToken::new();
        let shared = Shared {
            gate: Gate::new(config.rates.logins),
            config,
            stream,
            tls,
            sessions,
            router,
            fenced,
            stopping,
        };
        let readiness = watch::Sender::new(Readiness::Starting);
        Arc::new(Self {
            shared: Arc::new(shared),
            admission,
            tasks: TaskTracker::new(),
            readiness,
        })
    }

    /// Whether clients should be sent here, now and as it changes.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    /// Accepts connections until `drain`; then closes all sessions, paced, and returns when they have ended or the time
    /// allowed for that is over. Returns how many sessions had to be cut off.
    pub async fn run(self: &Arc<Self>, listeners: Vec<Listener>, drain: impl Future<Output = ()>) -> usize {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let edge = self.clone();
            accepting.spawn(async move { edge.accept(&listener).await });
        }
        tokio::select! {
            () = drain => {}
            () = self.watch_fence() => {}
        }
        self.readiness.send_replace(Readiness::Draining);
        self.shared.stopping.cancel();
        accepting.shutdown().await;
        let left = self.close_all().await;
        self.readiness.send_replace(Readiness::Stopped);
        left
    }

    /// Serves a connection that something else accepted, such as a simulated network; `direct_tls` says how it begins.
    /// Needs a tokio runtime.
    pub fn serve<T>(&self, io: T, address: Option<IpAddr>, direct_tls: bool)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let spoken = if direct_tls { Spoken::Tls } else { Spoken::Plain };
        self.admit(io, address, spoken);
    }

    /// The same for a component's connection.
    pub fn serve_component<T>(&self, io: T, address: Option<IpAddr>)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.admit(io, address, Spoken::Component);
    }

    async fn accept(&self, listener: &Listener) {
        let keepalive = self.shared.config.timeouts.keepalive;
        listener
            .accept(keepalive, |stream, address, spoken| {
                self.admit(stream, Some(address.ip()), spoken)
            })
            .await;
    }

    fn admit<T>(&self, io: T, address: Option<IpAddr>, spoken: Spoken)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let meters = self.shared.meters();
        if *self.shared.fenced.borrow() {
            return meters.refused("fenced"); // closed at once: the client tries another edge sooner
        }
        match self.admission.enter(address) {
            Err(refused) => meters.refused(refused.0),
            Ok(place) => {
                meters.accepted(spoken.name());
                let peer = Peer {
                    address: address.map(|a| a.to_canonical()),
                    tls: None,
                };
                self.begin(io, peer, spoken, place);
            }
        }
    }

    fn begin<T>(&self, io: T, mut peer: Peer, spoken: Spoken, place: Place)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (shared, tasks) = (self.shared.clone(), self.tasks.clone());
        match spoken {
            Spoken::Plain => self
                .tasks
                .spawn(serve(shared, Dialect::Client, Socket::Plain(io), peer, place)),
            Spoken::Component => self
                .tasks
                .spawn(serve(shared, Dialect::Component, Socket::Plain(io), peer, place)),
            // The session is a task of its own, so that it does not keep the room of the handshake.
            Spoken::Tls => self.tasks.spawn(async move {
                if let Some((io, facts)) = handshake(&shared, io, Way::Direct).await {
                    peer.tls = Some(facts);
                    tasks.spawn(serve(shared, Dialect::Client, Socket::Tls(io), peer, place));
                }
            }),
        };
    }

    /// Keeps sessions and readiness as the fence says; ends never.
    async fn watch_fence(&self) {
        let mut fenced = self.shared.fenced.clone();
        loop {
            if *fenced.borrow_and_update() {
                tracing::warn!(sessions = self.shared.sessions.len(), "fenced: closing all sessions");
                self.readiness.send_replace(Readiness::Fenced);
                self.shared.sessions.order_all(&Order::Fence);
            } else {
                self.readiness.send_replace(Readiness::Ready);
            }
            if fenced.changed().await.is_err() {
                return std::future::pending().await; // nobody can fence any more
            }
        }
    }

    async fn close_all(&self) -> usize {
        let (began, all) = (Instant::now(), self.shared.sessions.len());
        tracing::info!(sessions = all, "closing all sessions");
        let left = tokio::select! {
            left = self.close_in_time(began) => left,
            () = self.tell_progress(all, began) => 0, // not reached: it ends never
        };
        self.shared.meters().draining.set(0.0);
        match left {
            0 => tracing::info!(sessions = all, took = ?began.elapsed(), "closed all sessions"),
            _ => tracing::warn!(left, took = ?began.elapsed(), "cutting off what is left"),
        }
        left
    }

    async fn close_in_time(&self, began: Instant) -> usize {
        let drain = &self.shared.config.drain;
        let until = began + drain.timeout;
        let leave = Order::Leave(drain.condition());
        let _ = tokio::time::timeout_at(until, self.pace(&leave)).await;
        self.shared.sessions.order_all(&leave);
        self.tasks.close();
        if tokio::time::timeout_at(until, self.tasks.wait()).await.is_ok() {
            return 0;
        }
        let left = self.tasks.len();
        self.shared.sessions.order_all(&Order::Abort);
        left
    }

    /// Says each second how far the drain is; ends never.
    async fn tell_progress(&self, all: usize, began: Instant) {
        let mut each = tokio::time::interval(PROGRESS);
        loop {
            each.tick().await;
            let left = self.shared.sessions.len();
            self.shared.meters().draining.set(left as f64);
            if began.elapsed() >= PROGRESS {
                tracing::info!(left, all, elapsed = ?began.elapsed(), "draining");
            }
        }
    }

    /// Closes the sessions in a random order, at a random pace around the configured one.
    async fn pace(&self, leave: &Order) {
        let mut ids = self.shared.sessions.ids();
        ids.shuffle(&mut rand::rng());
        let count = ids.len();
        while !ids.is_empty() {
            let batch = pace::batch(count, &self.shared.config.drain, rand::random());
            let rest = ids.len().saturating_sub(batch);
            ids.drain(rest..)
                .for_each(|id| self.shared.sessions.order(id, leave.clone()));
            tokio::time::sleep(pace::TICK).await;
        }
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("sessions", &self.shared.sessions)
            .finish_non_exhaustive()
    }
}
