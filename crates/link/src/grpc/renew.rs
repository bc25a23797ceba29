//! Asks routers to renew a lease at the membership store: edges do so always, routers when they do not reach the store themselves.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tonic::transport::Channel;
use topology::{Lease, Snapshot};

use crate::Renewal;
use crate::link_id::LinkId;
use crate::wire::pb::router_client::RouterClient;
use crate::wire::{pb, snapshot_from};

/// Connections to routers that are up, the one that last helped first.
#[derive(Default)]
pub(super) struct Clients(Mutex<Vec<(LinkId, RouterClient<Channel>)>>);

impl Clients {
    pub(super) fn add(&self, link: LinkId, client: RouterClient<Channel>) {
        self.0.lock().push((link, client));
    }

    pub(super) fn remove(&self, link: LinkId) {
        self.0.lock().retain(|(up, _)| *up != link);
    }

    pub(super) fn all(&self) -> Vec<(LinkId, RouterClient<Channel>)> {
        self.0.lock().clone()
    }

    pub(super) fn demote(&self, link: LinkId) {
        let mut clients = self.0.lock();
        if let Some(at) = clients.iter().position(|(up, _)| *up == link) {
            let last = clients.remove(at);
            clients.push(last);
        }
    }
}

/// Asks one router, for at most `patience`. With the answer comes its snapshot, if that is newer than `known` (a revision).
pub(super) async fn renew_by(
    mut client: RouterClient<Channel>,
    lease: Lease,
    known: u64,
    patience: Duration,
) -> (Renewal, Option<Arc<Snapshot>>) {
    use pb::keep_alive_reply::Outcome;
    let (lease, known) = (lease.0, Some(known));
    let ask = client.keep_alive(pb::KeepAliveRequest { lease, known });
    let Ok(Ok(reply)) = tokio::time::timeout(patience, ask).await else {
        return (Renewal::Unknown, None);
    };
    let reply = reply.into_inner();
    let renewal = match reply.outcome() {
        Outcome::Renewed => Renewal::Renewed,
        Outcome::Ended => Renewal::Ended,
        Outcome::Unknown => Renewal::Unknown,
        Outcome::Blind => Renewal::Blind,
    };
    let snapshot = reply.snapshot.and_then(|snapshot| snapshot_from(snapshot).ok());
    (renewal, snapshot.map(Arc::new))
}
