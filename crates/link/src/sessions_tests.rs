//! Sessions against simulated routers: tables move, links die, homes refuse; nothing is lost, repeated or reordered.

use std::collections::VecDeque;

use parking_lot::Mutex;
use proptest::prelude::*;
use stanza::{Counts, Full, Message, Stanza};

use super::*;
use crate::Said;

const LIMITS: Limits = Limits {
    session: Window { items: 4, bytes: 1000 },
    total: Window {
        items: 10,
        bytes: 10_000,
    },
    seal: Duration::from_secs(5),
};

#[derive(Default)]
struct Wire(Mutex<VecDeque<EdgeFrame>>);

impl Port for Wire {
    fn send(&self, frame: EdgeFrame) {
        self.0.lock().push_back(frame);
    }
    fn written(&self, session: SessionId, number: u64) {
        self.send(EdgeFrame::Written { session, number });
    }
}

impl Wire {
    fn drain(&self) -> Vec<EdgeFrame> {
        self.0.lock().drain(..).collect()
    }

    /// What was sent, in short.
    fn said(&self) -> Vec<String> {
        self.drain().iter().map(short).collect()
    }
}

fn short(frame: &EdgeFrame) -> String {
    match frame {
        EdgeFrame::Attach { generation, attach } => {
            format!("attach {} g{generation} after {}", attach.session.id.0, attach.done)
        }
        EdgeFrame::Attached(table, pending) if pending.is_empty() => format!("attached {table}"),
        EdgeFrame::Attached(table, pending) => format!("attached {table} but {}", pending.len()),
        EdgeFrame::Submit {
            session,
            generation,
            submission,
        } => {
            format!("submit {} g{generation} #{}", session.0, submission.number)
        }
        EdgeFrame::Close {
            session, generation, ..
        } => format!("close {} g{generation}", session.0),
        EdgeFrame::Written { session, number } => format!("written {} #{number}", session.0),
        other => format!("{other:?}"),
    }
}

fn stanza() -> Stanza {
    Stanza::Message(Message {
        head: stanza::Head::default(),
        kind: stanza::MessageType::Chat,
        payload: stanza::Payload::default(),
    })
}

fn delivery(session: u128, numbers: &[u64], stanza: Stanza) -> Delivery {
    Delivery {
        sessions: numbers.iter().map(|number| (SessionId(session), *number)).collect(),
        stanza: Arc::new(stanza),
        readdress: false,
        archived: None,
        settled: false,
        trace: None,
    }
}

fn submission(number: u64) -> Submission {
    Submission {
        number,
        said: Said::Stanza(stanza()),
        trace: None,
    }
}

fn session(id: u128) -> SessionRef {
    SessionRef::new(SessionId(id), Full::parse(&format!("user{id}@example.com/r")).unwrap())
}

fn name(router: usize) -> NodeId {
    format!("router-{router}").as_str().into()
}

fn weights(weights: &[u32]) -> Vec<(NodeId, Epoch, u32)> {
    weights
        .iter()
        .enumerate()
        .map(|(n, weight)| (name(n), Epoch(1), *weight))
        .collect()
}

/// An edge with links to routers 0 and 1, of which 0 is home of everything, and one session.
fn edge() -> (Sessions<Wire>, Vec<Arc<Wire>>, SlotTable) {
    let mut sessions = Sessions::new(LIMITS);
    let wires: Vec<_> = (0..2).map(|_| Arc::new(Wire::default())).collect();
    let table = SlotTable::empty().next(&weights(&[100]), usize::MAX).unwrap();
    sessions.publish(&table);
    for (n, wire) in wires.iter().enumerate() {
        sessions.link_up(name(n), Epoch(1), LinkId(n as u64), Arc::clone(wire));
        sessions.sealed(LinkId(n as u64), 1);
    }
    sessions.settle(Instant::now());
    sessions.bind(SessionId(7), session(7).slot, LinkId(0));
    sessions.bound(
        LinkId(0),
        session(7),
        Grant::default(),
        Peer::default(),
        Counts::default(),
    );
    wires.iter().for_each(|wire| assert_eq!(wire.said(), ["attached 1"]));
    (sessions, wires, table)
}

