//! What waits to be written to one link: frames in order, and marks of which only the newest per key matters. Filled without
//! waiting, emptied in batches. Marks say what was done, which is not urgent: they go along with frames, or together a few at a time.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use crate::Window;

/// Most frames in one batch.
const BATCH_FRAMES: usize = 512;
/// A batch ends when it holds this many bytes.
const BATCH_BYTES: usize = 256 * 1024;
/// The metrics follow a queue when it is written from, and when it has grown by this many frames: not at every frame.
const NOTED: usize = 64;
/// Marks without frames are written at most this often: each batch wakes up the other node.
pub(crate) const LINGER: Duration = Duration::from_millis(10);
/// For marks that somebody waits for.
pub(crate) const AT_ONCE: Duration = Duration::ZERO;
/// Marks are written sooner when there are this many.
const MARKS: usize = 64;

/// Where marks belong among the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    /// Not after a frame that was queued later.
    Before,
    /// Not before a frame that was queued earlier.
    After,
}

/// A queue with one reader. `K` to `V` are the marks.
pub(crate) struct Outbox<F, K, V> {
    inner: Mutex<Inner<F, K, V>>,
    ready: Notify,
    marks: Marks,
    linger: Duration,
    limit: Window,
    closed: CancellationToken,
    /// Times such a queue was closed because its reader was stuck.
    overflows: Counter,
}

struct Inner<F, K, V> {
    frames: VecDeque<(usize, F)>,
    bytes: usize,
    marks: BTreeMap<K, V>,
    /// Marks that were set since the last batch.
    marked: usize,
    /// When marks alone may be written.
    due: Option<Instant>,
    depth: Depth,
}

/// What is to be done next with a queue.
enum Turn<T> {
    Write(T),
    WaitUntil(Instant),
    Wait,
}

/// What the metrics say of the queue: its share in those of all queues of its name.
struct Depth {
    frames: Gauge,
    bytes: Gauge,
    noted: Window,
}

/// What is to be written together.
#[derive(Debug)]
pub(crate) struct Batch<F, K, V> {
    pub(crate) marks: Vec<(K, V)>,
    pub(crate) frames: Vec<F>,
    /// Roughly, of the frames.
    pub(crate) bytes: usize,
}

impl<F, K: Ord, V: Ord> Outbox<F, K, V> {
    /// A queue of at most `limit`, called `name` in metrics. Marks alone wait until the last batch is `linger` ago. It is closed when
    /// `closed` is cancelled, and cancels it when it overflows.
    pub(crate) fn new(
        name: &'static str,
        limit: Window,
        marks: Marks,
        linger: Duration,
        closed: CancellationToken,
    ) -> Self {
        let inner = Inner {
            frames: VecDeque::new(),
            bytes: 0,
            marks: BTreeMap::new(),
            marked: 0,
            due: None,
            depth: Depth::new(name),
        };
        Self {
            inner: Mutex::new(inner),
            ready: Notify::new(),
            marks,
            linger,
            limit,
            closed,
            overflows: counter!("dunlin_link_queue_overflows_total", "link" => name),
        }
    }

    /// Appends a frame of `size` bytes. When that exceeds the limit, the queue is closed: its reader is stuck.
    pub(crate) fn push(&self, size: usize, frame: F) {
        let mut inner = self.inner.lock();
        if self.closed.is_cancelled() {
            return inner.clear();
        }
        inner.bytes += size;
        inner.frames.push_back((size, frame));
        if inner.frames.len() > self.limit.items || inner.bytes > self.limit.bytes {
            inner.clear();
            self.closed.cancel();
            self.overflows.increment(1);
        }
        if inner.frames.len() >= inner.depth.noted.items + NOTED {
            inner.note();
        }
        drop(inner);
        self.ready.notify_one();
    }

