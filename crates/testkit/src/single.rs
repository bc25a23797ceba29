//! A whole server in the test's process: one edge and one router joined by direct calls, stores in memory, clients on pipes.
//! Nothing leaves the runtime, so tests may pause time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use edge::{Edge, Sessions};
use engine::Pipeline;
use link::EdgeRef;
use router::{Clock, ComponentConfig, Entropy, Hosts, Invite, NoPeers, Registration, Router, System, VirtualHost};
use serde_json::Value;
use stanza::{Bare, Timestamp};
use store::{Account, Stores, memory};
use stream::HostConfig;
use tokio::sync::watch;
use topology::{Epoch, NodeId};

use crate::client::{Client, PIPE};
use crate::runner::Stage;
use crate::settings::{self, COMPONENT_SECRET, COMPONENTS, DOMAINS};

/// How often is looked whether an account is gone.
const LOOK: Duration = Duration::from_millis(100);
/// PBKDF2 iterations: as few as RFC 7677 allows, so that tests are quick.
const ITERATIONS: u32 = 4_096;

/// A server in the test's process.
pub struct Single {
    edge: Arc<Edge>,
    stores: Stores,
    /// Keeps the edge unfenced.
    _fence: watch::Sender<bool>,
}

impl Single {
    /// A server with every module on, for [`DOMAINS`].
    ///
    /// # Errors
    /// When it cannot be put together.
    pub async fn start() -> Result<Self> {
        let stores = memory::stores();
        let (hosts, streams) = virtual_hosts()?;
        let router = Router::new(router::Parts {
            node: NodeId::from("single"),
            config: router_config(),
            hosts,
            stores: stores.clone(),
            peers: Arc::new(NoPeers),
            clock: Arc::new(System),
            entropy: Arc::new(System),
            secret: stores.members.secret().await?,
        });
        router.serve_alone();
        let sessions = Sessions::new(edge::Outbox::default());
        let edge_ref = EdgeRef {
            id: NodeId::from("single"),
            epoch: Epoch(1),
            edge: sessions.clone(),
        };
        let (fence, fenced) = watch::channel(false);
        let parts = edge::Parts {
            config: edge::Config::default(),
            hosts: streams,
            tls: None,
            sessions,
            router: link::local(Arc::new(router), edge_ref),
            fenced,
        };
        Ok(Self {
            edge: Edge::new(parts),
            stores,
            _fence: fence,
        })
    }

    /// Creates many accounts with one password, which is hashed once.
    ///
    /// # Errors
    /// When one of them exists.
    pub async fn create_accounts(&self, names: &[String], domain: &str, password: &str) -> Result<()> {
        create_accounts(&self.stores, names, domain, password).await
    }
}

/// Creates many accounts with one password, which is hashed once.
pub(crate) async fn create_accounts(stores: &Stores, names: &[String], domain: &str, password: &str) -> Result<()> {
    let one = account("many", domain, password, System.now())?;
    let of = |name: &String| {
        let jid = Bare::parse(&format!("{name}@{domain}"))?;
        anyhow::Ok(Account { jid, ..one.clone() })
    };
    let accounts: Vec<Account> = names.iter().map(of).collect::<Result<_>>()?;
    Ok(stores.accounts.create(&accounts).await?)
}

#[async_trait]
impl Stage for Single {
    async fn create_account(&self, name: &str, domain: &str, password: &str) -> Result<()> {
        let account = account(name, domain, password, System.now())?;
        self.stores
            .accounts
            .create(&[account])
            .await
            .with_context(|| format!("creating {name}@{domain}"))
    }

    async fn remove_account(&self, name: &str, domain: &str) -> Result<()> {
        remove_account(&self.stores, name, domain).await
    }

    async fn invite(&self, domain: &str, user: Option<&str>, contact: Option<&str>) -> Result<String> {
        invite(&self.stores, domain, user, contact).await
    }