fn moved(table: &SlotTable) -> SlotTable {
    table.next(&weights(&[0, 100]), usize::MAX).unwrap()
}

fn put(sessions: &mut Sessions<Wire>, number: u64) -> bool {
    matches!(sessions.submit(SessionId(7), submission(number), 100), Submit::Taken)
}

#[test]
fn a_moved_session_is_held_until_the_old_home_has_sealed_then_attached_with_what_is_undone() {
    let (mut sessions, wires, table) = edge();
    let now = Instant::now();
    assert!(put(&mut sessions, 1) && put(&mut sessions, 2));
    assert_eq!(wires[0].said(), ["submit 7 g0 #1", "submit 7 g0 #2"]);
    sessions.publish(&moved(&table));
    assert_eq!(sessions.settle(now), Some(now + LIMITS.seal));
    assert!(put(&mut sessions, 3));
    assert!(
        sessions.done(LinkId(0), SessionId(7), 1),
        "the old home may still answer"
    );
    assert_eq!(
        (wires[0].said(), wires[1].said()),
        (vec!["attached 2".to_owned()], vec!["attached 2 but 4096".to_owned()])
    );
    sessions.sealed(LinkId(0), 2);
    assert_eq!(sessions.settle(now), None);
    assert_eq!(
        wires[1].said(),
        ["attach 7 g1 after 1", "submit 7 g1 #2", "submit 7 g1 #3", "attached 2"]
    );
    assert!(!sessions.done(LinkId(0), SessionId(7), 3), "but no longer");
    assert!(sessions.done(LinkId(1), SessionId(7), 3));
}

#[test]
fn a_dead_link_is_not_waited_for() {
    let (mut sessions, wires, table) = edge();
    assert!(put(&mut sessions, 1));
    sessions.link_down(LinkId(0));
    sessions.publish(&moved(&table));
    sessions.settle(Instant::now());
    assert_eq!(wires[1].said(), ["attach 7 g1 after 0", "submit 7 g1 #1", "attached 2"]);
}

#[test]
fn a_home_that_never_seals_is_left_in_the_end() {
    let (mut sessions, wires, table) = edge();
    let now = Instant::now();
    sessions.publish(&moved(&table));
    let until = sessions.settle(now).unwrap();
    assert_eq!(wires[1].said(), ["attached 2 but 4096"]);
    sessions.settle(until);
    assert_eq!(wires[1].said(), ["attach 7 g1 after 0", "attached 2"]);
}

#[test]
fn a_link_that_comes_back_gets_its_sessions_again() {
    let (mut sessions, wires, _) = edge();
    sessions.link_down(LinkId(0));
    assert!(put(&mut sessions, 1));
    sessions.settle(Instant::now());
    assert!(wires[0].said().is_empty());
    sessions.link_up(name(0), Epoch(1), LinkId(9), Arc::clone(&wires[0]));
    sessions.settle(Instant::now());
    assert_eq!(
        wires[0].said(),
        ["attached 1 but 1"],
        "it has not said which table it is at"
    );
    sessions.sealed(LinkId(9), 1);
    sessions.settle(Instant::now());
    assert_eq!(wires[0].said(), ["attach 7 g1 after 0", "submit 7 g1 #1", "attached 1"]);
}

#[test]
fn a_refused_session_tries_again_by_a_newer_table_or_after_a_while() {
    let (mut sessions, wires, table) = edge();
    let now = Instant::now();
    assert!(
        !sessions.refused(LinkId(0), SessionId(7), 3, Gone::Home, now),
        "another attachment"
    );
    assert_eq!(sessions.settle(now), None);
    assert!(!sessions.refused(LinkId(0), SessionId(7), 0, Gone::Home, now));
    let until = sessions.settle(now).unwrap();
    assert!(wires[0].said().is_empty());
    sessions.settle(until);
    assert_eq!(wires[0].said(), ["attach 7 g1 after 0"]);
    assert!(!sessions.refused(LinkId(0), SessionId(7), 1, Gone::Home, until));
    sessions.publish(&moved(&table));
    sessions.settle(until);
    assert_eq!(wires[1].said(), ["attached 2 but 4096"], "the old home may still speak");
    sessions.sealed(LinkId(0), 2);
    sessions.settle(until);
    assert_eq!(wires[1].said(), ["attach 7 g2 after 0", "attached 2"]);
}

