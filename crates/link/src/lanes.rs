//! Does jobs in order per key and side by side across keys: a key that waits does not hold up another. A fixed number of
//! tasks, each with a bounded queue; while there is little to do, what can be done at once is done where it comes in.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinSet;

/// Jobs a lane holds at most, waiting or under way; beyond, whoever feeds it waits.
const HELD: usize = 4096;
/// Jobs on their way to a lane.
const QUEUED: usize = 256;

/// Of so many jobs that come together, none has to be handed to another task: that would cost more than the job, and wake up a thread.
const FEW: usize = 4;

/// Does one job.
pub(crate) type Worker<J> = Arc<dyn Fn(J) -> BoxFuture<'static, ()> + Send + Sync>;

/// The tasks. Dropping it stops them: jobs under way are cut off.
pub(crate) struct Lanes<K, J> {
    queues: Vec<Queue<K, J>>,
    tasks: JoinSet<()>,
    hasher: RandomState,
    stopped: Arc<AtomicBool>,
    worker: Worker<J>,
}

/// The way to a lane.
struct Queue<K, J> {
    jobs: mpsc::Sender<(K, Work<J>)>,
    /// Jobs that were given to it and are not done.
    undone: Arc<AtomicUsize>,
}

enum Work<J> {
    New(J),
    /// What is left of it.
    Begun(BoxFuture<'static, ()>),
}

impl<K, J> Lanes<K, J>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    J: Send + 'static,
{
    /// Starts `count` tasks (at least one).
    pub(crate) fn start(count: usize, worker: &Worker<J>) -> Self {
        let (mut tasks, stopped) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        let mut lane = |_| {
            let (sender, jobs) = mpsc::channel(QUEUED);
            let undone = Arc::new(AtomicUsize::new(0));
            tasks.spawn(Lane::new(Arc::clone(worker), Arc::clone(&stopped), Arc::clone(&undone)).run(jobs));
            Queue { jobs: sender, undone }
        };
        let queues = (0..count.max(1)).map(&mut lane).collect();
        Self {
            queues,
            tasks,
            hasher: RandomState::new(),
            stopped,
            worker: Arc::clone(worker),
        }
    }

    /// Does `job` after all jobs of `key` that were given before. Waits while the lane is full. `together`: how many jobs came at the same
    /// time. To be called by one task only.
    pub(crate) async fn give(&self, key: K, job: J, together: usize) {
        let lane = usize::try_from(self.hasher.hash_one(&key) % self.queues.len() as u64).unwrap_or(0);
        let Queue { jobs, undone } = &self.queues[lane];
        // Nothing is before it, and nobody else gives.
        let work = if together <= FEW && undone.load(Ordering::Acquire) == 0 {
            let mut future = (self.worker)(job);
            match futures::poll!(&mut future) {
                Poll::Ready(()) => return,
                Poll::Pending => Work::Begun(future),
            }
        } else {
            Work::New(job)
        };
        undone.fetch_add(1, Ordering::AcqRel);
        // What has begun finds room, as nothing is before it: to wait here would cut it off, should its giver be stopped.
        let sent = jobs.try_send((key, work));
        if let Err(TrySendError::Full(job)) = sent {
            // A lane ends only when all senders are gone.
            let _ = jobs.send(job).await;
        }
    }

