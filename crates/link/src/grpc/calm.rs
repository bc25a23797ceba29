//! Runs a connection's tasks. One that wakes itself while it runs is run again at once: HTTP/2 streams do so with every frame they send,
//! and a runtime with several threads would wake up another of them to look for work.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use hyper::rt::Executor;

/// How often a task is run in a row at most; then others have their turn.
const ROUNDS: usize = 3;

/// Spawns tasks that do not disturb other threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calmly;

impl<F> Executor<F> for Calmly
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, task: F) {
        tokio::spawn(Calm::new(Box::pin(task)));
    }
}

/// A task.
struct Calm<F> {
    task: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

/// What wakes it.
#[derive(Default)]
struct Bell {
    state: AtomicU8,
    outside: AtomicWaker,
}

/// It does not run: whoever rings has it run.
const RESTING: u8 = 0;
/// It runs.
const RUNNING: u8 = 1;
/// It runs, and is to run again.
const AGAIN: u8 = 2;

impl<F: Future> Calm<F> {
    fn new(task: Pin<Box<F>>) -> Self {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        Self { task, bell, waker }
    }
}

impl<F: Future> Future for Calm<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { task, bell, waker } = &mut *self;
        bell.outside.register(cx.waker());
        for _ in 0..ROUNDS {
            bell.state.store(RUNNING, Ordering::Release);
            let outcome = task.as_mut().poll(&mut Context::from_waker(waker));
            if outcome.is_ready() || bell.moves(RUNNING, RESTING) {
                return outcome;
            }
        }
        bell.state.store(RESTING, Ordering::Release);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Bell {
    fn moves(&self, from: u8, to: u8) -> bool {
        let moved = self
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        moved.is_ok()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.moves(RUNNING, AGAIN) && self.state.load(Ordering::Acquire) == RESTING {
            self.outside.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How often a task that wakes itself `times` is polled by one poll from outside, and how often it is to be polled from outside again.
    fn run(times: usize) -> (usize, usize) {
        let (woken, mut polls) = (Arc::new(Woken::default()), 0);
        let task = poll_fn(|cx| {
            polls += 1;
            if polls <= times {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        let mut calm = Calm::new(Box::pin(task));
        let waker = Waker::from(Arc::clone(&woken));
        assert!(Pin::new(&mut calm).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(calm);
        (polls, woken.0.load(Ordering::Acquire))
    }

    #[test]
    fn a_task_that_wakes_itself_runs_again_without_a_word() {
        assert_eq!(run(0), (1, 0));
        assert_eq!(run(1), (2, 0));
        assert_eq!(run(usize::MAX), (ROUNDS, 1), "others have their turn");
    }

    #[test]
    fn a_task_that_rests_is_woken() {
        let (woken, mut inner) = (Arc::new(Woken::default()), None);
        let task = poll_fn(|cx| {
            inner = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        let mut calm = Calm::new(Box::pin(task));
        let waker = Waker::from(Arc::clone(&woken));
        assert!(Pin::new(&mut calm).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(calm);
        inner.unwrap().wake();
        assert_eq!(woken.0.load(Ordering::Acquire), 1);
    }
}
