//! What a session's task is to do next, as others leave it there: deliveries to write, and at most one order to close.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};

use parking_lot::Mutex;
use stanza::{Stanza, StreamCondition};
use tracing::Span;

use crate::config;

/// What a stanza is taken to cost beyond its payload, in bytes.
const OVERHEAD: usize = 256;

/// The outbox of one session: bounded, and nearly nothing while empty.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Inner>);

/// A stanza to write.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Its number in the session's count.
    pub(crate) number: u64,
    pub(crate) stanza: Arc<Stanza>,
    /// Whether it is addressed to the session's full address.
    pub(crate) readdress: bool,
    /// From its arrival to its end, when it is traced. Boxed: nearly none is.
    pub(crate) span: Option<Box<Span>>,
}

/// Why the session is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The home asked for it; what came before is written first.
    Kick(StreamCondition),
    /// The edge stops; what came before is written first.
    Leave(StreamCondition),
    /// The client reads too slowly; what waited is gone.
    Overflow,
    /// The edge is fenced: nothing more may be done for the session.
    Fence,
    /// At once, without a word.
    Abort,
}

/// What the task finds.
#[derive(Debug)]
pub(crate) enum Next {
    Deliver(Item),
    Close(Order),
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    /// It has been here before.
    Repeated,
    /// It did not fit: the session is being closed.
    Overflowed,
    /// The session is being closed.
    Closing,
}

/// What waits in an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) stanzas: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Item>,
    bytes: usize,
    order: Option<Order>,
    /// The order was taken: nothing is kept any more.
    ending: bool,
    waker: Option<Waker>,
    /// The highest delivery number that came.
    delivered: u64,
    /// The highest number of the client's stanzas that a home reported done.
    done: u64,
    /// The task waits to hear what is done.
    awaits_done: bool,
}

impl Outbox {
    /// Adds a delivery.
    pub(crate) fn push(&self, item: Item, limits: &config::Outbox) -> Pushed {
        let mut inner = self.0.lock();
        if inner.ending || inner.order.is_some() {
            return Pushed::Closing;
        }
        if item.number <= inner.delivered {
            return Pushed::Repeated;
        }
        let cost = cost(&item);
        let full = inner.queue.len() >= limits.stanzas || inner.bytes.saturating_add(cost) > limits.bytes;
        if full && !inner.queue.is_empty() {
            inner.give_up(Order::Overflow);
            return Pushed::Overflowed;
        }
        inner.delivered = item.number;
        inner.bytes += cost;
        inner.queue.push_back(item);
        inner.wake();
        Pushed::Queued
    }

    /// Orders the session to end. The first order stands, unless this one leaves nothing to be done.
    pub(crate) fn order(&self, order: Order) {
        let mut inner = self.0.lock();
        match order {
            Order::Fence | Order::Abort => inner.give_up(order),
            _ if inner.ending || inner.order.is_some() => {}
            _ => {
                inner.order = Some(order);
                inner.wake();
            }
        }
    }

    /// The next thing for the task; `deliver`: whether it can take deliveries. With nothing to do, the task is woken later.
    pub(crate) fn next(&self, deliver: bool, cx: &mut Context<'_>) -> Option<Next> {
        let mut inner = self.0.lock();
        let urgent = matches!(inner.order, Some(Order::Overflow | Order::Fence | Order::Abort));
        if deliver
            && !urgent
            && let Some(item) = inner.pop()
        {
            return Some(Next::Deliver(item));
        }
        let due = urgent || inner.queue.is_empty() || !deliver;
        if let Some(order) = inner.order.take_if(|_| due) {
            inner.ending = true;
            inner.clear();
            return Some(Next::Close(order));
        }
        inner.register(cx);
        None
    }

    /// The client's stanzas up to `number` are done.
    pub(crate) fn note_done(&self, number: u64) {
        let mut inner = self.0.lock();
        inner.done = inner.done.max(number);
        if std::mem::take(&mut inner.awaits_done) {
            inner.wake();
        }
    }

    /// How many of the client's stanzas are done; when there are more, the task is woken.
    pub(crate) fn done(&self, cx: &mut Context<'_>) -> u64 {
        let mut inner = self.0.lock();
        inner.awaits_done = true;
        inner.register(cx);
        inner.done
    }

