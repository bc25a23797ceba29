//! What a router does beside stanzas, for as long as it is there.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::config::ms;
use crate::core::Core;
use crate::resume;

/// How often idle accounts are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// How long to wait before a store that was away is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Tasks that end with their owner.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<Vec<AbortHandle>>);

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().push(tokio::spawn(task).abort_handle());
    }

    pub(crate) fn stop(&self) {
        self.0.lock().drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Writes presence and locations behind.
pub(crate) async fn write_behind(core: Arc<Core>) {
    loop {
        core.behind.due().await;
        tokio::time::sleep(ms(core.config.cluster.write_behind_ms)).await;
        while !core.behind.flush(&core.stores).await {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Gives up detached sessions whose time is over.
pub(crate) async fn expire(core: Arc<Core>) {
    loop {
        let (until, session, account) = core.expiry.next().await;
        tokio::spawn({
            let core = core.clone();
            async move { resume::give_up(&core, &account, session, until).await }
        });
    }
}

/// Forgets idle accounts.
pub(crate) async fn sweep(core: Arc<Core>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        core.cells.sweep(core.fresh());
    }
}
