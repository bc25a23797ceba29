//! Failed logins and registrations, by client address and in all, within a window of time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Most addresses remembered.
const ADDRESSES: usize = 100_000;

/// Counts by client address.
pub(crate) struct Limiter {
    /// 0: no limit.
    most: u32,
    window: Duration,
    failures: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

/// Counts all there is.
pub(crate) struct Total {
    /// 0: no limit.
    most: u32,
    window: Duration,
    count: Mutex<(Instant, u32)>,
}

impl Limiter {
    pub(crate) fn new(most: u32, window: Duration) -> Self {
        Self {
            most,
            window,
            failures: Mutex::default(),
        }
    }

    /// Whether `address` may try again.
    pub(crate) fn allows(&self, address: Option<IpAddr>) -> bool {
        let Some(address) = address.filter(|_| self.most > 0) else {
            return true;
        };
        let failures = self.failures.lock();
        let counted = failures
            .get(&network(address))
            .filter(|(since, _)| since.elapsed() < self.window);
        counted.is_none_or(|(_, count)| *count < self.most)
    }

    /// `address` failed.
    pub(crate) fn failed(&self, address: Option<IpAddr>) {
        let Some(address) = address.filter(|_| self.most > 0) else {
            return;
        };
        let mut failures = self.failures.lock();
        if failures.len() >= ADDRESSES {
            failures.retain(|_, (since, _)| since.elapsed() < self.window);
        }
        if failures.len() >= ADDRESSES && !failures.contains_key(&network(address)) {
            return;
        }
        let entry = failures.entry(network(address)).or_insert((Instant::now(), 0));
        if entry.0.elapsed() >= self.window {
            *entry = (Instant::now(), 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }

    /// Counts one of `address`, if it may have one more.
    pub(crate) fn take(&self, address: Option<IpAddr>) -> bool {
        let allowed = self.allows(address);
        if allowed {
            self.failed(address);
        }
        allowed
    }

    /// One that was taken does not count.
    pub(crate) fn give_back(&self, address: Option<IpAddr>) {
        let mut counts = self.failures.lock();
        if let Some((_, count)) = address.and_then(|address| counts.get_mut(&network(address))) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Total {
    pub(crate) fn new(most: u32, window: Duration) -> Self {
        Self {
            most,
            window,
            count: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Counts one more, if there may be.
    pub(crate) fn take(&self) -> bool {
        let mut count = self.count.lock();
        if count.0.elapsed() >= self.window {
            *count = (Instant::now(), 0);
        }
        let allowed = self.most == 0 || count.1 < self.most;
        count.1 = count.1.saturating_add(u32::from(allowed));
        allowed
    }

    /// One that was taken does not count.
    pub(crate) fn give_back(&self) {
        let mut count = self.count.lock();
        count.1 = count.1.saturating_sub(1);
    }
}

/// Who counts as one client: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counts_by_network_within_the_window() {
        let limiter = Limiter::new(2, Duration::from_secs(60));
        let at = |text: &str| text.parse().ok();
        limiter.failed(at("2001:db8::1"));
        assert!(limiter.allows(at("2001:db8::1")));
        limiter.failed(at("2001:db8::2"));
        assert!(!limiter.allows(at("2001:db8::3")));
        assert!(limiter.allows(at("2001:db8:0:1::3")));
        assert!(limiter.allows(None));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(limiter.allows(at("2001:db8::3")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_does_not_count() {
        let (limiter, total) = (
            Limiter::new(1, Duration::from_secs(60)),
            Total::new(1, Duration::from_secs(60)),
        );
        let at = "192.0.2.1".parse().ok();
        for _ in 0..3 {
            assert!(limiter.take(at) && total.take());
            assert!(!limiter.take(at) && !total.take());
            limiter.give_back(at);
            total.give_back();
        }
        assert!(limiter.take(at) && total.take());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(limiter.take(at) && total.take());
        let unlimited = Total::new(0, Duration::from_secs(60));
        assert!((0..9).all(|_| unlimited.take()));
    }
}
