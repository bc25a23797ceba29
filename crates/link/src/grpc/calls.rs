//! Questions to routers that wait for their answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use stanza::{BindReply, BindRequest, SaslReply};
use tokio::sync::oneshot;

use crate::Gone;
use crate::link_id::LinkId;

/// A question; dropped when its link ends, so that who asked hears of it.
pub(super) enum Call {
    Sasl(oneshot::Sender<SaslReply>),
    Bind(Box<BindRequest>, oneshot::Sender<Result<BindReply, Gone>>),
}

/// All questions under way.
#[derive(Default)]
pub(super) struct Calls {
    last: AtomicU64,
    open: Mutex<HashMap<u64, (LinkId, Call)>>,
}

impl Calls {
    /// Notes a question over `link`; gives it a number.
    pub(super) fn open(&self, link: LinkId, call: Call) -> u64 {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.open.lock().insert(number, (link, call));
        number
    }

    /// The question that was answered over `link`.
    pub(super) fn answered(&self, link: LinkId, number: u64) -> Option<Call> {
        let mut open = self.open.lock();
        open.get(&number).filter(|(asked, _)| *asked == link)?;
        open.remove(&number).map(|(_, call)| call)
    }

    /// The link has ended: nothing asked over it will be answered.
    pub(super) fn lost(&self, link: LinkId) {
        self.open.lock().retain(|_, (asked, _)| *asked != link);
    }
}
