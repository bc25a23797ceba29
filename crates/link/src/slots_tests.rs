//! Slots against simulated homes: tables move, links die, homes give back; nothing is lost, repeated or reordered.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use proptest::prelude::*;
use stanza::{Head, Message, MessageType, Payload};

use super::*;

const LIMITS: Limits = Limits {
    slot: Window { items: 8, bytes: 1000 },
    total: Window {
        items: 20,
        bytes: 10_000,
    },
    linger: Duration::from_secs(3),
};

#[derive(Default)]
struct Wire(Mutex<VecDeque<PeerFrame>>);

impl Port for Wire {
    fn send(&self, frame: PeerFrame) {
        self.0.lock().push_back(frame);
    }
}

impl Wire {
    /// What was sent, in short: per frame and part `slot.generation.number`, slots as 0 and 1 of [`slot`].
    fn said(&self) -> Vec<String> {
        let short = |part: &Part| {
            let index = (0..2).find(|n| slot(*n) == part.slot).unwrap();
            format!("{index}.{}.{}", part.generation, part.number)
        };
        let frame = |frame: PeerFrame| frame.parts.iter().map(short).collect::<Vec<_>>().join(" ");
        self.0.lock().drain(..).map(frame).collect()
    }
}

fn user(n: usize) -> Jid {
    Jid::parse(&format!("user{n}@example.com")).unwrap()
}

fn slot(n: usize) -> Slot {
    Slot::of(user(n).as_str())
}

