//! Runs every script of tests/conformance: in one process with paused time, and against the real binary over TCP.

use testkit::process::Server;
use testkit::single::Single;

#[path = "scripts.rs"]
mod scripts;

#[tokio::test(start_paused = true)]
async fn conformance_in_one_process() {
    scripts::run_all(&Single::start().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_over_tcp() {
    let server = Server::start(&scripts::binary()).await.unwrap();
    scripts::run_all(&server).await;
    server.stop().await.unwrap();
}
