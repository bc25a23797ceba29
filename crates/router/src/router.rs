//! The router: what it offers to edges and peers.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use link::{Attach, CloseReason, EdgeRef, Gone, Home, PeerHome, Peers, Route, SessionRef, Submission};
use stanza::{
    BindReply, BindRequest, Condition, EnableReply, EnableRequest, Jid, RegisterReply, RegisterRequest, ResumeReply,
    ResumeRequest, SaslReply, SaslRequest,
};
use store::Stores;
use tokio::sync::watch;
use topology::{Epoch, NodeId, Slot, Snapshot};

use crate::auth::Auth;
use crate::behind::Behind;
use crate::cells::{Cells, State};
use crate::clock::{Clock, Entropy};
use crate::components::Components;
use crate::config::{Config, ms};
use crate::core::Core;
use crate::directory::Directory;
use crate::edges::Edges;
use crate::entrust::{entrust_lone, entrust_one};
use crate::expiry::Expiry;
use crate::hasher::Hasher;
use crate::hosts::Hosts;
use crate::inviter::Inviter;
use crate::limiter::Limiter;
use crate::marks::Marks;
use crate::member::Member;
use crate::registrar::Registrar;
use crate::slots::{Phase, Slots};
use crate::tasks::{self, Tasks};
use crate::token_holders::Holders;
use crate::travel::{Travel, end_session};
use crate::vouch::Voucher;
use crate::whole::whole;
use crate::{
    archive, attach, attention, bind, gauges, introduce, lost, receive, records, remove, resume, retain, submit,
};

/// What a router is made of.
pub struct Parts {
    /// Its name.
    pub node: NodeId,
    /// Its settings.
    pub config: Config,
    /// The domains it serves.
    pub hosts: Hosts,
    /// Where everything durable is.
    pub stores: Stores,
    /// The other homes.
    pub peers: Arc<dyn Peers>,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// The cluster's secret ([`store::Members::secret`]).
    pub secret: [u8; 32],
}

/// The home of accounts. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    pub(crate) core: Arc<Core>,
    auth: Arc<Auth>,
    registrar: Arc<Registrar>,
    pub(crate) member: Arc<OnceLock<Arc<Member>>>,
    pub(crate) tasks: Arc<Tasks>,
}

/// There are no other homes: a single node.
pub struct NoPeers;

impl Router {
    /// A router that serves no slot yet. It starts tasks, so call it on a runtime.
    pub fn new(parts: Parts) -> Self {
        let config = parts.config;
        let inviter = Inviter {
            stores: parts.stores.clone(),
            hosts: parts.hosts.clone(),
            entropy: parts.entropy.clone(),
        };
        let idle_for = Duration::from_secs(config.idle_account_s);
        let core = Core {
            node: parts.node,
            holders: Arc::new(Holders(parts.stores.items.clone())),
            inviter: Arc::new(inviter),
            stores: parts.stores,
            hosts: parts.hosts,
            components: Components::new(&config.components),
            peers: parts.peers,
            clock: parts.clock,
            entropy: parts.entropy,
            hasher: Hasher::new(&config.sasl),
            cells: Cells::new(config.idle_accounts as usize, idle_for),
            directory: Directory::new(),
            slots: Arc::new(Slots::new(ms(config.cluster.hold_ms))),
            edges: Edges::new(),
            behind: Behind::default(),
            expiry: Expiry::default(),
            marks: Marks::default(),
            voucher: Voucher::new(parts.secret),
            snapshot: watch::Sender::new(Arc::new(Snapshot::empty())),
            sealed: watch::Sender::new(0),
            trails: watch::Sender::new(0),
            config,
        };
        let sasl = &core.config.sasl;
        let failures = Arc::new(Limiter::new(sasl.failures, Duration::from_secs(sasl.failure_window_s)));
        let router = Self {
            auth: Arc::new(Auth::new(sasl, parts.secret, failures.clone())),
            registrar: Arc::new(Registrar::new(&core.hosts, failures)),
            core: Arc::new(core),
            member: Arc::default(),
            tasks: Arc::default(),
        };
        router.tasks.spawn(tasks::write_behind(router.core.clone()));
        router.tasks.spawn(tasks::sweep(router.core.clone()));
        router.tasks.spawn(remove::run(router.core.clone()));
        router.tasks.spawn(retain::run(router.core.clone()));
        router.tasks.spawn(introduce::run(router.core.clone()));
        router.tasks.spawn(tasks::expire(router.core.clone()));
        router.tasks.spawn(records::keep(router.core.clone()));
        router
    }

    /// Serves every slot: a single node without a cluster.
    pub fn serve_alone(&self) {
        let all: Vec<Slot> = Slot::all().collect();
        self.core.slots.set(&all, Phase::Serving, 0);
    }