#[test]
fn an_old_home_that_refuses_what_is_new_is_heard_until_it_has_sealed() {
    let (mut sessions, wires, table) = edge();
    assert!(put(&mut sessions, 1) && put(&mut sessions, 2));
    assert!(sessions.done(LinkId(0), SessionId(7), 1));
    // It has heard of the new table before this edge has.
    sessions.refused(LinkId(0), SessionId(7), 0, Gone::Home, Instant::now());
    assert_eq!(delivered(&mut sessions, 0, &[1]), [1]);
    sessions.mirror(LinkId(0), SessionId(7), Bytes::from_static(b"last"));
    sessions.publish(&moved(&table));
    sessions.settle(Instant::now());
    assert_eq!(delivered(&mut sessions, 0, &[2]), [2]);
    wires[1].said();
    sessions.sealed(LinkId(0), 2);
    sessions.settle(Instant::now());
    let EdgeFrame::Attach { attach, .. } = wires[1].drain().swap_remove(0) else {
        panic!("no attachment")
    };
    assert_eq!(
        (attach.done, attach.delivered, &attach.mirror[..]),
        (1, 2, &b"last"[..])
    );
    assert!(delivered(&mut sessions, 0, &[3]).is_empty(), "but no longer");
}

#[test]
fn a_session_the_home_does_not_know_is_gone() {
    let (mut sessions, _, _) = edge();
    assert!(put(&mut sessions, 1));
    assert!(sessions.refused(LinkId(0), SessionId(7), 0, Gone::Session, Instant::now()));
    assert!(matches!(sessions.submit(SessionId(7), submission(2), 1), Submit::Gone));
    assert_eq!(sessions.load(), (0, Window { items: 0, bytes: 0 }));
}

#[test]
fn windows_bound_one_session_and_all() {
    let (mut sessions, _, _) = edge();
    assert!((1..=4).all(|n| put(&mut sessions, n)));
    assert!(!put(&mut sessions, 5), "the session's window");
    assert!(sessions.done(LinkId(0), SessionId(7), 1));
    assert!(put(&mut sessions, 5));
    for id in 8..20 {
        sessions.bind(SessionId(id), session(id).slot, LinkId(0));
        sessions.bound(
            LinkId(0),
            session(id),
            Grant::default(),
            Peer::default(),
            Counts::default(),
        );
    }
    let taken = (8..20)
        .filter(|id| matches!(sessions.submit(SessionId(*id), submission(1), 1), Submit::Taken))
        .count();
    assert_eq!(taken, 6, "the window of all is 10");
}

#[test]
fn deliveries_reach_each_session_once_and_only_from_its_home() {
    let (mut sessions, _, _) = edge();
    let mut check = |link, numbers: &[u64], want: &[u64]| {
        assert_eq!(delivered(&mut sessions, link, numbers), want);
    };
    check(0, &[1], &[1]);
    check(0, &[1], &[]);
    check(1, &[2], &[]);
    check(0, &[2, 3], &[2, 3]);
}

