//! All other homes as a router reaches them: holds what is for a home that moves or is away, and sends again what a dead link did
//! not answer. The home in this process is reached the same way, without a wire.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use stanza::Jid;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use topology::{Epoch, Lease, Member, NodeId, Role, Slot, Snapshot};

use super::config::Config;
use super::dial::{Talk, frames, supervise};
use super::handshake::{Identity, greeted, is_meant};
use super::intake::{Intake, Replies};
use super::metric;
use super::renew::{Clients, renew_by};
use crate::link_id::LinkId;
use crate::outbox::{AT_ONCE, Alarm, Batch, Marks, Outbox};
use crate::slots::{Limits, Parcel, Port, Slots};
use crate::wire::pb::router_client::RouterClient;
use crate::wire::{PeerFrame, PeerReply, pb};
use crate::{Gone, PeerHome, Peers, Renewal, Route, Window};

/// The other routers of a cluster. Dropping it ends all links.
pub struct PeerPool {
    pool: Arc<Pool>,
}

type ToPeer = Outbox<PeerFrame, (), ()>;

/// Dropped when the parts of a route are answered.
type Ticket = Arc<oneshot::Sender<()>>;

struct Pool {
    config: Arc<Config>,
    me: OnceLock<Identity>,
    snapshots: OnceLock<watch::Receiver<Arc<Snapshot>>>,
    home: OnceLock<Arc<dyn PeerHome>>,
    slots: Mutex<Slots<Line, Ticket>>,
    clients: Clients,
    /// Lives of other routers whose addresses refuse connections.
    dead: Mutex<BTreeSet<(NodeId, Epoch)>>,
    stir: Notify,
    stop: CancellationToken,
    /// Homes that the metrics have named: they keep them, at zero.
    shown: Mutex<BTreeSet<NodeId>>,
}

/// The way to one home.
struct Line(Arc<ToPeer>);

impl Port for Line {
    fn send(&self, frame: PeerFrame) {
        self.0.push(frame.size(), frame);
    }
}

impl PeerPool {
    /// Holds everything before [`PeerPool::start`].
    pub fn new(config: Config) -> Self {
        let slots = Mutex::new(Slots::new(Limits {
            slot: config.slot_window,
            total: config.peer_window,
            linger: config.linger,
        }));
        let (me, snapshots, home) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let (stir, stop) = (Notify::new(), CancellationToken::new());
        Self {
            pool: Arc::new(Pool {
                config: Arc::new(config),
                me,
                snapshots,
                home,
                slots,
                clients: Clients::default(),
                dead: Mutex::default(),
                stir,
                stop,
                shown: Mutex::default(),
            }),
        }
    }

    /// Links to the other routers that `snapshots` tell of, as `me`; what is for homes here goes to `home`. Call once, inside a
    /// tokio runtime.
    pub fn start(&self, me: Identity, snapshots: watch::Receiver<Arc<Snapshot>>, home: Arc<dyn PeerHome>) {
        if self.pool.me.set(me.clone()).is_err() || self.pool.snapshots.set(snapshots.clone()).is_err() {
            return;
        }
        let home = Arc::clone(self.pool.home.get_or_init(|| home));
        let stop = self.pool.stop.clone();
        let [a, b, c] = [(); 3].map(|()| Arc::clone(&self.pool));
        let (config, id) = (Arc::clone(&self.pool.config), me.id.clone());
        tokio::spawn(supervise(
            a,
            config,
            snapshots.clone(),
            move |other| *other != id,
            stop.clone(),
        ));
        tokio::spawn({
            let (stop, followed) = (stop.clone(), snapshots.clone());
            async move { stop.run_until_cancelled(b.settle(followed)).await }
        });
        tokio::spawn(async move { stop.run_until_cancelled(c.serve_local(&me, snapshots, home)).await });
    }

    /// Stanzas that wait or are not answered.
    pub fn load(&self) -> Window {
        self.pool.slots.lock().load()
    }

    /// Sets the gauges that are read, not kept: call it before metrics are shown. Looks at every slot.
    pub fn sample(&self) {
        let (load, homes) = {
            let slots = self.pool.slots.lock();
            (slots.load(), slots.loads())
        };
        metric::held("peer", load.items, load.bytes);
        let mut shown = self.pool.shown.lock();
        shown.extend(homes.keys().cloned());
        for home in &*shown {
            metric::held_for(home, homes.get(home).copied().unwrap_or_default());
        }
    }

    /// Ends all links; everything that is held is given up.
    pub fn stop(&self) {
        self.pool.stop.cancel();
    }
}

impl Drop for PeerPool {
    fn drop(&mut self) {
        self.pool.stop.cancel();
    }
}

