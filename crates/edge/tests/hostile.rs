//! Clients that are slow, silent or gone: each ends in time, by itself, and is counted.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use dunlin_edge::Config;
use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_exporter_prometheus::PrometheusHandle;
use support::{Authority, DOMAIN, bench, plain, seconds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn who_is_slow_silent_or_gone_is_counted_and_harms_nobody() {
    let counters = Counters(PrometheusBuilder::new().install_recorder().unwrap());
    slow_loris(&counters).await;
    silence_instead_of_tls(&counters).await;
    garbage_instead_of_tls(&counters).await;
    half_open_while_idle(&counters).await;
    half_open_while_written_to(&counters).await;
}

/// One byte a second, for ever: the stream is not negotiated in time.
async fn slow_loris(counters: &Counters) {
    let bench = bench(plain(), None);
    let mut neighbour = bench.login(4096).await;
    let mut client = bench.connect(4096);
    let mut bytes = b"<stream:stream to='capulet.example' version='1.0'".iter().cycle();
    while counters.total("dunlin_edge_stream_errors_total{condition=\"connection-timeout\"}") == 0 {
        let _ = client.io.write_all(&[*bytes.next().unwrap()]).await;
        tokio::time::sleep(seconds(1)).await;
    }
    assert!(client.rest().await.contains("<connection-timeout"));
    neighbour.say("<message id='fine'/>").await;
    bench.router.until(|seen| seen.submitted.len() == 1).await;
}

async fn silence_instead_of_tls(counters: &Counters) {
    let authority = Authority::new(&[DOMAIN]);
    let bench = bench(Config::default(), Some(authority.tls()));
    let (mut near, far) = tokio::io::duplex(64);
    bench.edge.serve(far, None, true);
    assert_eq!(near.read(&mut [0; 64]).await.unwrap(), 0);
    counters
        .reach("dunlin_edge_handshakes_total{result=\"timed_out\"}", 1)
        .await;
}

/// At once after `<proceed/>`, in the clear: the client goes on as if nothing had been agreed on.
async fn garbage_instead_of_tls(counters: &Counters) {
    let authority = Authority::new(&[DOMAIN]);
    let bench = bench(Config::default(), Some(authority.tls()));
    let mut client = bench.connect(4096);
    client.starttls().await;
    client.say("<presence/><presence/>").await;
    let rest = client.rest().await;
    assert!(rest.len() < 16, "an alert at most: {rest}");
    counters
        .reach("dunlin_edge_handshakes_total{result=\"not_tls\"}", 1)
        .await;
    assert!(bench.router.seen.borrow().submitted.is_empty());
}

/// The client is gone and nothing tells so: with an idle limit, its silence ends the session.
async fn half_open_while_idle(counters: &Counters) {
    let mut config = plain();
    config.timeouts.idle = seconds(60);
    let bench = bench(config, None);
    let client = bench.login(4096).await;
    let start = Instant::now();
    bench.router.until(|seen| !seen.closed.is_empty()).await;
    // A stream that ends waits for its peer to end, too, for three seconds.
    assert_eq!(start.elapsed(), seconds(60 + 3));
    counters
        .reach("dunlin_edge_stream_errors_total{condition=\"connection-timeout\"}", 2)
        .await;
    drop(client);
}

/// The client is gone and there is something to write: it is given up when it takes nothing.
async fn half_open_while_written_to(counters: &Counters) {
    let bench = bench(plain(), None);
    let client = bench.login(256).await;
    let before = counters.total("dunlin_edge_streams_closed_total{reason=\"hung_up\"}");
    bench.deliver(1, &"x".repeat(8_192));
    bench.router.until(|seen| !seen.closed.is_empty()).await;
    counters
        .reach("dunlin_edge_streams_closed_total{reason=\"hung_up\"}", before + 1)
        .await;
    drop(client);
}

/// Counters of this process.
struct Counters(PrometheusHandle);

impl Counters {
    fn total(&self, series: &str) -> u64 {
        let text = self.0.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// The session may still be on its way out.
    async fn reach(&self, series: &str, value: u64) {
        let reached = async {
            while self.total(series) < value {
                tokio::time::sleep(seconds(1)).await;
            }
        };
        let waited = tokio::time::timeout(seconds(60), reached).await;
        assert!(
            waited.is_ok(),
            "{series} has not reached {value} in\n{}",
            self.0.render()
        );
    }
}
