//! Takes in what another router has for homes here: in order per slot, side by side across slots, every part answered, and each once,
//! however often a link breaks before its answer is heard.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use stanza::{MessageKey, Stanza};
use topology::{NodeId, Slot};

use crate::lanes::{Lanes, Worker};
use crate::outbox::Outbox;
use crate::wire::{Part, PeerFrame, PeerReply};
use crate::{PeerHome, Route, Trace};

/// Answers on their way back: parts given back, and per slot the highest generation and number taken in.
pub(super) type Replies = Outbox<PeerReply, Slot, (u32, u64)>;

/// What one life of a router has handed over on all its streams: per slot the highest number taken in. Numbers rise from part to part
/// through that life.
pub(super) type Taken = Arc<Mutex<HashMap<Slot, u64>>>;

/// One stream of parts.
pub(super) struct Intake {
    lanes: Lanes<Slot, Job>,
}

struct Job {
    part: Part,
    stanza: Option<Arc<Stanza>>,
    key: Option<MessageKey>,
    trace: Option<Trace>,
}

struct Desk {
    from: NodeId,
    home: Arc<dyn PeerHome>,
    replies: Arc<Replies>,
    taken: Taken,
    /// Per slot: its newest generation, and whether that was given back.
    seen: Mutex<HashMap<Slot, (u32, bool)>>,
}

impl Intake {
    /// For what `from` sends.
    pub(super) fn start(
        from: NodeId,
        home: Arc<dyn PeerHome>,
        replies: Arc<Replies>,
        taken: Taken,
        lanes: usize,
    ) -> Self {
        let desk = Arc::new(Desk {
            from,
            home,
            replies,
            taken,
            seen: Mutex::default(),
        });
        let worker: Worker<Job> = Arc::new(move |job| {
            let desk = Arc::clone(&desk);
            Box::pin(async move { desk.take(job).await })
        });
        Self {
            lanes: Lanes::start(lanes, &worker),
        }
    }

    /// Takes in one of the frames that came `together`; waits while there is too much to do.
    pub(super) async fn feed(&self, frame: PeerFrame, together: usize) {
        let together = together.max(frame.parts.len());
        for part in frame.parts {
            let job = Job {
                stanza: frame.stanza.clone(),
                key: frame.key,
                trace: frame.trace,
                part,
            };
            self.lanes.give(job.part.slot, job, together).await;
        }
    }

    /// Forgets what has not begun and waits for what has.
    pub(super) async fn finish(self) {
        self.lanes.finish().await;
    }
}

impl Desk {
    async fn take(
        &self,
        Job {
            mut part,
            stanza,
            key,
            trace,
        }: Job,
    ) {
        let Some(broken) = self.look(&part) else { return };
        if broken {
            return self.give_back(part);
        }
        if self.has_taken(&part) {
            return self.replies.mark(part.slot, (part.generation, part.number));
        }
        let back = match stanza {
            Some(stanza) => {
                self.home
                    .route(
                        &self.from,
                        Route {
                            to: part.to.clone(),
                            stanza,
                            key,
                            trace,
                        },
                    )
                    .await
            }
            None => Vec::new(), // cannot be read by anybody: to refuse it would stop the slot
        };
        if back.is_empty() {
            self.taken.lock().insert(part.slot, part.number);
            self.replies.mark(part.slot, (part.generation, part.number));
        } else {
            self.seen.lock().insert(part.slot, (part.generation, true));
            part.to = back;
            self.give_back(part);
        }
    }

    /// Whether the part's generation was given back; `None` when it is void.
    fn look(&self, part: &Part) -> Option<bool> {
        let mut seen = self.seen.lock();
        let newest = seen.entry(part.slot).or_insert((part.generation, false));
        if newest.0 < part.generation {
            *newest = (part.generation, false);
        }
        (newest.0 == part.generation).then_some(newest.1)
    }

    /// Whether the part came before, over a link that broke before its answer was heard.
    fn has_taken(&self, part: &Part) -> bool {
        self.taken
            .lock()
            .get(&part.slot)
            .is_some_and(|last| *last >= part.number)
    }

    fn give_back(&self, part: Part) {
        self.replies.push(64 + 32 * part.to.len(), PeerReply::Returned(part));
    }
}