    /// Sets the mark of `key`, unless it has a higher one. Marks are not counted: there is one per key at most.
    pub(crate) fn mark(&self, key: K, value: V) {
        let mut inner = self.inner.lock();
        if self.closed.is_cancelled() {
            return inner.clear();
        }
        if inner.marks.get(&key).is_none_or(|old| *old < value) {
            inner.marks.insert(key, value);
        }
        inner.marked += 1;
        let is_news = inner.marked == 1 || inner.marked == MARKS;
        drop(inner);
        if is_news {
            self.ready.notify_one();
        }
    }

    /// The next batch, when there is one; `None` once closed. The reader's alarm goes with it from batch to batch.
    pub(crate) async fn next(&self, alarm: &mut Alarm) -> Option<Batch<F, K, V>> {
        let mut others_had_their_turn = false;
        while !self.closed.is_cancelled() {
            if !others_had_their_turn && self.has_frames() {
                // What runs anyway may have more for the batch.
                tokio::task::yield_now().await;
                others_had_their_turn = true;
            }
            let due = match self.turn() {
                Turn::Write(batch) => return Some(batch),
                Turn::WaitUntil(due) => Some(due),
                Turn::Wait => None,
            };
            tokio::select! {
                () = self.ready.notified() => {}
                () = alarm.ring(due) => {}
                () = self.closed.cancelled() => break,
            }
        }
        self.inner.lock().clear();
        None
    }

    fn has_frames(&self) -> bool {
        !self.inner.lock().frames.is_empty()
    }

    fn turn(&self) -> Turn<Batch<F, K, V>> {
        let mut inner = self.inner.lock();
        if inner.frames.is_empty() && inner.marks.is_empty() {
            return Turn::Wait;
        }
        let now = Instant::now();
        match inner.due {
            Some(due) if now < due && inner.frames.is_empty() && inner.marked < MARKS => Turn::WaitUntil(due),
            _ => {
                inner.due = Some(now + self.linger);
                Turn::Write(inner.take(self.marks))
            }
        }
    }
}

/// When a reader looks again by itself. It may ring early: to set a timer anew for every batch would wake up a thread each time.
#[derive(Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Returns at `due` at the latest, if there is one.
    async fn ring(&mut self, due: Option<Instant>) {
        let Some(due) = due else {
            return std::future::pending().await;
        };
        self.0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)))
            .await;
        self.0 = None;
    }
}

impl<F, K: Ord, V> Inner<F, K, V> {
    fn clear(&mut self) {
        self.frames = VecDeque::new();
        self.marks = BTreeMap::new();
        self.marked = 0;
        self.bytes = 0;
        self.note();
    }

    fn note(&mut self) {
        let (items, bytes) = (self.frames.len(), self.bytes);
        self.depth.note(Window { items, bytes });
    }

    fn take(&mut self, policy: Marks) -> Batch<F, K, V> {
        let (mut frames, mut bytes) = (Vec::with_capacity(self.frames.len().min(BATCH_FRAMES)), 0);
        while frames.len() < BATCH_FRAMES && bytes < BATCH_BYTES {
            let Some((size, frame)) = self.frames.pop_front() else {
                break;
            };
            bytes += size;
            frames.push(frame);
        }
        self.bytes -= bytes;
        self.note();
        let marks = if policy == Marks::Before || self.frames.is_empty() {
            self.marked = 0;
            std::mem::take(&mut self.marks).into_iter().collect()
        } else {
            Vec::new()
        };
        Batch { marks, frames, bytes }
    }
}

impl Depth {
    fn new(link: &'static str) -> Self {
        Self {
            frames: gauge!("dunlin_link_queue_frames", "link" => link),
            bytes: gauge!("dunlin_link_queue_bytes", "link" => link),
            noted: Window { items: 0, bytes: 0 },
        }
    }

