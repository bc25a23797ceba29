//! One ordered flow towards a destination that may move or break: what was sent is kept until it is acknowledged, and sent again,
//! in order, when the flow resumes. Pure; shared by sessions (edge to router) and slots (router to router).
//!
//! ```text
//!            push: kept and sent            push: kept
//!             ┌───────────┐  pause, reset  ┌──────────┐
//!    resume ─▶│  flowing  │ ─────────────▶ │   held   │ ─▶ resume: generation + 1, all kept is sent again
//!             └───────────┘                └──────────┘
//! ```

use std::collections::VecDeque;

/// How much a flow may keep. A single item may exceed the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Items.
    pub items: usize,
    /// Their bytes, roughly.
    pub bytes: usize,
}

/// A flow. Numbers rise from item to item.
#[derive(Debug)]
pub(crate) struct Courier<T> {
    items: VecDeque<Item<T>>,
    bytes: usize,
    /// How many of `items`, from the front, are on their way.
    sent: usize,
    generation: u32,
    flowing: bool,
}

/// Something to be handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item<T> {
    pub(crate) number: u64,
    pub(crate) size: usize,
    pub(crate) value: T,
}

impl<T> Courier<T> {
    /// An empty flow that is held.
    pub(crate) fn new() -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            sent: 0,
            generation: 0,
            flowing: false,
        }
    }

    /// An empty flow that flows, in generation 0.
    pub(crate) fn flowing() -> Self {
        Self {
            flowing: true,
            ..Self::new()
        }
    }

    /// Whether what is pushed is to be sent at once.
    pub(crate) fn is_flowing(&self) -> bool {
        self.flowing
    }

    /// Counts resumptions: what bears a lower one is void.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether nothing more may be pushed.
    pub(crate) fn is_full(&self, window: Window) -> bool {
        self.items.len() >= window.items || (self.bytes >= window.bytes && !self.items.is_empty())
    }

    /// Items and bytes kept.
    pub(crate) fn load(&self) -> Window {
        Window {
            items: self.items.len(),
            bytes: self.bytes,
        }
    }

    /// Items that are sent and not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.sent
    }

    /// Keeps an item. Returns whether it is to be sent now.
    pub(crate) fn push(&mut self, item: Item<T>) -> bool {
        self.bytes += item.size;
        self.items.push_back(item);
        self.sent += usize::from(self.flowing);
        self.flowing
    }

    /// Everything up to `number` was handed over: forgets it. Returns what it freed.
    pub(crate) fn ack(&mut self, number: u64) -> Window {
        let before = self.load();
        while self.items.front().is_some_and(|item| item.number <= number) {
            self.bytes -= self.items.pop_front().map_or(0, |item| item.size);
            self.sent = self.sent.saturating_sub(1);
        }
        Window {
            items: before.items - self.items.len(),
            bytes: before.bytes - self.bytes,
        }
    }

    /// Sends no more for now; answers to what is on its way are awaited.
    pub(crate) fn pause(&mut self) {
        self.flowing = false;
    }

    /// Sends no more for now; nothing on its way will be answered.
    pub(crate) fn reset(&mut self) {
        self.flowing = false;
        self.sent = 0;
    }

    /// Begins the next generation: everything kept is to be sent (again), in order, and what is pushed from now on.
    pub(crate) fn resume(&mut self) -> impl Iterator<Item = &Item<T>> {
        self.generation += 1;
        self.flowing = true;
        self.sent = self.items.len();
        self.items.iter()
    }

    /// The item numbered `number`, if it is still kept.
    pub(crate) fn item_mut(&mut self, number: u64) -> Option<&mut T> {
        self.items
            .iter_mut()
            .find(|item| item.number == number)
            .map(|item| &mut item.value)
    }

    /// Gives up on the item numbered `number`. Returns what it freed; `None` if it was handed over before.
    pub(crate) fn withdraw(&mut self, number: u64) -> Option<Window> {
        let at = self.items.iter().position(|item| item.number == number)?;
        let item = self.items.remove(at)?;
        self.bytes -= item.size;
        self.sent -= usize::from(at < self.sent);
        Some(Window {
            items: 1,
            bytes: item.size,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(number: u64) -> Item<u64> {
        Item {
            number,
            size: 10,
            value: number,
        }
    }

    fn resumed(courier: &mut Courier<u64>) -> Vec<u64> {
        courier.resume().map(|item| item.value).collect()
    }

    #[test]
    fn a_held_flow_keeps_and_sends_all_in_order_when_it_resumes() {
        let mut courier = Courier::new();
        assert_eq!([1, 2].map(|n| courier.push(item(n))), [false, false]);
        assert_eq!((resumed(&mut courier), courier.generation()), (vec![1, 2], 1));
        assert!(courier.push(item(3)));
        assert_eq!(courier.in_flight(), 3);
        assert_eq!(courier.ack(2), Window { items: 2, bytes: 20 });
        courier.reset();
        assert_eq!(courier.in_flight(), 0);
        assert!(!courier.push(item(4)));
        assert_eq!((resumed(&mut courier), courier.generation()), (vec![3, 4], 2));
    }

    #[test]
    fn a_paused_flow_waits_for_what_is_on_its_way() {
        let mut courier = Courier::flowing();
        courier.push(item(1));
        courier.pause();
        courier.push(item(2));
        assert_eq!(courier.in_flight(), 1);
        courier.ack(1);
        assert_eq!(courier.in_flight(), 0);
        assert_eq!(resumed(&mut courier), [2]);
    }

    #[test]
    fn what_is_withdrawn_is_not_sent_again() {
        let mut courier = Courier::flowing();
        (1..=3).for_each(|n| assert!(courier.push(item(n))));
        assert_eq!(courier.withdraw(2), Some(Window { items: 1, bytes: 10 }));
        assert_eq!(courier.withdraw(2), None);
        assert_eq!((courier.in_flight(), resumed(&mut courier)), (2, vec![1, 3]));
    }

    #[test]
    fn a_window_is_full_by_items_or_bytes_but_never_when_empty() {
        let window = Window { items: 2, bytes: 5 };
        let mut courier = Courier::new();
        assert!(!courier.is_full(window));
        courier.push(item(1));
        assert!(courier.is_full(window), "by bytes");
        assert!(!courier.is_full(Window { bytes: 100, ..window }));
        courier.push(item(2));
        assert!(courier.is_full(Window { bytes: 100, ..window }), "by items");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push,
        /// The destination takes in this many of what is on the wire.
        Take(usize),
        /// The acknowledgement arrives.
        Ack,
        /// The link dies: what is on the wire is lost, acknowledgements too.
        Die,
        /// The flow resumes.
        Resume,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Push),
            3 => (1_usize..4).prop_map(Step::Take),
            2 => Just(Step::Ack),
            1 => Just(Step::Die),
            2 => Just(Step::Resume),
        ]
    }

    /// A destination behind a wire that can be cut.
    #[derive(Default)]
    struct World {
        pushed: u64,
        wire: VecDeque<u64>,
        taken: Vec<u64>,
        deaths_with_unacknowledged: bool,
    }

    impl World {
        fn apply(&mut self, courier: &mut Courier<u64>, step: &Step) {
            match step {
                Step::Push => {
                    self.pushed += 1;
                    if courier.push(item(self.pushed)) {
                        self.wire.push_back(self.pushed);
                    }
                }
                Step::Take(n) => {
                    let n = (*n).min(self.wire.len());
                    self.taken.extend(self.wire.drain(..n));
                }
                Step::Ack => drop(self.taken.last().map(|n| courier.ack(*n))),
                Step::Die => {
                    self.deaths_with_unacknowledged |= courier.in_flight() > 0;
                    self.wire.clear();
                    courier.reset();
                }
                Step::Resume if !courier.is_flowing() => self.wire.extend(courier.resume().map(|item| item.value)),
                Step::Resume => {}
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn nothing_is_lost_or_reordered_and_only_a_death_repeats(steps in prop::collection::vec(step(), 0..200)) {
            let (mut world, mut courier) = (World::default(), Courier::new());
            let settle = [Step::Resume, Step::Take(usize::MAX), Step::Ack];
            steps.iter().chain(&settle).for_each(|step| world.apply(&mut courier, step));
            let mut first_seen = Vec::new();
            world.taken.iter().for_each(|n| if first_seen.last().is_none_or(|last| n > last) { first_seen.push(*n) });
            prop_assert_eq!(first_seen, (1..=world.pushed).collect::<Vec<_>>());
            if !world.deaths_with_unacknowledged {
                prop_assert_eq!(world.taken.len() as u64, world.pushed);
            }
            prop_assert_eq!(courier.load(), Window { items: 0, bytes: 0 });
        }
    }
}
