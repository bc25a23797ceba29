//! When detached sessions are to be given up.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use stanza::{Bare, SessionId};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Sessions by the time at which they are looked at. One that was resumed meanwhile goes by another id.
#[derive(Default)]
pub(crate) struct Expiry {
    queue: Mutex<BTreeMap<(Instant, SessionId), (Instant, Bare)>>,
    changed: Notify,
}

impl Expiry {
    /// Session `id` of `account` is to be looked at then.
    pub(crate) fn add(&self, at: Instant, id: SessionId, account: Bare) {
        self.postpone(at, at, id, account);
    }

    /// Session `id` of `account`, which was to be looked at at `due`, is to be looked at then.
    pub(crate) fn postpone(&self, at: Instant, due: Instant, id: SessionId, account: Bare) {
        self.queue.lock().insert((at, id), (due, account));
        self.changed.notify_one();
    }

    /// The next session whose time is over, once it is, with the time that was first set.
    pub(crate) async fn next(&self) -> (Instant, SessionId, Bare) {
        loop {
            let due = self.queue.lock().first_key_value().map(|((at, _), _)| *at);
            match due {
                Some(due) if due <= Instant::now() => {
                    if let Some(((_, id), (due, account))) = self.queue.lock().pop_first() {
                        return (due, id, account);
                    }
                }
                Some(due) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn they_come_in_the_order_of_their_time() {
        let expiry = Expiry::default();
        let start = Instant::now();
        let account = Bare::parse("juliet@a.example").unwrap();
        for (after, id) in [(9, 1), (5, 2), (7, 3)] {
            expiry.add(start + Duration::from_secs(after), SessionId(id), account.clone());
        }
        let mut seen = Vec::new();
        for _ in 0..3 {
            let (at, id, _) = expiry.next().await;
            assert_eq!(at, Instant::now());
            seen.push((id.0, start.elapsed().as_secs()));
        }
        assert_eq!(seen, [(2, 5), (3, 7), (1, 9)]);
    }
}