    /// How many sessions are here.
    pub fn sessions(&self) -> usize {
        self.core.directory.count()
    }

    /// Sets the gauges that are read, not kept: call it before metrics are shown. Looks at every session and slot, without
    /// any account's lock.
    pub fn sample(&self) {
        let (deliveries, bytes) = self.core.directory.unwritten();
        gauges::unwritten(deliveries, bytes);
        let (presence, locations) = self.core.behind.waiting();
        gauges::behind(presence, locations);
        let (serving, opening) = self.core.slots.count();
        gauges::slots(serving, opening);
        gauges::accounts(self.core.cells.count());
    }
}

#[async_trait]
impl Home for Router {
    async fn edge_up(&self, edge: EdgeRef) {
        let (id, sealed) = (edge.id.clone(), *self.core.sealed.borrow());
        edge.edge.sealed(sealed);
        if let Some(older) = self.core.edges.up(edge) {
            let core = self.core.clone();
            tokio::spawn(async move { lost::end_all(&core, &id, older).await });
        }
    }

    async fn edge_down(&self, edge: &NodeId, epoch: Epoch) {
        self.core.edges.down(edge, epoch);
        tokio::spawn(lost::link_broke(self.core.clone(), edge.clone(), epoch));
    }

    async fn sasl(&self, request: SaslRequest) -> SaslReply {
        self.auth.step(&self.core, request).await
    }

    async fn register(&self, request: RegisterRequest) -> RegisterReply {
        let (core, registrar) = (self.core.clone(), self.registrar.clone());
        let done = whole(async move { registrar.step(&core, request).await }).await;
        done.unwrap_or_else(|| RegisterReply::Refused(Condition::InternalServerError.into()))
    }

    async fn bind(&self, edge: &EdgeRef, request: BindRequest) -> Result<BindReply, Gone> {
        let now = self.core.now();
        let Some(proof) = self.auth.proves(&request.grant, request.session, &request.account, now) else {
            return Ok(BindReply::Refused(Condition::NotAuthorized.into()));
        };
        let slot = Slot::of(request.account.as_str());
        let pass = self.core.slots.enter(slot).await.map_err(|_| Gone::Home)?;
        let (core, edge) = (self.core.clone(), edge.clone());
        let stable = self.auth.stable_resource(&request.account, &request.resource);
        let work = async move {
            let _pass = pass;
            bind::bind(&core, &edge, request, stable, proof).await
        };
        Ok(whole(work)
            .await
            .unwrap_or_else(|| BindReply::Refused(Condition::InternalServerError.into())))
    }

    async fn attach(&self, edge: &EdgeRef, attach: Attach) -> Result<(), Gone> {
        let session = &attach.session;
        let Some(proof) = self.auth.proved(&attach.grant, session.id, &session.account()) else {
            return Err(Gone::Session);
        };
        let wait = ms(self.core.config.cluster.opening_ms);
        let pass = self
            .core
            .slots
            .enter_opening(session.slot, wait)
            .await
            .map_err(|_| Gone::Home)?;
        let (core, edge) = (self.core.clone(), edge.clone());
        let work = async move {
            let _pass = pass;
            attach::attach(&core, &edge, attach, proof.given).await
        };
        whole(work).await.unwrap_or(Err(Gone::Session))
    }

    async fn attached(&self, edge: &EdgeRef, table: u64, pending: BTreeSet<Slot>) {
        if self.core.edges.attached(edge, table, pending) && self.core.directory.has_lone() {
            let core = self.core.clone();
            tokio::spawn(async move { entrust_lone(&core, |_| true).await });
        }
    }

    async fn submit(&self, session: &SessionRef, submission: Submission) -> Result<(), Gone> {
        let handle = self
            .core
            .directory
            .get(session.id)
            .ok_or_else(|| self.gone(session.slot))?;
        let turn = handle.turn.clone().lock_owned().await;
        let pass = self.core.slots.enter(session.slot).await.map_err(|_| Gone::Home)?;
        let (core, session) = (self.core.clone(), session.clone());
        let work = async move {
            let _held = (pass, turn);
            let number = submission.number;
            let done = submit::submit(&core, &session, submission).await;
            if done.is_ok() && core.slots.phase(session.slot) != Phase::Serving {
                // The edge must know before it hears that the slot is sealed, or it gives the stanza to the next home again.
                let edge = handle.edge.as_ref();
                edge.inspect(|edge| core.edges.done(edge, session.id, number));
            }
            done
        };
        whole(work).await.unwrap_or(Ok(()))
    }

    fn written(&self, session: &SessionRef, number: u64) {
        let Some(handle) = self.core.directory.get(session.id) else {
            return;
        };
        if handle.note_written(number) {
            let core = self.core.clone();
            tokio::spawn(async move { go_on(&core, &handle.account).await });
        }
    }

