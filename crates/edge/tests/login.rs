//! Logins under SASL2 (XEP-0388): one round trip for the client, one question after the other for the edge; and what is let through
//! when many come at once.

mod support;

use dunlin_edge::Rate;
use support::{bench, plain};

const AGENT: &str = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>";
const BIND: &str = "<bind xmlns='urn:xmpp:bind:0'><tag>x</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";
const RESUME: &str = "<resume xmlns='urn:xmpp:sm:3' previd='some-id' h='3'/>";
const FAST: &str = "<fast xmlns='urn:xmpp:fast:0'/>";

#[tokio::test(start_paused = true)]
async fn all_is_asked_for_before_the_client_is_told() {
    let bench = bench(plain(), None);
    let mut client = bench.connect(4096);
    client.open().await;
    client.auth2("SCRAM-SHA-1", &[AGENT, BIND].concat()).await;
    let success = client.expect("</success>").await;
    for told in [
        "juliet@capulet.example/made",
        "<bound xmlns='urn:xmpp:bind:0'><enabled",
        "some-id",
    ] {
        assert!(success.contains(told), "{told} in {success}");
    }
    client.expect("</stream:features>").await;
    bench.deliver(1, "ho");
    client.expect("<body>ho</body>").await;
    let seen = bench.router.seen.borrow().clone();
    assert_eq!((seen.sasl.len(), seen.binds.len(), seen.enabled.len()), (1, 1, 1));
}

/// XEP-0509: a client that knows the features says everything at once, its first stanza among it.
#[tokio::test(start_paused = true)]
async fn a_client_that_knows_the_features_waits_for_nothing() {
    let bench = bench(plain(), None);
    let header = "<stream:stream to='capulet.example' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    let mut before = bench.connect(4096);
    before.say(header).await;
    before.expect("scheme='opaque' value='").await;
    let version = before.expect("'").await;
    let mut client = bench.connect(4096);
    client.say(header).await;
    let version = format!("<config-version xmlns='urn:xmpp:iap:0' value='{version}'/>");
    client.auth2("SCRAM-SHA-1", &[BIND, &version].concat()).await;
    client.say("<presence/>").await;
    let seen = bench.router.until(|seen| !seen.submitted.is_empty()).await;
    assert_eq!((seen.binds.len(), seen.enabled.len()), (1, 1));
    client.expect("</success>").await;
}

#[tokio::test(start_paused = true)]
async fn a_resumed_session_binds_nothing() {
    let bench = bench(plain(), None);
    let mut client = bench.connect(4096);
    client.open().await;
    client.auth2("SCRAM-SHA-1", &[BIND, RESUME].concat()).await;
    let success = client.expect("</success>").await;
    assert!(
        success.contains("<resumed xmlns='urn:xmpp:sm:3' h='2' previd='some-id'/>"),
        "{success}"
    );
    client.say("<presence/>").await;
    let seen = bench.router.until(|seen| !seen.submitted.is_empty()).await;
    assert_eq!((seen.submitted[0].0, seen.binds.len(), seen.resumed.len()), (3, 0, 1));
}

/// The rest is told so at once; nobody asks a router.
#[tokio::test(start_paused = true)]
async fn of_many_logins_those_that_resume_come_first() {
    let mut config = plain();
    config.rates.logins = Rate {
        per_second: 1,
        burst: 4,
    };
    let bench = bench(config, None);
    let token = [AGENT, FAST, BIND].concat();
    let resume = [AGENT, BIND, RESUME].concat();
    let logins = [
        ("SCRAM-SHA-1", BIND, true),
        ("SCRAM-SHA-1", BIND, true),
        ("SCRAM-SHA-1", BIND, false),
        ("HT-SHA-256-NONE", &token, true),
        ("HT-SHA-256-NONE", &token, false),
        ("SCRAM-SHA-1", &resume, true),
        ("SCRAM-SHA-1", &resume, false),
    ];
    for (at, (mechanism, wishes, admitted)) in logins.into_iter().enumerate() {
        let asked = bench.router.seen.borrow().sasl.len();
        let mut client = bench.connect(4096);
        client.open().await;
        client.auth2(mechanism, wishes).await;
        if admitted {
            client.expect("</success>").await;
        } else {
            client.expect("<temporary-auth-failure").await;
        }
        let asked = bench.router.seen.borrow().sasl.len() - asked;
        assert_eq!(asked, usize::from(admitted), "login {at}");
    }
}