#[test]
fn a_session_that_lacks_a_delivery_takes_none_beyond_it_and_attaches_again() {
    let (mut sessions, wires, _) = edge();
    let now = Instant::now();
    sessions.written(SessionId(7), 0);
    assert_eq!(delivered(&mut sessions, 0, &[1]), [1]);
    sessions.mirror(LinkId(0), SessionId(7), Bytes::from_static(b"1"));
    assert_eq!(
        delivered(&mut sessions, 0, &[3]),
        [],
        "its client would acknowledge what it does not have"
    );
    sessions.mirror(LinkId(0), SessionId(7), Bytes::from_static(b"3"));
    wires[0].drain();
    let until = sessions.settle(now).expect("it waits a moment");
    sessions.settle(until);
    let Some(EdgeFrame::Attach { attach, .. }) = wires[0].drain().into_iter().next() else {
        panic!("no attachment")
    };
    assert_eq!((attach.delivered, &attach.mirror[..]), (1, &b"1"[..]));
    // What was on its way comes first, then all of it.
    assert_eq!(delivered(&mut sessions, 0, &[4]), []);
    assert_eq!(delivered(&mut sessions, 0, &[2, 3, 4]), [2, 3, 4]);
    sessions.mirror(LinkId(0), SessionId(7), Bytes::from_static(b"4"));
    sessions.link_down(LinkId(0));
    sessions.link_up(name(0), Epoch(1), LinkId(9), Arc::clone(&wires[0]));
    sessions.sealed(LinkId(9), 1);
    wires[0].drain();
    sessions.settle(until + Duration::from_secs(1));
    let Some(EdgeFrame::Attach { attach, .. }) = wires[0].drain().into_iter().next() else {
        panic!("no attachment")
    };
    assert_eq!((attach.delivered, &attach.mirror[..]), (4, &b"4"[..]));
}

#[test]
fn what_cannot_be_read_holds_up_nothing_that_follows() {
    let (mut sessions, _, _) = edge();
    assert_eq!(delivered(&mut sessions, 0, &[1]), [1]);
    sessions.pass_over(LinkId(1), &[(SessionId(7), 2)]);
    sessions.pass_over(LinkId(0), &[(SessionId(7), 3)]);
    assert_eq!(delivered(&mut sessions, 0, &[3]), [], "two is still to come");
    sessions.pass_over(LinkId(0), &[(SessionId(7), 2)]);
    assert_eq!(delivered(&mut sessions, 0, &[3]), [3]);
}

/// What the edge takes of these deliveries to session 7 over a link.
fn delivered(sessions: &mut Sessions<Wire>, link: u64, numbers: &[u64]) -> Vec<u64> {
    let mut delivery = delivery(7, numbers, stanza());
    sessions.delivery(LinkId(link), &mut delivery, Instant::now());
    delivery.sessions.iter().map(|(_, n)| *n).collect()
}

#[test]
fn a_kept_session_follows_its_home_without_a_client() {
    let (mut sessions, wires, table) = edge();
    assert_eq!(delivered(&mut sessions, 0, &[1, 2]), [1, 2]);
    sessions.written(SessionId(7), 1);
    sessions.close(SessionId(7), CloseReason::Lost);
    sessions.closed(LinkId(0), SessionId(7), true);
    assert_eq!(delivered(&mut sessions, 0, &[3]), [], "nobody is there to write it to");
    wires[0].drain();
    sessions.link_down(LinkId(0));
    sessions.publish(&moved(&table));
    sessions.settle(Instant::now());
    let attach = wires[1].drain().into_iter().find_map(|frame| match frame {
        EdgeFrame::Attach { attach, .. } => Some(attach),
        _ => None,
    });
    let attach = attach.expect("attached");
    let unwritten: Vec<_> = attach.unwritten.iter().map(|unwritten| unwritten.number).collect();
    assert_eq!((attach.detached, attach.delivered, unwritten), (true, 3, vec![2, 3]));
    assert!(!sessions.kicked(LinkId(1), SessionId(7)), "there is no stream to close");
    assert_eq!(sessions.load().0, 0, "but nothing is kept any more");
}

