//! What an operator's collector gets from a cluster of real processes: each sampled stanza as one connected trace.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here fails the test, which is what it should do"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use testkit::client::Client;
use testkit::cluster::{Cluster, Node};
use testkit::settings::DOMAINS;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

#[path = "scripts.rs"]
#[allow(dead_code, reason = "the binary only")]
mod scripts;

const PASSWORD: &str = "orchard wall";
/// With so many recipients, some are at home elsewhere than their common sender: all but one in half a million times.
const RECIPIENTS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_one_trace_from_edge_to_edge_across_routers() {
    let collector = Collector::start().await;
    let cluster = collector.cluster("1.0");
    let edges = cluster.nodes("edges").unwrap();
    let mut speaker = log_in(&cluster, "speaker", &edges[0]).await;
    for number in 0..RECIPIENTS {
        let name = format!("listener{number}");
        let mut listener = log_in(&cluster, &name, &edges[1]).await;
        speak(&mut speaker, &name).await;
        listener.element().await.unwrap();
    }
    let walks = collector.walks(RECIPIENTS).await;
    for walk in &walks {
        let names: Vec<_> = walk.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["edge.submit", "router.out", "router.in", "edge.deliver"]);
        let outcomes: Vec<_> = walk.iter().map(|span| span.outcome.as_str()).collect();
        assert_eq!(outcomes, ["", "travels", "delivered", "written"]);
        assert_eq!((walk[0].node.as_str(), walk[3].node.as_str()), ("edge-1", "edge-2"));
    }
    let crossed = walks.iter().filter(|walk| walk[1].node != walk[2].node).count();
    assert!(
        (1..=RECIPIENTS).contains(&crossed),
        "{crossed} of {RECIPIENTS} messages went to another router"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_is_not_exported() {
    let collector = Collector::start().await;
    let cluster = collector.cluster("0.0");
    let edges = cluster.nodes("edges").unwrap();
    let mut speaker = log_in(&cluster, "speaker", &edges[0]).await;
    let mut listener = log_in(&cluster, "listener", &edges[1]).await;
    speak(&mut speaker, "listener").await;
    listener.element().await.unwrap();
    drop(cluster); // all nodes end in order, which sends what is left
    assert!(collector.spans.borrow().is_empty(), "{:?}", collector.spans.borrow());
}

/// A span as far as these tests look.
#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    node: String,
    kind: String,
    outcome: String,
}

/// An OTLP collector in this process.
struct Collector {
    port: u16,
    spans: watch::Receiver<Vec<Span>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sink, spans) = watch::channel(Vec::new());
        let service = TraceServiceServer::new(Sink(Arc::new(sink)));
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpIncoming::from(listener)),
        );
        Self { port, spans }
    }

    /// Two edges and two routers that export hither.
    fn cluster(&self, ratio: &str) -> Cluster {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let settings = format!(
            "log.otlp = \"http://127.0.0.1:{}\"\nedge.trace_ratio = {ratio}\n",
            self.port
        );
        Cluster::start_with(&root, &scripts::binary(), 2, 2, &settings).unwrap()
    }

    /// The spans of the first `count` messages that have come in whole, each from parent to child.
    async fn walks(&self, count: usize) -> Vec<Vec<Span>> {
        let mut spans = self.spans.clone();
        let whole = |spans: &Vec<Span>| walks(spans).len() >= count;
        let waited = tokio::time::timeout(Duration::from_secs(60), spans.wait_for(whole)).await;
        let seen = waited.unwrap_or_else(|_| panic!("{:?}", self.spans.borrow())).unwrap();
        walks(&seen)
    }
}

/// Every trace of a message that reached a client, from its root along the parents.
fn walks(spans: &[Span]) -> Vec<Vec<Span>> {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| ((&span.trace, &span.id), span)).collect();
    let ends = spans
        .iter()
        .filter(|span| span.name == "edge.deliver" && span.kind == "message");
    let up = |end| {
        std::iter::successors(Some(end), |span: &&Span| {
            by_id.get(&(&span.trace, &span.parent)).copied()
        })
    };
    let mut walks: Vec<Vec<Span>> = ends.map(|end| up(end).cloned().collect()).collect();
    walks.iter_mut().for_each(|walk| walk.reverse());
    walks.retain(|walk| walk[0].parent.is_empty());
    walks
}

struct Sink(Arc<watch::Sender<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut new = Vec::new();
        for of_resource in request.into_inner().resource_spans {
            let node = text(&of_resource.resource.unwrap().attributes, "service.instance.id");
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                new.push(Span {
                    node: node.clone(),
                    kind: text(&span.attributes, "xmpp.stanza"),
                    outcome: text(&span.attributes, "xmpp.outcome"),
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    name: span.name,
                });
            }
        }
        self.0.send_modify(|all| all.extend(new));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

async fn log_in(cluster: &Cluster, name: &str, edge: &Node) -> Client {
    let jid = format!("{name}@{}", DOMAINS[0]);
    cluster.add_users(&[(jid, PASSWORD.to_owned())]).unwrap();
    let mut client = Client::connect(edge.c2s.unwrap()).await.unwrap();
    client.log_in(name, DOMAINS[0], PASSWORD, "test").await.unwrap();
    client
}

async fn speak(speaker: &mut Client, to: &str) {
    let message = format!(
        "<message to='{to}@{}/test' type='chat'><body>Soft!</body></message>",
        DOMAINS[0]
    );
    speaker.write(message.as_bytes()).await.unwrap();
}
