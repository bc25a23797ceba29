//! Work that is done to its end even if whoever asked for it goes away: half a stanza is never done.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::CatchUnwind;
use tokio::runtime::Handle;

use crate::gauges;

/// Runs `work` to its end; `None` if it panicked. It runs in the task that waits for it, as a task of its own would have to be woken and
/// waited for; should that one give up, it goes on in one of its own.
pub(crate) async fn whole<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let work = Box::pin(AssertUnwindSafe(work).catch_unwind());
    let done = Whole(Some(work)).await;
    if done.is_err() {
        gauges::panicked("router");
        tracing::error!("work on a stanza panicked");
    }
    done.ok()
}

type Work<F> = Pin<Box<CatchUnwind<AssertUnwindSafe<F>>>>;

/// Work under way; what is left of it when this is dropped is given to a task of its own.
struct Whole<F>(Option<Work<F>>)
where
    F: Future<Output: Send> + Send + 'static;

impl<F> Future for Whole<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = std::thread::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.0.as_mut() else {
            return Poll::Pending; // it was ready before
        };
        let done = ready!(work.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<F> Drop for Whole<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work.map(drop));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_is_done_though_nobody_waits() {
        let (gate, done) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
        let work = {
            let (gate, done) = (gate.clone(), done.clone());
            async move {
                gate.acquire().await.map(tokio::sync::SemaphorePermit::forget).ok();
                done.fetch_add(1, Ordering::SeqCst);
            }
        };
        {
            let mut waiting = Box::pin(whole(work));
            assert!(futures::poll!(&mut waiting).is_pending());
        }
        gate.add_permits(1);
        while done.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(whole(async { 7 }).await, Some(7));
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_panic_harms_nobody_else() {
        assert_eq!(whole(async { panic!("by a test") as u32 }).await, None);
    }
}
