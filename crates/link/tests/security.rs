//! Who may come in: certificates of the cluster, the right names, the right protocol.

mod fakes;

use std::sync::Arc;
use std::time::Duration;

use dunlin_link::Registry;
use dunlin_link::grpc::{Config, RouterPool, Standing, Tls};
use fakes::{Cluster, FakeEdge, FakeRouter, Ledger, config, record, submit_all};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use topology::Role;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A configuration with a certificate for `names`.
    fn config(&self, names: &[&str], cluster: Option<&str>) -> Config {
        let key = KeyPair::generate().unwrap();
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        let tls = Tls {
            ca: self.0.pem().into_bytes(),
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
            cluster: cluster.map(Into::into),
        };
        Config { tls: Some(tls), ..config() }
    }
}

async fn router(config: &Config) -> (Arc<Cluster>, Arc<Ledger>, FakeRouter) {
    let (cluster, ledger) = (Cluster::new(), Arc::<Ledger>::default());
    let router = FakeRouter::start("router-1", &cluster, &ledger, config).await;
    cluster.rebalance(&[("router-1", 100)]);
    router.home.apply();
    (cluster, ledger, router)
}

fn edge(seed: String, config: Config) -> Arc<RouterPool> {
    let pool = RouterPool::new(record("edge-1", Role::Edge, ""), vec![seed], Duration::from_secs(6), config);
    pool.start(Arc::<FakeEdge>::default());
    Arc::new(pool)
}

/// Whether an edge so configured gets a link.
async fn check(server: &Config, client: Config, want: bool) {
    let (_cluster, _ledger, router) = router(server).await;
    let pool = edge(router.address.to_string(), client);
    if want {
        fakes::eventually(|| pool.links() == 1).await;
    } else {
        let mut standing = pool.standing();
        let joined = standing.wait_for(|standing| *standing != Standing::Joining);
        assert!(tokio::time::timeout(Duration::from_millis(700), joined).await.is_err(), "it joined");
    }
}

const CLUSTER: Option<&str> = Some("dunlin.cluster");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_the_cluster_are_let_in() {
    let ca = Authority::new();
    let shared = ca.config(&["dunlin.cluster"], CLUSTER);
    check(&shared, ca.config(&["dunlin.cluster"], CLUSTER), true).await;
    let server = ca.config(&["router-1", "dunlin.cluster"], CLUSTER);
    check(&server, ca.config(&["edge-1"], CLUSTER), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_not() {
    let (ca, other) = (Authority::new(), Authority::new());
    let server = ca.config(&["dunlin.cluster"], CLUSTER);
    check(&server, other.config(&["dunlin.cluster"], CLUSTER), false).await; // another authority
    check(&server, ca.config(&["edge-2"], CLUSTER), false).await; // another node's name
    check(&server, config(), false).await; // clear text
    check(&config(), ca.config(&["dunlin.cluster"], CLUSTER), false).await; // a router in clear text
    let impostor = ca.config(&["edge-7"], CLUSTER);
    check(&impostor, ca.config(&["dunlin.cluster"], CLUSTER), false).await; // a router that is none
    let anonymous = ca.config(&["dunlin.cluster"], CLUSTER);
    let mut nobody = anonymous.clone();
    nobody.tls = anonymous.tls.map(|tls| Tls { certificate: Vec::new(), key: Vec::new(), ..tls });
    check(&server, nobody, false).await; // no certificate at all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stanzas_pass_over_tls_between_edge_and_router() {
    let ca = Authority::new();
    let shared = ca.config(&["dunlin.cluster"], CLUSTER);
    let world = fakes::World::start(&["router-1", "router-2"], &shared).await;
    let session = world.bind(1, "juliet").await;
    submit_all(&world.pool, &session, 1..=100).await;
    world.ledger.wait(|ledger| ledger.total() == 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_whose_life_is_over_is_put_out_and_its_home_told() {
    let (cluster, _ledger, router) = router(&config()).await;
    let pool = edge(router.address.to_string(), config());
    fakes::eventually(|| pool.links() == 1 && router.home.edges.lock().len() == 1).await;
    cluster.exit(&"edge-1".into());
    fakes::eventually(|| router.home.edges.lock().is_empty()).await;
    let nobody = cluster.watch().borrow().members.len();
    assert_eq!(nobody, 1, "only the router lives");
}
