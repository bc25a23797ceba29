//! The session loop, over memory and with a clock that the test holds.

mod support;

use std::sync::Arc;

use dunlin_edge::{Outbox, Rate};
use link::{CloseReason, Edge};
use stanza::StreamCondition;
use support::{Friendly, bench, bench_with, plain, seconds};
use tokio::time::{Instant, advance};

#[tokio::test(start_paused = true)]
async fn a_client_logs_in_and_its_stanzas_arrive_numbered() {
    let bench = bench(plain(), None);
    let mut client = bench.login(4096).await;
    client.say("<presence/><message id='m'><body>hi</body></message>").await;
    let seen = bench.router.until(|seen| seen.submitted.len() == 2).await;
    assert_eq!(
        seen.submitted.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [1, 2]
    );
    client.say("</stream:stream>").await;
    assert!(client.rest().await.ends_with("</stream:stream>"));
    assert_eq!(
        bench.router.until(|seen| !seen.closed.is_empty()).await.closed,
        [CloseReason::Client]
    );
    assert_eq!(bench.sessions.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_hanging_up_is_submitted() {
    let bench = bench(plain(), None);
    let mut client = bench.login(65_536).await;
    client.say(&"<message><body>hi</body></message>".repeat(500)).await;
    drop(client);
    let seen = bench.router.until(|seen| !seen.closed.is_empty()).await;
    assert_eq!(
        (seen.submitted.len(), &seen.closed[..]),
        (500, &[CloseReason::Lost][..])
    );
}

#[tokio::test(start_paused = true)]
async fn deliveries_are_readdressed_and_reported_as_written() {
    let bench = bench(plain(), None);
    let mut client = bench.login(4096).await;
    for number in 1..=3 {
        bench.deliver(number, &number.to_string());
    }
    bench.deliver(2, "again");
    let before = client.expect("<body>3</body>").await;
    assert!(
        before.contains("to='juliet@capulet.example/balcony'") && !before.contains("again"),
        "{before}"
    );
    let seen = bench.router.until(|seen| seen.written.last() == Some(&3)).await;
    assert!(seen.written.len() < 3, "reported one by one: {:?}", seen.written);
}

#[tokio::test(start_paused = true)]
async fn while_the_router_is_busy_nothing_is_read_but_deliveries_are_written() {
    let router = Friendly::with(0, 0);
    let bench = bench_with(plain(), None, router.clone());
    let mut client = bench.login(1024).await;
    let flood = "<message><body>0123456789</body></message>".repeat(2_000);
    let sending = tokio::time::timeout(seconds(60), client.say(&flood)).await;
    assert!(sending.is_err(), "the client should be held back");
    bench.deliver(1, "meanwhile");
    client.expect("<body>meanwhile</body>").await;
    assert_eq!(router.seen.borrow().submitted.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_too_slowly_is_closed_and_the_home_knows_what_it_missed() {
    let mut config = plain();
    config.outbox = Outbox {
        stanzas: 10,
        bytes: 1 << 20,
    };
    let bench = bench(config, None);
    let client = bench.login(512).await;
    let body = "x".repeat(8_192);
    for number in 1..=20 {
        bench.deliver(number, &body);
        tokio::task::yield_now().await;
    }
    let seen = bench.router.until(|seen| !seen.closed.is_empty()).await;
    assert_eq!((&seen.closed[..], seen.written.len()), (&[CloseReason::Edge][..], 0));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn an_overflow_is_a_policy_violation_for_a_client_that_reads_at_last() {
    let mut config = plain();
    config.outbox = Outbox {
        stanzas: 1_000,
        bytes: 4_096,
    };
    let bench = bench(config, None);
    let mut client = bench.login(512).await;
    for number in 1..=20 {
        bench.deliver(number, &"x".repeat(1_000));
    }
    let rest = client.rest().await;
    assert!(rest.contains("<policy-violation"), "{rest}");
    bench.router.until(|seen| seen.closed == [CloseReason::Edge]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    let bench = bench(plain(), None);
    let client = bench.login(512).await;
    let start = Instant::now();
    bench.deliver(1, &"x".repeat(8_192));
    let seen = bench.router.until(|seen| !seen.closed.is_empty()).await;
    assert_eq!(
        (start.elapsed().as_secs(), &seen.closed[..]),
        (60, &[CloseReason::Edge][..])
    );
    assert!(seen.written.is_empty());
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_that_keeps_reading_is_kept() {
    let bench = bench(plain(), None);
    let mut client = bench.login(512).await;
    bench.deliver(1, &"x".repeat(8_192));
    for _ in 0..8 {
        advance(seconds(40)).await;
        client.expect(&"x".repeat(1_000)).await;
    }
    client.expect("</message>").await;
    bench.router.until(|seen| seen.written == [1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_kick_comes_after_what_was_delivered_before() {
    let bench = bench(plain(), None);
    let mut client = bench.login(4096).await;
    bench.deliver(1, "last words");
    bench.sessions.kick(bench.router.session(), StreamCondition::Conflict);
    bench.deliver(2, "too late");
    let rest = client.rest().await;
    let (last, conflict) = (rest.find("last words").unwrap(), rest.find("<conflict").unwrap());
    assert!(last < conflict && !rest.contains("too late"), "{rest}");
    let seen = bench.router.until(|seen| !seen.closed.is_empty()).await;
    assert_eq!(
        (&seen.closed[..], &seen.written[..]),
        (&[CloseReason::Kicked][..], &[1][..])
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_unknown_to_its_home_is_closed() {
    let bench = bench(plain(), None);
    let mut client = bench.login(4096).await;
    client.say("<message id='gone'/><message id='never'/>").await;
    let rest = client.rest().await;
    assert!(rest.contains("<conflict"), "{rest}");
    assert_eq!(
        bench.router.until(|seen| !seen.closed.is_empty()).await.submitted.len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_session_and_its_home_is_told() {
    let bench = bench(plain(), None);
    let mut other = bench.login(4096).await;
    let mut client = bench.login(4096).await;
    client.say("<message id='panic'/>").await;
    client.rest().await;
    bench.router.until(|seen| seen.closed == [CloseReason::Edge]).await;
    other.say("<message id='fine'/>").await;
    bench.router.until(|seen| seen.submitted.len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn silence_and_dribble_before_login_end_in_time() {
    for dribble in [false, true] {
        let bench = bench(plain(), None);
        let mut client = bench.connect(4096);
        let start = Instant::now();
        let header = b"<stream:stream to='capulet.example' version='1.0' xmlns='jabber:client'";
        let mut bytes = header.iter();
        while dribble && !bench.sessions.is_empty() && start.elapsed() < seconds(100) {
            let byte = *bytes.next().unwrap_or(&b' ');
            let _ = tokio::io::AsyncWriteExt::write_all(&mut client.io, &[byte]).await;
            tokio::time::sleep(seconds(1)).await;
        }
        let rest = client.rest().await;
        assert!(rest.contains("<connection-timeout"), "{rest}");
        let took = start.elapsed();
        assert!(took >= seconds(30) && took < seconds(40), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_input_gets_its_stream_error_and_is_told_to_nobody() {
    let deep = "<a>".repeat(10_000);
    let large = format!("<message><body>{}</body></message>", "x".repeat(300_000));
    for (input, condition) in [
        ("<message></presence>", "not-well-formed"),
        ("<!DOCTYPE x>", "restricted-xml"),
        ("<message>&bomb;</message>", "<"),
        (deep.as_str(), "policy-violation"),
        (large.as_str(), "policy-violation"),
        ("\u{0}", "not-well-formed"),
    ] {
        let bench = bench(plain(), None);
        let mut client = bench.login(1 << 20).await;
        client.say(input).await;
        let rest = client.rest().await;
        assert!(
            rest.contains("<stream:error>") && rest.contains(condition),
            "{condition}: {rest}"
        );
        let seen = bench.router.until(|seen| !seen.closed.is_empty()).await;
        assert_eq!((seen.submitted.len(), &seen.closed[..]), (0, &[CloseReason::Edge][..]));
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_passwords_end_the_stream() {
    let bench = bench(plain(), None);
    let mut client = bench.connect(4096);
    client.open().await;
    for _ in 0..3 {
        client.auth("juliet", "wrong").await;
        client.expect("<not-authorized").await;
    }
    assert!(client.rest().await.contains("<policy-violation"));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_read_no_faster_than_its_rate() {
    let mut config = plain();
    config.rates.bytes = Rate {
        per_second: 1_000,
        burst: 1_000,
    };
    let bench = bench(config, None);
    let mut client = bench.login(256).await;
    let start = Instant::now();
    client
        .say(&"<message><body>0123456789</body></message>".repeat(250))
        .await; // 10,500 bytes
    bench.router.until(|seen| seen.submitted.len() == 250).await;
    let took = start.elapsed().as_millis();
    assert!((9_000..11_000).contains(&took), "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn stanzas_have_a_rate_of_their_own() {
    let mut config = plain();
    config.rates.stanzas = Rate {
        per_second: 10,
        burst: 10,
    };
    let bench = bench(config, None);
    let mut client = bench.login(64).await;
    let start = Instant::now();
    client.say(&"<presence/>".repeat(110)).await;
    bench.router.until(|seen| seen.submitted.len() == 110).await;
    let took = start.elapsed().as_millis();
    assert!((8_500..11_000).contains(&took), "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn stanzas_are_traced_by_chance() {
    for (ratio, traced) in [(0.0, 0), (1.0, 20)] {
        let mut config = plain();
        config.trace_ratio = ratio;
        let bench = bench(config, None);
        let mut client = bench.login(4096).await;
        client.say(&"<presence/>".repeat(20)).await;
        assert_eq!(
            bench.router.until(|seen| seen.submitted.len() == 20).await.traced,
            traced
        );
    }
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_limit_are_closed() {
    let mut config = plain();
    config.limits.connections = 1;
    let bench = bench(config, None);
    let first = bench.login(4096).await;
    assert_eq!(bench.connect(4096).rest().await, "");
    drop(first);
    bench.router.until(|seen| !seen.closed.is_empty()).await;
    for _ in 0..10 {
        tokio::task::yield_now().await; // until the place is free again
    }
    bench.login(4096).await;
}

#[tokio::test(start_paused = true)]
async fn one_delivery_reaches_many_sessions() {
    let bench = bench(plain(), None);
    let mut clients = Vec::new();
    for n in 0..20 {
        let mut client = bench.connect(4096);
        client.login("juliet", &format!("r{n}")).await;
        clients.push(client);
    }
    let sessions = bench
        .router
        .seen
        .borrow()
        .binds
        .iter()
        .map(|bind| (bind.session, 1))
        .collect();
    let stanza = Arc::new(support::message("all"));
    bench.sessions.deliver(link::Delivery {
        sessions,
        stanza,
        readdress: true,
        archived: None,
        settled: false,
        trace: None,
    });
    for (n, client) in clients.iter_mut().enumerate() {
        let before = client.expect("<body>all</body>").await;
        assert!(
            before.contains(&format!("to='juliet@capulet.example/r{n}'")),
            "{before}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_home_hears_whether_somebody_looks_at_the_client() {
    let bench = bench(plain(), None);
    let mut client = bench.login(4096).await;
    client
        .say("<inactive xmlns='urn:xmpp:csi:0'/><message/><active xmlns='urn:xmpp:csi:0'/>")
        .await;
    let seen = bench.router.until(|seen| seen.looks.len() == 2).await;
    assert_eq!((seen.looks, seen.submitted.len()), (vec![false, true], 1));
}