    fn note(&mut self, now: Window) {
        let change = |gauge: &Gauge, before: usize, now: usize| {
            if before != now {
                gauge.increment(now as f64 - before as f64);
            }
        };
        change(&self.frames, self.noted.items, now.items);
        change(&self.bytes, self.noted.bytes, now.bytes);
        self.noted = now;
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        self.note(Window { items: 0, bytes: 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(marks: Marks) -> Outbox<u32, char, u64> {
        Outbox::new(
            "edge",
            Window {
                items: 1000,
                bytes: 1_000_000,
            },
            marks,
            LINGER,
            CancellationToken::new(),
        )
    }

    #[tokio::test]
    async fn what_is_queued_is_drained_together() {
        let outbox = outbox(Marks::Before);
        (1..=3).for_each(|n| outbox.push(1, n));
        [('a', 1), ('a', 3), ('a', 2)]
            .into_iter()
            .for_each(|(key, value)| outbox.mark(key, value));
        let batch = outbox.next(&mut Alarm::default()).await.unwrap();
        assert_eq!((batch.marks, batch.frames), (vec![('a', 3)], vec![1, 2, 3]));
    }

    #[tokio::test]
    async fn a_batch_is_bounded_and_marks_keep_their_side() {
        for (policy, first, second) in [(Marks::Before, 1, 0), (Marks::After, 0, 1)] {
            let outbox = outbox(policy);
            (0..600).for_each(|n| outbox.push(1, n));
            outbox.mark('a', 1);
            let (a, b) = (
                outbox.next(&mut Alarm::default()).await.unwrap(),
                outbox.next(&mut Alarm::default()).await.unwrap(),
            );
            assert_eq!((a.frames.len(), b.frames.len()), (BATCH_FRAMES, 600 - BATCH_FRAMES));
            assert_eq!((a.marks.len(), b.marks.len()), (first, second), "{policy:?}");
        }
        let outbox = outbox(Marks::Before);
        (0..4).for_each(|n| outbox.push(200_000, n));
        assert_eq!(outbox.next(&mut Alarm::default()).await.unwrap().frames, [0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn marks_alone_are_written_together_when_others_were_written_a_moment_ago() {
        let outbox = outbox(Marks::After);
        let began = Instant::now();
        outbox.mark('a', 1);
        assert_eq!(outbox.next(&mut Alarm::default()).await.unwrap().marks, [('a', 1)]);
        assert_eq!(began.elapsed(), Duration::ZERO, "nothing was written a moment ago");
        [('a', 2), ('b', 1)]
            .into_iter()
            .for_each(|(key, value)| outbox.mark(key, value));
        assert_eq!(
            outbox.next(&mut Alarm::default()).await.unwrap().marks,
            [('a', 2), ('b', 1)]
        );
        assert_eq!(began.elapsed(), LINGER);
        outbox.mark('a', 3);
        outbox.push(1, 1);
        let batch = outbox.next(&mut Alarm::default()).await.unwrap();
        assert_eq!((batch.marks, batch.frames), (vec![('a', 3)], vec![1]));
        assert_eq!(began.elapsed(), LINGER, "a frame takes them along");
        (0..MARKS as u64).for_each(|n| outbox.mark('a', 4 + n));
        assert_eq!(outbox.next(&mut Alarm::default()).await.unwrap().marks.len(), 1);
        assert_eq!(began.elapsed(), LINGER, "many do not wait");
    }

    #[tokio::test]
    async fn a_queue_that_overflows_is_closed_and_empty() {
        for (count, size) in [(1001, 1), (6, 200_000)] {
            let outbox = outbox(Marks::Before);
            (0..count).for_each(|n| outbox.push(size, n));
            assert!(outbox.next(&mut Alarm::default()).await.is_none());
            outbox.push(1, 1);
            outbox.mark('a', 1);
            assert!(outbox.inner.lock().frames.is_empty() && outbox.inner.lock().marks.is_empty());
        }
    }

    #[tokio::test]
    async fn who_waits_hears_of_the_end() {
        let outbox = outbox(Marks::Before);
        let mut alarm = Alarm::default();
        let (batch, ()) = tokio::join!(outbox.next(&mut alarm), async { outbox.closed.cancel() });
        assert!(batch.is_none());
    }
}
