//! Stream management (XEP-0198): sessions that outlive their streams, at one home.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use link::{Attach, CloseReason, Held, Home, Said, SessionRef, Submission};
use router::{Config, NoPeers};
use stanza::{
    Condition, Counts, EnableReply, EnableRequest, Peer, ResumeReply, ResumeRequest, Resumption, SessionId, Stanza,
    StreamCondition, Timestamp, TooHigh,
};
use support::{Client, DOMAIN, FakeEdge, House, bare, edge_ref, settle};
use topology::Epoch;

use dunlin_router as router;

/// Puts the client under stream management, as it stands.
async fn enable(client: &Client, max: Option<u32>) -> Option<Resumption> {
    let since = Counts {
        received: client.sent(),
        sent: client.numbers().last().copied().unwrap_or(0),
    };
    let request = EnableRequest {
        since,
        resume: true,
        max,
    };
    match client.router.enable(&client.session, request).await {
        Ok(EnableReply::Enabled(resumption)) => resumption,
        other => panic!("{other:?}"),
    }
}

/// A new connection of `user` to `edge` asks to go on with `id`, having handled `h`.
async fn resume(house: &House, edge: &str, user: &str, id: &str, h: u32) -> (SessionId, ResumeReply) {
    let session = SessionId(1_000 + u128::from(h) + 10 * edge.len() as u128);
    let account = bare(user);
    let request = ResumeRequest {
        session,
        grant: support::grant(session, &support::account(user), Timestamp(i64::MAX)),
        account,
        id: id.to_owned(),
        h,
        peer: Peer::default(),
    };
    let at = edge_ref(edge, &house.edge);
    (session, house.router.resume(&at, request).await.expect("the home"))
}

/// Juliet at the house's edge, and another edge, which both are up.
async fn with_another_edge() -> (House, Client, Arc<FakeEdge>) {
    let house = House::new(&["juliet", "romeo"]).await;
    let juliet = house.client("juliet", "balcony").await;
    let other = Arc::new(FakeEdge::default());
    for edge in [house.edge_ref(), edge_ref("edge-2", &other)] {
        house.router.edge_up(edge.clone()).await;
        house.router.attached(&edge, 1, BTreeSet::new()).await;
    }
    (house, juliet, other)
}

fn got(house: &House, session: SessionId) -> Vec<(u64, String)> {
    house.edge.log.lock().get(&session).cloned().unwrap_or_default()
}

fn message(id: &str) -> String {
    format!("<message to='juliet@{DOMAIN}/balcony' type='chat' id='{id}'><body>hi</body></message>")
}