#[test]
fn an_entrusted_session_is_kept_like_an_own_one() {
    let (mut sessions, wires, table) = edge();
    let unwritten = Unwritten {
        number: 4,
        stanza: Arc::new(stanza()),
        readdress: false,
        archived: None,
        settled: false,
    };
    let attach = Attach {
        session: session(9),
        grant: Grant::default(),
        peer: Peer::default(),
        mirror: Bytes::new(),
        delivered: 4,
        written: 3,
        done: 2,
        unwritten: vec![unwritten],
        archived: None,
        detached: true,
        inactive: false,
        held: Held::default(),
    };
    sessions.keep(LinkId(5), attach.clone(), Instant::now());
    assert_eq!(sessions.load().0, 1, "no such link");
    sessions.keep(LinkId(0), attach, Instant::now());
    wires[0].drain();
    sessions.link_down(LinkId(0));
    sessions.publish(&moved(&table));
    sessions.settle(Instant::now());
    let handed_on = wires[1].drain().into_iter().find_map(|frame| match frame {
        EdgeFrame::Attach { attach, .. } if attach.session.id == SessionId(9) => Some(attach),
        _ => None,
    });
    let handed_on = handed_on.expect("attached");
    assert_eq!((handed_on.detached, handed_on.delivered, handed_on.done), (true, 4, 2));
    assert_eq!(handed_on.unwritten.len(), 1);
    assert!(!sessions.kicked(LinkId(1), SessionId(9)), "there is no stream to close");
    assert_eq!(sessions.load().0, 1);
}

#[test]
fn what_the_client_has_answered_is_handed_on_as_settled() {
    let (mut sessions, wires, table) = edge();
    let read = |text: &str| Stanza::parse(&Bytes::copy_from_slice(text.as_bytes())).unwrap();
    for number in [1, 2] {
        let request = format!("<iq type='get' id='{number}' from='a@b.c/d'><ping xmlns='urn:xmpp:ping'/></iq>");
        sessions.delivery(LinkId(0), &mut delivery(7, &[number], read(&request)), Instant::now());
    }
    let answer = Submission {
        number: 1,
        said: Said::Stanza(read("<iq type='result' id='2' to='a@b.c/d'/>")),
        trace: None,
    };
    assert!(matches!(sessions.submit(SessionId(7), answer, 1), Submit::Taken));
    sessions.link_down(LinkId(0));
    sessions.publish(&moved(&table));
    sessions.settle(Instant::now());
    let handed_on = wires[1].drain().into_iter().find_map(|frame| match frame {
        EdgeFrame::Attach { attach, .. } => Some(attach.unwritten),
        _ => None,
    });
    let settled = |unwritten: Vec<Unwritten>| unwritten.iter().map(|one| one.settled).collect::<Vec<_>>();
    assert_eq!(handed_on.map(settled), Some(vec![false, true]));
}

#[test]
fn a_home_may_deliver_before_it_has_answered_the_bind() {
    let (mut sessions, _, _) = edge();
    sessions.bind(SessionId(8), session(8).slot, LinkId(0));
    let delivered = |sessions: &mut Sessions<Wire>, number| {
        let mut delivery = delivery(8, &[number], stanza());
        sessions.delivery(LinkId(0), &mut delivery, Instant::now());
        !delivery.sessions.is_empty()
    };
    assert!(delivered(&mut sessions, 1));
    sessions.bound(
        LinkId(0),
        session(8),
        Grant::default(),
        Peer::default(),
        Counts::default(),
    );
    assert!(!delivered(&mut sessions, 1) && delivered(&mut sessions, 2));
}

#[test]
fn a_closed_session_is_forgotten_when_the_home_has_dealt_with_it_wherever_that_is() {
    let (mut sessions, wires, table) = edge();
    assert!(put(&mut sessions, 1));
    sessions.close(SessionId(7), CloseReason::Client);
    sessions.close(SessionId(7), CloseReason::Edge);
    assert_eq!(wires[0].said(), ["submit 7 g0 #1", "close 7 g0"]);
    sessions.link_down(LinkId(0));
    sessions.publish(&moved(&table));
    sessions.settle(Instant::now());
    assert_eq!(
        wires[1].said(),
        ["attach 7 g1 after 0", "submit 7 g1 #1", "close 7 g1", "attached 2"]
    );
    sessions.closed(LinkId(1), SessionId(7), false);
    assert_eq!(sessions.load().0, 0);
}

