//! How an edge lives: joins by way of any router, renews its lease, and fences itself when it cannot.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Request;
use tonic::transport::Channel;
use topology::{Epoch, Lease, NodeRecord, Role, Snapshot};

use super::config::Config;
use super::renew::{Clients, renew_by};
use super::{metric, transport};
use crate::Renewal;
use crate::backoff::Backoff;
use crate::wire::pb::router_client::RouterClient;
use crate::wire::{PROTOCOL, node_to, pb, snapshot_from};

/// Whether this node may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not yet.
    Joining,
    /// In this life.
    Live(Epoch),
    /// Its last life is over: accept nothing, close every session. It joins again by itself.
    Fenced,
}

/// The life of this node.
pub(super) struct Membership {
    pub(super) config: Arc<Config>,
    pub(super) node: NodeRecord,
    /// `host:port` of routers to begin with.
    pub(super) seeds: Vec<String>,
    pub(super) ttl: Duration,
    pub(super) clients: Clients,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) lease: Mutex<Option<Lease>>,
}

impl Membership {
    /// Lives, life after life.
    pub(super) async fn run(&self) {
        loop {
            let (epoch, lease, asked) = self.join().await;
            tracing::info!(node = %self.node.id, epoch = epoch.0, "joined");
            *self.lease.lock() = Some(lease);
            self.standing.send_replace(Standing::Live(epoch));
            self.live(lease, asked).await;
            tracing::warn!(node = %self.node.id, epoch = epoch.0, "lease lost, fenced");
            *self.lease.lock() = None;
            self.standing.send_replace(Standing::Fenced);
        }
    }

    /// Takes in what a router tells, if it is newer.
    pub(super) fn learn(&self, snapshot: Arc<Snapshot>) {
        self.snapshots.send_if_modified(|known| {
            let newer = snapshot.revision > known.revision || snapshot.table.revision > known.table.revision;
            if newer {
                *known = snapshot;
            }
            newer
        });
    }

    /// Ends this life at once, if a router can be told.
    pub(super) async fn leave(&self) {
        let Some(lease) = self.lease.lock().take() else { return };
        self.standing.send_replace(Standing::Fenced);
        for (_, mut client) in self.clients.all() {
            let request = pb::LeaveRequest {
                node: self.node.id.to_string(),
                lease: lease.0,
            };
            if tokio::time::timeout(self.patience(), client.leave(request))
                .await
                .is_ok_and(|left| left.is_ok())
            {
                return;
            }
        }
    }

    async fn join(&self) -> (Epoch, Lease, Instant) {
        let mut backoff = Backoff::new(self.config.retry_first, self.config.retry_most);
        loop {
            for address in self.addresses() {
                let asked = Instant::now();
                if let Some((epoch, lease)) = self.join_by(&address).await {
                    return (epoch, lease, asked);
                }
            }
            metric::retried("join");
            tokio::time::sleep(backoff.next((self.config.jitter)())).await;
        }
    }

    async fn join_by(&self, address: &str) -> Option<(Epoch, Lease)> {
        let ttl_millis = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        let request = pb::JoinRequest {
            node: Some(node_to(&self.node)),
            ttl_millis,
            major: PROTOCOL.0,
        };
        let ask = async {
            transport::connect(address, None, &self.config)
                .await?
                .join(Request::new(request))
                .await
        };
        let reply = tokio::time::timeout(self.config.connect_timeout, ask).await.ok()?;
        let reply = reply
            .inspect_err(|why| tracing::warn!(address, reason = why.message(), "cannot join"))
            .ok()?;
        let reply = reply.into_inner();
        if let Some(Ok(snapshot)) = reply.snapshot.map(snapshot_from) {
            self.learn(Arc::new(snapshot));
        }
        reply.granted.map(|grant| (Epoch(grant.epoch), Lease(grant.lease)))
    }

    /// Renews the lease until that fails for too long. The deadline counts from when the last renewal was *asked* for, and
    /// comes before the lease can end.
    async fn live(&self, lease: Lease, joined: Instant) {
        let allowed = self.ttl - self.ttl / 6;
        let (mut deadline, mut next) = (joined + allowed, joined + self.ttl / 3);
        loop {
            tokio::time::sleep_until(next.min(deadline)).await;
            let asked = Instant::now();
            match tokio::time::timeout_at(deadline, self.renew(lease)).await {
                Ok(Renewal::Renewed | Renewal::Blind) => (deadline, next) = (asked + allowed, asked + self.ttl / 3),
                Ok(Renewal::Unknown) if asked < deadline => next = Instant::now() + self.ttl / 12,
                _ => return,
            }
        }
    }

    /// Asks routers in turn until one can tell.
    async fn renew(&self, lease: Lease) -> Renewal {
        let mut best = Renewal::Unknown;
        let clients = self.clients.all();
        for (link, client) in clients {
            match self.renew_by(client, lease).await {
                Renewal::Unknown => self.clients.demote(link),
                Renewal::Blind => best = Renewal::Blind,
                answer => return answer,
            }
        }
        for address in self.addresses() {
            let connect = transport::connect(&address, None, &self.config);
            if let Ok(Ok(client)) = tokio::time::timeout(self.patience(), connect).await {
                match self.renew_by(client, lease).await {
                    Renewal::Unknown => {}
                    Renewal::Blind => best = Renewal::Blind,
                    answer => return answer,
                }
            }
        }
        best
    }

    async fn renew_by(&self, client: RouterClient<Channel>, lease: Lease) -> Renewal {
        let known = self.snapshots.borrow().revision;
        let (renewal, snapshot) = renew_by(client, lease, known, self.patience()).await;
        // When no link is up, this is how it hears of routers that came since.
        if let Some(snapshot) = snapshot {
            self.learn(snapshot);
        }
        renewal
    }

    /// Routers that are known, then the seeds.
    fn addresses(&self) -> Vec<String> {
        let known = Arc::clone(&self.snapshots.borrow());
        let routers = known.of_role(Role::Router).map(|member| member.record.address.clone());
        let mut all: Vec<_> = routers.collect();
        all.extend(
            self.seeds
                .iter()
                .filter(|seed| !all.contains(seed))
                .cloned()
                .collect::<Vec<_>>(),
        );
        all
    }

    /// How long one router may take to answer.
    fn patience(&self) -> Duration {
        self.ttl / 6
    }
}