fn refusal(reply: ResumeReply) -> (Condition, Option<u32>) {
    match reply {
        ResumeReply::Refused { error, h } => (error.condition, h),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_where_it_was() {
    let house = House::new(&["juliet", "romeo"]).await;
    let (juliet, romeo) = (
        house.client("juliet", "balcony").await,
        house.client("romeo", "orchard").await,
    );
    juliet.available().await;
    let before = juliet.numbers().len() as u64;
    let resumption = enable(&juliet, None).await.expect("resumable");
    assert_eq!(resumption.max, 600);
    juliet.available().await;
    romeo.available().await;
    romeo.got();
    for id in ["1", "2"] {
        romeo.send(&message(id)).await.unwrap();
    }
    let sent = juliet.numbers().len() as u64 - before;
    assert!(
        juliet.router.close(&juliet.session, CloseReason::Lost).await.unwrap(),
        "it is kept"
    );
    romeo.send(&message("3")).await.unwrap();
    assert!(
        romeo.got().is_empty(),
        "nobody hears that it is gone, and nothing is returned"
    );

    let h = u32::try_from(sent - 1).unwrap();
    let (session, reply) = resume(&house, "edge-2", "juliet", &resumption.id, h).await;
    let since = Counts {
        received: 1,
        sent: before,
    };
    let now = Counts {
        received: 2,
        sent: before + u64::from(h),
    };
    let jid = juliet.session.jid.clone();
    assert_eq!(reply, ResumeReply::Resumed { jid, since, now });
    let again: Vec<_> = got(&house, session)
        .iter()
        .map(|(number, text)| (*number, text.contains("id='2'"), text.contains("id='3'")))
        .collect();
    assert_eq!(again, [(before + sent, true, false), (before + sent + 1, false, true)]);
    assert_eq!(juliet.kicked(), Some(StreamCondition::Conflict));
    assert!(romeo.got().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_still_there_is_taken_over() {
    let house = House::new(&["juliet"]).await;
    let juliet = house.client("juliet", "balcony").await;
    let resumption = enable(&juliet, None).await.unwrap();
    let (_, reply) = resume(&house, "edge-2", "juliet", &resumption.id, 0).await;
    assert!(matches!(reply, ResumeReply::Resumed { .. }));
    assert_eq!(juliet.kicked(), Some(StreamCondition::Conflict));
    assert!(
        juliet.send("<presence/>").await.is_err(),
        "the old stream has no say any more"
    );
    assert!(!juliet.router.close(&juliet.session, CloseReason::Lost).await.unwrap());
    let (_, reply) = resume(&house, "edge-33", "juliet", &resumption.id, 0).await;
    assert!(
        matches!(reply, ResumeReply::Resumed { .. }),
        "and once more, by the same id"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_request_again_gets_the_same_answer() {
    let house = House::new(&["juliet", "romeo"]).await;
    let (juliet, romeo) = (
        house.client("juliet", "balcony").await,
        house.client("romeo", "orchard").await,
    );
    juliet.available().await;
    let resumption = enable(&juliet, None).await.unwrap();
    romeo.send(&message("1")).await.unwrap();
    let (session, first) = resume(&house, "edge-2", "juliet", &resumption.id, 0).await;
    let (_, second) = resume(&house, "edge-2", "juliet", &resumption.id, 0).await;
    assert_eq!(first, second);
    let numbers: Vec<_> = got(&house, session).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), 2, "the edge passes over what it had: {numbers:?}");
    assert_eq!(numbers[0], numbers[1]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_resumed_ends_when_its_time_is_over() {
    let house = House::new(&["juliet", "romeo"]).await;
    let (juliet, romeo) = (
        house.client("juliet", "balcony").await,
        house.client("romeo", "orchard").await,
    );
    juliet.available().await;
    romeo.available().await;
    let resumption = enable(&juliet, Some(60)).await.unwrap();
    assert_eq!(resumption.max, 60);
    juliet.send("<presence><show>away</show></presence>").await.unwrap();
    assert!(juliet.router.close(&juliet.session, CloseReason::Edge).await.unwrap());
    romeo.send(&message("kept")).await.unwrap();
    romeo.got();
    tokio::time::sleep(Duration::from_secs(59)).await;
    settle().await;
    assert!(romeo.got().is_empty());
    tokio::time::sleep(Duration::from_secs(2)).await;
    settle().await;
    let heard = romeo.got();
    assert!(heard.len() == 1 && heard[0].contains("unavailable"), "{heard:?}");

    let (_, reply) = resume(&house, "edge-2", "juliet", &resumption.id, 0).await;
    assert_eq!(refusal(reply), (Condition::ItemNotFound, Some(1)));
    let again = house.client("juliet", "balcony").await;
    again.available().await;
    let heard = again.got();
    assert!(heard.iter().any(|text| text.contains("id='kept'")), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_absence_does_not_shorten_a_later_one() {
    let house = House::new(&["juliet"]).await;
    let juliet = house.client("juliet", "balcony").await;
    let resumption = enable(&juliet, Some(60)).await.unwrap();
    juliet.router.close(&juliet.session, CloseReason::Lost).await.unwrap();
    tokio::time::sleep(Duration::from_secs(50)).await;
    let (session, _) = resume(&house, "edge-2", "juliet", &resumption.id, 0).await;
    let session = link::SessionRef::new(session, juliet.session.jid.clone());
    assert!(house.router.close(&session, CloseReason::Lost).await.unwrap());
    tokio::time::sleep(Duration::from_secs(50)).await;
    settle().await;
    let (_, reply) = resume(&house, "edge-33", "juliet", &resumption.id, 0).await;
    assert!(matches!(reply, ResumeReply::Resumed { .. }), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn who_closes_in_order_is_gone() {
    let house = House::new(&["juliet"]).await;
    let juliet = house.client("juliet", "balcony").await;
    let resumption = enable(&juliet, None).await.unwrap();
    assert!(!juliet.router.close(&juliet.session, CloseReason::Client).await.unwrap());
    let (_, reply) = resume(&house, "edge-2", "juliet", &resumption.id, 0).await;
    assert_eq!(refusal(reply), (Condition::ItemNotFound, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn nobody_resumes_what_is_not_theirs() {
    let house = House::new(&["juliet", "romeo"]).await;
    let juliet = house.client("juliet", "balcony").await;
    let resumption = enable(&juliet, None).await.unwrap();
    for (user, id) in [("romeo", &*resumption.id), ("juliet", "forged"), ("juliet", "")] {
        let (_, reply) = resume(&house, "edge-2", user, id, 0).await;
        assert_eq!(refusal(reply), (Condition::ItemNotFound, None), "{user} {id}");
    }
    assert_eq!(juliet.kicked(), None);
    juliet.available().await;
}

#[tokio::test(start_paused = true)]
async fn more_cannot_be_acknowledged_than_was_sent() {
    let house = House::new(&["juliet"]).await;
    let juliet = house.client("juliet", "balcony").await;
    let resumption = enable(&juliet, None).await.unwrap();
    juliet.router.close(&juliet.session, CloseReason::Lost).await.unwrap();
    let (_, reply) = resume(&house, "edge-2", "juliet", &resumption.id, 7).await;
    assert_eq!(reply, ResumeReply::TooHigh(TooHigh { h: 7, sent: 0 }));
}

#[tokio::test(start_paused = true)]
async fn without_resumption_a_session_ends_with_its_stream() {
    let config = Config {
        resume_timeout_s: 0,
        ..Config::default()
    };
    let house = House::with(&["juliet"], config).await;
    let juliet = house.client("juliet", "balcony").await;
    assert_eq!(enable(&juliet, Some(60)).await, None);
    assert!(!juliet.router.close(&juliet.session, CloseReason::Lost).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn too_much_for_an_absent_client_is_kept_elsewhere() {
    let config = Config {
        queue_stanzas: 5,
        owed_messages: 3,
        ..Config::default()
    };
    let house = House::with(&["juliet", "romeo"], config).await;
    let (juliet, romeo) = (
        house.client("juliet", "balcony").await,
        house.client("romeo", "orchard").await,
    );
    juliet.available().await;
    let resumption = enable(&juliet, None).await.unwrap();
    juliet.router.close(&juliet.session, CloseReason::Lost).await.unwrap();
    for id in 0..7 {
        romeo.send(&message(&format!("m{id}"))).await.unwrap();
    }
    let (_, reply) = resume(&house, "edge-2", "juliet", &resumption.id, 0).await;
    assert_eq!(refusal(reply).0, Condition::ItemNotFound);
    let again = house.client("juliet", "balcony").await;
    again.available().await;
    let mut heard: Vec<String> = Vec::new();
    for _ in 0..7 {
        heard.extend(again.got().into_iter().filter(|text| text.contains("<body>")));
        again.written();
        settle().await;
    }
    assert_eq!(heard.len(), 7, "{heard:?}");
    assert!(
        heard
            .iter()
            .enumerate()
            .all(|(n, text)| text.contains(&format!("id='m{n}'"))),
        "{heard:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_edge_has_answered_takes_its_place_and_counts() {
    let house = House::new(&["juliet"]).await;
    let juliet = house.client("juliet", "balcony").await;
    let resumption = enable(&juliet, None).await.unwrap();
    let answer = Stanza::parse(&"<message type='error' id='x'/>".into()).unwrap();
    for (number, said) in [(1, Said::Answered(Some(answer))), (2, Said::Answered(None))] {
        let submission = Submission {
            number,
            said,
            trace: None,
        };
        juliet.router.submit(&juliet.session, submission).await.unwrap();
    }
    let heard = juliet.got();
    assert!(heard.len() == 1 && heard[0].contains("id='x'"), "{heard:?}");
    let (_, reply) = resume(&house, "edge-2", "juliet", &resumption.id, 1).await;
    let ResumeReply::Resumed { now, .. } = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(now, Counts { received: 2, sent: 1 });
}

#[tokio::test(start_paused = true)]
async fn sessions_left_behind_give_way() {
    let config = Config {
        sessions_per_account: 2,
        ..Config::default()
    };
    let house = House::with(&["juliet"], config).await;
    let mut ids = Vec::new();
    for resource in ["a", "b"] {
        let juliet = house.client("juliet", resource).await;
        ids.push(enable(&juliet, None).await.unwrap().id);
        juliet.router.close(&juliet.session, CloseReason::Lost).await.unwrap();
    }
    house.client("juliet", "c").await;
    let (_, reply) = resume(&house, "edge-2", "juliet", &ids[0], 0).await;
    assert_eq!(refusal(reply).0, Condition::ItemNotFound, "the oldest went");
    let (_, reply) = resume(&house, "edge-33", "juliet", &ids[1], 0).await;
    assert!(matches!(reply, ResumeReply::Resumed { .. }), "{reply:?}");
    assert!(
        house.bind("juliet", Some("d")).await.is_err(),
        "sessions with a stream do not"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_keeps_what_waits_for_absent_clients() {
    let house = House::new(&["juliet", "romeo"]).await;
    let (juliet, romeo) = (
        house.client("juliet", "balcony").await,
        house.client("romeo", "orchard").await,
    );
    let edge = house.edge_ref();
    house.router.edge_up(edge.clone()).await;
    house.router.attached(&edge, u64::MAX, Default::default()).await;
    juliet.available().await;
    enable(&juliet, None).await.unwrap();
    assert!(juliet.router.close(&juliet.session, CloseReason::Lost).await.unwrap());
    romeo.send(&message("1")).await.unwrap();
    house.router.drain().await;

    let router = support::router("router-1", house.stores.clone(), Arc::new(NoPeers), Config::default());
    router.serve_alone();
    let house = House { router, ..house };
    let juliet = house.client("juliet", "balcony").await;
    juliet.available().await;
    assert!(juliet.got().iter().any(|text| text.contains("id='1'")));
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_edge_is_gone_is_entrusted_to_another_and_outlives_its_home() {
    let (house, juliet, other) = with_another_edge().await;
    let romeo = Client::bind(
        &house.router,
        edge_ref("edge-2", &other),
        &other,
        &support::account("romeo"),
        Some("orchard"),
    )
    .await
    .unwrap();
    juliet.available().await;
    let resumption = enable(&juliet, None).await.unwrap();
    romeo.send(&message("1")).await.unwrap();

    house.router.edge_down(&"edge-1".into(), Epoch(1)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let kept = other.kept.lock().pop().expect("entrusted");
    assert!(
        kept.detached
            && kept
                .unwritten
                .iter()
                .any(|waiting| waiting.stanza.head().id.as_deref() == Some("1"))
    );
    house.router.edge_up(house.edge_ref()).await;
    assert!(romeo.send(&message("2")).await.is_ok());
    let later = other.deliveries(kept.session.id);
    assert!(later.iter().any(|(_, text, _)| text.contains("id='2'")), "{later:?}");

    // The home dies: the edge hands the session on.
    let router = support::router("router-2", house.stores.clone(), Arc::new(NoPeers), Config::default());
    router.serve_alone();
    router.edge_up(edge_ref("edge-2", &other)).await;
    router.attach(&edge_ref("edge-2", &other), kept).await.unwrap();
    let house = House { router, ..house };
    let (session, reply) = resume(&house, "edge-33", "juliet", &resumption.id, 0).await;
    assert!(matches!(reply, ResumeReply::Resumed { .. }), "{reply:?}");
    settle().await;
    let heard = got(&house, session);
    for id in ["id='1'", "id='2'"] {
        assert_eq!(
            heard.iter().filter(|(_, text)| text.contains(id)).count(),
            1,
            "{heard:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_sessions_of_an_account_one_is_over_the_new_link_before_the_other() {
    for first in [0, 1] {
        let house = House::new(&["juliet", "romeo"]).await;
        let juliets = [
            house.client("juliet", "balcony").await,
            house.client("juliet", "chamber").await,
        ];
        let romeo = house.client("romeo", "orchard").await;
        for juliet in &juliets {
            juliet.available().await;
        }
        let again = Arc::new(FakeEdge::default());
        let link = edge_ref("edge-1", &again);
        house.router.edge_up(house.edge_ref()).await;
        house.router.edge_down(&link.id, link.epoch).await;
        house.router.edge_up(link.clone()).await;
        let attach = |client: &Client| {
            let got = client.numbers().last().copied().unwrap_or(0);
            Attach {
                session: client.session.clone(),
                grant: client.grant.clone(),
                peer: Peer::default(),
                mirror: Default::default(),
                delivered: got,
                written: got,
                done: client.sent(),
                unwritten: Vec::new(),
                archived: None,
                detached: false,
                inactive: false,
                held: Held::default(),
            }
        };
        let attachments = juliets.each_ref().map(attach);
        house.router.attach(&link, attachments[first].clone()).await.unwrap();
        romeo
            .send(&format!("<message to='juliet@{DOMAIN}'><body>hi</body></message>"))
            .await
            .unwrap();
        house
            .router
            .attach(&link, attachments[1 - first].clone())
            .await
            .unwrap();
        for juliet in &juliets {
            let heard = again.deliveries(juliet.session.id);
            let heard = heard.iter().filter(|(_, text, _)| text.contains("<body>"));
            assert_eq!(heard.count(), 1, "{first}: {}", juliet.session.jid);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_edge_is_not_entrusted_with_a_session_that_it_may_be_about_to_attach() {
    let (house, juliet, other) = with_another_edge().await;
    let (at, account) = (edge_ref("edge-3", &house.edge), support::account("romeo"));
    let romeo = Client::bind(&house.router, at, &house.edge, &account, Some("orchard")).await;
    let romeo = romeo.unwrap();
    juliet.available().await;
    enable(&juliet, None).await.unwrap();
    // Both edges are out of reach, the other one a little later: it is entrusted with the session meanwhile.
    let lost = juliet.numbers().last().copied().unwrap_or(0);
    for edge in ["edge-1", "edge-2"] {
        house.router.edge_down(&edge.into(), Epoch(1)).await;
        romeo.send(&message(edge)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let kept = other.kept.lock().pop().expect("entrusted");
    // The first is back, over another link, and has its session to attach: nothing is said of it before.
    let again = Arc::new(FakeEdge::default());
    let link = edge_ref("edge-1", &again);
    house.router.edge_up(link.clone()).await;
    settle().await;
    romeo.send(&message("3")).await.unwrap();
    assert_eq!(
        (again.kept.lock().len(), again.deliveries(juliet.session.id).len()),
        (0, 0)
    );
    let attach = Attach {
        delivered: lost,
        written: lost,
        unwritten: Vec::new(),
        detached: false,
        ..kept
    };
    house.router.attach(&link, attach).await.unwrap();
    let numbers = again
        .deliveries(juliet.session.id)
        .into_iter()
        .map(|(number, ..)| number);
    assert_eq!(numbers.collect::<Vec<_>>(), [lost + 1, lost + 2, lost + 3]);
}

#[tokio::test(start_paused = true)]
async fn of_two_copies_without_a_stream_the_one_that_went_on_counts() {
    for older_first in [true, false] {
        let (house, juliet, other) = with_another_edge().await;
        juliet.available().await;
        let resumption = enable(&juliet, None).await.unwrap();
        house.router.edge_down(&"edge-1".into(), Epoch(1)).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let older = other.kept.lock().pop().expect("entrusted");
        // Its own edge came back, three deliveries went there and were taken, then its client was gone; its home dies.
        let own = Arc::new(FakeEdge::default());
        let link = edge_ref("edge-1", &own);
        house.router.edge_up(link.clone()).await;
        let back = Attach {
            detached: false,
            ..older.clone()
        };
        house.router.attach(&link, back).await.unwrap();
        let newer = Attach {
            delivered: older.delivered + 3,
            written: older.delivered + 3,
            mirror: own.mirrors.lock()[&juliet.session.id].clone(),
            unwritten: Vec::new(),
            ..older.clone()
        };
        let next = support::router("router-2", house.stores.clone(), Arc::new(NoPeers), Config::default());
        next.serve_alone();
        let other_link = edge_ref("edge-2", &other);
        if older_first {
            next.attach(&other_link, older.clone()).await.unwrap();
            next.attach(&link, newer).await.unwrap();
        } else {
            next.attach(&link, newer).await.unwrap();
            assert_eq!(next.attach(&other_link, older.clone()).await, Err(link::Gone::Session));
        }
        let account = support::account("romeo");
        let romeo = Client::bind(&next, link, &own, &account, Some("orchard"))
            .await
            .unwrap();
        romeo.send(&message("1")).await.unwrap();
        let house = House { router: next, ..house };
        let taken = u32::try_from(older.delivered + 3).unwrap();
        let (session, reply) = resume(&house, "edge-33", "juliet", &resumption.id, taken).await;
        assert!(matches!(reply, ResumeReply::Resumed { .. }), "{older_first}: {reply:?}");
        settle().await;
        let heard = got(&house, session);
        let heard: Vec<_> = heard.iter().filter(|(_, text)| text.contains("id='1'")).collect();
        assert_eq!(
            heard.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            [older.delivered + 4]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_left_behind_gives_way_to_the_session_that_went_on() {
    let (house, juliet, other) = with_another_edge().await;
    juliet.available().await;
    enable(&juliet, None).await.unwrap();
    house.router.edge_down(&"edge-1".into(), Epoch(1)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let copy = other.kept.lock().pop().expect("entrusted");
    // The session's own edge came back and it went on; then their home dies, and the other edge, which heard of nothing, is faster.
    let went_on = copy.delivered + 5;
    let next = support::router("router-2", house.stores.clone(), Arc::new(NoPeers), Config::default());
    next.serve_alone();
    next.edge_up(edge_ref("edge-2", &other)).await;
    next.attach(&edge_ref("edge-2", &other), copy.clone()).await.unwrap();
    let (at, account) = (edge_ref("edge-2", &other), support::account("romeo"));
    let romeo = Client::bind(&next, at, &other, &account, Some("orchard"))
        .await
        .unwrap();
    romeo.send(&message("1")).await.unwrap();
    let request = format!("<iq to='juliet@{DOMAIN}/balcony' type='get' id='2'><ping xmlns='urn:xmpp:ping'/></iq>");
    romeo.send(&request).await.unwrap();

    let own = Arc::new(FakeEdge::default());
    let attach = Attach {
        delivered: went_on,
        written: went_on,
        unwritten: Vec::new(),
        detached: false,
        ..copy
    };
    next.attach(&edge_ref("edge-1", &own), attach).await.unwrap();
    romeo.send(&message("3")).await.unwrap();
    settle().await;
    let heard: Vec<_> = own.deliveries(juliet.session.id);
    let ids = |text: &str| {
        ["1", "2", "3"]
            .into_iter()
            .find(|id| text.contains(&format!("id='{id}'")))
            .unwrap_or("")
    };
    let mut heard: Vec<_> = heard
        .iter()
        .map(|(number, text, _)| (*number - went_on, ids(text)))
        .collect();
    assert_eq!(
        heard.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [1, 2, 3],
        "{heard:?}"
    );
    heard.sort_unstable_by_key(|(_, id)| *id);
    assert_eq!(heard.iter().map(|(_, id)| *id).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert!(
        other
            .kicks
            .lock()
            .contains(&(juliet.session.id, StreamCondition::Conflict))
    );
    assert_eq!(next.sessions(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_was_out_of_reach_comes_back_and_the_copy_entrusted_elsewhere_is_forgotten() {
    let (house, juliet, other) = with_another_edge().await;
    juliet.available().await;
    enable(&juliet, None).await.unwrap();
    house.router.edge_down(&"edge-1".into(), Epoch(1)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let kept = other.kept.lock().pop().expect("entrusted");

    // The edge was alive, and so is the stream.
    house.router.edge_up(house.edge_ref()).await;
    let attach = Attach {
        detached: false,
        ..kept.clone()
    };
    house.router.attach(&house.edge_ref(), attach).await.unwrap();
    assert_eq!(*other.kicks.lock(), [(kept.session.id, StreamCondition::Conflict)]);
    // Should the other edge not have heard so, its copy does not count.
    let again = house.router.attach(&edge_ref("edge-2", &other), kept).await;
    assert_eq!(again, Err(link::Gone::Session));
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert_eq!(house.router.sessions(), 1, "it is not given up");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_answered_is_not_answered_again() {
    let house = House::new(&["juliet", "romeo"]).await;
    let (juliet, romeo) = (
        house.client("juliet", "balcony").await,
        house.client("romeo", "orchard").await,
    );
    juliet.available().await;
    enable(&juliet, None).await.unwrap();
    let ping = format!("<iq type='get' id='q' to='juliet@{DOMAIN}/balcony'><ping xmlns='urn:xmpp:ping'/></iq>");
    romeo.send(&ping).await.unwrap();
    let answer = format!("<iq type='result' id='q' to='romeo@{DOMAIN}/orchard'/>");
    juliet.send(&answer).await.unwrap();
    juliet.close().await; // without a word on what it has handled
    let heard: Vec<_> = romeo.got().into_iter().filter(|text| text.contains("id='q'")).collect();
    assert!(heard.len() == 1 && heard[0].contains("result"), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn an_older_copy_of_a_session_gives_way_unheard() {
    let house = House::new(&["juliet", "romeo"]).await;
    let juliet = house.client("juliet", "balcony").await;
    juliet.available().await;
    let resumption = enable(&juliet, None).await.unwrap();
    let (session, reply) = resume(&house, "edge-2", "juliet", &resumption.id, 0).await;
    assert!(matches!(reply, ResumeReply::Resumed { .. }));
    let copy = |id: SessionId, detached| Attach {
        session: SessionRef::new(id, juliet.session.jid.clone()),
        grant: support::grant(id, &support::account("juliet"), Timestamp(i64::MAX)),
        peer: Peer::default(),
        mirror: house.edge.mirrors.lock()[&id].clone(),
        delivered: 0,
        written: 0,
        done: 1,
        archived: None,
        unwritten: Vec::new(),
        detached,
        inactive: false,
        held: Held::default(),
    };
    let next = House {
        router: support::router(
            "router-2",
            house.stores.clone(),
            Arc::new(router::NoPeers),
            Config::default(),
        ),
        edge: Default::default(),
        stores: house.stores.clone(),
    };
    next.router.serve_alone();
    let romeo = next.client("romeo", "orchard").await;
    romeo.available().await;
    for (edge, id, detached) in [("edge-1", juliet.session.id, true), ("edge-2", session, false)] {
        let at = edge_ref(edge, &next.edge);
        next.router.attach(&at, copy(id, detached)).await.unwrap();
    }
    let heard = romeo.got();
    assert!(!heard.iter().any(|text| text.contains("unavailable")), "{heard:?}");
    assert_eq!(next.router.sessions(), 2);
    let kicked: Vec<_> = next.edge.kicks.lock().iter().map(|(id, _)| *id).collect();
    assert_eq!(kicked, [juliet.session.id]);
}