#[test]
fn a_new_home_is_told_which_slots_wait_for_their_sessions_or_for_binds_under_way_elsewhere() {
    let (mut sessions, wires, table) = edge();
    sessions.bind(SessionId(8), session(8).slot, LinkId(0));
    sessions.publish(&moved(&table));
    sessions.settle(Instant::now());
    sessions.settle(Instant::now());
    // All that the old home has still to give away, also where nobody is: it may still take something in.
    assert_eq!(pending(&wires[1]), [Slot::all().collect()], "once");
    sessions.sealed(LinkId(0), 2);
    sessions.settle(Instant::now());
    assert_eq!(pending(&wires[1]), [[session(8).slot].into()]);
    sessions.unbound(SessionId(8));
    sessions.settle(Instant::now());
    assert_eq!(pending(&wires[1]), [BTreeSet::new()]);
}

#[test]
fn a_slot_that_a_home_may_have_opened_is_not_pending_again() {
    let (mut sessions, wires, table) = edge();
    sessions.publish(&moved(&table));
    sessions.sealed(LinkId(0), 2);
    sessions.settle(Instant::now());
    assert_eq!(pending(&wires[1]), [BTreeSet::new()]);
    sessions.refused(LinkId(1), SessionId(7), 1, Gone::Home, Instant::now());
    assert!(sessions.settle(Instant::now()).is_some());
    assert!(pending(&wires[1]).is_empty());
}

#[test]
fn a_home_that_was_behind_the_edge_gets_the_session_again_once_it_has_caught_up() {
    let (mut sessions, wires, table) = edge();
    let there = moved(&table);
    let back = there.next(&weights(&[100, 0]), usize::MAX).unwrap();
    // The edge knows that the slot went away and came back; its home has heard of neither, and binds.
    sessions.publish(&back);
    sessions.bind(SessionId(8), session(8).slot, LinkId(0));
    sessions.bound(
        LinkId(0),
        session(8),
        Grant::default(),
        Peer::default(),
        Counts::default(),
    );
    sessions.settle(Instant::now());
    let attached = |wire: &Wire| wire.said().iter().filter(|said| said.starts_with("attach 8")).count();
    assert_eq!(attached(&wires[0]), 0);
    for (table, attachments) in [(there.revision, 0), (back.revision, 1), (back.revision + 1, 0)] {
        sessions.sealed(LinkId(0), table);
        sessions.settle(Instant::now());
        assert_eq!(attached(&wires[0]), attachments, "sealed {table}");
    }
}

/// What slots a router was told to be pending.
fn pending(wire: &Wire) -> Vec<BTreeSet<Slot>> {
    let told = |frame| match frame {
        EdgeFrame::Attached(_, pending) => Some(pending),
        _ => None,
    };
    wire.drain().into_iter().filter_map(told).collect()
}

#[path = "sessions_world_tests.rs"]
mod world;

// ---- Cost ---------------------------------------------------------------------------------------------------------------------

/// What looking after a hundred thousand sessions costs; the figures are printed, the order of magnitude is checked.
#[test]
fn a_table_costs_what_it_moves() {
    const MANY: u128 = 100_000;
    let (mut sessions, wires, table) = edge();
    for id in 100..100 + MANY {
        sessions.bind(SessionId(id), session(id).slot, LinkId(0));
        sessions.bound(
            LinkId(0),
            session(id),
            Grant::default(),
            Peer::default(),
            Counts::default(),
        );
    }
    sessions.settle(Instant::now());
    let mut cost = |what: &str, table: &SlotTable| {
        sessions.publish(table);
        sessions.sealed(LinkId(0), table.revision);
        let began = Instant::now();
        sessions.settle(Instant::now());
        let took = began.elapsed();
        let attached = wires[1].drain().len() - 1;
        println!("{what}: {} us, {attached} sessions attached", took.as_micros());
        (took, attached)
    };
    let eight = table.next(&weights(&[100, 100]), 8).unwrap();
    let (few, some) = cost("8 slots move", &eight);
    let (all, most) = cost(
        "half of the slots move",
        &eight.next(&weights(&[100, 100]), usize::MAX).unwrap(),
    );
    assert!(some > 0 && most > 100 * some && all > few);
}