    /// Forgets what has not begun and waits for what has.
    pub(crate) async fn finish(mut self) {
        self.stopped.store(true, Ordering::Release);
        self.queues.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Lane<K, J> {
    worker: Worker<J>,
    running: FuturesUnordered<BoxFuture<'static, K>>,
    /// By each key that has a job under way: those that wait for it.
    waiting: HashMap<K, VecDeque<J>>,
    held: usize,
    /// `held` of all lanes, as a metric.
    depth: metrics::Gauge,
    stopped: Arc<AtomicBool>,
    undone: Arc<AtomicUsize>,
}

impl<K, J> Lane<K, J>
where
    K: Clone + Eq + Hash + Send + 'static,
    J: Send + 'static,
{
    fn new(worker: Worker<J>, stopped: Arc<AtomicBool>, undone: Arc<AtomicUsize>) -> Self {
        let (running, waiting) = (FuturesUnordered::new(), HashMap::new());
        Self {
            worker,
            running,
            waiting,
            held: 0,
            depth: metrics::gauge!("dunlin_link_lane_jobs"),
            stopped,
            undone,
        }
    }

    async fn run(mut self, mut jobs: mpsc::Receiver<(K, Work<J>)>) {
        while !self.stopped.load(Ordering::Acquire) {
            tokio::select! {
                biased;
                Some(key) = self.running.next(), if !self.running.is_empty() => self.ended(key).await,
                job = jobs.recv(), if self.held < HELD => match job {
                    // What has begun is not forgotten.
                    Some((key, Work::Begun(rest))) => self.keep(key, rest),
                    Some((key, Work::New(job))) if !self.stopped.load(Ordering::Acquire) => self.arrived(key, job).await,
                    _ => break,
                },
            }
        }
        jobs.close();
        while let Some((key, work)) = jobs.recv().await {
            if let Work::Begun(rest) = work {
                self.keep(key, rest);
            }
        }
        while self.running.next().await.is_some() {}
        self.depth.decrement(self.held as f64);
    }

    fn hold(&mut self) {
        self.held += 1;
        self.depth.increment(1.0);
    }

    fn release(&mut self) {
        self.held -= 1;
        self.depth.decrement(1.0);
    }

    async fn arrived(&mut self, key: K, job: J) {
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.push_back(job);
            self.hold();
        } else if let Some(rest) = self.begin(job).await {
            self.keep(key, rest);
        }
    }

    /// A key has a job under way from now on.
    fn keep(&mut self, key: K, rest: BoxFuture<'static, ()>) {
        self.hold();
        self.waiting.insert(key.clone(), VecDeque::new());
        self.follow(key, rest);
    }

    async fn ended(&mut self, key: K) {
        self.release();
        self.is_done();
        while let Some(job) = self.waiting.get_mut(&key).and_then(VecDeque::pop_front) {
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
            if let Some(rest) = self.begin(job).await {
                return self.follow(key, rest);
            }
            self.release();
        }
        self.waiting.remove(&key);
    }

    /// Begins `job`; gives what is left of it, if it could not be done at once.
    async fn begin(&mut self, job: J) -> Option<BoxFuture<'static, ()>> {
        let mut future = (self.worker)(job);
        let is_pending = futures::poll!(&mut future).is_pending();
        if !is_pending {
            self.is_done();
        }
        is_pending.then_some(future)
    }

    fn is_done(&self) {
        self.undone.fetch_sub(1, Ordering::AcqRel);
    }

    fn follow(&mut self, key: K, rest: BoxFuture<'static, ()>) {
        self.running.push(Box::pin(async move {
            rest.await;
            key
        }));
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    use super::*;

    type Seen = Arc<Mutex<Vec<(char, u32)>>>;

    /// Jobs of key 'b' wait for a permit; the others are done at once or after a yield.
    fn worker(seen: &Seen, gate: &Arc<Semaphore>) -> Worker<(char, u32)> {
        let (seen, gate) = (Arc::clone(seen), Arc::clone(gate));
        Arc::new(move |(key, n)| {
            let (seen, gate) = (Arc::clone(&seen), Arc::clone(&gate));
            Box::pin(async move {
                if key == 'b' {
                    gate.acquire().await.unwrap().forget();
                } else if n % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                seen.lock().push((key, n));
            })
        })
    }

    fn of(seen: &Seen, key: char) -> Vec<u32> {
        seen.lock().iter().filter(|(k, _)| *k == key).map(|(_, n)| *n).collect()
    }

    #[tokio::test]
    async fn order_holds_per_key_and_a_slow_key_holds_up_no_other() {
        for together in [1, FEW, FEW + 1] {
            keeps_order(together).await;
        }
    }

    async fn keeps_order(together: usize) {
        let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
        let lanes = Lanes::start(1, &worker(&seen, &gate));
        for n in 0..100 {
            for key in ['a', 'b', 'c'] {
                lanes.give(key, (key, n), together).await;
            }
        }
        while of(&seen, 'a').len() + of(&seen, 'c').len() < 200 {
            tokio::task::yield_now().await;
        }
        assert!(of(&seen, 'b').is_empty());
        gate.add_permits(100);
        while of(&seen, 'b').len() < 100 {
            tokio::task::yield_now().await;
        }
        for key in ['a', 'b', 'c'] {
            assert_eq!(of(&seen, key), (0..100).collect::<Vec<_>>(), "{key}");
        }
    }

    #[tokio::test]
    async fn finish_waits_for_what_has_begun_and_forgets_the_rest() {
        let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
        let lanes = Lanes::start(2, &worker(&seen, &gate));
        for n in 0..3 {
            lanes.give('b', ('b', n), 1).await;
        }
        tokio::task::yield_now().await;
        let finish = lanes.finish();
        gate.add_permits(10);
        finish.await;
        assert_eq!(of(&seen, 'b'), [0]);
    }

    #[tokio::test]
    async fn a_full_lane_makes_its_feeder_wait() {
        let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
        let lanes = Lanes::start(1, &worker(&seen, &gate));
        let mut given = 0;
        let feed = async {
            loop {
                lanes.give('b', ('b', given), 1).await;
                given += 1;
                tokio::task::yield_now().await;
            }
        };
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), feed).await;
        assert!((HELD..=HELD + QUEUED).contains(&(given as usize)), "{given}");
    }
}
