//! What a router serves: streams of edges and of other routers, and membership for edges.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, Stream, StreamExt};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{OwnedMutexGuard, watch};

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::{Request, Response, Status, Streaming};
use topology::{Epoch, Lease, NodeId, Snapshot};

use super::config::{Config, InvalidTls};
use super::connector::Connection;
use super::dial::frames;
use super::edge_link::{self, EdgeLink};
use super::handshake::{Greeting, Identity, greeted, lives, speaks};
use super::intake::{Intake, Taken};
use super::listen::listen;
use super::{metric, transport};
use crate::outbox::{AT_ONCE, Batch, LINGER, Marks, Outbox};
use crate::wire::pb::router_server::RouterServer;
use crate::wire::{PeerFrame, PeerReply, node_from, pb, snapshot_to};
use crate::{Home, PeerHome, Registry, Renewal};

/// What a router offers to the links that reach it.
#[derive(Clone)]
pub struct Ports {
    /// To edges.
    pub home: Arc<dyn Home>,
    /// To other routers.
    pub peer_home: Arc<dyn PeerHome>,
    /// Membership, to edges.
    pub registry: Arc<dyn Registry>,
}

/// Serves edges and other routers on `listener`, as `me`, until `shutdown`; then ends all links.
///
/// # Errors
/// When keys or certificates cannot be used.
pub async fn serve(
    listener: TcpListener,
    me: Identity,
    config: Config,
    ports: Ports,
    shutdown: impl Future<Output = ()>,
) -> Result<(), InvalidTls> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    serve_on(incoming, me, config, ports, shutdown).await
}

/// As [`serve`], on connections that come from anywhere.
///
/// # Errors
/// As [`serve`].
pub async fn serve_on<C>(
    incoming: impl Stream<Item = io::Result<C>>,
    me: Identity,
    config: Config,
    ports: Ports,
    shutdown: impl Future<Output = ()>,
) -> Result<(), InvalidTls>
where
    C: Connection + Connected + 'static,
{
    let limit = config.message_bytes;
    let stop = CancellationToken::new();
    let service = Service {
        me,
        config: config.clone(),
        ports,
        seats: Arc::default(),
        peers: Arc::default(),
        stop: stop.clone(),
    };
    let service = RouterServer::new(service).max_decoding_message_size(limit);
    let shutdown = async {
        shutdown.await;
        stop.cancel(); // streams would keep the server from ending
    };
    listen(incoming, Routes::new(service), &config, shutdown).await
}

struct Service {
    me: Identity,
    config: Config,
    ports: Ports,
    seats: Arc<Mutex<HashMap<NodeId, Seat>>>,
    peers: Arc<Mutex<HashMap<NodeId, PeerSeat>>>,
    stop: CancellationToken,
}

/// One link at a time per edge: a new one ends the old and waits until that is done with.
#[derive(Clone, Default)]
struct Seat {
    turn: Arc<tokio::sync::Mutex<()>>,
    holder: CancellationToken,
}

/// One link at a time per router, and what each life of it has handed over.
#[derive(Clone, Default)]
struct PeerSeat {
    seat: Seat,
    epoch: Epoch,
    taken: Taken,
}

