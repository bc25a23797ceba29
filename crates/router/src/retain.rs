//! Archives do not grow for ever: each home removes from those of its own accounts what their host keeps no longer. What still waits for
//! somebody stays.

use std::sync::Arc;
use std::time::Duration;

use engine::Retention;
use stanza::{ArchiveId, Bare, Timestamp};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use topology::Slot;

use crate::archive::{ARCHIVE, mark};
use crate::core::Core;
use crate::gauges;
use crate::log::Record;
use crate::slots::Phase;

/// Accounts read at a time.
const ACCOUNTS: u32 = 1_000;
/// Messages removed at a time.
const MESSAGES: u32 = 1_000;

/// Looks through the archives for ever, if a host does not keep all.
pub(crate) async fn run(core: Arc<Core>) {
    while core.hosts.values().any(|host| host.pipeline.retention().is_some()) {
        tokio::time::sleep(Duration::from_secs(core.config.retain_s.max(1))).await;
        Round::new(&core).go().await;
    }
}

/// Once through all archives.
struct Round<'a> {
    core: &'a Arc<Core>,
    pace: Interval,
    accounts: u64,
    messages: u64,
}

impl<'a> Round<'a> {
    fn new(core: &'a Arc<Core>) -> Self {
        let per_second = core.config.retain_per_s.clamp(1, 1_000_000);
        let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            core,
            pace,
            accounts: 0,
            messages: 0,
        }
    }

    async fn go(mut self) {
        let begin = Instant::now();
        for (domain, host) in &self.core.hosts {
            let Some(retention) = host.pipeline.retention() else {
                continue;
            };
            if let Err(error) = self.domain(domain, retention).await {
                gauges::failed("retain");
                tracing::warn!(%error, domain, "looking through archives; the rest has to wait for the next time");
            }
        }
        let (archives, messages) = (self.accounts, self.messages);
        let took = begin.elapsed().as_secs();
        tracing::info!(archives, messages, took, "removed messages that are kept no longer");
    }

    async fn domain(&mut self, domain: &str, retention: Retention) -> store::Result<()> {
        let mut after = None;
        loop {
            self.pace.tick().await;
            let page = self.core.stores.accounts.list(domain, after.as_ref(), ACCOUNTS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for jid in &page {
                if self.core.slots.phase(Slot::of(jid.as_str())) == Phase::Serving {
                    self.account(jid, retention).await?;
                }
            }
        }
    }

    /// In small steps, none of which keeps the slot from moving.
    async fn account(&mut self, jid: &Bare, retention: Retention) -> store::Result<()> {
        self.pace.tick().await;
        self.accounts += 1;
        let Some(last) = self.last(jid, retention).await? else {
            return Ok(());
        };
        loop {
            let Ok(_pass) = self.core.slots.enter(Slot::of(jid.as_str())).await else {
                return Ok(());
            };
            let removed = self.core.stores.archive.trim(jid, ARCHIVE, last, MESSAGES).await?;
            self.messages += removed;
            gauges::outdated(removed);
            if removed < u64::from(MESSAGES) {
                return Ok(());
            }
            self.pace.tick().await;
        }
    }

    /// The last message of an account's archive that is kept no longer, going by what was written of what is through.
    async fn last(&self, jid: &Bare, retention: Retention) -> store::Result<Option<ArchiveId>> {
        let Ok(_pass) = self.core.slots.enter(Slot::of(jid.as_str())).await else {
            return Ok(None);
        };
        let stores = &self.core.stores;
        let record = stores.items.get(jid, &mark()).await?;
        let Some(record) = record.and_then(|item| Record::decode(item.value)) else {
            return Ok(None);
        };
        let excess = match retention.max_messages {
            Some(keep) => stores.archive.excess(jid, ARCHIVE, keep).await?,
            None => None,
        };
        Ok(outdated(
            self.core.now(),
            self.core.fresh(),
            retention,
            excess,
            record.mark,
        ))
    }
}

/// The last message that is too old, or one too many, and neither `fresh` nor beyond the mark.
fn outdated(
    now: Timestamp,
    fresh: Duration,
    retention: Retention,
    excess: Option<ArchiveId>,
    mark: ArchiveId,
) -> Option<ArchiveId> {
    let before = |age: Duration| {
        let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        ArchiveId(
            ArchiveId::first_at(Timestamp(now.0.saturating_sub(age)))
                .0
                .saturating_sub(1),
        )
    };
    let last = retention.max_age.map(before).max(excess)?;
    Some(last.min(mark).min(before(fresh)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outdated() {
        let hour = |hours: u64| Duration::from_secs(3_600 * hours);
        let at = |hours: i64| ArchiveId(ArchiveId::first_at(Timestamp(3_600_000_000 * hours)).0 - 1);
        let before = |last: ArchiveId| ArchiveId(last.0 - 1);
        let (far, fresh) = (at(1_000), Duration::from_mins(10));
        for (max_age, excess, mark, last) in [
            (None, None, far, None),
            (Some(hour(10)), None, far, Some(at(90))),
            (Some(hour(10)), None, at(80), Some(at(80))),
            (Some(hour(500)), None, far, Some(ArchiveId(0))),
            (None, Some(at(70)), far, Some(at(70))),
            (None, Some(at(70)), at(60), Some(at(60))),
            (Some(hour(10)), Some(at(70)), far, Some(at(90))),
            (Some(hour(40)), Some(at(70)), far, Some(at(70))),
            (None, Some(before(at(90))), before(at(90)), Some(before(at(90)))),
        ] {
            let retention = Retention {
                max_age,
                max_messages: excess.map(|_| 1),
            };
            let now = Timestamp(3_600_000_000 * 100);
            assert_eq!(
                outdated(now, fresh, retention, excess, mark),
                last,
                "{retention:?} {excess:?} {mark:?}"
            );
        }
        let young = Retention {
            max_age: Some(Duration::ZERO),
            max_messages: None,
        };
        let last = outdated(Timestamp(3_600_000_000), fresh, young, None, far).map(ArchiveId::time);
        assert_eq!(last, Some(Timestamp(3_000_000_000 - 1)));
    }
}
