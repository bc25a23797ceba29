//! Looks after what homes know of archives: after a home has changed, and now and then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use topology::Slot;

use crate::archive;
use crate::cells::{Cell, State};
use crate::core::Core;
use crate::errand::Out;
use crate::perform::finish;
use crate::travel::Travel;

/// Accounts dealt with at a time.
const AT_ONCE: usize = 16;

/// Looks after the accounts of slots that have just opened: what the last home did not deliver any more is delivered.
pub(crate) async fn recover(core: Arc<Core>, slots: Vec<Slot>) {
    let slots: BTreeSet<Slot> = slots.into_iter().collect();
    let cells = core.cells.of_slots(|slot| slots.contains(&slot));
    look_after(&core, cells).await;
}

/// Writes records now and then, and tries again what a store that was away has kept from being done.
pub(crate) async fn keep(core: Arc<Core>) {
    loop {
        tokio::time::sleep(Duration::from_secs(core.config.mark_s.max(1))).await;
        let due = core.marks.take();
        let cells = due.iter().filter_map(|jid| core.cells.find(jid)).collect();
        look_after(&core, cells).await;
    }
}

async fn look_after(core: &Arc<Core>, cells: Vec<Arc<Cell>>) {
    stream::iter(cells)
        .for_each_concurrent(AT_ONCE, |cell| async move {
            let Ok(_pass) = core.slots.enter(cell.slot).await else {
                return;
            };
            let mut state = cell.state.lock().await;
            let State::Loaded(account) = &mut *state else { return };
            if account.log.is_none() && account.sessions.is_empty() && account.doubts.is_empty() {
                return; // it is read when it is needed
            }
            if let Err(error) = archive::open(core, account).await {
                archive::away("open", &error);
                return core.marks.note(account.jid());
            }
            archive::feed_all(core, account, None).await;
            archive::save(core, account).await;
            if account.log.as_ref().is_some_and(|log| log.has_held()) {
                core.marks.note(account.jid());
            }
            let batch = finish(&cell, account, Out::default()).await;
            drop(state);
            Travel::carry(core, batch).await;
        })
        .await;
}