type Outgoing<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl pb::router_server::Router for Service {
    type AttachStream = Outgoing<pb::RouterFrames>;
    type PeerStream = Outgoing<pb::PeerReplies>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::EdgeFrames>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let certificates = request.peer_certs();
        let mut inbound = request.into_inner();
        let first = self.in_time(inbound.message()).await?;
        let hello = first
            .and_then(|first| first.frames.into_iter().next())
            .and_then(|frame| match frame.frame {
                Some(pb::edge_frame::Frame::Hello(hello)) => Some(hello),
                _ => None,
            });
        let Greeting { who: edge, minor } = self.admit(hello, certificates.as_deref().map(Vec::as_slice)).await?;
        let stop = self.stop.child_token();
        let outbox = Arc::new(Outbox::new(
            "router",
            self.config.outbound_window,
            Marks::Before,
            LINGER,
            stop.clone(),
        ));
        let link = EdgeLink {
            edge: edge.clone(),
            minor,
            home: Arc::clone(&self.ports.home),
            outbox: Arc::clone(&outbox),
            snapshots: self.snapshots(),
            lanes: self.config.lanes,
            stop: stop.clone(),
        };
        let seats = Arc::clone(&self.seats);
        tokio::spawn(async move {
            let _turn = take_seat(&seats, &edge.id, stop.clone()).await;
            metric::up("edge", true);
            link.run(inbound).await;
            metric::up("edge", false);
            stop.cancel();
        });
        let hello = pb::router_frame::Frame::Hello(self.hello());
        let hello = pb::RouterFrames {
            frames: vec![pb::RouterFrame { frame: Some(hello) }],
        };
        Ok(Response::new(frames(hello, outbox, edge_link::encode).map(Ok).boxed()))
    }

    async fn peer(&self, request: Request<Streaming<pb::PeerFrames>>) -> Result<Response<Self::PeerStream>, Status> {
        let certificates = request.peer_certs();
        let mut inbound = request.into_inner();
        let first = self.in_time(inbound.message()).await?;
        let hello = first
            .and_then(|first| first.frames.into_iter().next())
            .and_then(|frame| match frame.frame {
                Some(pb::peer_frame::Frame::Hello(hello)) => Some(hello),
                _ => None,
            });
        let peer = self.admit(hello, certificates.as_deref().map(Vec::as_slice)).await?.who;
        let stop = self.stop.child_token();
        let replies = Arc::new(Outbox::new(
            "reply",
            self.config.outbound_window,
            Marks::Before,
            AT_ONCE,
            stop.clone(),
        ));
        let home = Arc::clone(&self.ports.peer_home);
        let (peers, lanes, snapshots) = (Arc::clone(&self.peers), self.config.lanes, self.snapshots());
        let outgoing = Arc::clone(&replies);
        tokio::spawn(async move {
            let (_turn, taken) = take_peer_seat(&peers, &peer, stop.clone()).await;
            let intake = Intake::start(peer.id.clone(), home, outgoing, taken, lanes);
            take_in(peer, inbound, intake, snapshots, stop).await;
        });
        let hello = pb::peer_reply::Reply::Hello(self.hello());
        let hello = pb::PeerReplies {
            replies: vec![pb::PeerReply { reply: Some(hello) }],
        };
        Ok(Response::new(frames(hello, replies, encode_replies).map(Ok).boxed()))
    }

    async fn join(&self, request: Request<pb::JoinRequest>) -> Result<Response<pb::JoinReply>, Status> {
        let certificates = request.peer_certs();
        let request = request.into_inner();
        speaks(request.major)?;
        let node = node_from(request.node.ok_or_else(|| Status::invalid_argument("no node"))?);
        transport::is_certified(
            &node.id,
            self.config.tls.as_ref(),
            certificates.as_deref().map(Vec::as_slice),
        )?;
        let ttl = Duration::from_millis(request.ttl_millis);
        let granted = self.ports.registry.join(node, ttl).await;
        let granted = granted.map(|(epoch, lease)| pb::join_reply::Grant {
            epoch: epoch.0,
            lease: lease.0,
        });
        let snapshot = Some(snapshot_to(&self.snapshots().borrow()));
        Ok(Response::new(pb::JoinReply { granted, snapshot }))
    }

    async fn keep_alive(&self, request: Request<pb::KeepAliveRequest>) -> Result<Response<pb::KeepAliveReply>, Status> {
        use pb::keep_alive_reply::Outcome;
        let pb::KeepAliveRequest { lease, known } = request.into_inner();
        let outcome = match self.ports.registry.keep_alive(Lease(lease)).await {
            Renewal::Renewed => Outcome::Renewed,
            Renewal::Ended => Outcome::Ended,
            Renewal::Unknown => Outcome::Unknown,
            Renewal::Blind => Outcome::Blind,
        };
        let newest = Arc::clone(&self.snapshots().borrow());
        let is_news = known.is_some_and(|known| known < newest.revision);
        Ok(Response::new(pb::KeepAliveReply {
            outcome: outcome.into(),
            snapshot: is_news.then(|| snapshot_to(&newest)),
        }))
    }

    async fn leave(&self, request: Request<pb::LeaveRequest>) -> Result<Response<pb::LeaveReply>, Status> {
        let certificates = request.peer_certs();
        let request = request.into_inner();
        let node = request.node.as_str().into();
        transport::is_certified(
            &node,
            self.config.tls.as_ref(),
            certificates.as_deref().map(Vec::as_slice),
        )?;
        self.ports.registry.leave(&node, Lease(request.lease)).await;
        Ok(Response::new(pb::LeaveReply {}))
    }
}

