//! Keeps a link to each router that lives: connects, lets it talk, waits and tries again when it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{Stream, StreamExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;
use topology::{Epoch, Member, NodeId, Role, Snapshot};

use super::config::Config;
use super::{metric, transport};
use crate::backoff::Backoff;
use crate::outbox::{Alarm, Batch, Outbox};
use crate::wire::pb::router_client::RouterClient;

/// What a link is used for.
#[async_trait]
pub(super) trait Talk: Send + Sync + 'static {
    /// Who links, in metrics.
    const NAME: &'static str;
    /// Uses a fresh connection until it ends. Returns whether it was ever up.
    async fn talk(
        &self,
        router: &Member,
        client: RouterClient<Channel>,
        stop: &CancellationToken,
    ) -> Result<(), Status>;
    /// Nothing listens at the router's address, for a while now.
    fn found_dead(&self, _router: &Member) {}
}

/// A router whose address refuses connections for so long, and nothing else comes of them, is dead.
const REFUSES: Duration = Duration::from_millis(500);

/// Follows the snapshots and keeps a link to every live router that `wanted` accepts, until `stop`.
pub(super) async fn supervise<T: Talk>(
    talk: Arc<T>,
    config: Arc<Config>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    wanted: impl Fn(&NodeId) -> bool,
    stop: CancellationToken,
) {
    let mut links = BTreeMap::<(NodeId, Epoch, String), CancellationToken>::new();
    loop {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let routers: Vec<_> = snapshot
            .of_role(Role::Router)
            .filter(|member| wanted(&member.record.id))
            .collect();
        links.retain(|key, link| {
            let lives = routers.iter().any(|member| key_of(member) == *key);
            if !lives {
                link.cancel();
            }
            lives
        });
        for member in routers {
            links.entry(key_of(member)).or_insert_with(|| {
                let link = stop.child_token();
                tokio::spawn(keep(
                    Arc::clone(&talk),
                    Arc::clone(&config),
                    member.clone(),
                    link.clone(),
                ));
                link
            });
        }
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return stop.cancelled().await },
            () = stop.cancelled() => return,
        }
    }
}

/// A greeting, then batches as they come.
pub(super) fn frames<T, F, K, V>(
    greeting: T,
    outbox: Arc<Outbox<F, K, V>>,
    encode: fn(Batch<F, K, V>) -> T,
) -> impl Stream<Item = T> + Send + 'static
where
    T: Send + 'static,
    F: Send + 'static,
    K: Ord + Send + 'static,
    V: Ord + Send + 'static,
{
    let rest = futures::stream::unfold((outbox, Alarm::default()), move |(outbox, mut alarm)| async move {
        let batch = outbox.next(&mut alarm).await?;
        Some((encode(batch), (outbox, alarm)))
    });
    futures::stream::once(async move { greeting }).chain(rest)
}

fn key_of(member: &Member) -> (NodeId, Epoch, String) {
    (member.record.id.clone(), member.epoch, member.record.address.clone())
}

async fn keep<T: Talk>(talk: Arc<T>, config: Arc<Config>, router: Member, stop: CancellationToken) {
    let mut backoff = Backoff::new(config.retry_first, config.retry_most);
    let mut refused = None;
    while !stop.is_cancelled() {
        let began = tokio::time::Instant::now();
        let once = async {
            let connected = transport::connect(&router.record.address, Some(&router.record.id), &config).await;
            let is_refused = connected.as_ref().is_err_and(|unreached| unreached.refused);
            refused = is_refused.then(|| refused.unwrap_or_else(tokio::time::Instant::now));
            if refused.is_some_and(|since| since.elapsed() >= REFUSES) {
                talk.found_dead(&router);
            }
            talk.talk(&router, connected?, &stop).await
        };
        let ended = tokio::select! {
            ended = once => ended,
            () = stop.cancelled() => return,
        };
        if began.elapsed() > config.retry_most {
            backoff.reset();
        }
        let wait = backoff.next((config.jitter)());
        metric::retried(T::NAME);
        let reason = ended
            .err()
            .map(|status| status.message().to_owned())
            .unwrap_or_default();
        tracing::info!(router = %router.record.id, reason, wait_ms = wait.as_millis(), "link down, will retry");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}
