//! Counters, with a recorder of this process's own.

mod support;

use dunlin_edge::Config;
use metrics_exporter_prometheus::PrometheusBuilder;
use support::{Authority, DOMAIN, bench};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(start_paused = true)]
async fn what_happens_is_counted() {
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    let authority = Authority::new(&[DOMAIN]);
    let bench = bench(Config::default(), Some(authority.tls()));
    let (mut near, far) = tokio::io::duplex(4096);
    bench.edge.serve(far, None, true);
    near.write_all(b"GET / HTTP/1.1\r\nHost: capulet.example\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() < 16, "an alert at most");

    let mut client = bench.connect(65_536);
    client.starttls().await;
    let tls = support::tls(client.io, authority.client(&[], None), DOMAIN)
        .await
        .unwrap();
    let mut client = support::Client::new(tls);
    client.login("juliet", "balcony").await;
    client.say("<message/><nonsense/>").await;
    client.rest().await;
    drop(client);
    bench.router.until(|seen| !seen.closed.is_empty()).await;

    let text = recorder.render();
    for line in [
        "dunlin_edge_handshakes_total{result=\"not_tls\"} 1",
        "dunlin_edge_handshakes_total{result=\"ok\"} 1",
        "dunlin_edge_connections_total{listener=\"c2s\"} 1",
        "dunlin_edge_connections_total{listener=\"c2s_tls\"} 1",
        "dunlin_edge_sasl_total{mechanism=\"PLAIN\",result=\"success\"} 1",
        "dunlin_edge_stanzas_total{direction=\"in\"} 1",
        "dunlin_edge_stream_errors_total{condition=\"unsupported-stanza-type\"} 1",
        "dunlin_edge_sessions 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}