#[async_trait]
impl Peers for PeerPool {
    async fn route(&self, slot: Slot, route: Route) -> Result<(), Gone> {
        let deadline = Instant::now() + self.pool.config.hold;
        let parts = parts_of(slot, &route.to);
        let (ticket, answered) = oneshot::channel();
        let numbers = self.pool.push(&parts, route, ticket, deadline).await?;
        tokio::select! {
            _ = answered => return Ok(()), // the ticket is never used, only dropped with the last part
            () = tokio::time::sleep_until(deadline) => {}
            () = self.pool.stop.cancelled() => {}
        }
        let mut slots = self.pool.slots.lock();
        let held = numbers
            .into_iter()
            .filter(|(slot, number)| slots.withdraw(*slot, *number))
            .count();
        if held == 0 {
            return Ok(());
        }
        metric::given_up("peer");
        Err(Gone::Unreachable)
    }

    async fn keep_alive(&self, lease: Lease, patience: Duration) -> (Renewal, Option<Arc<Snapshot>>) {
        let known = self
            .pool
            .snapshots
            .get()
            .map_or(0, |snapshots| snapshots.borrow().revision);
        let clients = self.pool.clients.all().into_iter();
        let mut answers: FuturesUnordered<_> = clients
            .map(|(_, client)| renew_by(client, lease, known, patience))
            .collect();
        let (mut blind, mut newest) = (0, None::<Arc<Snapshot>>);
        while let Some((renewal, snapshot)) = answers.next().await {
            if snapshot.as_ref().map(|new| new.revision) > newest.as_ref().map(|new| new.revision) {
                newest = snapshot;
            }
            match renewal {
                Renewal::Renewed | Renewal::Ended => return (renewal, newest),
                Renewal::Blind => blind += 1,
                Renewal::Unknown => {}
            }
        }
        let all = blind >= self.pool.others();
        (if all { Renewal::Blind } else { Renewal::Unknown }, newest)
    }

    fn holds(&self, slot: Slot) -> bool {
        self.pool.slots.lock().holds(slot)
    }
}

/// The recipients by slot. One recipient goes by the slot that was asked for (a remote address goes by its domain's).
fn parts_of(slot: Slot, to: &[Jid]) -> Vec<(Slot, Vec<Jid>)> {
    if to.len() <= 1 {
        return vec![(slot, to.to_vec())];
    }
    let mut parts = BTreeMap::<Slot, Vec<Jid>>::new();
    for jid in to {
        parts
            .entry(Slot::of(jid.bare().as_str()))
            .or_default()
            .push(jid.clone());
    }
    parts.into_iter().collect()
}

impl Pool {
    async fn push(
        &self,
        parts: &[(Slot, Vec<Jid>)],
        route: Route,
        ticket: oneshot::Sender<()>,
        deadline: Instant,
    ) -> Result<Vec<(Slot, u64)>, Gone> {
        let size = 256 + route.stanza.payload().bytes().len();
        let like = Parcel {
            to: Vec::new(),
            stanza: route.stanza,
            key: route.key,
            trace: route.trace,
            ticket: Arc::new(ticket),
        };
        loop {
            let room = match self.slots.lock().route(parts, &like, size, Instant::now().into_std()) {
                Ok(numbers) => return Ok(numbers),
                Err(room) => room,
            };
            metric::waits("peer");
            tokio::time::timeout_at(deadline, room).await.map_err(|_| {
                metric::given_up("peer");
                Gone::Unreachable
            })?;
        }
    }

    /// How many other routers there are, as far as is known; those that are dead aside.
    fn others(&self) -> usize {
        let Some(snapshots) = self.snapshots.get() else {
            return 0;
        };
        let (snapshot, dead) = (Arc::clone(&snapshots.borrow()), self.dead.lock());
        let is_other = |member: &&Member| self.me.get().is_some_and(|me| me.id != member.record.id);
        let others = snapshot.of_role(Role::Router).filter(is_other);
        others
            .filter(|member| !dead.contains(&(member.record.id.clone(), member.epoch)))
            .count()
    }

