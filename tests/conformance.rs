//! Runs every script of tests/conformance: in one process with paused time, alone and as a cluster with each client on another
//! edge; and against the real binary over TCP.

use testkit::many::Many;
use testkit::process::Server;
use testkit::single::Single;

#[path = "scripts.rs"]
mod scripts;

#[tokio::test(start_paused = true)]
async fn conformance_in_one_process() {
    scripts::run_all(&Single::start().await.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn conformance_across_edges_and_routers_in_one_process() {
    scripts::run_all(&Many::start().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_over_tcp() {
    let server = Server::start(&scripts::binary()).await.unwrap();
    scripts::run_all(&server).await;
    server.stop().await.unwrap();
}
