//! What waits to be written to one link: frames in order, and marks of which only the newest per key matters. Filled without
//! waiting, emptied in batches.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Window;

/// Most frames in one batch.
const BATCH_FRAMES: usize = 512;
/// A batch ends when it holds this many bytes.
const BATCH_BYTES: usize = 256 * 1024;

/// A queue with one reader. `K` to `V` are the marks.
pub(crate) struct Outbox<F, K, V> {
    inner: Mutex<Inner<F, K, V>>,
    ready: Notify,
    limit: Window,
}

struct Inner<F, K, V> {
    frames: VecDeque<(usize, F)>,
    bytes: usize,
    marks: HashMap<K, V>,
    closed: bool,
}

/// What is to be written together: marks before frames.
#[derive(Debug)]
pub(crate) struct Batch<F, K, V> {
    pub(crate) marks: Vec<(K, V)>,
    pub(crate) frames: Vec<F>,
}

impl<F, K: Eq + Hash, V: Ord> Outbox<F, K, V> {
    /// A queue of at most `limit`.
    pub(crate) fn new(limit: Window) -> Self {
        let inner = Inner {
            frames: VecDeque::new(),
            bytes: 0,
            marks: HashMap::new(),
            closed: false,
        };
        Self {
            inner: Mutex::new(inner),
            ready: Notify::new(),
            limit,
        }
    }

    /// Appends a frame of `size` bytes. When that exceeds the limit, the queue is closed: its reader is stuck.
    pub(crate) fn push(&self, size: usize, frame: F) {
        let mut inner = self.inner.lock();
        if inner.closed {
            return;
        }
        inner.bytes += size;
        inner.frames.push_back((size, frame));
        inner.closed = inner.frames.len() > self.limit.items || inner.bytes > self.limit.bytes;
        drop(inner);
        self.ready.notify_one();
    }

    /// Sets the mark of `key`, unless it has a higher one. Marks are not counted: there is one per key at most.
    pub(crate) fn mark(&self, key: K, value: V) {
        let mut inner = self.inner.lock();
        if inner.closed {
            return;
        }
        if inner.marks.get(&key).is_none_or(|old| *old < value) {
            inner.marks.insert(key, value);
        }
        drop(inner);
        self.ready.notify_one();
    }

    /// Nothing is read or written any more.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.ready.notify_one();
    }

    /// The next batch, when there is one; `None` once closed.
    pub(crate) async fn next(&self) -> Option<Batch<F, K, V>> {
        loop {
            {
                let mut inner = self.inner.lock();
                if inner.closed {
                    inner.clear();
                    self.ready.notify_one(); // for whoever asks again
                    return None;
                }
                if !inner.frames.is_empty() || !inner.marks.is_empty() {
                    return Some(inner.take());
                }
            }
            self.ready.notified().await;
        }
    }
}

impl<F, K, V> Inner<F, K, V> {
    fn clear(&mut self) {
        self.frames = VecDeque::new();
        self.marks = HashMap::new();
        self.bytes = 0;
    }

    fn take(&mut self) -> Batch<F, K, V> {
        let marks = self.marks.drain().collect();
        let (mut frames, mut bytes) = (Vec::with_capacity(self.frames.len().min(BATCH_FRAMES)), 0);
        while frames.len() < BATCH_FRAMES && bytes < BATCH_BYTES {
            let Some((size, frame)) = self.frames.pop_front() else {
                break;
            };
            bytes += size;
            frames.push(frame);
        }
        self.bytes -= bytes;
        Batch { marks, frames }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> Outbox<u32, char, u64> {
        Outbox::new(Window {
            items: 1000,
            bytes: 1_000_000,
        })
    }

    #[tokio::test]
    async fn what_is_queued_is_drained_together() {
        let outbox = outbox();
        (1..=3).for_each(|n| outbox.push(1, n));
        [('a', 1), ('a', 3), ('a', 2)]
            .into_iter()
            .for_each(|(key, value)| outbox.mark(key, value));
        let batch = outbox.next().await.unwrap();
        assert_eq!((batch.marks, batch.frames), (vec![('a', 3)], vec![1, 2, 3]));
    }

    #[tokio::test]
    async fn a_batch_is_bounded() {
        let outbox = outbox();
        (0..600).for_each(|n| outbox.push(1, n));
        assert_eq!(outbox.next().await.unwrap().frames.len(), BATCH_FRAMES);
        assert_eq!(outbox.next().await.unwrap().frames.len(), 600 - BATCH_FRAMES);
        (0..4).for_each(|n| outbox.push(200_000, n));
        assert_eq!(outbox.next().await.unwrap().frames, [0, 1]);
    }

    #[tokio::test]
    async fn a_queue_that_overflows_is_closed() {
        for (count, size) in [(1001, 1), (6, 200_000)] {
            let outbox = outbox();
            (0..count).for_each(|n| outbox.push(size, n));
            assert!(outbox.next().await.is_none());
        }
    }
}
