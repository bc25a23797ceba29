//! How an edge stops, and what fencing does.

mod support;

use dunlin_edge::{Listener, Readiness};
use link::CloseReason;
use support::{Bench, Client, Friendly, bench, bench_with, plain, seconds};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Runs the edge without listeners until the sender is dropped or used.
fn run(bench: &Bench) -> (oneshot::Sender<()>, JoinHandle<usize>) {
    let (stop, stopped) = oneshot::channel();
    let edge = bench.edge.clone();
    let drain = async move { drop(stopped.await) };
    (stop, tokio::spawn(async move { edge.run(Vec::new(), drain).await }))
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_all_sessions_in_time() {
    let mut config = plain();
    config.drain.sessions_per_second = 10;
    let bench = bench(config, None);
    let (stop, running) = run(&bench);
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(bench.login(4096).await);
    }
    let start = Instant::now();
    stop.send(()).unwrap();
    let closing = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            client.expect("<system-shutdown").await;
            client.say("</stream:stream>").await;
            client.rest().await;
            Instant::now()
        })
    });
    let closing: Vec<_> = closing.collect();
    let mut times = Vec::new();
    for client in closing {
        times.push(client.await.unwrap() - start);
    }
    assert_eq!(running.await.unwrap(), 0);
    times.sort();
    let (first, last) = (times[0], times[times.len() - 1]);
    assert!(
        first < seconds(1) && last < seconds(16) && last > first,
        "{first:?} to {last:?}"
    );
    assert_eq!(bench.router.seen.borrow().closed, [CloseReason::Edge; 40]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_can_send_clients_elsewhere() {
    let mut config = plain();
    config.drain.see_other_host = Some("other.example:5222".to_owned());
    let bench = bench(config, None);
    let (stop, running) = run(&bench);
    let mut client = bench.login(4096).await;
    stop.send(()).unwrap();
    client.expect(">other.example:5222</see-other-host>").await;
    drop(client);
    assert_eq!(running.await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_says_what_is_done_and_leaves_a_session_to_be_resumed() {
    use link::Edge;
    let bench = bench(plain(), None);
    let (stop, running) = run(&bench);
    let mut client = bench.login(4096).await;
    client.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    client.expect("<enabled").await;
    client.say("<message id='1'/><message id='2'/>").await;
    bench.router.until(|seen| seen.submitted.len() == 2).await;
    bench.sessions.done(bench.router.session(), 1);
    stop.send(()).unwrap();
    let end = client.expect("</stream:stream>").await;
    let (answer, error) = (end.find("h='1'").unwrap(), end.find("<system-shutdown").unwrap());
    assert!(answer < error, "{end}");
    client.say("</stream:stream>").await;
    assert_eq!(running.await.unwrap(), 0);
    // Not `Client`: the home keeps what can be resumed, though the client has closed in order, too.
    assert_eq!(bench.router.seen.borrow().closed, [CloseReason::Edge]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_was_submitted() {
    let router = Friendly::with(0, 0);
    let bench = bench_with(plain(), None, router.clone());
    let (stop, running) = run(&bench);
    let mut client = bench.login(4096).await;
    client.say("<message/>").await;
    tokio::time::sleep(seconds(1)).await;
    stop.send(()).unwrap();
    tokio::time::sleep(seconds(5)).await;
    assert!(!running.is_finished());
    router.permits.add_permits(1);
    assert_eq!(running.await.unwrap(), 0);
    assert_eq!(router.seen.borrow().submitted.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_whatever_happens() {
    let bench = bench_with(plain(), None, Friendly::with(0, 1));
    let (stop, running) = run(&bench);
    let _client = bench.login(4096).await;
    let start = Instant::now();
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap(), 1);
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_fence_closes_all_and_lets_nobody_in_until_it_is_lifted() {
    let bench = bench(plain(), None);
    let mut readiness = bench.edge.readiness();
    let (stop, running) = run(&bench);
    readiness.wait_for(|now| *now == Readiness::Ready).await.unwrap();
    let mut client = bench.login(4096).await;
    bench.fence.send(true).unwrap();
    readiness.wait_for(|now| *now == Readiness::Fenced).await.unwrap();
    client.expect("<system-shutdown").await;
    let mut late = bench.connect(4096);
    assert_eq!(late.rest().await, "");
    bench.fence.send(false).unwrap();
    readiness.wait_for(|now| *now == Readiness::Ready).await.unwrap();
    bench.login(4096).await;
    drop(stop);
    running.await.unwrap();
    assert_eq!(*readiness.borrow(), Readiness::Stopped);
}

#[tokio::test(start_paused = true)]
async fn what_a_fenced_client_sends_is_not_submitted() {
    let bench = bench(plain(), None);
    let (_stop, _running) = run(&bench);
    let mut client = bench.login(4096).await;
    bench.fence.send(true).unwrap();
    client.expect("<system-shutdown").await;
    client.say("<message/></stream:stream>").await;
    let seen = bench.router.until(|seen| !seen.closed.is_empty()).await;
    assert_eq!(seen.submitted.len(), 0);
}

#[tokio::test]
async fn after_a_drain_nobody_listens() {
    let bench = bench(plain(), None);
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let edge = bench.edge.clone();
    let running = tokio::spawn(async move {
        edge.run(vec![Listener::starttls(socket)], async { drop(stopped.await) })
            .await
    });
    let mut client = Client::new(TcpStream::connect(address).await.unwrap());
    client.login("juliet", "balcony").await;
    stop.send(()).unwrap();
    client.expect("<system-shutdown").await;
    drop(client);
    running.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