    async fn settle(&self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let again = {
                let mut slots = self.slots.lock();
                slots.publish(&snapshot.table);
                slots.settle(Instant::now().into_std())
            };
            let again = again.map_or_else(|| Instant::now() + Duration::from_secs(1), Instant::from_std);
            tokio::select! {
                () = self.stir.notified() => {}
                changed = snapshots.changed() => if changed.is_err() { return std::future::pending().await },
                () = tokio::time::sleep_until(again) => {}
            }
        }
    }

    fn hear(&self, link: LinkId, reply: PeerReply) {
        let now = Instant::now().into_std();
        let mut slots = self.slots.lock();
        match reply {
            PeerReply::Taken(numbers) => {
                numbers
                    .into_iter()
                    .for_each(|(slot, generation, number)| slots.taken(link, slot, generation, number, now));
            }
            PeerReply::Returned(part) => {
                if slots.returned(link, &part, now).is_some() {
                    self.stir.notify_one();
                }
            }
        }
    }

    /// The home in this process, as a link that never breaks, through all its lives.
    async fn serve_local(
        self: Arc<Self>,
        me: &Identity,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        home: Arc<dyn PeerHome>,
    ) {
        let outbox = Arc::new(ToPeer::new(
            "peer",
            UNBOUNDED,
            Marks::Before,
            AT_ONCE,
            self.stop.clone(),
        ));
        let replies = Arc::new(Replies::new(
            "reply",
            UNBOUNDED,
            Marks::Before,
            AT_ONCE,
            self.stop.clone(),
        ));
        let link = LinkId::fresh();
        let intake = Intake::start(
            me.id.clone(),
            home,
            Arc::clone(&replies),
            Arc::default(),
            self.config.lanes,
        );
        let line = Arc::new(Line(Arc::clone(&outbox)));
        let live = async {
            loop {
                let Identity { id, epoch, .. } = me.in_life(&snapshots.borrow_and_update());
                self.slots.lock().link_up(id, epoch, link, Arc::clone(&line));
                self.stir.notify_one();
                if snapshots.changed().await.is_err() {
                    return;
                }
            }
        };
        let feed = async {
            let mut alarm = Alarm::default();
            while let Some(batch) = outbox.next(&mut alarm).await {
                let together = batch.frames.len();
                for frame in batch.frames {
                    intake.feed(frame, together).await;
                }
            }
        };
        let hear = async {
            let mut alarm = Alarm::default();
            while let Some(batch) = replies.next(&mut alarm).await {
                let taken = batch
                    .marks
                    .into_iter()
                    .map(|(slot, (generation, number))| (slot, generation, number));
                self.hear(link, PeerReply::Taken(taken.collect()));
                batch.frames.into_iter().for_each(|reply| self.hear(link, reply));
            }
        };
        tokio::join!(live, feed, hear);
    }

    async fn greet(
        &self,
        router: &Member,
        client: &mut RouterClient<Channel>,
        outbox: &Arc<ToPeer>,
    ) -> Result<Streaming<pb::PeerReplies>, Status> {
        let (Some(me), Some(snapshots)) = (self.me.get(), self.snapshots.get()) else {
            return Err(Status::unavailable("not started"));
        };
        let snapshot = Arc::clone(&snapshots.borrow());
        let hello = me.in_life(&snapshot).hello(snapshot.table.revision);
        let hello = pb::peer_frame::Frame::Hello(hello);
        let hello = pb::PeerFrames {
            frames: vec![pb::PeerFrame { frame: Some(hello) }],
        };
        let mut inbound = client
            .peer(frames(hello, Arc::clone(outbox), encode))
            .await?
            .into_inner();
        let first = inbound
            .message()
            .await?
            .and_then(|batch| batch.replies.into_iter().next());
        let hello = first.and_then(|reply| match reply.reply {
            Some(pb::peer_reply::Reply::Hello(hello)) => Some(hello),
            _ => None,
        });
        is_meant(&greeted(hello)?.who, &router.record.id, router.epoch)?;
        Ok(inbound)
    }
}

/// Bounded elsewhere: by the windows of the slots.
const UNBOUNDED: Window = Window {
    items: usize::MAX,
    bytes: usize::MAX,
};

/// A link that is up; taken down when dropped.
struct Up<'a>(&'a Pool, LinkId);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.slots.lock().link_down(self.1);
        self.0.clients.remove(self.1);
        self.0.stir.notify_one();
        metric::up("peer-out", false);
    }
}

#[async_trait]
impl Talk for Pool {
    const NAME: &'static str = "peer";

    fn found_dead(&self, router: &Member) {
        self.dead.lock().insert((router.record.id.clone(), router.epoch));
        if let Some(home) = self.home.get() {
            home.found_dead(&router.record.id, router.epoch);
        }
    }

    async fn talk(
        &self,
        router: &Member,
        mut client: RouterClient<Channel>,
        stop: &CancellationToken,
    ) -> Result<(), Status> {
        let closed = stop.child_token();
        let _close = closed.clone().drop_guard();
        let outbox = Arc::new(ToPeer::new("peer", UNBOUNDED, Marks::Before, AT_ONCE, closed));
        let greeting = self.greet(router, &mut client, &outbox);
        let late = |_| Err(Status::deadline_exceeded("greeting took too long"));
        let mut inbound = tokio::time::timeout(self.config.connect_timeout, greeting)
            .await
            .unwrap_or_else(late)?;
        let (link, node) = (LinkId::fresh(), &router.record.id);
        tracing::info!(router = %node, "peer link up");
        self.slots
            .lock()
            .link_up(node.clone(), router.epoch, link, Arc::new(Line(outbox)));
        self.clients.add(link, client);
        self.dead.lock().remove(&(node.clone(), router.epoch));
        metric::up("peer-out", true);
        let _up = Up(self, link);
        self.stir.notify_one();
        while let Some(batch) = inbound.message().await? {
            metric::received("reply", batch.replies.len());
            for reply in batch.replies {
                match PeerReply::decode(reply) {
                    Ok(reply) => self.hear(link, reply),
                    Err(error) => {
                        metric::malformed("reply");
                        tracing::warn!(router = %node, %error, "reply passed over");
                    }
                }
            }
        }
        Err(Status::unavailable("the router ended the link"))
    }
}

fn encode(batch: Batch<PeerFrame, (), ()>) -> pb::PeerFrames {
    metric::sent("peer", batch.frames.len(), batch.bytes);
    pb::PeerFrames {
        frames: batch.frames.into_iter().map(PeerFrame::encode).collect(),
    }
}
