//! External components (XEP-0114) at their home: who is one, who hears what, and what becomes of what nobody took.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use bytes::Bytes;
use dunlin_router::{ComponentConfig, Config};
use link::Home;
use stanza::{Condition, Exchange, Peer, SaslFailure, SaslReply, SaslRequest, SessionId, StreamCondition};
use support::{Client, House, settle};

const PLAYS: &str = "plays.example";
const ROMEO: &str = "romeo@a.example/orchard";

async fn house(change: impl FnOnce(&mut Config)) -> (House, Client) {
    let component = |domain: &str| ComponentConfig {
        domain: domain.to_owned(),
        secret: "what's in a name".into(),
    };
    let mut config = Config {
        components: vec![component(PLAYS), component("not@domain")],
        ..Config::default()
    };
    change(&mut config);
    let house = House::with(&["romeo"], config).await;
    let romeo = house.client("romeo", "orchard").await;
    (house, romeo)
}

fn message(number: usize) -> String {
    format!("<message to='{PLAYS}' from='{ROMEO}' id='{number}' type='groupchat'><body>{number}</body></message>")
}

/// The ids of stanzas, in order.
fn ids(heard: &[String]) -> Vec<usize> {
    let id = |text: &String| text.split(" id='").nth(1)?.split('\'').next()?.parse().ok();
    heard.iter().filter_map(id).collect()
}

#[tokio::test]
async fn who_knows_the_secret_is_let_in() {
    let (house, _) = house(|_| {}).await;
    let asks = async |domain: &str| {
        let request = SaslRequest::Start {
            session: SessionId(9),
            domain: domain.to_owned(),
            mechanism: "jabber:component:accept".to_owned(),
            offered: Vec::new(),
            bindings: Vec::new(),
            initial: None,
            sasl2: None,
            peer: Peer::default(),
        };
        house.router.sasl(request).await
    };
    let answers = async |exchange: Exchange, response: String| {
        let response = Bytes::from(response);
        house.router.sasl(SaslRequest::Respond { exchange, response }).await
    };
    for stranger in ["a.example", "romeo@a.example", "not@domain", "plays", ""] {
        let reply = asks(stranger).await;
        assert_eq!(reply, SaslReply::Failure(SaslFailure::InvalidAuthzid), "{stranger}");
    }
    let mut ids = Vec::new();
    for (secret, is_right) in [("what's in a name", true), ("a rose", false), ("", false)] {
        let SaslReply::Challenge { exchange, data } = asks(PLAYS).await else {
            panic!("no id")
        };
        let id = String::from_utf8(data.to_vec()).unwrap();
        let right = sasl::handshake(&id, secret);
        let reply = answers(exchange.clone(), right.clone()).await;
        match reply {
            SaslReply::Success { account, .. } if is_right => assert_eq!(account.as_str(), PLAYS),
            reply => assert!(
                !is_right && reply == SaslReply::Failure(SaslFailure::NotAuthorized),
                "{reply:?}"
            ),
        }
        // An id is good for one answer.
        let again = answers(exchange, right).await;
        assert_eq!(again, SaslReply::Failure(SaslFailure::TemporaryAuthFailure));
        ids.push(id);
    }
    ids.dedup();
    assert!(ids.len() == 3 && ids.iter().all(|id| id.len() == 32), "{ids:?}");
}

#[tokio::test]
async fn nobody_else_is_bound() {
    let (house, _) = house(|config| config.sessions_per_account = 2).await;
    for stranger in ["other.example", "someone@plays.example", "a.example"] {
        let refused = house.component(stranger).await.err().map(|error| error.condition);
        assert_eq!(refused, Some(Condition::NotAuthorized), "{stranger}");
    }
    let _connections = [
        house.component(PLAYS).await.unwrap(),
        house.component(PLAYS).await.unwrap(),
    ];
    let refused = house.component(PLAYS).await.err().map(|error| error.condition);
    assert_eq!(refused, Some(Condition::ResourceConstraint));
}

#[tokio::test]
async fn what_one_connection_did_not_take_goes_to_another_and_what_none_took_is_answered() {
    let (house, romeo) = house(|_| {}).await;
    let connections = [
        house.component(PLAYS).await.unwrap(),
        house.component(PLAYS).await.unwrap(),
    ];
    for number in 0..10 {
        romeo.send(&message(number)).await.unwrap();
    }
    let heard = connections.each_ref().map(|connection| ids(&connection.got()));
    let all: Vec<usize> = (0..10).collect();
    let (chosen, other) = match &heard {
        [one, none] if *one == all && none.is_empty() => (&connections[0], &connections[1]),
        [none, one] if *one == all && none.is_empty() => (&connections[1], &connections[0]),
        heard => panic!("{heard:?}"),
    };
    house.router.written(&chosen.session, 4);
    chosen.close().await;
    settle().await;
    assert_eq!(
        ids(&other.got()),
        all[4..],
        "in order, and what was written is not said again"
    );
    romeo.send(&message(10)).await.unwrap();
    assert_eq!(ids(&other.got()), [10]);
    house.router.written(&other.session, 5);
    other.close().await;
    settle().await;
    let bounced = romeo.got();
    assert_eq!(ids(&bounced), [9, 10]);
    assert!(
        bounced.iter().all(|text| text.contains("remote-server-timeout")),
        "{bounced:?}"
    );
}

#[tokio::test]
async fn a_component_that_does_not_read_is_ended_and_what_waited_is_answered() {
    let (house, romeo) = house(|config| config.queue_stanzas = 3).await;
    let component = house.component(PLAYS).await.unwrap();
    for number in 0..4 {
        romeo.send(&message(number)).await.unwrap();
    }
    settle().await;
    assert_eq!(component.kicked(), Some(StreamCondition::ResourceConstraint));
    let mut answered = Vec::new();
    for _ in 0..4 {
        // He reads, so there is room for the rest.
        answered.extend(ids(&romeo.got()));
        romeo.written();
        settle().await;
    }
    assert_eq!(answered, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_component_speaks_for_its_domain_and_no_other() {
    let (house, romeo) = house(|_| {}).await;
    let component = house.component(PLAYS).await.unwrap();
    let says = async |from: &str| {
        let text = format!("<message from='{from}' to='{ROMEO}' id='1'><body>Words</body></message>");
        component.send(&text).await.unwrap();
        romeo.got()
    };
    for from in ["hamlet@plays.example/stage", PLAYS] {
        let heard = says(from).await;
        assert!(
            heard.len() == 1 && heard[0].contains(&format!("from='{from}'")),
            "{heard:?}"
        );
    }
    for from in ["a.example", "juliet@a.example", "hamlet@other.plays.example", "example"] {
        assert_eq!(says(from).await, [""; 0], "{from}");
    }
    // The edge may say it twice.
    let text = format!("<message from='{PLAYS}' to='{ROMEO}' id='2'><body>Words</body></message>");
    component.send_as(component.sent(), &text).await.unwrap();
    assert_eq!(romeo.got(), [""; 0]);
}