impl Service {
    /// Who greets, if it may come in: our protocol, its certificate, a life that is not over.
    async fn admit(
        &self,
        hello: Option<pb::Hello>,
        certificates: Option<&[rustls_pki_types::CertificateDer<'_>]>,
    ) -> Result<Greeting, Status> {
        let greeting = greeted(hello)?;
        let who = &greeting.who;
        transport::is_certified(&who.id, self.config.tls.as_ref(), certificates)?;
        let mut snapshots = self.snapshots();
        let known = snapshots.wait_for(|snapshot| lives(who, &snapshot.live()).is_some());
        let judged = self.in_time(async { Ok(known.await.ok().and_then(|snapshot| lives(who, &snapshot.live()))) });
        match judged.await {
            Ok(Some(verdict)) => verdict.map(|()| greeting),
            _ => Err(Status::unavailable(
                "this router has not heard of the node yet, try again",
            )),
        }
    }

    fn hello(&self) -> pb::Hello {
        let snapshot = Arc::clone(&self.snapshots().borrow());
        self.me.in_life(&snapshot).hello(snapshot.table.revision)
    }

    fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.ports.registry.watch()
    }

    async fn in_time<T>(&self, what: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let late = |_| Err(Status::deadline_exceeded("greeting took too long"));
        tokio::time::timeout(self.config.connect_timeout, what)
            .await
            .unwrap_or_else(late)
    }
}

async fn take_seat(seats: &Mutex<HashMap<NodeId, Seat>>, id: &NodeId, stop: CancellationToken) -> OwnedMutexGuard<()> {
    let turn = seats.lock().entry(id.clone()).or_default().give_to(stop);
    turn.lock_owned().await
}

/// As [`take_seat`], for routers: with what that life of the router has handed over before.
async fn take_peer_seat(
    peers: &Mutex<HashMap<NodeId, PeerSeat>>,
    peer: &Identity,
    stop: CancellationToken,
) -> (OwnedMutexGuard<()>, Taken) {
    let (turn, taken) = {
        let mut peers = peers.lock();
        let seat = peers.entry(peer.id.clone()).or_default();
        if seat.epoch != peer.epoch {
            (seat.epoch, seat.taken) = (peer.epoch, Taken::default());
        }
        (seat.seat.give_to(stop), Arc::clone(&seat.taken))
    };
    (turn.lock_owned().await, taken)
}

impl Seat {
    /// Ends the link that holds it; the next one's turn comes when that is done with.
    fn give_to(&mut self, stop: CancellationToken) -> Arc<tokio::sync::Mutex<()>> {
        std::mem::replace(&mut self.holder, stop).cancel();
        Arc::clone(&self.turn)
    }
}

/// Reads a peer's stream to its end.
async fn take_in(
    peer: Identity,
    mut inbound: Streaming<pb::PeerFrames>,
    intake: Intake,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stop: CancellationToken,
) {
    metric::up("peer", true);
    let read = async {
        while let Ok(Some(batch)) = inbound.message().await {
            let together = batch.frames.len();
            metric::received("peer", together);
            for frame in batch.frames {
                match PeerFrame::decode(frame) {
                    Ok(frame) => intake.feed(frame, together).await,
                    Err(_) => metric::malformed("peer"),
                }
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = edge_link::dies(&peer, snapshots) => {}
        () = stop.cancelled() => {}
    }
    stop.cancel();
    intake.finish().await;
    metric::up("peer", false);
}

fn encode_replies(batch: Batch<PeerReply, topology::Slot, (u32, u64)>) -> pb::PeerReplies {
    metric::sent("reply", batch.frames.len() + batch.marks.len(), batch.bytes);
    let taken = batch
        .marks
        .into_iter()
        .map(|(slot, (generation, number))| (slot, generation, number))
        .collect::<Vec<_>>();
    let taken = (!taken.is_empty()).then_some(PeerReply::Taken(taken));
    pb::PeerReplies {
        replies: taken.into_iter().chain(batch.frames).map(PeerReply::encode).collect(),
    }
}
