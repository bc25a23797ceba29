//! Messages that were kept while nobody was there: to a session page by page, and out of the log once written to the client.

use std::sync::Arc;

use link::Trace;
use stanza::{SessionId, Stanza};
use store::PageRequest;

use crate::account::{Account, Flush, Manner};
use crate::core::Core;
use crate::gauges;
use crate::session::Fate;
use crate::settle::KEPT;

/// Messages read at a time.
const PAGE: u32 = 100;

/// Begins to deliver what was kept to `session`, unless another one gets it already.
pub(crate) async fn flush(core: &Core, account: &mut Account, session: SessionId, trace: Option<Trace>) {
    if account.flush.is_none() && account.kept != Some(0) && account.sessions.contains_key(&session) {
        page(core, account, session, None, trace).await;
    }
}

/// Goes on after the edge reported something written: trims what is through, and delivers the next page.
pub(crate) async fn go_on(core: &Core, account: &mut Account) {
    let Some(flush) = &account.flush else { return };
    let (id, last) = (flush.session, flush.last);
    let Some(session) = account.sessions.get_mut(&id) else {
        return;
    };
    if session.handle.written() < flush.number {
        return;
    }
    session.handle.set_flushing(0);
    account.flush = None;
    match core.stores.archive.trim(account.jid(), KEPT, last).await {
        Ok(trimmed) => {
            gauges::taken(trimmed);
            account.kept = account.kept.map(|kept| kept.saturating_sub(trimmed));
        }
        Err(error) => {
            // They will be delivered again at the next login: twice is better than never.
            gauges::failed("trim");
            tracing::warn!(%error, "trimming kept messages");
            return;
        }
    }
    page(core, account, id, Some(last), None).await;
}

async fn page(core: &Core, account: &mut Account, id: SessionId, after: Option<store::EntryId>, trace: Option<Trace>) {
    let mut request = PageRequest {
        after,
        limit: PAGE,
        ..PageRequest::default()
    };
    let limits = core.queue_limits();
    loop {
        let page = match core.stores.archive.page(account.jid(), KEPT, &request).await {
            Ok(page) => page,
            Err(error) => {
                gauges::failed("flush");
                tracing::warn!(%error, "reading kept messages");
                return;
            }
        };
        for entry in &page.entries {
            request.after = Some(entry.id);
            let Ok(stanza) = Stanza::parse(&entry.stanza) else {
                continue;
            };
            let manner = Manner {
                readdress: false,
                fate: Fate::Kept,
                limits,
                trace,
            };
            account.deliver(&[id], &Arc::new(stanza), manner);
        }
        let Some(session) = account.sessions.get_mut(&id) else {
            return;
        };
        session.settle_written();
        if let Some(last) = request.after.filter(|_| !page.entries.is_empty()) {
            session.handle.set_flushing(session.delivered);
            let number = session.delivered;
            account.flush = Some(Flush {
                session: id,
                last,
                number,
            });
        }
        let more = !page.complete && !page.entries.is_empty();
        if !more
            || !account
                .sessions
                .get(&id)
                .is_some_and(|session| session.has_room(limits))
        {
            if page.entries.is_empty() && account.flush.is_none() && after.is_none() {
                account.kept = Some(0);
            }
            return;
        }
    }
}
