//! What wakes the users of one thread: orders for all of them, and alarms for each.
//!
//! Alarms ring with the precision of the system's timer, not of the runtime's, whose millisecond would stand in every latency.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe;

/// What all users are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Wait.
    Wait,
    /// Live as the scenario's phase at that place says, which began then (since the run began).
    Phase(usize, Duration),
    /// Begin nothing new.
    Settle,
    /// Come online if you are not, for what was kept for you; the time is when the first may.
    Collect(Duration),
    /// Log out, and end.
    End,
}

/// Orders and alarms of one thread.
pub struct Board {
    epoch: Instant,
    state: Mutex<State>,
    /// Read as a pipe is: the runtime's own type for file descriptors of any kind cannot be had without `unsafe`.
    timer: pipe::Receiver,
}

struct State {
    version: u32,
    order: Order,
    slots: Vec<Slot>,
    alarms: BinaryHeap<Reverse<(Duration, u32)>>,
    /// For when the timer is set.
    armed: Option<Duration>,
}

#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    /// The alarm that is in the heap; others of this user may be too, and wake it in vain.
    alarm: Option<Duration>,
}

/// Why a user was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// There is another order, with its number.
    Order(u32, Order),
    /// The alarm's time has come.
    Alarm,
}

impl Slot {
    fn listen(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

impl Board {
    /// A board for so many users; the run begins at `epoch`. To be made within the thread's runtime.
    ///
    /// # Errors
    /// When the system has no timer for it.
    pub fn new(epoch: Instant, users: usize) -> io::Result<Arc<Self>> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let mut slots = Vec::new();
        slots.resize_with(users, Slot::default);
        Ok(Arc::new(Self {
            epoch,
            state: Mutex::new(State {
                version: 0,
                order: Order::Wait,
                slots,
                alarms: BinaryHeap::new(),
                armed: None,
            }),
            timer: pipe::Receiver::from_owned_fd_unchecked(timer)?,
        }))
    }

    /// Time since the run began; zero before.
    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Tells all users.
    pub fn order(&self, order: Order) {
        let wakers: Vec<Waker> = {
            let mut state = self.state.lock();
            state.version += 1;
            state.order = order;
            state.slots.iter().filter_map(|slot| slot.waker.clone()).collect()
        };
        wakers.iter().for_each(Waker::wake_by_ref);
    }

    /// Waits, for the user in `slot`, for another order than number `seen`, or for `alarm`.
    pub fn poll(&self, cx: &mut Context<'_>, slot: u32, seen: u32, alarm: Option<Duration>) -> Poll<Call> {
        let mut state = self.state.lock();
        if state.version != seen {
            return Poll::Ready(Call::Order(state.version, state.order));
        }
        if alarm.is_some_and(|alarm| alarm <= self.now()) {
            return Poll::Ready(Call::Alarm);
        }
        let State { slots, alarms, .. } = &mut *state;
        let Some(own) = slots.get_mut(slot as usize) else {
            return Poll::Pending;
        };
        own.listen(cx);
        if let Some(alarm) = alarm
            && own.alarm.is_none_or(|set| alarm < set)
        {
            own.alarm = Some(alarm);
            alarms.push(Reverse((alarm, slot)));
            self.arm(&mut state);
        }
        Poll::Pending
    }

    /// Ready, for the user in `slot`, when the run is over.
    pub fn poll_end(&self, cx: &mut Context<'_>, slot: u32) -> Poll<()> {
        let mut state = self.state.lock();
        if state.order == Order::End {
            return Poll::Ready(());
        }
        if let Some(own) = state.slots.get_mut(slot as usize) {
            own.listen(cx);
        }
        Poll::Pending
    }

    /// Sets the timer for the first alarm, if it is not.
    fn arm(&self, state: &mut State) {
        let Some(Reverse((first, _))) = state.alarms.peek() else {
            return;
        };
        if state.armed.is_some_and(|armed| armed <= *first) {
            return;
        }
        state.armed = Some(*first);
        let wait = first.saturating_sub(self.now()).max(Duration::from_nanos(1));
        let value = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec {
            it_interval: never,
            it_value: value,
        };
        // Fails for times that do not exist only.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec);
    }

    /// Rings alarms for ever. `late` is told how late each is.
    ///
    /// # Errors
    /// When the timer fails.
    pub async fn ring(&self, late: impl Fn(Duration)) -> io::Result<()> {
        loop {
            self.timer.readable().await?;
            // How often it has rung, which is nothing to us.
            let mut count = [0; 8];
            if self.timer.try_read(&mut count).is_ok() {
                self.ring_due(&late);
            }
        }
    }

    fn ring_due(&self, late: impl Fn(Duration)) {
        let mut state = self.state.lock();
        let now = self.now();
        state.armed = None;
        while let Some(&Reverse((alarm, slot))) = state.alarms.peek()
            && alarm <= now
        {
            state.alarms.pop();
            let Some(own) = state.slots.get_mut(slot as usize) else {
                continue;
            };
            // Others were replaced by an earlier one, which has rung.
            if own.alarm == Some(alarm) {
                own.alarm = None;
                late(now - alarm);
                own.waker.iter().for_each(Waker::wake_by_ref);
            }
        }
        self.arm(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn alarms_ring_in_their_order_and_not_before_their_time() {
        let board = Board::new(Instant::now(), 2).unwrap();
        let ring = {
            let board = board.clone();
            tokio::spawn(async move { board.ring(|_| {}).await })
        };
        let wait = |slot, alarm| {
            let board = board.clone();
            async move {
                let alarm = Duration::from_millis(alarm);
                let call = poll_fn(|cx| board.poll(cx, slot, 0, Some(alarm))).await;
                assert!(call == Call::Alarm && board.now() >= alarm);
                board.now()
            }
        };
        let (second, first) = tokio::join!(wait(0, 30), wait(1, 10));
        assert!(first < second);
        ring.abort();
    }

    #[tokio::test]
    async fn an_order_reaches_everybody_and_only_once() {
        let board = Board::new(Instant::now(), 1).unwrap();
        let waits = {
            let board = board.clone();
            tokio::spawn(async move { poll_fn(|cx| board.poll(cx, 0, 0, None)).await })
        };
        tokio::task::yield_now().await;
        board.order(Order::End);
        assert_eq!(waits.await.unwrap(), Call::Order(1, Order::End));
        let again = poll_fn(|cx| Poll::Ready(board.poll(cx, 0, 1, None).is_pending())).await;
        assert!(again);
    }
}
