//! What waits to be written to one link: frames in order, and marks of which only the newest per key matters. Filled without
//! waiting, emptied in batches.

use std::collections::{BTreeMap, VecDeque};

use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Window;

/// Most frames in one batch.
const BATCH_FRAMES: usize = 512;
/// A batch ends when it holds this many bytes.
const BATCH_BYTES: usize = 256 * 1024;
/// The metrics follow a queue when it is written from, and when it has grown by this many frames: not at every frame.
const NOTED: usize = 64;

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
    limit: Window,
    closed: CancellationToken,
    /// Times such a queue was closed because its reader was stuck.
    overflows: Counter,
}

struct Inner<F, K, V> {
    frames: VecDeque<(usize, F)>,
    bytes: usize,
    marks: BTreeMap<K, V>,
    depth: Depth,
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
    /// A queue of at most `limit`, called `name` in metrics. It is closed when `closed` is cancelled, and cancels it when it
    /// overflows.
    pub(crate) fn new(name: &'static str, limit: Window, marks: Marks, closed: CancellationToken) -> Self {
        let inner = Inner {
            frames: VecDeque::new(),
            bytes: 0,
            marks: BTreeMap::new(),
            depth: Depth::new(name),
        };
        Self {
            inner: Mutex::new(inner),
            ready: Notify::new(),
            marks,
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
        drop(inner);
        self.ready.notify_one();
    }

    /// The next batch, when there is one; `None` once closed.
    pub(crate) async fn next(&self) -> Option<Batch<F, K, V>> {
        while !self.closed.is_cancelled() {
            let batch = self.inner.lock().take(self.marks);
            if batch.is_some() {
                return batch;
            }
            tokio::select! {
                () = self.ready.notified() => {}
                () = self.closed.cancelled() => break,
            }
        }
        self.inner.lock().clear();
        None
    }
}

impl<F, K: Ord, V> Inner<F, K, V> {
    fn clear(&mut self) {
        self.frames = VecDeque::new();
        self.marks = BTreeMap::new();
        self.bytes = 0;
        self.note();
    }

    fn note(&mut self) {
        let (items, bytes) = (self.frames.len(), self.bytes);
        self.depth.note(Window { items, bytes });
    }

    fn take(&mut self, policy: Marks) -> Option<Batch<F, K, V>> {
        if self.frames.is_empty() && self.marks.is_empty() {
            return None;
        }
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
            std::mem::take(&mut self.marks).into_iter().collect()
        } else {
            Vec::new()
        };
        Some(Batch { marks, frames, bytes })
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
        let batch = outbox.next().await.unwrap();
        assert_eq!((batch.marks, batch.frames), (vec![('a', 3)], vec![1, 2, 3]));
    }

    #[tokio::test]
    async fn a_batch_is_bounded_and_marks_keep_their_side() {
        for (policy, first, second) in [(Marks::Before, 1, 0), (Marks::After, 0, 1)] {
            let outbox = outbox(policy);
            (0..600).for_each(|n| outbox.push(1, n));
            outbox.mark('a', 1);
            let (a, b) = (outbox.next().await.unwrap(), outbox.next().await.unwrap());
            assert_eq!((a.frames.len(), b.frames.len()), (BATCH_FRAMES, 600 - BATCH_FRAMES));
            assert_eq!((a.marks.len(), b.marks.len()), (first, second), "{policy:?}");
        }
        let outbox = outbox(Marks::Before);
        (0..4).for_each(|n| outbox.push(200_000, n));
        assert_eq!(outbox.next().await.unwrap().frames, [0, 1]);
    }

    #[tokio::test]
    async fn a_queue_that_overflows_is_closed_and_empty() {
        for (count, size) in [(1001, 1), (6, 200_000)] {
            let outbox = outbox(Marks::Before);
            (0..count).for_each(|n| outbox.push(size, n));
            assert!(outbox.next().await.is_none());
            outbox.push(1, 1);
            outbox.mark('a', 1);
            assert!(outbox.inner.lock().frames.is_empty() && outbox.inner.lock().marks.is_empty());
        }
    }

    #[tokio::test]
    async fn who_waits_hears_of_the_end() {
        let outbox = outbox(Marks::Before);
        let (batch, ()) = tokio::join!(outbox.next(), async { outbox.closed.cancel() });
        assert!(batch.is_none());
    }
}