    async fn connect(&self, _index: usize) -> Result<Client> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        self.edge.serve(theirs, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), false);
        Ok(Client::over(ours))
    }

    async fn connect_component(&self, _index: usize) -> Result<Client> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        self.edge.serve_component(theirs, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        Ok(Client::over(ours).of_component())
    }
}

/// A router's settings in tests: quick hashes, and no waiting after wrong passwords.
pub(crate) fn router_config() -> router::Config {
    let mut config = router::Config::default();
    config.sasl.iterations = ITERATIONS;
    config.sasl.failures = 0;
    config.components = COMPONENTS
        .iter()
        .map(|domain| ComponentConfig {
            domain: (*domain).to_owned(),
            secret: COMPONENT_SECRET.into(),
        })
        .collect();
    config
}

/// Every module on, for every domain of the scripts.
pub(crate) fn virtual_hosts() -> Result<(Hosts, Vec<HostConfig>)> {
    let mut hosts = Hosts::new();
    let mut streams = Vec::new();
    for domain in DOMAINS {
        let chosen = settings::modules(domain);
        let settings = |name| chosen.get(name).unwrap_or(&Value::Null);
        let pipeline = Pipeline::new(modules::ALL.iter().map(|row| (row, settings(row.about.name))))?;
        streams.push(HostConfig {
            domain: domain.to_owned(),
            mechanisms: ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"].map(str::to_owned).to_vec(),
            tokens: sasl::TOKEN_MECHANISMS.map(str::to_owned).to_vec(),
            plain_without_tls: true,
            registration: true,
            features: pipeline.stream_features(domain),
            bind_features: pipeline.bind_features().map(str::to_owned).collect(),
        });
        let software = ("Dunlin".to_owned(), "test".to_owned());
        let disco = pipeline.disco().clone();
        let registration: Registration = serde_json::from_value(settings::registration(domain))?;
        let host = Arc::new(engine::Host {
            domain: domain.to_owned(),
            software,
            started: System.now(),
            admins: settings::admins(domain)
                .iter()
                .filter_map(|admin| Bare::parse(admin).ok())
                .collect(),
            may_invite: registration.may_invite(),
            services: settings::services(domain),
            disco,
        });
        let host = VirtualHost {
            pipeline,
            host,
            registration,
        };
        hosts.insert(domain.to_owned(), Arc::new(host));
    }
    Ok((hosts, streams))
}

/// Retires an account and waits until its home has removed it.
pub(crate) async fn remove_account(stores: &Stores, name: &str, domain: &str) -> Result<()> {
    let jid = Bare::parse(&format!("{name}@{domain}"))?;
    anyhow::ensure!(stores.accounts.retire(&jid).await?, "no account {jid}");
    while stores.accounts.retired(None, 100).await?.contains(&jid) {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Makes an invitation and returns its token.
pub(crate) async fn invite(stores: &Stores, domain: &str, user: Option<&str>, contact: Option<&str>) -> Result<String> {
    let token = router::new_token(System.bits());
    let invite = Invite {
        user: user.map(str::to_owned),
        contact: contact.map(Bare::parse).transpose()?,
        by: None,
        created: System.now(),
        expires: None,
        uses: 1,
        claims: Vec::new(),
    };
    router::invite(&*stores.items, &Bare::parse(domain)?, &token, &invite).await?;
    Ok(token)
}

/// An account as `create` wants it.
pub(crate) fn account(name: &str, domain: &str, password: &str, created: Timestamp) -> Result<Account> {
    let jid = Bare::parse(&format!("{name}@{domain}"))?;
    let salt = name
        .as_bytes()
        .iter()
        .chain(&[0; 16])
        .take(16)
        .copied()
        .collect::<Vec<u8>>();
    let verifiers = sasl::verifiers(password, ITERATIONS, &salt).context("password")?;
    Ok(Account {
        jid,
        created,
        verifiers,
        last_seen: None,
        disabled: false,
    })
}