fn parcel(id: u64) -> Parcel<u64> {
    let head = Head {
        id: Some(id.to_string().as_str().into()),
        ..Head::default()
    };
    let stanza = Message {
        head,
        kind: MessageType::Chat,
        payload: Payload::default(),
    }
    .into();
    Parcel {
        to: Vec::new(),
        stanza: Arc::new(stanza),
        key: None,
        trace: None,
        ticket: id,
    }
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

type World2 = (Slots<Wire, u64>, Vec<Arc<Wire>>, SlotTable);

/// Links to routers 0 and 1, of which 0 is home of everything.
fn slots() -> World2 {
    let mut slots = Slots::new(LIMITS);
    let wires: Vec<_> = (0..2).map(|_| Arc::new(Wire::default())).collect();
    let table = SlotTable::empty().next(&weights(&[100]), usize::MAX).unwrap();
    slots.publish(&table);
    for (n, wire) in wires.iter().enumerate() {
        slots.link_up(name(n), Epoch(1), LinkId(n as u64), Arc::clone(wire));
    }
    (slots, wires, table)
}

fn moved(table: &SlotTable) -> SlotTable {
    table.next(&weights(&[0, 100]), usize::MAX).unwrap()
}

fn put(slots: &mut Slots<Wire, u64>, users: &[usize]) -> bool {
    let parts: Vec<_> = users.iter().map(|n| (slot(*n), vec![user(*n)])).collect();
    slots.route(&parts, &parcel(1), 100, Instant::now()).is_ok()
}

fn part(slot: Slot, generation: u32, number: u64, to: &[usize]) -> Part {
    Part {
        slot,
        generation,
        number,
        to: to.iter().map(|n| user(*n)).collect(),
    }
}

#[test]
fn recipients_that_share_a_home_share_a_frame_once_their_slots_flow() {
    let (mut slots, wires, _) = slots();
    assert!(put(&mut slots, &[0, 1]) && put(&mut slots, &[0, 1]));
    assert_eq!(wires[0].said(), ["0.1.1", "1.1.1", "0.1.2 1.1.2"]);
}

#[test]
fn an_old_home_gets_what_comes_until_it_gives_it_back() {
    let (mut slots, wires, table) = slots();
    let now = Instant::now();
    assert!(put(&mut slots, &[0]));
    slots.publish(&moved(&table));
    assert_eq!(slots.settle(now), Some(now + LIMITS.linger));
    assert!((0..2).all(|_| put(&mut slots, &[0])));
    assert_eq!(wires[0].said(), ["0.1.1", "0.1.2", "0.1.3"]);
    slots.taken(LinkId(0), slot(0), 1, 1, now);
    slots.returned(LinkId(0), &part(slot(0), 1, 2, &[0]), now);
    assert_eq!(wires[1].said(), ["0.2.2", "0.2.3"], "at once");
    assert!(put(&mut slots, &[0]));
    assert_eq!((wires[0].said().len(), wires[1].said().len()), (0, 1));
}

#[test]
fn the_first_stanza_of_a_slot_finds_its_old_home_too() {
    let (mut slots, wires, table) = slots();
    slots.publish(&moved(&table));
    assert!(put(&mut slots, &[0]));
    assert_eq!((wires[0].said(), wires[1].said()), (vec!["0.1.1".to_owned()], vec![]));
}

#[test]
fn an_old_home_that_gives_nothing_back_is_left_when_all_on_its_way_is_answered() {
    let (mut slots, wires, table) = slots();
    let now = Instant::now();
    assert!(put(&mut slots, &[0]) && put(&mut slots, &[0]));
    slots.publish(&moved(&table));
    let until = slots.settle(now).unwrap();
    assert_eq!(slots.settle(until), None);
    assert!(put(&mut slots, &[0]));
    slots.taken(LinkId(0), slot(0), 1, 1, until);
    assert_eq!((wires[0].said().len(), wires[1].said().len()), (2, 0));
    slots.taken(LinkId(0), slot(0), 1, 2, until);
    assert_eq!(wires[1].said(), ["0.2.3"]);
}

#[test]
fn what_a_dead_link_did_not_answer_is_sent_again() {
    let (mut slots, wires, table) = slots();
    let now = Instant::now();
    assert!((0..3).all(|_| put(&mut slots, &[0])));
    slots.taken(LinkId(0), slot(0), 1, 1, now);
    slots.link_down(LinkId(0));
    slots.publish(&moved(&table));
    slots.settle(now);
    assert_eq!(wires[1].said(), ["0.2.2", "0.2.3"]);
    slots.taken(LinkId(0), slot(0), 1, 3, now);
    assert_eq!(slots.load().items, 2, "the dead are not heard");
}

#[test]
fn what_is_given_back_brings_all_after_it_back() {
    let (mut slots, wires, table) = slots();
    let now = Instant::now();
    assert!((0..3).all(|_| put(&mut slots, &[0])));
    wires[0].said();
    let until = slots.returned(LinkId(0), &part(slot(0), 1, 1, &[0]), now).unwrap();
    slots.taken(LinkId(0), slot(0), 1, 3, now);
    assert_eq!(slots.load().items, 3, "an old generation is void");
    assert!(wires[0].said().is_empty());
    slots.settle(until);
    assert_eq!(
        wires[0].said(),
        ["0.2.1", "0.2.2", "0.2.3"],
        "the same home again, after a while"
    );
    slots.returned(LinkId(0), &part(slot(0), 2, 1, &[0]), until);
    slots.publish(&moved(&table));
    slots.settle(until);
    assert_eq!(wires[1].said(), ["0.3.1", "0.3.2", "0.3.3"], "a newer table, at once");
}

#[test]
fn only_recipients_given_back_are_sent_again() {
    let (mut slots, wires, _) = slots();
    let now = Instant::now();
    let parts = [(slot(0), vec![user(0), user(1), user(2)])];
    assert!(slots.route(&parts, &parcel(1), 100, now).is_ok());
    wires[0].said();
    slots.returned(LinkId(0), &part(slot(0), 1, 1, &[2, 5]), now);
    slots.settle(now + Duration::from_secs(1));
    let frame = wires[0].0.lock().pop_front().unwrap();
    assert_eq!(frame.parts[0].to, [user(2)]);
}

#[test]
fn windows_bound_a_slot_and_all() {
    let (mut slots, _, _) = slots();
    assert!((0..8).all(|_| put(&mut slots, &[0])));
    assert!(!put(&mut slots, &[0]) && !put(&mut slots, &[1, 0]) && put(&mut slots, &[1]));
    assert!(slots.withdraw(slot(0), 3) && !slots.withdraw(slot(0), 3));
    assert!(put(&mut slots, &[0]));
    let more = (2..40).filter(|n| put(&mut slots, &[*n])).count();
    assert_eq!((more, slots.load().items), (11, 20));
}

// ---- Simulation ---------------------------------------------------------------------------------------------------------------

const ROUTERS: usize = 3;
const USERS: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Route(Vec<usize>),
    /// A home reads this many frames.
    Serve(usize, usize),
    /// This many answers of a home arrive.
    Hear(usize, usize),
    Publish([u32; ROUTERS]),
    /// A home applies the newest table.
    Apply(usize),
    Learn,
    Cut(usize),
    Mend(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let router = 0..ROUTERS;
    prop_oneof![
        4 => prop::collection::btree_set(0..USERS, 1..4).prop_map(|users| Step::Route(users.into_iter().collect())),
        5 => (router.clone(), 1_usize..5).prop_map(|(router, n)| Step::Serve(router, n)),
        5 => (router.clone(), 1_usize..5).prop_map(|(router, n)| Step::Hear(router, n)),
        1 => prop::array::uniform3(0_u32..3).prop_map(Step::Publish),
        3 => router.clone().prop_map(Step::Apply),
        2 => Just(Step::Learn),
        1 => router.clone().prop_map(Step::Cut),
        2 => router.prop_map(Step::Mend),
    ]
}

enum Answer {
    Taken(Slot, u32, u64),
    Returned(Part),
}

struct Home {
    link: Option<LinkId>,
    wire: Arc<Wire>,
    answers: VecDeque<Answer>,
    /// Generations that were given back.
    broken: HashMap<Slot, u32>,
    table: SlotTable,
}

struct World {
    slots: Slots<Wire, u64>,
    homes: Vec<Home>,
    newest: SlotTable,
    links: u64,
    routed: HashMap<String, Vec<u64>>,
    taken: HashMap<String, Vec<u64>>,
    ids: u64,
    cuts: bool,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let newest = SlotTable::empty().next(&weights(&[1; ROUTERS]), usize::MAX).unwrap();
        let home = |_| Home {
            link: None,
            wire: Arc::default(),
            answers: VecDeque::new(),
            broken: HashMap::new(),
            table: newest.clone(),
        };
        let homes = (0..ROUTERS).map(home).collect();
        let (routed, taken) = (HashMap::new(), HashMap::new());
        let now = Instant::now();
        let slots = Slots::new(LIMITS);
        let mut world = Self {
            slots,
            homes,
            newest,
            links: 0,
            routed,
            taken,
            ids: 0,
            cuts: false,
            now,
        };
        world.apply(&Step::Learn);
        (0..ROUTERS).for_each(|router| world.apply(&Step::Mend(router)));
        world
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Route(users) => self.route(users),
            Step::Serve(home, n) => (0..*n).for_each(|_| self.serve(*home)),
            Step::Hear(home, n) => (0..*n).for_each(|_| self.hear(*home)),
            Step::Publish(new) => {
                if let Some(next) = self.newest.next(&weights(new), usize::MAX) {
                    self.newest = next;
                }
            }
            Step::Apply(home) => self.homes[*home].table = self.newest.clone(),
            Step::Learn => self.slots.publish(&self.newest),
            Step::Cut(home) => self.cut(*home),
            Step::Mend(home) if self.homes[*home].link.is_none() => {
                self.links += 1;
                self.homes[*home].link = Some(LinkId(self.links));
                let wire = Arc::clone(&self.homes[*home].wire);
                self.slots.link_up(name(*home), Epoch(1), LinkId(self.links), wire);
            }
            Step::Mend(_) => {}
        }
        if !matches!(step, Step::Route(_)) {
            self.slots.settle(self.now);
        }
    }

    fn route(&mut self, users: &[usize]) {
        let parts: Vec<_> = users.iter().map(|n| (slot(*n), vec![user(*n)])).collect();
        if self.slots.route(&parts, &parcel(self.ids + 1), 10, self.now).is_ok() {
            self.ids += 1;
            users
                .iter()
                .for_each(|n| self.routed.entry(user(*n).to_string()).or_default().push(self.ids));
        }
    }

    fn cut(&mut self, home: usize) {
        let home = &mut self.homes[home];
        let Some(link) = home.link.take() else { return };
        self.cuts = true;
        home.wire.0.lock().clear();
        home.answers.clear();
        home.broken.clear();
        self.slots.link_down(link);
    }

    fn serve(&mut self, index: usize) {
        let home = &mut self.homes[index];
        let Some(frame) = home.wire.0.lock().pop_front() else {
            return;
        };
        let id: u64 = frame
            .stanza
            .as_ref()
            .unwrap()
            .head()
            .id
            .as_ref()
            .unwrap()
            .parse()
            .unwrap();
        for part in frame.parts {
            let at_home = home.table.at(part.slot).is_some_and(|(home, ..)| *home == name(index));
            if at_home
                && home
                    .broken
                    .get(&part.slot)
                    .is_none_or(|broken| *broken < part.generation)
            {
                part.to
                    .iter()
                    .for_each(|jid| self.taken.entry(jid.to_string()).or_default().push(id));
                home.answers
                    .push_back(Answer::Taken(part.slot, part.generation, part.number));
            } else {
                home.broken.insert(part.slot, part.generation);
                home.answers.push_back(Answer::Returned(part));
            }
        }
    }

    fn hear(&mut self, index: usize) {
        let home = &mut self.homes[index];
        let (Some(link), Some(answer)) = (home.link, home.answers.pop_front()) else {
            return;
        };
        match answer {
            Answer::Taken(slot, generation, number) => self.slots.taken(link, slot, generation, number, self.now),
            Answer::Returned(part) => drop(self.slots.returned(link, &part, self.now)),
        }
    }

    fn rest(&mut self) {
        for _ in 0..10 {
            self.apply(&Step::Learn);
            for home in 0..ROUTERS {
                let peace = [
                    Step::Mend(home),
                    Step::Apply(home),
                    Step::Serve(home, 100),
                    Step::Hear(home, 100),
                ];
                peace.iter().for_each(|step| self.apply(step));
            }
            self.now += Duration::from_secs(2);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_moves_or_breaks_nothing_is_lost_or_reordered(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.apply(step));
        world.rest();
        for (user, routed) in &world.routed {
            let taken = world.taken.get(user).cloned().unwrap_or_default();
            let mut news: Vec<u64> = Vec::new();
            taken.iter().for_each(|n| if news.last().is_none_or(|last| n > last) { news.push(*n) });
            prop_assert_eq!(&news, routed, "{}", user);
            if !world.cuts {
                prop_assert_eq!(taken, news, "nothing twice when no link died");
            }
        }
        prop_assert_eq!(world.slots.load(), Window { items: 0, bytes: 0 });
    }
}
