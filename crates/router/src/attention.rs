//! Whether somebody looks at a session's client (XEP-0352): what can wait is held back meanwhile.

use std::sync::Arc;

use link::SessionRef;

use crate::cells::State;
use crate::core::Core;
use crate::errand::Out;
use crate::perform::finish;
use crate::travel::Travel;

/// Somebody looks at the session's client, or nobody does.
pub(crate) async fn look(core: &Arc<Core>, session: &SessionRef, active: bool) {
    let Some(cell) = core.cells.find(&session.account()) else {
        return;
    };
    let mut state = cell.state.lock().await;
    let State::Loaded(account) = &mut *state else { return };
    if let Some(session) = account.sessions.get_mut(&session.id) {
        session.inactive = !active;
    }
    account.attend(session.id, core.queue_limits());
    let batch = finish(&cell, account, Out::default()).await;
    drop(state);
    Travel::carry(core, batch).await;
}
