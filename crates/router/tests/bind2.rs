//! Resources that a client asks for by a tag (XEP-0386).

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use dunlin_router::Config;
use link::Home;
use stanza::{
    BindReply, BindRequest, ClientId, Condition, Full, Payload, Peer, ResourceRequest, SessionId, StanzaError,
    StreamCondition, Timestamp,
};
use support::{House, bare};

async fn bind(house: &House, session: u128, tag: Option<&str>, client: Option<u8>) -> Result<Full, StanzaError> {
    let (session, account) = (SessionId(session), bare("alice"));
    let request = BindRequest {
        session,
        grant: support::grant(session, &support::account("alice"), Timestamp(i64::MAX)),
        account,
        resource: ResourceRequest::Tagged {
            tag: tag.map(Into::into),
            client: client.map(id),
            wishes: Payload::default(),
        },
        peer: Peer::default(),
    };
    match house.router.bind(&house.edge_ref(), request).await.unwrap() {
        BindReply::Bound(jid, _) => Ok(jid),
        BindReply::Refused(error) => Err(error),
    }
}

fn id(client: u8) -> ClientId {
    ClientId::parse(&format!("d4565fa7-4d72-4749-b3d3-740edbf877{client:02x}")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_gets_the_same_resource_for_the_same_tag_only() {
    let house = House::new(&["alice"]).await;
    let first = bind(&house, 101, Some("App"), Some(1)).await.unwrap();
    assert!(first.resource().starts_with("App/"), "{first}");
    assert!(!first.resource().contains("d4565fa7"), "the id is not told");
    let other = bind(&house, 102, Some("App"), Some(2)).await.unwrap();
    assert_ne!(first, other);
    let again = bind(&house, 103, Some("App"), Some(1)).await.unwrap();
    assert_eq!(first, again);
    let renamed = bind(&house, 104, Some("Ppa"), Some(1)).await.unwrap();
    assert_ne!(again.resource()[4..], renamed.resource()[4..]);
    let kicked: Vec<_> = house.edge.kicks.lock().iter().map(|(session, _)| session.0).collect();
    assert_eq!(kicked, [101, 103], "what the client had before is over");
    assert!(
        house
            .edge
            .kicks
            .lock()
            .iter()
            .all(|(_, why)| *why == StreamCondition::Conflict)
    );
}

#[tokio::test(start_paused = true)]
async fn who_does_not_say_who_it_is_gets_another_each_time() {
    let house = House::new(&["alice"]).await;
    let one = bind(&house, 101, Some("App"), None).await.unwrap();
    let two = bind(&house, 102, Some("App"), None).await.unwrap();
    assert_ne!(one, two);
    assert!(house.edge.kicks.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_cannot_stand_in_a_resource_is_left_out() {
    let house = House::new(&["alice"]).await;
    for tag in [None, Some("\u{7}"), Some(&*"x".repeat(1_020))] {
        let jid = bind(&house, 101, tag, Some(1)).await.unwrap();
        assert_eq!(jid.resource().len(), 16, "{jid}");
        house.edge.kicks.lock().clear();
        let gone = link::SessionRef::new(SessionId(101), jid);
        house.router.close(&gone, link::CloseReason::Client).await.unwrap();
    }
}

/// A client that comes again and again does not use up what its account may have.
#[tokio::test(start_paused = true)]
async fn a_client_makes_room_for_itself_and_for_nobody_else() {
    let config = Config {
        sessions_per_account: 1,
        ..Config::default()
    };
    let house = House::with(&["alice"], config).await;
    for session in 101..104 {
        bind(&house, session, Some("App"), Some(1)).await.unwrap();
    }
    let refused = bind(&house, 105, Some("App"), Some(2)).await.unwrap_err();
    assert_eq!(refused.condition, Condition::ResourceConstraint);
}