    /// How many stanzas wait, and their bytes.
    pub(crate) fn load(&self) -> Load {
        let inner = self.0.lock();
        Load {
            stanzas: inner.queue.len(),
            bytes: inner.bytes,
        }
    }

    /// How many of the client's stanzas are done.
    pub(crate) fn done_now(&self) -> u64 {
        self.0.lock().done
    }
}

impl Inner {
    fn pop(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        self.bytes -= cost(&item);
        if self.queue.is_empty() {
            self.clear();
        }
        Some(item)
    }

    /// Forgets what waits, and the memory it was in.
    fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.bytes = 0;
    }

    fn give_up(&mut self, order: Order) {
        self.clear();
        self.order = Some(order);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn register(&mut self, cx: &mut Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

fn cost(item: &Item) -> usize {
    OVERHEAD + item.stanza.payload().bytes().len()
}

#[cfg(test)]
mod tests {
    use stanza::{Head, Message, MessageType, Payload};

    use super::*;

    fn item(number: u64, bytes: usize) -> Item {
        let payload = Payload::from_canonical(vec![b' '; bytes].into());
        let stanza = Message {
            head: Head::default(),
            kind: MessageType::Chat,
            payload,
        }
        .into();
        Item {
            number,
            stanza: Arc::new(stanza),
            readdress: false,
            span: None,
        }
    }

    fn limits(stanzas: usize, bytes: usize) -> config::Outbox {
        config::Outbox { stanzas, bytes }
    }

    /// Everything that is there, shortly.
    fn drain(outbox: &Outbox, deliver: bool) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let name = |next| match next {
            Next::Deliver(item) => item.number.to_string(),
            Next::Close(order) => format!("{order:?}"),
        };
        std::iter::from_fn(|| outbox.next(deliver, &mut cx)).map(name).collect()
    }

    #[test]
    fn deliveries_come_out_in_order_and_once() {
        let outbox = Outbox::default();
        for (number, pushed) in [
            (1, Pushed::Queued),
            (2, Pushed::Queued),
            (2, Pushed::Repeated),
            (1, Pushed::Repeated),
        ] {
            assert_eq!(outbox.push(item(number, 0), &limits(9, 9_999)), pushed, "{number}");
        }
        assert_eq!(drain(&outbox, true), ["1", "2"]);
    }

    #[test]
    fn too_much_closes_and_forgets() {
        for limits in [limits(2, 9_999), limits(9, 2 * OVERHEAD + 10)] {
            let outbox = Outbox::default();
            for (number, pushed) in [
                (1, Pushed::Queued),
                (2, Pushed::Queued),
                (3, Pushed::Overflowed),
                (4, Pushed::Closing),
            ] {
                assert_eq!(outbox.push(item(number, 4), &limits), pushed, "{number}");
            }
            assert_eq!(drain(&outbox, true), ["Overflow"]);
            assert_eq!(outbox.push(item(5, 0), &limits), Pushed::Closing);
        }
    }

    #[test]
    fn one_large_stanza_fits_an_empty_outbox() {
        let outbox = Outbox::default();
        assert_eq!(outbox.push(item(1, 5_000), &limits(9, 1_000)), Pushed::Queued);
        assert_eq!(outbox.push(item(2, 0), &limits(9, 1_000)), Pushed::Overflowed);
    }

    #[test]
    fn a_kick_follows_what_came_before() {
        let outbox = Outbox::default();
        outbox.push(item(1, 0), &limits(9, 9_999));
        outbox.order(Order::Kick(StreamCondition::Conflict));
        outbox.order(Order::Leave(StreamCondition::SystemShutdown));
        assert_eq!(drain(&outbox, true), ["1", "Kick(Conflict)"]);
        assert!(drain(&outbox, true).is_empty());
    }

    #[test]
    fn a_kick_does_not_wait_for_a_client_that_does_not_read() {
        let outbox = Outbox::default();
        outbox.push(item(1, 0), &limits(9, 9_999));
        outbox.order(Order::Kick(StreamCondition::Conflict));
        assert_eq!(drain(&outbox, false), ["Kick(Conflict)"]);
    }

    #[test]
    fn a_fence_overrules() {
        let outbox = Outbox::default();
        outbox.push(item(1, 0), &limits(9, 9_999));
        outbox.order(Order::Kick(StreamCondition::Conflict));
        outbox.order(Order::Fence);
        assert_eq!(drain(&outbox, true), ["Fence"]);
    }
}
