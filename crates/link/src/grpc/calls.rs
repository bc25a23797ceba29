//! Questions to routers that wait for their answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use stanza::{BindReply, BindRequest, EnableReply, RegisterReply, ResumeReply, ResumeRequest, SaslReply};
use tokio::sync::oneshot;

use crate::Gone;
use crate::link_id::LinkId;

/// A question; dropped when its link ends, so that who asked hears of it.
pub(super) enum Call {
    Sasl(oneshot::Sender<SaslReply>),
    Register(oneshot::Sender<RegisterReply>),
    Bind(Box<BindRequest>, oneshot::Sender<Result<BindReply, Gone>>),
    Enable(oneshot::Sender<Result<EnableReply, Gone>>),
    Resume(Box<ResumeRequest>, oneshot::Sender<Result<ResumeReply, Gone>>),
}

/// All questions under way.
#[derive(Default)]
pub(super) struct Calls {
    last: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    calls: BTreeMap<u64, (LinkId, Call)>,
    /// Links that ended lately: who found one just before asks it in vain.
    ended: VecDeque<LinkId>,
}

/// How many links that ended are remembered.
const ENDED: usize = 64;

impl Calls {
    /// Notes a question over `link`, unless that has ended; gives it a number.
    pub(super) fn open(&self, link: LinkId, call: Call) -> u64 {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut open = self.open.lock();
        if !open.ended.contains(&link) {
            open.calls.insert(number, (link, call));
        }
        number
    }

    /// The question that was answered over `link`.
    pub(super) fn answered(&self, link: LinkId, number: u64) -> Option<Call> {
        let mut open = self.open.lock();
        open.calls.get(&number).filter(|(asked, _)| *asked == link)?;
        open.calls.remove(&number).map(|(_, call)| call)
    }

    /// The link has ended: nothing asked over it will be answered.
    pub(super) fn lost(&self, link: LinkId) {
        let mut open = self.open.lock();
        open.calls.retain(|_, (asked, _)| *asked != link);
        open.ended.push_back(link);
        if open.ended.len() > ENDED {
            open.ended.pop_front();
        }
    }
}
