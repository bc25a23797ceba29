//! One of an edge's bound sessions: where it is attached, and when it moves. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stanza::{Grant, Iq, Peer, SessionId};
use tokio::sync::Notify;
use topology::{Epoch, NodeId, Slot, SlotTable};

use crate::courier::Courier;
use crate::link_id::LinkId;
use crate::received::{Place, Received};
use crate::wire::EdgeFrame;
use crate::{Attach, CloseReason, Held, SessionRef, Submission, Unwritten};

/// Where frames for a router go. Neither call waits or fails.
pub(crate) trait Port {
    fn send(&self, frame: EdgeFrame);
    /// The session's deliveries up to `number` were written; only the highest counts.
    fn written(&self, session: SessionId, number: u64);
}

pub(crate) struct Link<P> {
    pub(crate) id: LinkId,
    pub(crate) epoch: Epoch,
    pub(crate) port: Arc<P>,
    /// Highest table the router has sealed; `None` until it has said so for the first time.
    pub(crate) sealed: Option<u64>,
    /// The table for which it was last told that all is attached but the sessions of these slots.
    pub(crate) told: Option<(u64, BTreeSet<Slot>)>,
}

pub(crate) struct Session {
    pub(crate) session: SessionRef,
    pub(crate) grant: Grant,
    pub(crate) peer: Peer,
    pub(crate) mirror: Bytes,
    pub(crate) written: u64,
    pub(crate) done: u64,
    pub(crate) undone: Courier<Submission>,
    pub(crate) received: Received,
    pub(crate) closing: Option<CloseReason>,
    /// Its stream is gone; the home keeps it for its client to resume, and so does this edge.
    pub(crate) detached: bool,
    /// Nobody looks at the client.
    pub(crate) inactive: bool,
    /// The second copy of what waits at the home until somebody does.
    pub(crate) held: Held,
    pub(crate) at: Option<At>,
    pub(crate) leaving: Option<Leaving>,
    pub(crate) refusal: Option<Refusal>,
    /// A delivery has come that is beyond the next one.
    pub(crate) lacks: bool,
    pub(crate) room: Option<Arc<Notify>>,
}

/// Where a session is attached. A slot that moved away and back has another slot epoch: its home may have let go of the session.
pub(crate) struct At {
    pub(crate) node: NodeId,
    pub(crate) link: LinkId,
    pub(crate) slot_epoch: u64,
    /// The table up to which the home had applied tables before. If the slot has changed hands since, the home took the session
    /// by a table that is older than the edge's, and may yet let go of it before it comes to that one.
    pub(crate) sealed: u64,
}

/// The home of a slot, and the link to it.
pub(crate) struct Target<'a, P> {
    pub(crate) node: &'a NodeId,
    pub(crate) link: &'a Link<P>,
    pub(crate) slot_epoch: u64,
    /// The table by which the slot came to it.
    pub(crate) since: u64,
    /// The table up to which it has applied tables.
    pub(crate) sealed: u64,
}

#[derive(Clone, Copy)]
pub(crate) struct Leaving {
    pub(crate) table: u64,
    pub(crate) since: Instant,
}

#[derive(Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) table: u64,
    pub(crate) times: u32,
    pub(crate) until: Instant,
}

/// Where a session stands after it was looked at.
pub(crate) enum Standing {
    Attached,
    /// At a home that has yet to apply the table by which it is that.
    Early,
    /// Not yet; look again then, if not before.
    Waiting(Option<Instant>),
}

impl Session {
    pub(crate) fn settle<P: Port>(
        &mut self,
        table: &SlotTable,
        links: &BTreeMap<NodeId, Link<P>>,
        target: Option<&Target<'_, P>>,
        patience: Duration,
        now: Instant,
    ) -> Standing {
        let is_home = |at: &At| target.is_some_and(|to| to.link.id == at.link && to.slot_epoch == at.slot_epoch);
        if let (true, Some(at), Some(to)) = (
            self.undone.is_flowing(),
            self.at.as_ref().filter(|at| is_home(at)),
            target,
        ) {
            if at.sealed >= to.since {
                return Standing::Attached;
            }
            if to.sealed < to.since {
                return Standing::Early;
            }
            self.attach(to); // it may have let go of the session before it came to that table
            return Standing::Attached;
        }
        if let Some(at) = self.at.as_ref().filter(|at| !is_home(at)) {
            let unsealed = |table| {
                links
                    .get(&at.node)
                    .is_some_and(|link| link.id == at.link && link.sealed.is_none_or(|sealed| sealed < table))
            };
            self.undone.pause();
            let leaving = *self.leaving.get_or_insert(Leaving {
                table: table.revision,
                since: now,
            });
            let until = leaving.since + patience;
            if unsealed(leaving.table) && now < until {
                return Standing::Waiting(Some(until));
            }
            self.leave();
        }
        match (self.refusal, target) {
            (Some(refusal), _) if refusal.table == table.revision && now < refusal.until => {
                Standing::Waiting(Some(refusal.until))
            }
            (_, None) => Standing::Waiting(None),
            (_, Some(target)) => {
                self.attach(target);
                if target.sealed < target.since {
                    Standing::Early
                } else {
                    Standing::Attached
                }
            }
        }
    }