    async fn look(&self, session: &SessionRef, active: bool) -> Result<(), Gone> {
        let pass = self.core.slots.attach_now(session.slot).map_err(|_| Gone::Home)?;
        let (core, session) = (self.core.clone(), session.clone());
        let work = async move {
            let _pass = pass;
            attention::look(&core, &session, active).await;
        };
        whole(work).await;
        Ok(())
    }

    async fn enable(&self, session: &SessionRef, request: EnableRequest) -> Result<EnableReply, Gone> {
        let pass = self.core.slots.enter(session.slot).await.map_err(|_| Gone::Home)?;
        let (core, auth, session) = (self.core.clone(), self.auth.clone(), session.clone());
        let work = async move {
            let _pass = pass;
            let name = |id| auth.resumption_id(id, &session.account());
            resume::enable(&core, &session, request, name).await
        };
        whole(work).await.unwrap_or(Err(Gone::Session))
    }

    async fn resume(&self, edge: &EdgeRef, request: ResumeRequest) -> Result<ResumeReply, Gone> {
        let refused = |error: Condition| ResumeReply::Refused {
            error: error.into(),
            h: None,
        };
        let (auth, now) = (&self.auth, self.core.now());
        let Some(proof) = auth.proves(&request.grant, request.session, &request.account, now) else {
            return Ok(refused(Condition::NotAuthorized));
        };
        let Some(id) = auth.resumed_session(&request.id, &request.account) else {
            return Ok(refused(Condition::ItemNotFound));
        };
        // The pass first: while the slot opens, the session is not here yet.
        let slot = Slot::of(request.account.as_str());
        let pass = self.core.slots.enter(slot).await.map_err(|_| Gone::Home)?;
        let turn = resume::turn(&self.core, &request.account, id).await;
        let (core, edge) = (self.core.clone(), edge.clone());
        let work = async move {
            let _held = (pass, turn);
            resume::resume(&core, &edge, &request, id, proof).await
        };
        Ok(whole(work)
            .await
            .unwrap_or_else(|| refused(Condition::InternalServerError)))
    }

    async fn close(&self, session: &SessionRef, reason: CloseReason) -> Result<bool, Gone> {
        let Some(handle) = self.core.directory.get(session.id) else {
            return match self.gone(session.slot) {
                Gone::Session => Ok(false),
                elsewhere => Err(elsewhere),
            };
        };
        let turn = handle.turn.clone().lock_owned().await;
        let pass = self.core.slots.arrive(session.slot).await.map_err(|_| Gone::Home)?;
        let (core, id) = (self.core.clone(), session.id);
        let work = async move {
            let _held = (pass, turn);
            close(&core, &handle.account, id, reason).await
        };
        Ok(whole(work).await.unwrap_or(false))
    }
}

impl Router {
    /// Why a session is not known here.
    fn gone(&self, slot: Slot) -> Gone {
        match self.core.slots.phase(slot) {
            Phase::Closed | Phase::Closing => Gone::Home,
            Phase::Opening | Phase::Serving => Gone::Session,
        }
    }
}

#[async_trait]
impl PeerHome for Router {
    async fn route(&self, _from: &NodeId, route: Route) -> Vec<Jid> {
        let core = self.core.clone();
        let all = route.to.clone();
        whole(async move { receive::receive(&core, route).await })
            .await
            .unwrap_or(all)
    }

    fn found_dead(&self, router: &NodeId, epoch: Epoch) {
        let Some(member) = self.member.get().cloned() else {
            return;
        };
        let (core, router) = (self.core.clone(), router.clone());
        tokio::spawn(async move { member.bury(&core, &router, epoch).await });
    }
}

#[async_trait]
impl Peers for NoPeers {
    async fn route(&self, _slot: Slot, _route: Route) -> Result<(), Gone> {
        Err(Gone::Unreachable)
    }
}

/// There is room for what is owed to a session.
async fn go_on(core: &Core, account: &stanza::Bare) {
    let Some(cell) = core.cells.find(account) else { return };
    let mut state = cell.state.lock().await;
    if let State::Loaded(account) = &mut *state {
        account.catch_up(core.queue_limits());
        archive::feed_all(core, account, None).await;
        account.mirror();
    }
}

/// A session's stream has ended. Returns whether the session goes on without it.
async fn close(core: &Arc<Core>, account: &stanza::Bare, id: stanza::SessionId, reason: CloseReason) -> bool {
    let may_resume = matches!(reason, CloseReason::Edge | CloseReason::Lost);
    if may_resume && resume::stream_lost(core, account, id, None).await {
        // An edge that ends sessions by itself may be about to stop: another is to keep this one.
        return reason != CloseReason::Edge || !entrust_one(core, account, id).await;
    }
    let batch = end_session(core, account, id, None, 0).await;
    Travel::carry(core, batch).await;
    false
}
