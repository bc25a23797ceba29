//! Who may come in: certificates of the cluster, the right names, the right protocol.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

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
        Config {
            tls: Some(tls),
            ..config()
        }
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
    let pool = RouterPool::new(
        record("edge-1", Role::Edge, ""),
        vec![seed],
        Duration::from_secs(6),
        config,
    );
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
        assert!(
            tokio::time::timeout(Duration::from_millis(700), joined).await.is_err(),
            "it joined"
        );
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
    nobody.tls = anonymous.tls.map(|tls| Tls {
        certificate: Vec::new(),
        key: Vec::new(),
        ..tls
    });
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

/// The parts of the protocol that a node of another version would still send.
#[derive(Clone, PartialEq, prost::Message)]
struct Hello {
    #[prost(string, tag = "1")]
    node: String,
    #[prost(uint32, tag = "3")]
    major: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(message, tag = "1")]
    hello: Option<Hello>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frames {
    #[prost(message, repeated, tag = "1")]
    frames: Vec<Frame>,
}

/// What a router says to a first message of this kind.
async fn greet(address: std::net::SocketAddr, method: &'static str, first: Frames) -> tonic::Status {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(method);
    let codec = tonic_prost::ProstCodec::<Frames, Frames>::default();
    let request = tonic::Request::new(futures::stream::once(async { first }));
    match client.streaming(request, path, codec).await {
        Ok(mut answer) => answer.get_mut().message().await.expect_err("refused"),
        Err(status) => status,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_major_version_and_strange_greetings_are_refused_clearly() {
    let (_cluster, _ledger, router) = router(&config()).await;
    let hello = |major| Frame {
        hello: Some(Hello {
            node: "edge-1".into(),
            major,
        }),
    };
    for method in ["/dunlin.link.v1.Router/Attach", "/dunlin.link.v1.Router/Peer"] {
        let refused = greet(router.address, method, Frames { frames: vec![hello(2)] }).await;
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        assert_eq!(
            refused.message(),
            "link protocol version 2 does not work with version 1"
        );
        for strange in [
            Frames::default(),
            Frames {
                frames: vec![Frame::default()],
            },
        ] {
            assert_eq!(
                greet(router.address, method, strange).await.code(),
                tonic::Code::InvalidArgument
            );
        }
        // Epoch 0 is nobody's life.
        let dead = greet(router.address, method, Frames { frames: vec![hello(1)] }).await;
        assert_eq!(dead.code(), tonic::Code::Unauthenticated);
    }
}