    pub(crate) fn attach<P: Port>(&mut self, to: &Target<'_, P>) {
        let link = to.link;
        self.lacks &= self.hears(link.id); // another home, or another link, begins with this
        self.at = Some(At {
            node: to.node.clone(),
            link: link.id,
            slot_epoch: to.slot_epoch,
            sealed: to.sealed,
        });
        let attach = Attach {
            session: self.session.clone(),
            grant: self.grant.clone(),
            peer: self.peer.clone(),
            mirror: self.mirror.clone(),
            delivered: self.received.last,
            written: self.written,
            done: self.done,
            unwritten: self.received.unwritten.iter().cloned().collect(),
            archived: self.received.archived,
            detached: self.detached,
            inactive: self.inactive,
            held: self.held.clone(),
        };
        let (session, generation) = (self.session.id, self.undone.generation() + 1);
        link.port.send(EdgeFrame::Attach {
            generation,
            attach: Box::new(attach),
        });
        for item in self.undone.resume() {
            link.port.send(EdgeFrame::Submit {
                session,
                generation,
                submission: item.value.clone(),
            });
        }
        if let Some(reason) = self.closing {
            link.port.send(EdgeFrame::Close {
                session,
                generation,
                reason,
            });
        }
    }

    /// Keeps a delivery, if it is the next.
    pub(crate) fn take(&mut self, delivery: Unwritten) -> Place {
        let place = self.received.place(delivery.number);
        if place == Place::Next {
            self.lacks = false;
            self.held.note_delivered(&delivery.stanza);
            self.received.push(delivery);
        }
        place
    }

    /// The client answers a request: should it not come back to acknowledge that, nobody else is to answer it.
    pub(crate) fn note_answer(&mut self, answer: &Iq) {
        let mut unwritten = self.received.unwritten.iter_mut();
        if let Some(request) = unwritten.find(|unwritten| answer.answers(&unwritten.stanza)) {
            request.settled = true;
        }
    }

    /// Its attachment came to nothing: it is to be attached again by a newer table than `table`, or after a while.
    pub(crate) fn refuse(&mut self, table: u64, now: Instant) {
        let times = self.refusal.map_or(0, |refusal| refusal.times);
        self.refusal = Some(Refusal {
            table,
            times: times + 1,
            until: now + Duration::from_millis(5) * 2_u32.pow(times.min(8)),
        });
        // A home that is about to be left still speaks for the session until it says that it is sealed.
        self.undone.reset();
    }

    /// Nobody is home any more; what is on its way will not be answered.
    pub(crate) fn leave(&mut self) {
        self.at = None;
        self.leaving = None;
        self.undone.reset();
    }

    pub(crate) fn hears(&self, link: LinkId) -> bool {
        self.at.as_ref().is_some_and(|at| at.link == link)
    }

    pub(crate) fn port<'a, P>(&self, links: &'a BTreeMap<NodeId, Link<P>>) -> Option<&'a P> {
        let at = self.at.as_ref()?;
        links
            .get(&at.node)
            .filter(|link| link.id == at.link)
            .map(|link| &*link.port)
    }
}

/// The home of `slot` since the table `since`, and the link to it, if that is up and the home has said which table it is at.
pub(crate) fn target<'a, P>(
    table: &'a SlotTable,
    since: u64,
    links: &'a BTreeMap<NodeId, Link<P>>,
    slot: Slot,
) -> Option<Target<'a, P>> {
    let (node, epoch, slot_epoch) = table.at(slot)?;
    let link = links.get(node).filter(|link| link.epoch == epoch)?;
    Some(Target {
        node,
        link,
        slot_epoch,
        since,
        sealed: link.sealed?,
    })
}
